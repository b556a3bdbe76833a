/** How long something may go on: until any of several signals says stop, or whoever made the scope does. */
export class Scope {
  readonly #controller = new AbortController();
  readonly #release: (() => void)[] = [];

  /** AbortSignal.any would do, were it not younger than some browsers, and were its signals let go. */
  constructor(signals: readonly (AbortSignal | undefined)[]) {
    for (const signal of signals) {
      if (signal === undefined) continue;
      const end = (): void => this.end(signal.reason);
      if (signal.aborted) end();
      signal.addEventListener("abort", end);
      this.#release.push(() => signal.removeEventListener("abort", end));
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Stops what goes on in it, and lets go of the signals. */
  end(reason?: unknown): void {
    this.#controller.abort(reason);
    for (const release of this.#release.splice(0)) release();
  }

  /** Ends it with `reason` after `ms`; the timer is gone when what is given back is called, or the scope ends. */
  endAfter(ms: number, reason: () => unknown): () => void {
    const timer = setTimeout(() => this.end(reason()), ms);
    const clear = (): void => clearTimeout(timer);
    this.signal.addEventListener("abort", clear, { once: true });
    return () => {
      clear();
      this.signal.removeEventListener("abort", clear);
    };
  }

  /** `work`, or the reason of the end: also where the work does not listen to the signal. */
  async bound<T>(work: T | Promise<T>): Promise<T> {
    let give: () => void = () => undefined;
    const ended = new Promise<never>((_, reject) => {
      give = () => reject(this.signal.reason as Error);
    });
    if (this.signal.aborted) give();
    this.signal.addEventListener("abort", give, { once: true });
    try {
      return await Promise.race([work, ended]);
    } finally {
      this.signal.removeEventListener("abort", give);
    }
  }
}
