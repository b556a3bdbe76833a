import type { Duration } from "../lib/duration.js";
import type { Json, JsonObject } from "../lib/json.js";
import type { Answer, DecisionKind, OnExpiry } from "./interrupt.js";
import type { Message, NewMessage } from "./message.js";
import type { Target, Task, Values } from "./snapshot.js";
import type { ExecutionMeta } from "./status.js";

/** A graph, compiled once and shared by all threads. Plain values and the user's functions. */
export interface GraphDefinition {
  readonly name: string;
  readonly nodes: ReadonlyMap<string, NodeSpec>;
  /** By source; START is one. */
  readonly edges: ReadonlyMap<string, readonly EdgeSpec[]>;
  readonly before: ReadonlyMap<string, HoldPoint>;
  readonly after: ReadonlyMap<string, HoldPoint>;
  readonly state: StateSpec;
  readonly publishers: readonly EventPublisher[];
}

export type NodeSpec = FunctionNode | NestedGraph;

export interface FunctionNode {
  readonly kind: "function";
  readonly name: string;
  readonly run: NodeFn;
  readonly options: NodeOptions;
}

/** A compiled graph as a node: its steps are steps of the thread, its hold points hold the thread. */
export interface NestedGraph {
  readonly kind: "graph";
  readonly name: string;
  readonly graph: GraphDefinition;
  /** What it begins with, made of the state around it; without it the fields of one name and schema are shared. */
  readonly in?: (state: NodeState) => unknown;
  /** The update that it leaves, made of its last state; without it its nodes' updates of shared fields. */
  readonly out?: (state: NodeState) => unknown;
  readonly options: NodeOptions;
}

/**
 * `onDeny` of where a task was denied, if anything says it: of the node for what was asked inside it, else of the hold
 * point; each stands in for the other.
 */
export function onDenyOf(def: GraphDefinition, task: Task): string | undefined {
  const hold = (task.closed === true ? def.after : def.before).get(task.node)?.onDeny;
  const node = def.nodes.get(task.node)?.options.onDeny;
  return task.deniedInside === true ? (node ?? hold) : (hold ?? node);
}

export interface NodeOptions {
  /** Milliseconds that one attempt may take. Without it: as long as it takes. */
  readonly timeoutMs?: number;
  /** `attempts` in all, `delayMs` between them (default 0). */
  readonly retry?: { readonly attempts: number; readonly delayMs?: number };
  /** Milliseconds that a node which looked at its signal has to come back after a stop. Default 1000. */
  readonly graceMs?: number;
  /** What happens to an attempt whose outcome nobody knows. "hold" asks a person before it runs again. Of a graph: its nodes'. */
  readonly onCrash?: "hold" | "rerun";
  /** Where a denial given inside the node goes. Default END. */
  readonly onDeny?: string;
}

export type EdgeSpec =
  | { readonly kind: "static"; readonly to: string }
  | {
      readonly kind: "conditional";
      readonly route: Router;
      readonly map: ReadonlyMap<string, string> | null;
      readonly label: string;
    };

export type Router = (state: NodeState) => unknown;

/** A hold point as the engine knows it; a bare name is `plain`. */
export interface HoldPoint {
  readonly node: string;
  readonly plain: boolean;
  readonly when?: (state: NodeState) => unknown;
  readonly message?: (state: NodeState) => unknown;
  readonly data?: (state: NodeState) => unknown;
  readonly decisions?: readonly DecisionKind[];
  readonly responseSchema?: Json;
  readonly named?: boolean;
  readonly onDeny?: string;
  /** Milliseconds. */
  readonly expiresIn?: number;
  readonly onExpiry?: OnExpiry;
}

/** How a graph's own fields are checked and combined. Made in graph/, so that the engine knows no schema library. */
export interface StateSpec {
  readonly fields: readonly string[];
  readonly reducers: ReadonlyMap<string, (current: unknown, update: unknown) => unknown>;
  /** One field's value, as the schema makes it, or why it is refused. */
  check(
    field: string,
    value: unknown,
  ): { readonly ok: true; readonly value: Json } | { readonly ok: false; readonly message: string };
  /** The defaults of all fields that have one. */
  defaults(): Values;
  /** What the schema misses in a thread's first state. */
  missing(values: Values): readonly { readonly path: string; readonly message: string }[];
  readonly jsonSchema: Json;
}

/** `(state, ctx) => update`, sync, async, or an async generator. */
export type NodeFn = (state: NodeState, ctx: NodeContext) => unknown;

/** What `state.setInterrupt` takes. */
export interface ManualInterrupt {
  readonly node?: string;
  readonly reason: string;
  readonly status: "interrupted_before" | "interrupted_after";
  readonly data?: unknown;
}

/** What a node, an edge and a hold point see of the thread. Frozen. */
export interface NodeStateBase {
  readonly context: readonly Message[];
  readonly contextSummary: string | null;
  readonly executionMeta: ExecutionMeta;
  setInterrupt(of: ManualInterrupt): void;
}
export type NodeState<F = JsonObject> = Readonly<F> & NodeStateBase;

/** What `ctx.interrupt` takes. */
export interface InterruptRequest {
  readonly message: string;
  readonly data?: unknown;
  /** A zod schema or a JSON Schema that `data` of the answer must fit. */
  readonly responseSchema?: unknown;
  readonly decisions?: readonly DecisionKind[];
  /** How long it waits each time it is asked: "24h", "90s", milliseconds. Default: as long as it takes. */
  readonly expiresIn?: Duration | undefined;
  /** What an expiry answers. "fail", the default, ends the run as an error; a resume asks again. */
  readonly onExpiry?: OnExpiry | undefined;
  /** Names this call, so that the order of calls does not matter. */
  readonly key?: string;
}

/** What a node gets beside its state (design: engine, section 3). */
export interface NodeContext {
  /** Aborts on stop, timeout and lost lease. Looking at it earns the node its grace. */
  readonly signal: AbortSignal;
  readonly threadId: string;
  readonly runId: string;
  readonly step: number;
  readonly attempt: number;
  readonly node: string;
  readonly path: readonly string[];
  /** What resumed this node, or undefined. */
  readonly answer: Answer | undefined;
  /** One per task, the same over all its attempts. */
  readonly idempotencyKey: string;
  readonly log: Logger;
  /** Sends a `custom` event at once. */
  emit(name: string, value: unknown): void;
  /** Pauses here and returns the person's answer; rejects with InterruptDenied when it is a denial. */
  interrupt(request: InterruptRequest): Promise<Answer>;
  /** Runs `effect` once per task: its result is stored before the node goes on and given to every later attempt. */
  once<T>(key: string, effect: () => T | Promise<T>): Promise<T>;
}

/** The part of pino's logger that is used, so that nobody below needs pino. */
export interface Logger {
  /** For whoever looks for a fault. */
  debug(details: object, message?: string): void;
  /** For whoever reads along. */
  info(details: object, message?: string): void;
  /** Something is not as it should be, and work goes on. */
  warn(details: object, message?: string): void;
  /** Something failed. */
  error(details: object, message?: string): void;
}

/** Gets every event of a graph's runs, in order. One that throws or hangs never delays or fails a run. */
export interface EventPublisher {
  /** Called for one event after the other: the next waits for what this returns. */
  publish(event: import("./events.js").RunEvent): unknown;
}

/** A node's output, checked and ready to be applied. */
export interface NodeOutput {
  readonly update: JsonObject;
  readonly messages: readonly Message[];
  readonly goto: readonly Target[] | null;
}

export type { NewMessage };
