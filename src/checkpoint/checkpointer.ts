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
import type { Interrupt, Message, Snapshot, ThreadStatus } from "../engine/index.js";
import type { Json } from "../lib/json.js";
import type {
  StopRequest,
  ThreadHead,
  RunRecord,
  Loaded,
  TaskRecord,
  Claim,
  Owned,
  WorkerInfo,
  StopOutcome,
  LogEntry,
  Page,
  PageRequest,
  CheckpointRecord,
  DecisionRecord,
} from "./records.js";
import type { Inbox } from "./inbox.js";
import type { LiveEdge } from "./live-edge.js";
import type { Presence } from "./presence.js";
import type { ThreadRef, Wake } from "./wake.js";
import type { Upkeep } from "./upkeep.js";
import type { RequestKey, UsedKey, Enqueue, Enqueued, Write, Fork, Forked, Written } from "./writes.js";

export type * from "./inbox.js";
export type * from "./live-edge.js";
export type * from "./presence.js";
export type * from "./records.js";
export type * from "./upkeep.js";
export type * from "./writes.js";
export type * from "./wake.js";

/** Where threads, runs, checkpoints, interrupts and events live. The head of this file has what every adapter keeps. */
export interface Checkpointer {
  /** Prepares the storage; idempotent. Throws when it cannot be had or is newer than this code. */
  open(): Promise<void>;
  /** Gives back what `open` took. What was written stays. */
  close(): Promise<void>;
  /** What it stores in, for people: "memory", "embedded (…)", "PostgreSQL …". */
  readonly describe: string;
  /** What is done by the clock, once for all processes. */
  readonly upkeep: Upkeep;
  /** What happens to the interrupts of all threads. */
  readonly inbox: Inbox;
  /** The way of live events to other processes; null where there can be none. */
  readonly liveEdge: LiveEdge | null;
  /** Who reads, over all processes. */
  readonly presence: Presence;
  /** Answers while the storage does and takes writes; throws otherwise. */
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
  /** Makes a run wait, or says why not. */
  enqueue(enqueue: Enqueue): Promise<Enqueued>;
  /** The accepted request of a key, or null; one that has expired is none. */
  usedKey(tenant: string, key: string): Promise<UsedKey | null>;
  /** Keeps what a request was answered, for those who send it again. */
  answerKey(tenant: string, key: string, answer: Json): Promise<void>;
  /**
   * Asks a running run to stop, and drops the runs that wait for its thread. A `now` overtakes an `after_step`; else the first
   * stays. A thread that is only queued is stopped by it.
   */
  requestStop(ref: ThreadRef, stop: StopRequest, key?: RequestKey): Promise<StopOutcome>;
  /** Deletes all but the record of decisions. */
  remove(ref: ThreadRef): Promise<"removed" | "busy" | "missing">;

  /** Says that the worker lives, and what it owns. A worker has beaten before it claims. */
  beat(worker: WorkerInfo): Promise<readonly Owned[]>;
  /**
   * Takes over runs of these graphs that were given up, or whose worker has not beaten within the lease that it named; then
   * takes runs from the queue, those first whose threads have waited longest. Never one twice. What the head says of the last
   * commit stays. `others` false: not those of workers that are only silent. At most `limit`, and beside them those of the first
   * kind that are to stop (of many, some): nothing of them begins.
   */
  claim(
    worker: WorkerInfo,
    graphs: readonly string[],
    limit: number,
    others?: boolean,
  ): Promise<readonly Claim[]>;
  /** The worker is dead from now on, unless it beats again: what it owns may be taken over at once. */
  retire(workerId: string): Promise<void>;
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
