/** Milliseconds after which a heartbeat that failed is tried again, where the next is not due before. */
const AGAIN_MS = 500;

/** Beats on a timer that keeps no process alive. */
export class Heartbeat {
  readonly #everyMs: number;
  readonly #beat: () => Promise<void>;
  readonly #onFailure: (error: unknown) => void;
  #timer: NodeJS.Timeout | null = null;
  #beating: Promise<void> = Promise.resolve();

  constructor(everyMs: number, beat: () => Promise<void>, onFailure: (error: unknown) => void) {
    this.#everyMs = everyMs;
    this.#beat = beat;
    this.#onFailure = onFailure;
  }

  start(afterMs = this.#everyMs): void {
    this.#timer = setTimeout(() => {
      this.#beating = this.#beat()
        .then(
          () => this.#everyMs,
          (error: unknown) => {
            this.#onFailure(error);
            return Math.min(this.#everyMs, AGAIN_MS);
          },
        )
        .then((next) => {
          if (this.#timer !== null) this.start(next);
        });
    }, afterMs);
    this.#timer.unref();
  }

  /** Begins no other one; resolves when the one that is under way is over. */
  stop(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    return this.#beating;
  }
}
