import type { Place } from "../engine/index.js";
import { deferred } from "../lib/deferred.js";
import type { TaskOutcome } from "./task-outcome.js";

/** The tasks of a run that are running now, and what those that have settled came to, in the order in which they did. */
export class InFlight {
  readonly #running = new Set<string>();
  #settled: TaskOutcome[] = [];
  #broken: { readonly error: unknown } | null = null;
  #wake = deferred();

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
        this.#settled.push(outcome);
        this.#wake.resolve();
      },
      (error: unknown) => {
        this.#broken ??= { error };
        this.#wake.resolve();
      },
    );
  }

  /** What has settled since; waits for the first. Rejects with a fault of ours, never with one of a node. */
  async next(): Promise<readonly TaskOutcome[]> {
    await this.#wake.promise;
    if (this.#broken !== null) throw this.#broken.error;
    const settled = this.#settled;
    this.#settled = [];
    this.#wake = deferred();
    for (const { task } of settled) this.#running.delete(task.id);
    return settled;
  }
}
