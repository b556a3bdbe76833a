/** How long to go on trying, and how long to wait in between. */

/** How patient the client is with a server that it does not reach. */
export interface RetryOptions {
  /** Milliseconds without success after which it gives up; 0 is at the first failure. */
  readonly forMs: number;
  /** The first pause; each later one is twice as long. */
  readonly firstMs: number;
  /** The longest pause. */
  readonly mostMs: number;
}

const DEFAULTS: RetryOptions = { forMs: 60_000, firstMs: 250, mostMs: 8_000 };
const NEVER: RetryOptions = { ...DEFAULTS, forMs: 0 };

export const retryOptions = (given: Partial<RetryOptions> | false | undefined): RetryOptions =>
  given === false ? NEVER : { ...DEFAULTS, ...given };

/** What is left of the patience, from one success to the next. */
export class Patience {
  #failures = 0;
  #spentMs = 0;

  constructor(readonly options: RetryOptions) {}

  renew(): void {
    this.#failures = 0;
    this.#spentMs = 0;
  }

  /** Milliseconds to wait after a failure; null where the patience is over. `lostMs` went by in the attempt itself. */
  next(of: { lostMs?: number; atLeastMs?: number | null } = {}): number | null {
    const { forMs, firstMs, mostMs } = this.options;
    this.#spentMs += of.lostMs ?? 0;
    const pause = Math.max(Math.min(mostMs, firstMs * 2 ** this.#failures++), of.atLeastMs ?? 0);
    // Those who lost the same server do not come back all at once.
    const spread = pause * (1 + Math.random() / 4);
    if (this.#spentMs + spread > forMs) return null;
    this.#spentMs += spread;
    return spread;
  }
}

/** Waits. Throws the signal's reason when it is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const give = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", give);
      resolve();
    }, ms);
    signal.addEventListener("abort", give, { once: true });
  });
}
