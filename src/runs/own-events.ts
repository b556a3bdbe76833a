import type { RunEvent } from "../engine/index.js";

/** What of a thread's events is for a reader of one run: where it had to wait, what comes before its first is of other runs. */
export class OwnEvents {
  readonly #runId: string;
  readonly #only: boolean;
  #begun = false;

  /** `only`: nothing of other runs; else it only looks. */
  constructor(runId: string, only: boolean) {
    this.#runId = runId;
    this.#only = only;
  }

  get begun(): boolean {
    return this.#begun;
  }

  of(batch: readonly RunEvent[]): readonly RunEvent[] {
    if (this.#begun) return batch;
    const first = batch.findIndex((event) => event.runId === this.#runId);
    this.#begun = first !== -1;
    if (!this.#only || first === 0) return batch;
    return this.#begun ? batch.slice(first) : [];
  }
}
