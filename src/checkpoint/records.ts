/** What is stored of threads and runs, as it is read back. */
import type {
  Answer,
  DecisionKind,
  Interrupt,
  Outcome,
  PlacedMessage,
  RunEvent,
  RunStatus,
  Snapshot,
  ThreadStatus,
} from "../engine/index.js";
import type { Json, JsonObject } from "../lib/json.js";
import type { ThreadRef } from "./wake.js";

export type StopMode = "now" | "after_step";

export interface StopRequest {
  readonly mode: StopMode;
  readonly reason: string | null;
  readonly by: string;
  readonly at: string;
}

/** The head of a thread: the only row that anybody locks. */
export interface ThreadHead extends ThreadRef {
  readonly graph: string | null;
  readonly status: ThreadStatus;
  readonly metadata: JsonObject;
  /** The current or last run. */
  readonly runId: string | null;
  readonly epoch: number;
  readonly seq: number;
  /** Live events may be numbered up to here. */
  readonly limit: number;
  readonly step: number;
  readonly checkpointId: string | null;
  readonly currentNode: string | null;
  readonly nextNodes: readonly string[];
  readonly interruptReason: string | null;
  /** Events up to here were deleted when they got old. */
  readonly logFloor: number;
  /** Runs that wait for this thread. */
  readonly queued: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface RunRecord {
  readonly runId: string;
  readonly threadId: string;
  readonly graph: string;
  readonly status: RunStatus;
  readonly resumes: boolean;
  readonly recursionLimit: number;
  readonly metadata: JsonObject;
  /** The answer that it went on with: the first denial, else the last. */
  readonly decision: Answer | null;
  /** The seq of its `start`; while it waits, its place in the queue, above every seq. */
  readonly firstSeq: number;
  /** The seq of its terminal event; null while it runs. */
  readonly lastSeq: number | null;
  /** The thread's step when it began. */
  readonly firstStep: number;
  /** Processes that it lost since its last step. */
  readonly lostCount: number;
  readonly outcome: Outcome | null;
  readonly stop: StopRequest | null;
  /** What it will begin with, as it was enqueued; null once it has begun. */
  readonly request: Json;
  readonly createdAt: string;
  /** Null while it waits, and for good where it was dropped before it began. */
  readonly startedAt: string | null;
  readonly endedAt: string | null;
}

/** An event as it is logged: what is kept in rows of its own is left out of `data`. */
export interface StoredEvent {
  readonly seq: number;
  readonly event: RunEvent["event"];
  readonly eventType: RunEvent["eventType"];
  readonly nodeName: string | null;
  readonly path: readonly string[];
  readonly content: string;
  readonly data: JsonObject;
  readonly metadata: JsonObject;
  readonly timestamp: string;
}

/** A thread as `load` finds it. `at` an earlier seq, only head, snapshot and checkpoint are meaningful. */
export interface Loaded {
  readonly head: ThreadHead;
  readonly snapshot: Snapshot;
  readonly run: RunRecord | null;
  /** The newest interrupt of each key of the tasks that are next; oldest first. */
  readonly interrupts: readonly Interrupt[];
  /** `once` results of the tasks that are next, by task id and key. */
  readonly records: readonly TaskRecord[];
  /** How much has been changed since the values were stored whole. */
  readonly sinceValues: SinceValues;
}

/** Bytes of ops since the values were stored whole, and how large they were then (as JSON). */
export interface SinceValues {
  readonly bytes: number;
  readonly size: number;
}

/** Keys of `once` results do not begin with NUL; what begins with it is of one thread alone, and no fork has it. */
export interface TaskRecord {
  readonly taskId: string;
  readonly key: string;
  readonly value: Json;
}

/** A run that this worker has to execute. */
export interface Claim {
  readonly ref: ThreadRef;
  readonly runId: string;
  readonly graph: string;
  readonly epoch: number;
  /** Its process died while it may have been inside a node; else it was handed over between two. */
  readonly crashed: boolean;
}

/** A run that the database says a worker owns. */
export interface Owned {
  readonly ref: ThreadRef;
  readonly runId: string;
  readonly epoch: number;
  readonly stop: StopRequest | null;
}

export interface WorkerInfo {
  readonly id: string;
  readonly leaseMs: number;
}

export type StopOutcome =
  | {
      readonly was: "running";
      readonly runId: string;
      readonly epoch: number;
      readonly dropped: readonly string[];
    }
  | { readonly was: "queued"; readonly dropped: readonly string[] }
  /** It is left to the write that cancels what it waits for. */
  | { readonly was: "interrupted" }
  | { readonly was: "not-running" }
  | { readonly was: "missing" }
  | { readonly was: "repeated" };

/** One commit of a thread's log, with the rows that its events left out. */
export interface LogEntry {
  readonly seq: number;
  readonly runId: string | null;
  readonly checkpointId: string | null;
  readonly events: readonly StoredEvent[];
  readonly messages: readonly PlacedMessage[];
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

export interface PageRequest {
  readonly limit: number;
  /** What an earlier page gave as `next`. */
  readonly cursor: string | null;
}

/** What made a checkpoint. */
export type CheckpointSource = "input" | "step" | "patch" | "fork";

export interface CheckpointRecord {
  readonly checkpointId: string;
  readonly parentId: string | null;
  readonly runId: string | null;
  readonly seq: number;
  readonly step: number;
  readonly path: readonly string[];
  readonly status: ThreadStatus;
  readonly nextNodes: readonly string[];
  readonly source: CheckpointSource;
  readonly createdAt: string;
}

/** What stays of a decision when its thread is deleted. Digests are SHA-256 of the JSON, in hex. */
export interface DecisionRecord {
  readonly interruptId: string;
  readonly threadId: string;
  readonly node: string;
  readonly decision: DecisionKind | null;
  readonly by: string;
  readonly at: string;
  readonly digest: string;
}
