import type { Cut } from "../lib/cutoff.js";

/** The places in which runs execute: so many at once, the others wait their turn. */
export class Places {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Waits for a free place; false where `cut` ends the waiting before. */
  async take(cut: Cut): Promise<boolean> {
    if (this.#taken < this.#most) {
      this.#taken++;
      return true;
    }
    return new Promise((resolve) => {
      const granted = (): void => {
        cut.removeEventListener("abort", onCut);
        resolve(true);
      };
      const onCut = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(granted), 1);
        resolve(false);
      };
      if (cut.aborted) {
        resolve(false);
        return;
      }
      this.#waiting.push(granted);
      cut.addEventListener("abort", onCut);
    });
  }

  free(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken--;
    else next();
  }

  /** Lets all who wait go on at once, however full it is. */
  open(): void {
    for (const granted of this.#waiting.splice(0)) {
      this.#taken++;
      granted();
    }
  }
}
