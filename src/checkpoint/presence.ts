/** What processes tell each other of the readers that they have, for runs that stop when nobody reads them. */
import type { StopRequest } from "./records.js";
import type { ThreadRef } from "./wake.js";

/** Readers of a thread, or (`runId`) of one run of it alone. */
export interface ReadersOf {
  readonly ref: ThreadRef;
  readonly runId: string | null;
}

/** All times are the storage's. */
export interface Presence {
  /** This process has readers of these now. */
  seen(workerId: string, readers: readonly ReadersOf[]): Promise<void>;
  /** Milliseconds since any process said that it has readers who see the run; null where none did. In the order of the runs. */
  unseenFor(
    runs: readonly { readonly ref: ThreadRef; readonly runId: string }[],
  ): Promise<readonly (number | null)[]>;
  /** Asks the run of this epoch to stop, and leaves the thread's queue be. False where the thread is no longer at it. */
  stopRun(ref: ThreadRef, epoch: number, stop: StopRequest): Promise<boolean>;
}
