/**
 * How long this process may rely on what the database said of its runs, by its own clock. A process may sleep past its lease
 * without noticing (SIGSTOP, a long pause, a database that is away): others have its runs then, and may have done what it was
 * about to do. What made this process late may have made the others late too: their silence proves nothing then.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { RunControl } from "./run-control.js";

/** Milliseconds after which a lease that could not be renewed is tried again, for a node that waits for it. */
const AGAIN_MS = 200;

/** The lease on one run. */
export interface RunLease {
  /** Another process may have been given the run meanwhile: nothing may be begun without looking. */
  isOver(): boolean;
  /** Looks, however long the database is away; false = another process has the run. */
  renewed(): Promise<boolean>;
}

export class Lease {
  readonly #leaseMs: number;
  readonly #beat: () => Promise<void>;
  /** When the last heartbeat was sent that came through: the database counts from then at the earliest. */
  #sentAt = 0;
  /** When the last heartbeat came through. */
  #beatAt = 0;
  /** The first heartbeat since the last gap of a lease. */
  #steadySince = -Infinity;
  #renewing: Promise<void> | null = null;

  /** `beat` renews the lease, and tells the controls which runs are lost and which are still this process's. */
  constructor(leaseMs: number, beat: () => Promise<void>) {
    this.#leaseMs = leaseMs;
    this.#beat = beat;
  }

  /** A heartbeat has come through; the milliseconds since the one before where these are more than a lease, or null. */
  beaten(): number | null {
    const now = Date.now();
    const gap = this.#beatAt === 0 ? 0 : now - this.#beatAt;
    this.#beatAt = now;
    if (gap <= this.#leaseMs) return null;
    this.wasLate(now);
    return gap;
  }

  /** This process was late: others had no time to renew until a lease from now. */
  wasLate(at = Date.now()): void {
    this.#steadySince = at;
  }

  /** Whoever is silent then has had time to renew since this process was itself late. */
  isSteady(at: number): boolean {
    return at - this.#steadySince >= this.#leaseMs;
  }

  /** What begins under it might be taken over at once. */
  get isStale(): boolean {
    return Date.now() - this.#beatAt >= this.#leaseMs / 2;
  }

  /** What the database said to a heartbeat that was sent then is known to all controls. */
  renewed(sentAt: number): void {
    this.#sentAt = Math.max(this.#sentAt, sentAt);
  }

  /** A heartbeat alone says nothing of a run that was claimed before the process slept and is not judged yet. */
  of(control: RunControl): RunLease {
    const isOver = (): boolean => Date.now() - Math.min(this.#sentAt, control.ownedAt) >= this.#leaseMs;
    return {
      isOver,
      renewed: async () => {
        while (isOver() && !control.lost) {
          // All nodes that wait for it wait for one heartbeat.
          this.#renewing ??= this.#beat().finally(() => (this.#renewing = null));
          await this.#renewing.catch(() => sleep(AGAIN_MS));
        }
        return !control.lost;
      },
    };
  }
}
