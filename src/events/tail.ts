/**
 * Reads a thread's events: first what the log has, then what happens.
 *
 * T1. Subscribe first, then replay: nothing between the two is missed.
 * T2. Events come with growing `seq`, each at most once; the cursor alone decides what is new.
 * T3. The log is the truth. What happens in this process arrives at once; a hint, and behind it a timer, sends the reader to
 *     the log for what happened in others, and one that fell behind goes back there; so does one that has not yet read the
 *     commit that an event of this process stands on.
 */
import type { RunEvent } from "../engine/index.js";
import { deferred } from "../lib/deferred.js";
import type { Live } from "./live.js";

export interface TailOptions {
  readonly key: string;
  /** Committed events above `after`, in order; empty = there is nothing newer; null = nobody can say, and the reader ends. */
  readonly read: (after: number) => Promise<readonly RunEvent[] | null>;
  readonly live: Live;
  /** Only events above this. */
  readonly after: number;
  /** Milliseconds to the next look at the log, asked each time: long while the run is in this process. */
  readonly pollMs: () => number;
  readonly signal: AbortSignal;
  /** Asked once all that is there was given: whether to end now. */
  readonly idle?: () => Promise<boolean>;
}

/** Ends when the signal aborts, when the thread's channel ends, when `idle` says so, or when its consumer leaves. */
export async function* tail(options: TailOptions): AsyncGenerator<RunEvent, void, undefined> {
  const { key, read, live, pollMs, signal } = options;
  let cursor = options.after;
  let wake = deferred();
  const notify = (): void => wake.resolve();
  const subscription = live.subscribe(key, notify);
  signal.addEventListener("abort", notify);
  const fresh = (event: RunEvent): boolean => {
    if (event.seq <= cursor) return false;
    cursor = event.seq;
    return true;
  };
  try {
    let edge: readonly RunEvent[] = subscription.pending;
    let readLog = true;
    let ended = false;
    while (!signal.aborted) {
      if (readLog) {
        readLog = false;
        let page = await read(cursor);
        for (; page !== null && page.length > 0 && !isAborted(signal); page = await read(cursor)) {
          // What happened live below a logged event comes before it: a commit during this reading folds no deltas away.
          const early = subscription.take(cursor);
          edge = early.lost ? live.pending(key) : [...edge, ...early.events];
          ended ||= early.ended;
          for (const event of merge(edge, page)) if (fresh(event) && !isAborted(signal)) yield event;
          edge = edge.filter((event) => event.seq > cursor);
        }
        // What happens now may stand on what could not be read: nothing more is given.
        if (page === null) return;
      }
      wake = deferred();
      const { events, lost, behind, ended: over } = subscription.take(cursor);
      ended ||= over;
      if (lost || behind) {
        edge = lost ? live.pending(key) : [...edge, ...events];
        readLog = true;
        continue;
      }
      for (const event of [...edge, ...events]) if (fresh(event) && !isAborted(signal)) yield event;
      edge = [];
      if (ended) return;
      if (events.length > 0) continue;
      if (options.idle !== undefined && (await options.idle())) {
        // Once more: what was committed while `idle` asked is still given.
        for (const event of (await read(cursor)) ?? []) if (fresh(event)) yield event;
        return;
      }
      const timer = setTimeout(() => {
        readLog = true;
        notify();
      }, pollMs());
      await wake.promise;
      clearTimeout(timer);
    }
  } finally {
    subscription.close();
    signal.removeEventListener("abort", notify);
  }
}

/** A page of the log with the live events that belong below its last one, in order. */
function merge(live: readonly RunEvent[], page: readonly RunEvent[]): RunEvent[] {
  const last = page.at(-1)?.seq ?? 0;
  return [...live.filter((event) => event.seq < last), ...page].sort((a, b) => a.seq - b.seq);
}

// The signal changes while the generator is suspended, which the type checker cannot know.
const isAborted = (signal: AbortSignal): boolean => signal.aborted;
