import { z } from "zod";
import { GraphError } from "../errors.js";
import {
  checkGraph,
  END,
  START,
  type EdgeSpec,
  type GraphDefinition,
  type NodeFn,
  type NodeOptions,
  type NodeSpec,
  type Router,
} from "../engine/index.js";
import { CompiledGraph } from "./compiled-graph.js";
import { holdPoints, type DeclaredHold } from "./hold-point.js";
import { stateSpec } from "./state-spec.js";
import type {
  CompileOptions,
  Known,
  NodeResult,
  StateGraphOptions,
  StateOf,
  StateSchema,
  StrictResult,
} from "./types.js";
import type { NodeContext } from "../engine/index.js";

type EmptySchema = z.ZodObject<Record<string, never>>;

/**
 * Collects nodes and edges; `compile` checks them all at once and makes the graph. Chained calls are typed by the names so
 * far; statements are checked by `compile`.
 */
export class StateGraph<S extends StateSchema = EmptySchema, N extends string = never> {
  readonly #schema: StateSchema;
  readonly #reducers: Record<string, unknown>;
  readonly #nodes = new Map<string, NodeSpec>();
  readonly #edges = new Map<string, EdgeSpec[]>();
  readonly #duplicates: string[] = [];
  readonly #faults: string[] = [];

  constructor(options: StateGraphOptions<S> = {}) {
    this.#schema = options.state ?? z.object({});
    this.#reducers = { ...options.reducers };
  }

  /** A node of this name: what it returns is applied to the state when its step closes. Faults are told by `compile`. */
  addNode<const K extends string, R extends NodeResult<S> | object>(
    name: K,
    run: (state: StateOf<S>, ctx: NodeContext) => R & StrictResult<S, R>,
    options: NodeOptions = {},
    // Not `this`: the name is known from here on.
    // eslint-disable-next-line @typescript-eslint/prefer-return-this-type
  ): StateGraph<S, N | K> {
    if (["", START, END].includes(name)) this.#faults.push(`"${name}" cannot be the name of a node`);
    if (typeof run !== "function") this.#faults.push(`node "${name}" is not a function`);
    this.#faults.push(...optionFaults(name, options));
    if (this.#nodes.has(name)) this.#duplicates.push(name);
    this.#nodes.set(name, { name, run: run as unknown as NodeFn, options });
    return this;
  }

  /** From one node to the next, always. */
  addEdge(from: Known<N> | typeof START, to: Known<N> | typeof END): this {
    return this.#edge(from, { kind: "static", to });
  }

  /** `route` returns a name, or a key of `map`. Without a map it may name any node. */
  addConditionalEdges(
    from: Known<N> | typeof START,
    route: (state: StateOf<S>) => unknown,
    map?: Readonly<Record<string, Known<N> | typeof END>> | readonly (Known<N> | typeof END)[],
  ): this {
    if (typeof route !== "function") this.#faults.push(`the conditional edge from "${from}" has no function`);
    const entries =
      map === undefined
        ? null
        : Array.isArray(map)
          ? (map as string[]).map((name): [string, string] => [name, name])
          : Object.entries(map as Record<string, string>);
    return this.#edge(from, {
      kind: "conditional",
      route: route as unknown as Router,
      map: entries === null ? null : new Map(entries),
      label: route.name,
    });
  }

  /** The same as an edge from START. */
  setEntryPoint(name: Known<N>): this {
    return this.addEdge(START, name);
  }

  /** Throws one GraphError that lists every fault. */
  compile(options: CompileOptions<S, N> = {}): CompiledGraph<S> {
    const { spec: state, faults } = stateSpec(this.#schema, this.#reducers);
    const before = holdPoints(
      options.interruptBefore as readonly DeclaredHold[] | "*" | undefined,
      this.#nodes.keys(),
      "interruptBefore",
    );
    const after = holdPoints(
      options.interruptAfter as readonly DeclaredHold[] | "*" | undefined,
      this.#nodes.keys(),
      "interruptAfter",
    );
    const nodes = new Map(this.#nodes);
    const edges = new Map([...this.#edges].map(([source, list]) => [source, [...list]]));
    const parts = { nodes, edges, before: before.holds, after: after.holds, duplicates: this.#duplicates };
    const misspelt = unknownOptions("compile", options, COMPILE_OPTIONS);
    const all = [
      ...this.#faults,
      ...misspelt,
      ...faults,
      ...before.faults,
      ...after.faults,
      ...checkGraph(parts),
    ];
    if (all.length > 0) throw new GraphError(all, options.name);

    const { publisher = [] } = options;
    const publishers = "publish" in publisher ? [publisher] : publisher;
    const definition: GraphDefinition = {
      name: options.name ?? "graph",
      nodes,
      edges,
      before: before.holds,
      after: after.holds,
      state,
      publishers,
    };
    return new CompiledGraph<S>(definition, {
      named: options.name !== undefined,
      checkpointer: options.checkpointer,
    });
  }

  #edge(from: string, edge: EdgeSpec): this {
    this.#edges.set(from, [...(this.#edges.get(from) ?? []), edge]);
    return this;
  }
}

/** Longer timers fire at once. Some 24 days. */
const MAX_MS = 2 ** 31 - 1;

const NODE_OPTIONS = ["timeoutMs", "retry", "graceMs", "onCrash", "onDeny"];
const COMPILE_OPTIONS = ["name", "checkpointer", "interruptBefore", "interruptAfter", "publisher"];

/** Graph modules are loaded without a type check: a misspelt hold point must not be one that is not there. */
function unknownOptions(of: string, options: object, known: readonly string[]): string[] {
  return Object.keys(options)
    .filter((option) => !known.includes(option))
    .map((option) => `${of}: there is no option "${option}"; there are ${known.join(", ")}`);
}

function optionFaults(name: string, options: NodeOptions): string[] {
  const faults = unknownOptions(`node "${name}"`, options, NODE_OPTIONS);
  const milliseconds = (option: "timeoutMs" | "graceMs", least: number): void => {
    const value = options[option];
    if (value !== undefined && !(Number.isFinite(value) && value >= least && value <= MAX_MS))
      faults.push(`node "${name}": ${option} is a number of milliseconds, at least ${least}`);
  };
  milliseconds("timeoutMs", 1);
  milliseconds("graceMs", 0);
  const attempts = options.retry?.attempts;
  if (attempts !== undefined && !(Number.isInteger(attempts) && attempts >= 1))
    faults.push(`node "${name}": retry.attempts is a whole number, at least 1`);
  const delayMs = options.retry?.delayMs;
  if (delayMs !== undefined && !(Number.isFinite(delayMs) && delayMs >= 0 && delayMs <= MAX_MS)) {
    faults.push(`node "${name}": retry.delayMs is a number of milliseconds, at least 0`);
  }
  const onCrash: string | undefined = options.onCrash;
  if (onCrash !== undefined && onCrash !== "hold" && onCrash !== "rerun")
    faults.push(`node "${name}": onCrash is "hold" or "rerun"`);
  return faults;
}
