import type { Write } from "../checkpoint/checkpointer.js";

/** Times in milliseconds. All are settings, so that tests need not wait for the defaults. */
export interface RuntimeOptions {
  /** After this long without a heartbeat a process's runs are taken over. Default 10 000. */
  readonly leaseMs: number;
  /** Between two heartbeats. Default a third of the lease, at most 1500. */
  readonly heartbeatMs: number;
  /** Grace of a node that looked at its signal and has no `graceMs`. Default 1000. */
  readonly graceMs: number;
  /** How often a reader looks for what other processes wrote, where their hints do not arrive. Default 250. */
  readonly pollMs: number;
  /** The same where they do: a hint may be lost. Default 5000. */
  readonly slowPollMs: number;
  /** How long a stop waits for the run to end before it answers `stopping`. Default 10 000. */
  readonly stopWaitMs: number;
  /** After this long without a reader a run with `on_disconnect: "stop"` is stopped. Default 2000. */
  readonly readerGraceMs: number;
  /** Bytes of events that may wait for a reader before it is sent back to the log. Default a megabyte. */
  readonly readerBufferBytes: number;
  /** Runs executing at once in this process. Default 64. */
  readonly concurrency: number;
  /** Between two sweeps of what is old, once in the whole cluster. Default an hour. */
  readonly sweepMs: number;
  /** Threads that nobody has used for so long are deleted; null keeps them. */
  readonly retentionMs: number | null;
  /** Of threads that nobody has used for so long the old events are deleted; null keeps them. */
  readonly eventRetentionMs: number | null;
  /**
   * A run begins once whoever asked for it was answered: else its first step, which takes as long, comes in between. Not of
   * runs in a library, whose caller may be code of another run that waits for nothing else. Default false.
   */
  readonly answersFirst: boolean;
  readonly hooks: RunHooks;
}

/** Places where a test may hold a run still. */
export interface RunHooks {
  readonly beforeCommit?: (write: Write) => Promise<void> | void;
}

/** A dead process is found at a heartbeat of another: a takeover is to take little more than the lease. */
const MOST_HEARTBEAT_MS = 1500;

export function runtimeOptions(given: Partial<RuntimeOptions> = {}): RuntimeOptions {
  const leaseMs = given.leaseMs ?? 10_000;
  return {
    leaseMs,
    heartbeatMs: given.heartbeatMs ?? Math.max(50, Math.min(MOST_HEARTBEAT_MS, Math.floor(leaseMs / 3))),
    graceMs: given.graceMs ?? 1000,
    pollMs: given.pollMs ?? 250,
    slowPollMs: given.slowPollMs ?? 5000,
    stopWaitMs: given.stopWaitMs ?? 10_000,
    readerGraceMs: given.readerGraceMs ?? 2000,
    readerBufferBytes: given.readerBufferBytes ?? 1_048_576,
    concurrency: given.concurrency ?? 64,
    sweepMs: given.sweepMs ?? 3_600_000,
    retentionMs: given.retentionMs ?? null,
    eventRetentionMs: given.eventRetentionMs ?? null,
    answersFirst: given.answersFirst ?? false,
    hooks: given.hooks ?? {},
  };
}
