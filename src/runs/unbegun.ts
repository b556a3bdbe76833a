import type { RunControl } from "./run-control.js";

/** How many runs are remembered of which it is not known whether they are this worker's. */
const MOST_UNSURE = 10_000;

/** What one of a worker's runs is known by. */
export const nameOf = (key: string, runId: string): string => `${key}\n${runId}`;

/** What may be this worker's and has not begun here, with whether a node may have been in flight before. */
export class Unbegun {
  readonly #runs = new Map<string, boolean>();

  get size(): number {
    return this.#runs.size;
  }

  note({ key, runId }: RunControl, inFlight: boolean): void {
    const [oldest] = this.#runs.keys();
    if (oldest !== undefined && this.#runs.size >= MOST_UNSURE) this.#runs.delete(oldest);
    this.#runs.set(nameOf(key, runId), inFlight);
  }

  /** Undefined where it is not remembered. */
  inFlight(name: string): boolean | undefined {
    return this.#runs.get(name);
  }

  forget(name: string): void {
    this.#runs.delete(name);
  }
}
