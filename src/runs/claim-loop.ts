import type { Logger } from "../engine/index.js";

export interface ClaimLoopDeps<Claimed> {
  /** Takes so many runs, and those that are to stop beside them. */
  readonly claim: (limit: number) => Promise<readonly Claimed[]>;
  /** How many runs more may execute here now; null where none may be taken, not even to end it. */
  readonly room: () => number | null;
  readonly take: (claimed: Claimed) => Promise<void>;
  readonly log: Logger;
}

/**
 * Takes runs that wait as long as there is room: at each heartbeat, when a run is known to wait, and when one has ended while
 * others may wait. A run that is to stop needs no room: nothing of it begins. One look at a time.
 */
export class ClaimLoop<Claimed> {
  readonly #deps: ClaimLoopDeps<Claimed>;
  #running: Promise<void> | null = null;
  /** Runs may wait that were not looked for, or not taken for want of room. */
  #more = false;
  /** Runs may wait that are to stop. */
  #stopped = false;

  constructor(deps: ClaimLoopDeps<Claimed>) {
    this.#deps = deps;
  }

  /** Looks now, or once more after the look that is under way; `stopped`: also where it is full. Rejects where the storage fails. */
  look({ stopped = false } = {}): Promise<void> {
    this.#more = true;
    this.#stopped ||= stopped;
    this.#running ??= this.#look().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** A run waits: takes it if there is room. The next heartbeat looks again where this one fails. */
  soon(of: { readonly stopped?: boolean } = {}): void {
    this.look(of).catch((error: unknown) =>
      this.#deps.log.warn({ err: error }, "a look for runs that wait failed; the next heartbeat looks again"),
    );
  }

  /** There is room again. */
  freed(): void {
    if (this.#more) this.soon();
  }

  async #look(): Promise<void> {
    const { claim, room, take } = this.#deps;
    while (this.#more || this.#stopped) {
      const limit = room();
      if (limit === null || (limit <= 0 && !this.#stopped)) return;
      this.#more = limit <= 0;
      this.#stopped = false;
      const claims = await claim(Math.max(0, limit));
      if (claims.length >= limit) this.#more = true;
      await Promise.all(claims.map(take));
    }
  }
}
