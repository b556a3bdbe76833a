import type { Json, JsonObject } from "../lib/json.js";
import type { Answer, Ask } from "./interrupt.js";
import type { Message } from "./message.js";
import { extended } from "../lib/extended.js";

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
 * - `done`: it has its result, or was denied, and waits until every task of its step has
 * - `after`: its step is closed, its output committed; a hold point may be behind it
 * - `route`: its successors are to be computed
 */
export type Stage = "due" | "cleared" | "done" | "after" | "route";

/** Where a task leads: a node's name, or a node with a state of its own (a `Send`, checked). */
export type Target = string | { readonly node: string; readonly value: Json };

/** What a task came to, kept until its step closes. Several updates are those of a nested graph's steps. */
export interface TaskResult {
  readonly updates: readonly Values[];
  readonly messages: readonly Message[];
  /** The messages are those of a nested graph's steps, and had their events there. */
  readonly said?: true;
}

/** A nested graph that runs as a task: a state and tasks of its own. */
export interface Inner {
  readonly values: Values;
  /** What its steps added; the graph around it gets them when it ends. */
  readonly messages: readonly Message[];
  /** The messages that `in` gave it; it does not see those around it. */
  readonly apart?: readonly Message[];
  /** What its nodes changed, in the order of its steps, for the reducers of the graph around it. */
  readonly updates: readonly Values[];
  readonly tasks: readonly Task[];
  /** The first denial that found no way inside: it denies the nested graph as a node. */
  readonly denied?: Answer;
}

/** One visit of a node; the same over pauses, retries, stops, crashes and resumes. */
export interface Task {
  /**
   * `run/step/index/node` of the run and step that made it due, or `task/step/index/node` inside a nested graph: unique in
   * the thread for ever.
   */
  readonly id: string;
  readonly node: string;
  /** Its node's name, behind those of the nested graphs around it. */
  readonly path: readonly string[];
  readonly stage: Stage;
  /** What a `Send` gave it: its node's state. */
  readonly sent?: { readonly value: Json };
  /** Kept beside the state while other tasks of its step are missing theirs. */
  readonly result?: TaskResult;
  /** Its node is a graph, and has begun. */
  readonly inner?: Inner;
  /** The declared hold point of this stage was looked at: `when` is not asked again. */
  readonly judged?: true | undefined;
  /** What must be answered before it goes on. Kept until all of it is. */
  readonly asks?: readonly Ask[];
  /** What let it go on, for `ctx.answer`. */
  readonly answer?: Answer;
  /** A person let it pass the hold point in front of it: how often it was asked. */
  readonly passed?: number;
  /** The denial that led here, where an answer of its own took its place in `answer`. */
  readonly cameBy?: Answer;
  /** What it was asked in this visit beside what its node asks itself, once it was answered: a fork asks it again. */
  readonly decided?: readonly Ask[];
  /** It has had an answer given inside it: a lost attempt of it may have acted. */
  readonly answered?: true;
  /** It was denied: only `onDeny` follows. */
  readonly denied?: Answer;
  /** What was denied is a question of the node itself, or inside its graph, not a hold point. */
  readonly deniedInside?: true;
  /** Its output is committed: its step is counted. */
  readonly closed?: true;
  /** Where its Command said to go. */
  readonly goto?: readonly Target[];
  /** How often its node was begun. */
  readonly attempts: number;
  /** A reader may have seen deltas of an attempt that came to nothing. */
  readonly streamed?: true;
}

/** An attempt whose outcome nobody knows. */
export interface LostAttempt {
  readonly attempt: number;
  readonly beganAt: string;
  readonly cause: "crash" | "timeout" | "stop" | "refused";
  /** Names of the `once` results that it had stored. */
  readonly once: readonly string[];
}

export const NO_HOLDS: RunHolds = { before: [], after: [] };

/** What a task is made under: the run at the root, its owner inside a nested graph. */
export interface Birth {
  readonly id: string;
  readonly path: readonly string[];
}

export const bornIn = (runId: string): Birth => ({ id: runId, path: [] });

export function dueTask(under: Birth, step: number, index: number, node: string, answer?: Answer): Task {
  const task: Task = {
    id: `${under.id}/${step}/${index}/${node}`,
    node,
    // A list that grows in a literal gets room for 17 members.
    path: under.path.length === 0 ? [node] : [...under.path, node],
    stage: "due",
    attempts: 0,
  };
  return answer === undefined ? task : extended(task, { answer });
}

/** Hold points of two sources, taken together. */
export function unionHolds(a: RunHolds, b: Partial<RunHolds>): RunHolds {
  const join = (x: HoldNames, y: HoldNames = []): HoldNames =>
    x === "*" || y === "*" ? "*" : [...new Set([...x, ...y])];
  return { before: join(a.before, b.before), after: join(a.after, b.after) };
}
