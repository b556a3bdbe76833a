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
  type NestedGraph,
  type NodeSpec,
  type NodeState,
  type Router,
  type StateSpec,
} from "../engine/index.js";
import { jsonEqual, type Json, type JsonObject } from "../lib/json.js";
import { CompiledGraph } from "./compiled-graph.js";
import { holdPoints, type DeclaredHold } from "./hold-point.js";
import { stateSpec } from "./state-spec.js";
import type {
  AnySent,
  CompileOptions,
  Known,
  NestedOptions,
  NodeResult,
  RightSends,
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

  /** A node that sees the graph's state. */
  addNode<const K extends string, R extends NodeResult<S> | object>(
    name: K,
    run: (state: StateOf<S>, ctx: NodeContext) => R & StrictResult<S, R>,
    options?: NodeOptions,
  ): StateGraph<S, N | K>;
  /** A node that edges `Send` to: its state is what they send (`Sent`). */
  // `state: AnySent` would refuse each node that says what it is sent.
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
  addNode<const K extends string, T extends AnySent, R extends NodeResult<S> | object>(
    name: K,
    run: (state: T, ctx: NodeContext) => R & StrictResult<S, R>,
    options?: NodeOptions,
  ): StateGraph<S, N | K>;
  /**
   * A compiled graph as a node: its steps are steps of the thread, its hold points hold the thread. Fields of one name and
   * schema are shared; `in` and `out` map instead.
   */
  addNode<const K extends string, I extends StateSchema>(
    name: K,
    graph: CompiledGraph<I>,
    options?: NestedOptions<S, I>,
  ): StateGraph<S, N | K>;
  addNode(
    name: string,
    run: unknown,
    options: NodeOptions & { readonly in?: unknown; readonly out?: unknown } = {},
    // Not `this`: the name is known from here on.
    // eslint-disable-next-line @typescript-eslint/prefer-return-this-type
  ): StateGraph<S, N> {
    if (["", START, END].includes(name)) this.#faults.push(`"${name}" cannot be the name of a node`);
    if (this.#nodes.has(name)) this.#duplicates.push(name);
    if (run instanceof CompiledGraph) {
      const { in: into, out, ...rest } = options;
      this.#faults.push(...nestedOptionFaults(name, options));
      this.#nodes.set(name, {
        kind: "graph",
        name,
        graph: run.definition,
        options: rest,
        ...(into === undefined ? {} : { in: into as StateFunction }),
        ...(out === undefined ? {} : { out: out as StateFunction }),
      });
      return this;
    }
    if (typeof run !== "function")
      this.#faults.push(`node "${name}" is neither a function nor a compiled graph`);
    this.#faults.push(...optionFaults(name, options));
    this.#nodes.set(name, { kind: "function", name, run: run as NodeFn, options });
    return this;
  }

  /** Where `from` leads. Several edges from one node are all taken, at once. */
  addEdge(from: Known<N> | typeof START, to: Known<N> | typeof END): this {
    return this.#edge(from, { kind: "static", to });
  }

  /** `route` returns a name, or a key of `map`, or a `Send`, alone or in a list. Without a map it may name any node. */
  addConditionalEdges<R>(
    from: Known<N> | typeof START,
    route: (state: StateOf<S>) => R & RightSends<N, R>,
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
    const fields = [...nodes.values()].flatMap((node) =>
      node.kind === "graph" ? sharedFieldFaults(node, state) : [],
    );
    const misspelt = unknownOptions("compile", options, COMPILE_OPTIONS);
    const all = [
      ...this.#faults,
      ...misspelt,
      ...faults,
      ...fields,
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
const GRAPH_OPTIONS = ["onCrash", "onDeny", "in", "out"];
const COMPILE_OPTIONS = ["name", "checkpointer", "interruptBefore", "interruptAfter", "publisher"];

/** Graph modules are loaded without a type check: a misspelt hold point must not be one that is not there. */
function unknownOptions(of: string, options: object, known: readonly string[]): string[] {
  return Object.keys(options)
    .filter((option) => !known.includes(option))
    .map((option) => `${of}: there is no option "${option}"; there are ${known.join(", ")}`);
}

type StateFunction = (state: NodeState) => unknown;

function nestedOptionFaults(
  name: string,
  options: NodeOptions & { readonly in?: unknown; readonly out?: unknown },
): string[] {
  const faults = unknownOptions(`node "${name}"`, options, GRAPH_OPTIONS);
  for (const way of ["in", "out"] as const) {
    if (options[way] !== undefined && typeof options[way] !== "function")
      faults.push(`node "${name}": ${way} is a function of the state`);
  }
  return [...faults, ...crashFaults(name, options)];
}

/** A field of one name in both graphs is one field, unless both ways are mapped. */
function sharedFieldFaults(node: NestedGraph, outer: StateSpec): string[] {
  if (node.in !== undefined && node.out !== undefined) return [];
  const { state: inner } = node.graph;
  return inner.fields
    .filter(
      (field) =>
        outer.fields.includes(field) && !jsonEqual(fieldSchema(inner, field), fieldSchema(outer, field)),
    )
    .map(
      (field) =>
        `node "${node.name}": "${field}" has another schema in the graph "${node.graph.name}"; give it the same one, or map both ways with in and out`,
    );
}

const fieldSchema = ({ jsonSchema }: StateSpec, field: string): Json =>
  ((jsonSchema as { properties?: JsonObject }).properties ?? {})[field] ?? null;

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
  return [...faults, ...crashFaults(name, options)];
}

function crashFaults(name: string, { onCrash }: { readonly onCrash?: string }): string[] {
  const known = onCrash === undefined || onCrash === "hold" || onCrash === "rerun";
  return known ? [] : [`node "${name}": onCrash is "hold" or "rerun"`];
}
