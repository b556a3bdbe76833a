/**
 * Reads a thread's events: first what the log has, then what happens.
 *
 * T1. Subscribe first, then replay: nothing between the two is missed.
 * T2. Events come with growing `seq`, each at most once; the cursor alone decides what is new.
 * T3. The log is the truth. What happens in this process arrives at once; a hint, and behind it a timer, sends the reader to
 *     the log for what happened in others, and one that fell behind goes back there; so does one that has not yet read the
 *     commit that an event of this process stands on.
 * T4. Live events of another process are read before the log, and given after it: the log has been read at least to where it
 *     stood when they were. They come without a hole: a missing one may be one that the log will have.
 * T5. A reader of a run that has just begun here and has not committed since is given all that there is by `Live`, and does not
 *     read the log: until that commit, the log above where the run began has nothing else (T3 for what others did).
 * T6. What happens in one turn of the event loop is given together.
 */
import { setImmediate as turn } from "node:timers/promises";
import { isTerminal, type RunEvent } from "../engine/index.js";
import { deferred } from "../lib/deferred.js";
import type { Live, Subscription } from "./live.js";

/** Live events of a step that executes in another process, without a hole above `seq` and above the cursor. */
export interface Ahead {
  /** The thread's seq in the same moment. */
  readonly seq: number;
  readonly events: readonly RunEvent[];
  /** There may be more: it is asked again once these were given. */
  readonly more: boolean;
}

export interface TailOptions {
  readonly key: string;
  /** Committed events above `after`, in order; empty = there is nothing newer; null = nobody can say, and the reader ends. */
  readonly read: (after: number) => Promise<readonly RunEvent[] | null>;
  /** What another process tells ahead of the log; null where nobody can say, or the step executes here. */
  readonly ahead?: (after: number) => Promise<Ahead | null>;
  readonly live: Live;
  /** Only events above this. */
  readonly after: number;
  /** Milliseconds to the next look at the log, asked each time: long while the run is in this process. */
  readonly pollMs: () => number;
  readonly signal: AbortSignal;
  /** Asked once all that is there was given, after a look at the log and after the end of a run: whether to end now. */
  readonly idle?: () => Promise<boolean>;
}

/**
 * New events, those that are there together. Ends when the signal aborts, when the thread's channel ends, when `idle` says so, or
 * when its consumer leaves.
 */
export function tailBatches(options: TailOptions): AsyncGenerator<readonly RunEvent[], void, undefined> {
  return new Tail(options).batches();
}

/** The same, one by one. */
export function tail(options: TailOptions): AsyncGenerator<RunEvent, void, undefined> {
  return oneByOne(tailBatches(options), options.signal);
}

/** Events of batches, one by one, and none more once the signal has aborted. */
export async function* oneByOne(
  batches: AsyncIterable<readonly RunEvent[]>,
  signal?: AbortSignal,
): AsyncGenerator<RunEvent, void, undefined> {
  for await (const batch of batches) {
    for (const event of batch) {
      if (signal !== undefined && isAborted(signal)) return;
      yield event;
    }
  }
}

class Tail {
  readonly #options: TailOptions;
  #cursor: number;
  #wake = deferred();
  #isAwake = false;
  /** Live events that are not given yet, in order. */
  #edge: readonly RunEvent[] = [];
  /** The log was read at least to here. */
  #logged = -1;
  /** There may be something new in the log, or ahead of it. */
  #isBehind = true;
  /** An event on the edge stands on commits that were not read yet: none is given before they are (T3). */
  #isHoled = false;
  #ended = false;
  /** The log was looked at, or a run has ended, since `idle` was asked: live events alone do not end a thread's work. */
  #mayBeIdle = true;

  constructor(options: TailOptions) {
    this.#options = options;
    this.#cursor = options.after;
  }

  async *batches(): AsyncGenerator<readonly RunEvent[], void, undefined> {
    const { key, live, signal } = this.#options;
    const notify = (): void => {
      // Many events wake once.
      if (this.#isAwake) return;
      this.#isAwake = true;
      this.#wake.resolve();
    };
    const subscription = live.subscribe(key, notify);
    signal.addEventListener("abort", notify);
    try {
      this.#edge = subscription.pending;
      // T5
      if (subscription.from !== null && this.#cursor >= subscription.from) this.#isBehind = false;
      while (!signal.aborted) {
        if (this.#isBehind && !(yield* this.#catchUp(subscription))) return;
        this.#wake = deferred();
        this.#isAwake = false;
        // From here on it wakes; before, whoever left was not heard.
        if (isAborted(signal)) return;
        const { events, lost, behind, stirred, ended } = subscription.take(this.#cursor);
        this.#ended ||= ended;
        this.#isHoled ||= lost || behind;
        this.#isBehind ||= this.#isHoled || stirred;
        this.#edge = lost ? live.pending(key) : [...this.#edge, ...events];
        if (this.#isHoled) continue;
        this.#mayBeIdle ||= this.#edge.some(({ eventType }) => isTerminal(eventType));
        const now = this.#fresh(this.#edge);
        this.#edge = [];
        if (now.length > 0) yield now;
        if (this.#ended) return;
        if (this.#isBehind || events.length > 0) continue;
        if (await this.#isIdle()) {
          // Once more: what was committed while `idle` asked is still given.
          const last = this.#fresh((await this.#options.read(this.#cursor)) ?? []);
          if (last.length > 0) yield last;
          return;
        }
        await this.#news(notify);
      }
    } finally {
      subscription.close();
      signal.removeEventListener("abort", notify);
    }
  }

  async #isIdle(): Promise<boolean> {
    if (!this.#mayBeIdle || this.#options.idle === undefined) return false;
    this.#mayBeIdle = false;
    return this.#options.idle();
  }

  /** What the log has by now; false where nobody can say. */
  async *#catchUp(subscription: Subscription): AsyncGenerator<readonly RunEvent[], boolean, undefined> {
    const { key, live, read, signal } = this.#options;
    this.#mayBeIdle = true;
    this.#isHoled = false;
    const ahead = (await this.#options.ahead?.(this.#cursor)) ?? null;
    this.#isBehind = ahead?.more ?? false;
    if (ahead !== null) this.#edge = [...this.#edge, ...ahead.events].sort(bySeq);
    if (ahead !== null && ahead.seq <= this.#logged) return true;
    let page = await read(this.#cursor);
    while (page !== null && page.length > 0 && !isAborted(signal)) {
      // What happened live below a logged event comes before it: a commit during this reading folds no deltas away.
      const early = subscription.take(this.#cursor);
      this.#edge = early.lost ? live.pending(key) : [...this.#edge, ...early.events];
      this.#ended ||= early.ended;
      // This may be the last page that is read now, and without what the early ones stand on.
      this.#isHoled ||= early.lost || early.behind;
      this.#isBehind ||= this.#isHoled || early.stirred;
      const now = this.#fresh(merge(this.#edge, page));
      if (now.length > 0) yield now;
      this.#edge = this.#edge.filter((event) => event.seq > this.#cursor);
      page = ahead !== null && this.#cursor >= ahead.seq ? [] : await read(this.#cursor);
    }
    // What happens now may stand on what could not be read: nothing more is given.
    if (page === null) return false;
    if (ahead !== null) this.#logged = ahead.seq;
    return true;
  }

  /** Those that are new: they are given now. */
  #fresh(events: readonly RunEvent[]): RunEvent[] {
    if (isAborted(this.#options.signal)) return [];
    return events.filter(({ seq }) => {
      if (seq <= this.#cursor) return false;
      this.#cursor = seq;
      return true;
    });
  }

  /** Waits for something to happen, or for the next look at the log. */
  async #news(notify: () => void): Promise<void> {
    const timer = setTimeout(() => {
      this.#isBehind = true;
      notify();
    }, this.#options.pollMs());
    await this.#wake.promise;
    clearTimeout(timer);
    // T6
    await turn();
  }
}

/** A page of the log with the live events that belong below its last one, in order. */
function merge(live: readonly RunEvent[], page: readonly RunEvent[]): RunEvent[] {
  const last = page.at(-1)?.seq ?? 0;
  return [...live.filter((event) => event.seq < last), ...page].sort(bySeq);
}

const bySeq = (a: RunEvent, b: RunEvent): number => a.seq - b.seq;

// The signal changes while the generator is suspended, which the type checker cannot know.
const isAborted = (signal: AbortSignal): boolean => signal.aborted;
