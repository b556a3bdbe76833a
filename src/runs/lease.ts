import { setTimeout as sleep } from "node:timers/promises";
import type { LeaseView } from "./once-store.js";
import type { RunControl } from "./run-control.js";

/** Milliseconds after which a lease that could not be renewed is tried again, for a node that waits for it. */
const RENEW_AGAIN_MS = 200;

/** What this process may believe of its own lease between two heartbeats, by its own clock. */
export class Lease {
  readonly #ms: number;
  readonly #renew: () => Promise<void>;
  #renewing: Promise<void> | null = null;
  #lastAnswer = 0;
  /** The first heartbeat since the last gap of a lease. */
  #steadySince = -Infinity;
  /** It lasts from here at the least: when the last heartbeat was sent. */
  #from = 0;

  constructor(ms: number, renew: () => Promise<void>) {
    this.#ms = ms;
    this.#renew = renew;
  }

  /** A heartbeat was answered; the milliseconds since the one before. */
  answered(): number {
    const now = Date.now();
    const gap = this.#lastAnswer === 0 ? 0 : now - this.#lastAnswer;
    this.#lastAnswer = now;
    if (gap > this.#ms) this.#steadySince = now;
    return gap;
  }

  /** What was lost meanwhile is known by now. */
  renewedAt(sent: number): void {
    this.#from = Math.max(this.#from, sent);
  }

  /** Whether whoever is silent had time to renew since this process was itself late. */
  isSteady(): boolean {
    return Date.now() - this.#steadySince >= this.#ms;
  }

  /** The lease as a run sees it that executes here. */
  viewFor(control: RunControl): LeaseView {
    const isOver = (): boolean => Date.now() - this.#from >= this.#ms;
    return {
      isOver,
      renewed: async () => {
        while (isOver() && !control.lost) {
          // All nodes that wait for it wait for one heartbeat.
          this.#renewing ??= this.#renew().finally(() => (this.#renewing = null));
          await this.#renewing.catch(() => sleep(RENEW_AGAIN_MS));
        }
        return !control.lost;
      },
    };
  }
}
