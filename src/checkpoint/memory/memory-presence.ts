import type { Presence, StopRequest, ThreadRef } from "../checkpointer.js";
import { stopRunning } from "./queue.js";
import type { StoredThread } from "./stored-thread.js";

/** There is no other process: nobody has readers that this one does not know. */
export class MemoryPresence implements Presence {
  readonly #find: (ref: ThreadRef) => StoredThread | undefined;

  constructor(find: (ref: ThreadRef) => StoredThread | undefined) {
    this.#find = find;
  }

  async seen(): Promise<void> {
    // Nobody asks.
  }

  async unseenFor(runs: readonly unknown[]): Promise<readonly (number | null)[]> {
    return runs.map(() => null);
  }

  async stopRun(ref: ThreadRef, epoch: number, stop: StopRequest): Promise<boolean> {
    const thread = this.#find(ref);
    return thread?.head.epoch === epoch && stopRunning(thread, stop) !== null;
  }
}
