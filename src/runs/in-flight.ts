import { grown } from "../lib/grown.js";
import type { Place } from "../engine/index.js";
import type { TaskOutcome } from "./task-outcome.js";

/** The tasks of a run that are running now, and what those that have settled came to, in the order in which they did. */
export class InFlight {
  readonly #running = new Set<string>();
  #settled: TaskOutcome[] = [];
  #broken: { readonly error: unknown } | null = null;
  #wake: (() => void) | null = null;

  get size(): number {
    return this.#running.size;
  }

  has(taskId: string): boolean {
    return this.#running.has(taskId);
  }

  start({ task }: Place, work: Promise<TaskOutcome>): void {
    this.#running.add(task.id);
    work.then(
      (outcome) => {
        this.#settled = grown(this.#settled, outcome);
        this.#wake?.();
      },
      (error: unknown) => {
        this.#broken ??= { error };
        this.#wake?.();
      },
    );
  }

  /** Resolves once something has settled. Rejects with a fault of ours, never with one of a node. */
  settled(): Promise<void> {
    return new Promise((resolve, reject) => {
      const wake = (): void => {
        this.#wake = null;
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as it was thrown
        if (this.#broken !== null) reject(this.#broken.error);
        else resolve();
      };
      if (this.#broken !== null || this.#settled.length > 0) wake();
      else this.#wake = wake;
    });
  }

  /** What has settled by now: all that did so at once is taken together, and closes its steps together. */
  take(): readonly TaskOutcome[] {
    const settled = this.#settled;
    this.#settled = [];
    for (const { task } of settled) this.#running.delete(task.id);
    return settled;
  }
}
