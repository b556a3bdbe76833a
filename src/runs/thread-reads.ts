/**
 * What the readers of a thread read. Those that ask the same in one turn, as when a hint wakes them all, share one statement:
 * it is sent after the turn, so that none of them misses what was there when it asked.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Checkpointer, ThreadHead, ThreadRef } from "../checkpoint/checkpointer.js";
import type { RunEvent } from "../engine/index.js";
import type { Ahead, Live } from "../events/index.js";
import { readEvents } from "./hydrate.js";
import { threadKey } from "./thread-key.js";

export class ThreadReads {
  readonly #checkpointer: Checkpointer;
  readonly #live: Live;
  readonly #asked = new Map<string, Promise<unknown>>();

  constructor(checkpointer: Checkpointer, live: Live) {
    this.#checkpointer = checkpointer;
    this.#live = live;
  }

  /** A page of committed events above `after`. */
  log(ref: ThreadRef, after: number): Promise<readonly RunEvent[]> {
    return this.#once(`log ${after} ${threadKey(ref)}`, () => readEvents(this.#checkpointer, ref, after));
  }

  /** The head of the thread. */
  head(ref: ThreadRef): Promise<ThreadHead | null> {
    return this.#once(`head ${threadKey(ref)}`, () => this.#checkpointer.thread(ref));
  }

  /** Live events of another process, up to the first hole; null where there can be none, or the step executes here. */
  async ahead(ref: ThreadRef, after: number): Promise<Ahead | null> {
    const { liveEdge } = this.#checkpointer;
    if (liveEdge === null || this.#live.pending(threadKey(ref)).length > 0) return null;
    return this.#once(`ahead ${after} ${threadKey(ref)}`, async () => {
      const found = await liveEdge.read(ref, after);
      if (found === null) return null;
      const from = Math.max(found.seq, after) + 1;
      const hole = found.events.findIndex((event, i) => event.seq !== from + i);
      if (hole === -1) return found;
      return { seq: found.seq, events: found.events.slice(0, hole), more: false };
    });
  }

  #once<T>(key: string, read: () => Promise<T>): Promise<T> {
    let asked = this.#asked.get(key) as Promise<T> | undefined;
    if (asked === undefined) {
      asked = turn().then(() => {
        this.#asked.delete(key);
        return read();
      });
      this.#asked.set(key, asked);
    }
    return asked;
  }
}
