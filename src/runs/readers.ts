/** Who reads in this process: its streams by thread, and those who wait for the result of one run. */
import type { ReadersOf, ThreadRef } from "../checkpoint/checkpointer.js";
import { isTerminal, type RunEvent } from "../engine/index.js";
import { startsWished } from "./on-disconnect.js";
import { threadKey } from "./thread-key.js";

/** One reader's place. */
export interface Seat {
  /** It reads a run that stops when nobody does; null says nothing. */
  wants(runId: string | null): void;
  leave(): void;
}

/** Those who read the same: a thread, or one run of it. */
interface Bench extends ReadersOf {
  readonly key: string;
  seats: number;
  /** Runs that stop when nobody reads them, as far as these readers know. */
  readonly wished: Set<string>;
}

const nameOf = (key: string, runId: string | null): string => (runId === null ? key : `${key}\n${runId}`);

export class Readers {
  readonly #benches = new Map<string, Bench>();
  /** When the last reader left, by what it read: `performance.now()`. */
  readonly #left = new Map<string, number>();
  /** What readers of runs in other processes have left since it was asked for. */
  #parted: ReadersOf[] = [];
  #onNews: () => void = () => undefined;

  /** Told when other processes are to learn something at once. */
  onNews(listener: () => void): void {
    this.#onNews = listener;
  }

  /** A reader of the thread, or (`runId`) somebody who waits for one run alone. */
  add(ref: ThreadRef, runId: string | null): Seat {
    const key = threadKey(ref);
    const name = nameOf(key, runId);
    const bench = this.#benches.get(name) ?? { ref, runId, key, seats: 0, wished: new Set<string>() };
    this.#benches.set(name, bench);
    bench.seats++;
    let isThere = true;
    return {
      wants: (wished) => {
        if (!isThere || wished === null || bench.wished.has(wished)) return;
        bench.wished.add(wished);
        this.#onNews();
      },
      leave: () => {
        if (!isThere) return;
        isThere = false;
        if (--bench.seats > 0) return;
        this.#benches.delete(name);
        this.#left.set(name, performance.now());
        if (bench.wished.size === 0) return;
        this.#parted.push(bench);
        this.#onNews();
      },
    };
  }

  /** The events, as somebody reads them who stays to their end or leaves before. `wished` as in `Seat.wants`. */
  async *during(
    ref: ThreadRef,
    batches: AsyncGenerator<readonly RunEvent[], void, undefined>,
    wished: string | null | Promise<string | null>,
  ): AsyncGenerator<readonly RunEvent[], void, undefined> {
    const seat = this.add(ref, null);
    const known = this.#benches.get(threadKey(ref))?.wished;
    try {
      if (wished instanceof Promise) void wished.then((runId) => seat.wants(runId));
      else seat.wants(wished);
      for await (const batch of batches) {
        for (const event of batch) {
          seat.wants(startsWished(event));
          if (event.runId !== null && isTerminal(event.eventType)) known?.delete(event.runId);
        }
        yield batch;
      }
    } finally {
      seat.leave();
    }
  }

  /** Milliseconds since somebody here read the run: 0 while somebody does. */
  unreadFor(key: string, runId: string, now: number): number {
    const names = [key, nameOf(key, runId)];
    if (names.some((name) => this.#benches.has(name))) return 0;
    return now - Math.max(...names.map((name) => this.#left.get(name) ?? -Infinity));
  }

  /** What is read here of wished runs that execute in other processes, and what was until now. */
  ofOthers(isHere: (key: string, runId: string) => boolean): ReadersOf[] {
    const parted = this.#parted;
    this.#parted = [];
    const present = [...this.#benches.values()].filter(({ key, wished }) =>
      [...wished].some((runId) => !isHere(key, runId)),
    );
    return [...parted, ...present];
  }

  /** Forgets who left longer ago than `ms`. */
  forget(ms: number, now: number): void {
    for (const [name, at] of this.#left) {
      // In the order in which they left, but for those who came again.
      if (now - at > ms) this.#left.delete(name);
    }
  }
}
