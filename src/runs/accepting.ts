/**
 * Requests that may begin a run and are not yet decided, so that a stop which came after them stops what they begin.
 */
import type { ThreadRef } from "../checkpoint/checkpointer.js";
import { deferred, type Deferred } from "../lib/deferred.js";
import { threadKey } from "./thread-key.js";
import { within } from "./within.js";

/** A request from the moment at which this process knows of which thread it is. */
export interface Arrival {
  /** It was read whole. */
  read(): void;
  /** It was accepted or refused, or its client is gone. */
  decided(): void;
}

interface Undecided {
  readonly whole: Deferred<void>;
  readonly over: Deferred<void>;
}

/** Milliseconds that a stop waits for the rest of a request: a client may never send it. */
const READ_MS = 1000;

export class Accepting {
  readonly #undecided = new Map<string, Set<Undecided>>();

  arrive(ref: ThreadRef): Arrival {
    const key = threadKey(ref);
    const one: Undecided = { whole: deferred(), over: deferred() };
    const all = this.#undecided.get(key) ?? new Set();
    this.#undecided.set(key, all.add(one));
    return {
      read: () => one.whole.resolve(),
      decided: () => {
        one.whole.resolve();
        one.over.resolve();
        all.delete(one);
        if (all.size === 0 && this.#undecided.get(key) === all) this.#undecided.delete(key);
      },
    };
  }

  /** `work` decides a request of the thread. */
  async during<T>(ref: ThreadRef, work: () => Promise<T>): Promise<T> {
    const arrival = this.arrive(ref);
    arrival.read();
    try {
      return await work();
    } finally {
      arrival.decided();
    }
  }

  /** Waits for those that are undecided now, at most for `ms` once they were read. */
  async decided(ref: ThreadRef, ms: number): Promise<void> {
    const each = async ({ whole, over }: Undecided): Promise<void> => {
      const isRead = await within(
        READ_MS,
        whole.promise.then(() => true),
      );
      if (isRead === true) await within(ms, over.promise);
    };
    await Promise.all([...(this.#undecided.get(threadKey(ref)) ?? [])].map(each));
  }
}
