import type { Logger } from "../engine/index.js";

export interface ClaimLoopDeps<Claimed> {
  readonly claim: (limit: number) => Promise<readonly Claimed[]>;
  /** How many runs more may execute here now. */
  readonly room: () => number;
  readonly take: (claimed: Claimed) => Promise<void>;
  readonly log: Logger;
}

/**
 * Takes runs that wait as long as there is room: at each heartbeat, when a run is known to wait, and when one has ended while
 * others may wait. One look at a time.
 */
export class ClaimLoop<Claimed> {
  readonly #deps: ClaimLoopDeps<Claimed>;
  #running: Promise<void> | null = null;
  /** Runs may wait that were not looked for, or not taken for want of room. */
  #more = false;

  constructor(deps: ClaimLoopDeps<Claimed>) {
    this.#deps = deps;
  }

  /** Looks now, or once more after the look that is under way. Rejects where the storage fails. */
  look(): Promise<void> {
    this.#more = true;
    this.#running ??= this.#look().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** A run waits: takes it if there is room. The next heartbeat looks again where this one fails. */
  soon(): void {
    this.look().catch((error: unknown) =>
      this.#deps.log.warn({ err: error }, "a look for runs that wait failed; the next heartbeat looks again"),
    );
  }

  /** There is room again. */
  freed(): void {
    if (this.#more) this.soon();
  }

  async #look(): Promise<void> {
    const { claim, room, take } = this.#deps;
    while (this.#more) {
      const limit = room();
      if (limit <= 0) return;
      this.#more = false;
      const claims = await claim(limit);
      if (claims.length >= limit) this.#more = true;
      await Promise.all(claims.map(take));
    }
  }
}
