import type { JsonObject } from "../lib/json.js";
import type { Answer, Ask } from "./interrupt.js";
import type { Message } from "./message.js";

/** The values of a graph's state: its own fields, and `contextSummary`. */
export type Values = JsonObject;

/** A thread as it stands between two commits. Everything in it is frozen. */
export interface Snapshot {
  /** The steps of the thread so far; never goes back. */
  readonly step: number;
  readonly values: Values;
  readonly messages: readonly Message[];
  readonly position: Position;
}

/** Where a thread stands: what is next, and the hold points that its runs asked for. Stored as JSON. */
export interface Position {
  readonly tasks: readonly Task[];
  readonly holds: RunHolds;
}

export type HoldNames = readonly string[] | "*";

/** Hold points of `config`: they add to the compiled ones and stay until a fresh run. */
export interface RunHolds {
  readonly before: HoldNames;
  readonly after: HoldNames;
}

/**
 * How far a task has come. The only way is down the list:
 * - `due`: its node is next; a hold point may still be in front of it
 * - `cleared`: nothing is in front of it, its node may run (or goes on from an answer)
 * - `after`: its output is committed; a hold point may be behind it
 * - `route`: its successors are to be computed
 */
export type Stage = "due" | "cleared" | "after" | "route";

/** One visit of a node; the same over pauses, retries, stops, crashes and resumes. */
export interface Task {
  /** `run/step/index/node` of the run and step that made it due: unique in the thread for ever. */
  readonly id: string;
  readonly node: string;
  readonly path: readonly string[];
  readonly stage: Stage;
  /** The declared hold point of this stage was looked at: `when` is not asked again. */
  readonly judged?: true | undefined;
  /** What must be answered before it goes on. Kept until all of it is. */
  readonly asks?: readonly Ask[];
  /** What let it go on, for `ctx.answer`. */
  readonly answer?: Answer;
  /** A person let it pass the hold point in front of it: how often it was asked. */
  readonly passed?: number;
  /** It has had an answer given inside it: a lost attempt of it may have acted. */
  readonly answered?: true;
  /** It was denied: only `onDeny` follows. */
  readonly denied?: Answer;
  /** What was denied is a question of the node itself, not a hold point. */
  readonly deniedInside?: true;
  /** Its output is committed: its step is counted. */
  readonly closed?: true;
  /** Where its Command said to go. */
  readonly goto?: readonly string[];
  /** How often its node was begun. */
  readonly attempts: number;
  /** A reader may have seen deltas of an attempt that came to nothing. */
  readonly streamed?: true;
}

/** An attempt whose outcome nobody knows. */
export interface LostAttempt {
  readonly attempt: number;
  readonly beganAt: string;
  readonly cause: "crash" | "timeout" | "stop";
  /** Names of the `once` results that it had stored. */
  readonly once: readonly string[];
}

export const NO_HOLDS: RunHolds = { before: [], after: [] };

function taskId(runId: string, step: number, index: number, node: string): string {
  return `${runId}/${step}/${index}/${node}`;
}

export function dueTask(runId: string, step: number, index: number, node: string, answer?: Answer): Task {
  const task: Task = { id: taskId(runId, step, index, node), node, path: [node], stage: "due", attempts: 0 };
  return answer === undefined ? task : { ...task, answer };
}

/** Hold points of two sources, taken together. */
export function unionHolds(a: RunHolds, b: Partial<RunHolds>): RunHolds {
  const join = (x: HoldNames, y: HoldNames = []): HoldNames =>
    x === "*" || y === "*" ? "*" : [...new Set([...x, ...y])];
  return { before: join(a.before, b.before), after: join(a.after, b.after) };
}
