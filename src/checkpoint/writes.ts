/** What is asked of the storage, and what it answers. */
import type {
  Answer,
  Interrupt,
  Outcome,
  PlacedMessage,
  Position,
  StateOp,
  ThreadStatus,
  Values,
} from "../engine/index.js";
import type { Json, JsonObject } from "../lib/json.js";
import type { CheckpointSource, StopMode, StopRequest, StoredEvent, SinceValues } from "./records.js";
import type { ThreadRef } from "./wake.js";

export interface CheckpointWrite {
  readonly id: string;
  readonly source: CheckpointSource;
  readonly path: readonly string[];
  readonly ops: readonly StateOp[];
  /** The whole of the values, now and then, so that reading back is bounded. */
  readonly values: Values | null;
  /** What `load` gives from now on. */
  readonly sinceValues: SinceValues;
}

export interface InterruptDecision {
  readonly id: string;
  readonly status: "resolved" | "expired" | "cancelled";
  readonly answer: Answer | null;
  /** The run that the same write starts. */
  readonly resumedBy: string | null;
  readonly at: string;
}

/** A new text of an open interrupt, after a patch changed what it is about. */
export interface InterruptText {
  readonly id: string;
  readonly message: string;
  readonly data: Json;
}

/**
 * Begins a run, in the same write: a new one (guard "seq"), which `worker` claims or, where that is null, anybody; or one
 * that waited and was claimed (guard "run").
 */
export interface RunStart {
  readonly runId: string;
  readonly graph: string;
  readonly resumes: boolean;
  readonly recursionLimit: number;
  readonly metadata: JsonObject;
  readonly decision: Answer | null;
  readonly firstSeq: number;
  readonly firstStep: number;
  readonly worker: string | null;
}

/** A client's idempotency key, hashed with the person, the method and the path; and its body's digest. */
export interface RequestKey {
  readonly key: string;
  readonly body: string;
  readonly expiresAt: string;
}

/** An accepted request, by its key. `answer` is what it was answered, where that is more than its run. */
export interface UsedKey {
  readonly body: string;
  readonly threadId: string;
  readonly runId: string | null;
  readonly answer: Json;
  readonly expiresAt: string;
}

/**
 * Makes a run wait for its thread, or for a process that has room; makes the thread where there is none. `free` demands that no
 * run is active or waits there. `stop` asks the active run to stop and drops those that wait. Sent twice, it is done once.
 */
export interface Enqueue {
  readonly ref: ThreadRef;
  readonly runId: string;
  readonly graph: string;
  readonly recursionLimit: number;
  readonly metadata: JsonObject;
  readonly request: Json;
  readonly at: string;
  readonly free: boolean;
  readonly stop: StopRequest | null;
  readonly key?: RequestKey;
}

/** `moved` where the thread is interrupted, has another graph, or is not free. `seq` is the thread's. */
export type Enqueued =
  | {
      readonly outcome: "queued";
      readonly seq: number;
      /** The run that was asked to stop. */
      readonly stopped: string | null;
      readonly dropped: readonly string[];
    }
  | { readonly outcome: "moved" }
  | { readonly outcome: "repeated" };

/**
 * One atomic change of a thread.
 *
 * `guard.by` "seq" is a write between runs: it needs the thread to be at exactly `from` and not running, else `moved`.
 * "run" is a write of a run: it needs the epoch and `from`, else `fenced`; and while a stop is requested that
 * `seesStop` does not cover, it is refused as `stopping` with the request. Sent twice, a run's write and one that starts a
 * run are committed once and say so both times. Either is `moved` where it decides an interrupt that is not open, and
 * `repeated` where a request with its key was accepted before.
 *
 * Where a run waits for the thread, a head that is neither running nor interrupted becomes `queued`.
 */
export interface Write {
  readonly ref: ThreadRef;
  readonly guard:
    | { readonly by: "seq"; readonly from: number }
    | {
        readonly by: "run";
        readonly from: number;
        readonly epoch: number;
        readonly runId: string;
        readonly seesStop: StopMode | null;
      };
  readonly at: string;
  /** The thread's seq after this write, the last event's: above `from`, or `from` where nothing is logged. */
  readonly seq: number;
  /** Live events may be numbered up to here; at the end of a run, `seq`. */
  readonly limit: number;
  /** The run that the log entry belongs to. */
  readonly runId: string | null;
  /** Makes the thread, which must not exist. */
  readonly create?: { readonly metadata: JsonObject };
  readonly head: {
    readonly graph: string | null;
    readonly status: ThreadStatus;
    readonly step: number;
    readonly currentNode: string | null;
    readonly nextNodes: readonly string[];
    readonly interruptReason: string | null;
  };
  /** Where the thread stands from now on; left out where that is unchanged. */
  readonly position?: Position;
  readonly checkpoint?: CheckpointWrite;
  readonly start?: RunStart;
  readonly end?: Outcome;
  readonly events: readonly StoredEvent[];
  readonly messages: readonly PlacedMessage[];
  readonly open: readonly Interrupt[];
  readonly decide: readonly InterruptDecision[];
  readonly retext: readonly InterruptText[];
  /** Drops the runs that wait for the thread. */
  readonly drop?: boolean;
  readonly key?: RequestKey;
}

/**
 * Makes a thread of a checkpoint, in the source's tenant: its messages as they were then, and of the tasks in `position` the
 * `once` results that there are. The source is only read, whatever runs on it. The new thread begins above what a deleted
 * one of its id has used; its first entry is `checkpoint`, without events, whose parent is the source's.
 */
export interface Fork {
  readonly ref: ThreadRef;
  readonly checkpointId: string;
  readonly threadId: string;
  readonly at: string;
  readonly head: Write["head"];
  readonly position: Position;
  /** `values` are the whole of them. */
  readonly checkpoint: CheckpointWrite & { readonly values: Values };
}

export type Forked = "forked" | "exists" | "missing";

export type Written =
  | {
      readonly outcome: "committed";
      readonly epoch: number;
      /** Whether the next run of the thread may start now. */
      readonly queued: boolean;
      readonly dropped: readonly string[];
    }
  | { readonly outcome: "moved" }
  | { readonly outcome: "fenced" }
  | { readonly outcome: "repeated" }
  | { readonly outcome: "stopping"; readonly stop: StopRequest };
