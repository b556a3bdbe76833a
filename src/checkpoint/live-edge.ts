/** What happens in a step that is not committed yet, for readers in other processes. */
import type { RunEvent } from "../engine/index.js";
import type { ThreadRef } from "./wake.js";

/** Live events of a thread that belong together: nobody gets some of them alone. */
export interface LiveBatch {
  readonly ref: ThreadRef;
  /** Of the last one. */
  readonly seq: number;
  /** Each as JSON. */
  readonly events: readonly string[];
}

/** What a thread's log does not have yet. */
export interface LiveTail {
  /** The thread's seq in the same moment: up to here the log has everything. */
  readonly seq: number;
  /** Live events above that and above what was asked for, oldest first. Some may be missing. */
  readonly events: readonly RunEvent[];
  /** There may be more behind the last one. */
  readonly more: boolean;
}

/**
 * Live events on their way to other processes. Nothing of this has to last: whatever is lost comes with the log, a delta as its
 * whole message.
 */
export interface LiveEdge {
  /** Whether there is another process to read it. */
  isShared(): Promise<boolean>;
  /**
   * Stores batches and takes away those of `done` that the log has by now, all at once, and tells the other processes. Stored or
   * not, it is told soon.
   */
  write(batches: readonly LiveBatch[], done: readonly Omit<LiveBatch, "events">[]): Promise<void>;
  /** What there is above the thread's seq and above `after`; null where there is no such thread. */
  read(ref: ThreadRef, after: number): Promise<LiveTail | null>;
  /** Deletes what no reader is given any more, at most `limit` batches; how many. */
  sweep(limit: number): Promise<number>;
}
