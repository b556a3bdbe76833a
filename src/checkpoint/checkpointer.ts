/**
 * The port to everything that lasts. Two adapters stand behind it, under one conformance suite (test/contract).
 *
 * What every adapter keeps (numbers of design: storage):
 *
 * 1. What a method has returned is durable.
 * 2. At most one run of a thread is `running`.
 * 3. A write of a run names its epoch; every claim bumps it; another epoch writes nothing.
 * 4. A write is whole or not at all: log entry, messages, interrupts, run and thread together.
 * 5. An interrupt leaves `open` once.
 * 6. A stop that was requested is met by the next write of its run, which is refused until it says it has seen it.
 * 7. Log entries of a thread have growing `seq`; live events are numbered below the `limit` that a write reserved.
 *
 * Refusals are values. A method throws only when the storage itself fails (HoldpointError `database_unavailable`).
 */
import type {
  Answer,
  DecisionKind,
  Interrupt,
  Message,
  Outcome,
  PlacedMessage,
  Position,
  RunEvent,
  RunStatus,
  Snapshot,
  StateOp,
  ThreadStatus,
  Values,
} from "../engine/index.js";
import type { Json, JsonObject } from "../lib/json.js";
import type { ThreadRef, Wake } from "./wake.js";

export type { ThreadRef, Wake } from "./wake.js";

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
  /** The seq of its `start`. */
  readonly firstSeq: number;
  /** The seq of its terminal event; null while it runs. */
  readonly lastSeq: number | null;
  /** The thread's step when it began. */
  readonly firstStep: number;
  /** Processes that it lost since its last step. */
  readonly lostCount: number;
  readonly outcome: Outcome | null;
  readonly stop: StopRequest | null;
  readonly createdAt: string;
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

export interface CheckpointWrite {
  readonly id: string;
  readonly source: "input" | "step" | "patch" | "fork";
  readonly path: readonly string[];
  readonly ops: readonly StateOp[];
  /** The whole of the values, now and then, so that reading back is bounded. */
  readonly values: Values | null;
  /** What `load` gives from now on. */
  readonly sinceValues: SinceValues;
}

export interface InterruptDecision {
  readonly id: string;
  readonly status: "resolved" | "cancelled";
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

/** Begins a run and claims it for `worker`, in the same write. */
export interface RunStart {
  readonly runId: string;
  readonly graph: string;
  readonly resumes: boolean;
  readonly recursionLimit: number;
  readonly metadata: JsonObject;
  readonly decision: Answer | null;
  readonly firstSeq: number;
  readonly firstStep: number;
  readonly worker: string;
}

/**
 * One atomic change of a thread.
 *
 * `guard.by` "seq" is a write between runs: it needs the thread to be at exactly `from` and not running, else `moved`.
 * "run" is a write of a run: it needs the epoch and `from`, else `fenced`; and while a stop is requested that
 * `seesStop` does not cover, it is refused as `stopping` with the request. Sent twice, a run's write is committed once
 * and says so both times. Either is `moved` where it decides an interrupt that is not open.
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
  | { readonly outcome: "committed"; readonly epoch: number }
  | { readonly outcome: "moved" }
  | { readonly outcome: "fenced" }
  | { readonly outcome: "stopping"; readonly stop: StopRequest };

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
  | { readonly was: "running"; readonly runId: string; readonly epoch: number }
  | { readonly was: "not-running" }
  | { readonly was: "missing" };

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

export interface CheckpointRecord {
  readonly checkpointId: string;
  readonly parentId: string | null;
  readonly runId: string | null;
  readonly seq: number;
  readonly step: number;
  readonly path: readonly string[];
  readonly status: ThreadStatus;
  readonly nextNodes: readonly string[];
  readonly source: CheckpointWrite["source"];
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

/** Where threads, runs, checkpoints, interrupts and events live. The head of this file has what every adapter keeps. */
export interface Checkpointer {
  /** Prepares the storage; idempotent. Throws when it cannot be had or is newer than this code. */
  open(): Promise<void>;
  /** Gives back what `open` took. What was written stays. */
  close(): Promise<void>;
  /** What it stores in, for people: "memory", "embedded (…)", "PostgreSQL …". */
  readonly describe: string;
  /** Answers while the storage does; throws otherwise. */
  ping(): Promise<void>;

  /** Tells what other processes have just changed. Hints may be lost, late or doubled: whoever waits also looks by itself. */
  onWake(listener: (wake: Wake) => void): () => void;
  /** Whether hints of other processes arrive now; where not, look more often. A change is a `rescan`. */
  readonly hears: boolean;

  /** The thread, or where its numbers begin if there is none (above those of a deleted one). */
  load(ref: ThreadRef): Promise<Loaded | { readonly head: null; readonly seq: number }>;
  /** State and position as they were at a checkpoint; null where it is not the thread's. */
  loadAt(
    ref: ThreadRef,
    checkpoint: { readonly id: string } | { readonly seq: number },
  ): Promise<{ readonly record: CheckpointRecord; readonly snapshot: Snapshot } | null>;
  /** One atomic change of a thread, or the reason why nothing was changed. */
  write(write: Write): Promise<Written>;
  /** A thread made of a checkpoint, whole or not at all; or `exists`, or `missing` where the checkpoint is not the source's. */
  fork(fork: Fork): Promise<Forked>;
  /** Reserves numbers for live events; false = fenced. */
  reserve(ref: ThreadRef, epoch: number, limit: number): Promise<boolean>;
  /** Stores a `once` result unless there is one; false = another epoch has begun. Also after the run has ended. */
  record(ref: ThreadRef, epoch: number, record: TaskRecord): Promise<boolean>;
  /** Asks a running run to stop. A `now` overtakes an `after_step`; else the first stays. */
  requestStop(ref: ThreadRef, stop: StopRequest): Promise<StopOutcome>;
  /** Deletes all but the record of decisions. */
  remove(ref: ThreadRef): Promise<"removed" | "busy" | "missing">;

  /** Says that the worker lives, and what it owns. A worker has beaten before it claims. */
  beat(worker: WorkerInfo): Promise<readonly Owned[]>;
  /**
   * Takes over runs of these graphs that were given up, or whose worker has not beaten within the lease that it named.
   * Never one twice. What the head says of the last commit stays.
   */
  claim(worker: WorkerInfo, graphs: readonly string[], limit: number): Promise<readonly Claim[]>;
  /** Gives a run up for anybody to claim, saying whether a node may have been in flight; false = fenced. */
  release(ref: ThreadRef, epoch: number, of: { readonly inFlight: boolean }): Promise<boolean>;

  /** Committed entries with a seq above `after`, in order. */
  log(ref: ThreadRef, after: number, limit: number): Promise<readonly LogEntry[]>;

  /** The head alone; null where there is no such thread. */
  thread(ref: ThreadRef): Promise<ThreadHead | null>;
  /** Threads of any of the statuses, of one graph; null means all. Newest first. */
  threads(
    tenant: string,
    filter: { readonly statuses: readonly ThreadStatus[] | null; readonly graph: string | null },
    page: PageRequest,
  ): Promise<Page<ThreadHead>>;
  /** One run; null where the thread has none of this id. */
  run(ref: ThreadRef, runId: string): Promise<RunRecord | null>;
  /** The thread's runs, newest first. */
  runs(ref: ThreadRef, page: PageRequest): Promise<Page<RunRecord>>;
  /** The thread's messages in their last version, oldest first. */
  messages(ref: ThreadRef, page: PageRequest): Promise<Page<Message>>;
  /** The messages that a run added, oldest first. */
  runMessages(ref: ThreadRef, runId: string): Promise<readonly Message[]>;
  /** One interrupt, whatever its status; null where the tenant has none of this id. */
  interrupt(tenant: string, id: string): Promise<Interrupt | null>;
  /** Interrupts of one status, of one graph, of one thread; null means all. Newest first. */
  interrupts(
    tenant: string,
    filter: {
      readonly status: Interrupt["status"];
      readonly graph: string | null;
      readonly threadId: string | null;
    },
    page: PageRequest,
  ): Promise<Page<Interrupt>>;
  /** The interrupts that the commit `seq` opened, as they are now. */
  openedAt(ref: ThreadRef, seq: number): Promise<readonly Interrupt[]>;
  /** The thread's checkpoints, newest first. */
  checkpoints(ref: ThreadRef, page: PageRequest): Promise<Page<CheckpointRecord>>;
  /** What stays of the thread's decisions, oldest first. */
  decisionRecords(ref: ThreadRef): Promise<readonly DecisionRecord[]>;
}

/** A cursor of a list: opaque to clients, checked here. Throws `bad_cursor`. */
export { decodeCursor, encodeCursor, type CursorPart } from "./cursor.js";
