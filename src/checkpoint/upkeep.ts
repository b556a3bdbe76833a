/** What is done by the clock, by one process of all that share the storage. */
import type { ThreadRef } from "./wake.js";

/** An open interrupt with a deadline; or a job of the whole cluster, which has no thread. */
export const TIMER_KINDS = [
  "interrupt",
  "sweep-keys",
  "sweep-workers",
  "sweep-events",
  "sweep-threads",
  "sweep-inbox",
] as const;
export type TimerKind = (typeof TIMER_KINDS)[number];

/** A row with a due time, as the process that claimed it has it. */
export interface Timer {
  readonly ref: ThreadRef;
  readonly kind: TimerKind;
  /** What it is about: an interrupt's id; of a job, nothing. */
  readonly id: string;
  /** When others may take it, as the storage says it: another text is another claim. */
  readonly heldUntil: string;
}

/** What a process may claim. */
export interface TimerClaim {
  readonly kinds: readonly TimerKind[];
  /** Interrupts of these graphs alone. */
  readonly graphs: readonly string[];
  readonly limit: number;
  /** For how long nobody else gets them: after that their process counts as dead. */
  readonly holdMs: number;
}

/**
 * Timers and what gets old. A write makes the timer of each interrupt that it opens with a deadline, and takes it away where it
 * decides one; the jobs of the cluster are there from the start. All times are the storage's.
 */
export interface Upkeep {
  /** Claims what is due, earliest first, never one twice; and tells how long it is until the next of these kinds and graphs. */
  dueTimers(claim: TimerClaim): Promise<{ readonly due: readonly Timer[]; readonly nextMs: number | null }>;
  /** Takes a claimed timer away. False where somebody else has it by now. */
  endTimer(timer: Timer): Promise<boolean>;
  /** Puts a claimed timer off; null where somebody else has it by now. */
  moveTimer(timer: Timer, ms: number): Promise<Timer | null>;

  /** Graphs, beside these, whose runs have waited for a process longer than `ms`. */
  unclaimed(graphs: readonly string[], ms: number): Promise<readonly string[]>;
  /** Deletes expired idempotency keys, at most `limit`; how many. */
  sweepKeys(limit: number): Promise<number>;
  /** Deletes processes that have not beaten for so long and that no running thread names; how many. */
  sweepWorkers(silentMs: number): Promise<number>;
  /** Deletes threads in which nothing has happened for so long, at most `limit`; never one that is queued, running or interrupted. */
  sweepThreads(quietMs: number, limit: number): Promise<readonly ThreadRef[]>;
  /**
   * Deletes the log of such threads up to where their values were last stored whole; never of their last run. At most `limit`
   * threads behind `after`, in the order of their keys; where to go on, or null.
   */
  sweepEvents(quietMs: number, limit: number, after: ThreadRef | null): Promise<ThreadRef | null>;
  /**
   * Numbers the entries of the inbox that nobody has read, and deletes those that are older than `oldMs`, at most `limit` of
   * each; never that something opened which is still open. Whether there are more. Null deletes none.
   */
  sweepInbox(oldMs: number | null, limit: number): Promise<boolean>;
}
