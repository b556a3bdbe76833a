/**
 * Tells other processes what happens in the steps that execute here, before these are committed.
 *
 * R1. All threads go together: one statement at a time, and a pause after each event that starts one.
 * R2. What is told of a thread has no hole above its last commit. Where something cannot be told, nothing more is until the
 *     next commit: other processes then have it from the log.
 * R3. Nobody waits for it, and it keeps a bounded part of what it cannot send.
 * R4. A step that says nothing but that it goes on is not told, nor one that is committed before the pause is over.
 */
import type { LiveEdge, ThreadRef } from "../checkpoint/checkpointer.js";
import type { Logger, RunEvent } from "../engine/index.js";
import { weightOf } from "../events/index.js";
import { within } from "./within.js";

/** Milliseconds from an event to the statement that tells it: what happens meanwhile goes with it. */
const PACE_MS = 30;
/** Milliseconds until what was committed is taken away, where nothing is told before. */
const DONE_MS = 1000;
/** Milliseconds for which it is known whether there is anybody to tell. */
const SHARED_MS = 1000;
/** Bytes of a thread that may wait, about. */
const WAITING = 256 * 1024;
/** Bytes of one statement, about, beside those of its last thread. */
const STATEMENT = 1024 * 1024;
/** Milliseconds that the last statement may take. */
const LAST_MS = 1500;

/** What happens in the steps of one run. */
export interface ThreadRelay {
  /** The next one above the last commit. */
  happened(event: RunEvent): void;
  /** Up to here nothing needs to be told: the log has it, or another process goes on above it. */
  done(seq: number): void;
}

interface Waiting {
  readonly ref: ThreadRef;
  events: RunEvent[];
  size: number;
  /** Of the last one. */
  seq: number;
  /** One of them is worth a statement. */
  tells: boolean;
  /** Something is missing: nothing more until the next commit. */
  cut: boolean;
  /** There may be rows of it. */
  stored: boolean;
  /** Rows up to here are to be taken away. */
  done: number | null;
}

export class Relay {
  readonly #edge: LiveEdge;
  readonly #log: Logger;
  readonly #threads = new Set<Waiting>();
  #timer: NodeJS.Timeout | null = null;
  #due = Infinity;
  #sending: Promise<void> | null = null;
  #shared = false;
  #askedAt = -Infinity;
  #failed = false;
  #closed = false;

  constructor(edge: LiveEdge, log: Logger) {
    this.#edge = edge;
    this.#log = log;
  }

  of(ref: ThreadRef): ThreadRelay {
    const thread: Waiting = { ref, ...nothing(), seq: 0, stored: false, done: null };
    return {
      happened: (event) => this.#happened(thread, event),
      done: (seq) => this.#done(thread, seq),
    };
  }

  /** Takes away what is done, if that is quick, and sends nothing more. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const last = async (): Promise<void> => {
      await this.#sending;
      await this.#send();
    };
    await within(LAST_MS, last());
  }

  #happened(thread: Waiting, event: RunEvent): void {
    if (thread.cut || this.#closed) return;
    thread.events.push(event);
    thread.size += weightOf(event);
    thread.seq = event.seq;
    thread.tells ||= event.eventType !== "progress";
    if (thread.size > WAITING) cut(thread);
    if (!thread.tells) return;
    this.#threads.add(thread);
    this.#schedule(PACE_MS);
  }

  #done(thread: Waiting, seq: number): void {
    Object.assign(thread, nothing());
    if (!thread.stored) {
      this.#threads.delete(thread);
      return;
    }
    thread.done = seq;
    this.#threads.add(thread);
    this.#schedule(DONE_MS);
  }

  #schedule(ms: number): void {
    const at = Date.now() + ms;
    if (this.#closed || at >= this.#due) return;
    this.#due = at;
    if (this.#sending !== null) return;
    this.#arm();
  }

  #arm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        this.#due = Infinity;
        this.#sending = this.#send().finally(() => {
          this.#sending = null;
          if (!this.#closed && this.#due < Infinity) this.#arm();
        });
      },
      Math.max(0, this.#due - Date.now()),
    );
    // A script that has come to its end is not kept alive.
    this.#timer.unref();
  }

  /** One statement for all threads that have something. */
  async #send(): Promise<void> {
    const tells = !this.#closed && [...this.#threads].some(hasNews);
    const shared = tells && (await this.#isShared());
    const done = [...this.#threads].flatMap(({ ref, done: seq }) => (seq === null ? [] : [{ ref, seq }]));
    const told: Waiting[] = [];
    const batches: { ref: ThreadRef; seq: number; events: string[] }[] = [];
    let size = 0;
    for (const thread of this.#threads) {
      const takes = shared && hasNews(thread) && size < STATEMENT;
      // What is not taken away now is left to the sweep.
      if (thread.done !== null) thread.stored = false;
      thread.done = null;
      if (takes) {
        const { ref, seq, events } = thread;
        batches.push({ ref, seq, events: events.map((event) => JSON.stringify(event)) });
        told.push(thread);
        size += thread.size;
        Object.assign(thread, { events: [], size: 0, stored: true });
      }
      if (!hasNews(thread)) this.#threads.delete(thread);
    }
    // Those that found no room go at once; those that nobody would read wait for somebody.
    if (this.#threads.size > 0) this.#schedule(shared ? 0 : SHARED_MS);
    if (batches.length > 0 || done.length > 0) await this.#write(batches, done, told);
  }

  async #write(
    batches: Parameters<LiveEdge["write"]>[0],
    done: Parameters<LiveEdge["write"]>[1],
    told: readonly Waiting[],
  ): Promise<void> {
    const seqs = batches.map(({ seq }) => seq);
    try {
      await this.#edge.write(batches, done);
      this.#failed = false;
    } catch (error) {
      // Unless the step was committed meanwhile.
      told.forEach((thread, i) => {
        if (thread.stored && thread.done === null && thread.seq >= (seqs[i] ?? 0)) cut(thread);
      });
      if (!this.#failed)
        this.#log.warn(
          { err: error },
          "live events did not reach the database: readers elsewhere wait for the commits",
        );
      this.#failed = true;
    }
  }

  async #isShared(): Promise<boolean> {
    if (Date.now() - this.#askedAt < SHARED_MS) return this.#shared;
    this.#askedAt = Date.now();
    this.#shared = await this.#edge.isShared().catch(() => false);
    return this.#shared;
  }
}

const hasNews = ({ tells, events }: Waiting): boolean => tells && events.length > 0;
const nothing = (): Pick<Waiting, "events" | "size" | "tells" | "cut"> => ({
  events: [],
  size: 0,
  tells: false,
  cut: false,
});

function cut(thread: Waiting): void {
  Object.assign(thread, nothing());
  thread.cut = true;
}
