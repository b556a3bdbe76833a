/** Readers between the log and what happens in this process (T1 to T3 of src/events/tail.ts). */
import { expect, test } from "vitest";
import type { RunEvent } from "holdpoint";
import { Live, tail } from "../../src/events/index.js";
import { within } from "../support/poll.js";
import { settled } from "../support/latch.js";

const HOUR = 3_600_000;
const KEY = "thread";

// A reader looks at little more than the number.
const event = (seq: number): RunEvent =>
  ({ seq, eventType: "custom", runId: "run", content: "", data: {} }) as unknown as RunEvent;

/** A log that others write to, and a reader of it that looks once an hour by itself. */
function scene(logged: number[], other: Partial<Pick<Parameters<typeof tail>[0], "read" | "ahead">> = {}) {
  const live = new Live(1_000_000);
  const leave = new AbortController();
  const reader = tail({
    key: KEY,
    live,
    after: 0,
    read: async (after) => logged.filter((seq) => seq > after).map(event),
    pollMs: () => HOUR,
    signal: leave.signal,
    ...other,
  });
  const next = async (count: number): Promise<number[]> => {
    const seqs: number[] = [];
    while (seqs.length < count) {
      const { value } = await within("an event comes", reader.next(), 5000);
      seqs.push((value as RunEvent).seq);
    }
    return seqs;
  };
  return { live, next, leave: () => leave.abort() };
}

test("what another process has committed comes before what this one does on top of it", async () => {
  const logged = [1];
  const { live, next, leave } = scene(logged);
  expect(await next(1)).toEqual([1]);
  const coming = next(4);
  await settled();
  // The other process commits two more, and this one goes on from there before anybody has looked.
  logged.push(2, 3);
  live.publish({ key: KEY, graph: null, base: 3 }, [event(7)], null);
  live.publish({ key: KEY, graph: null, base: 3 }, [event(8)], null);
  expect(await coming).toEqual([2, 3, 7, 8]);
  leave();
});

test("a hint sends the readers of its thread to the log, and a loss of hints all of them", async () => {
  const logged: number[] = [];
  const { live, next, leave } = scene(logged);
  const first = next(1);
  await settled();
  logged.push(1);
  live.wake("another thread");
  live.wake(KEY);
  expect(await first).toEqual([1]);
  const second = next(1);
  await settled();
  logged.push(2);
  live.wake();
  expect(await second).toEqual([2]);
  leave();
});

test("what happens now is not given to a reader for whom the log can no longer be read", async () => {
  const live = new Live(1_000_000);
  let readable = true;
  const reader = tail({
    key: KEY,
    live,
    after: 0,
    read: () => Promise.resolve(readable ? [] : null),
    pollMs: () => HOUR,
    signal: new AbortController().signal,
  });
  const first = reader.next();
  await settled();
  // 1 to 3 are in the log by now, and nobody can say so.
  readable = false;
  live.publish({ key: KEY, graph: null, base: 3 }, [event(4)], null);
  expect(await within("the reader ends", first, 5000)).toEqual({ value: undefined, done: true });
});

test("who reads a run that has just begun here is given its beginning, and does not ask the log for it", async () => {
  const live = new Live(1_000_000);
  const reads: number[] = [];
  live.begins(KEY, 0, [event(1), event(2)]);
  live.publish({ key: KEY, graph: null, base: 2 }, [event(3)], null);
  const leave = new AbortController();
  const reader = tail({
    key: KEY,
    live,
    after: 0,
    read: (after) => Promise.resolve((reads.push(after), [])),
    pollMs: () => HOUR,
    signal: leave.signal,
  });
  const next = async (): Promise<number> =>
    ((await within("an event comes", reader.next(), 5000)).value as RunEvent).seq;
  expect([await next(), await next(), await next()]).toEqual([1, 2, 3]);
  const fourth = next();
  await settled();
  live.publish({ key: KEY, graph: null, base: 2 }, [event(4)], 4);
  expect(await fourth).toBe(4);
  expect(reads).toEqual([]);
  leave.abort();
});

test.each([
  ["the run's next commit here", (live: Live) => live.publish({ key: KEY, graph: null, base: 1 }, [], 2)],
  ["a hint of another process", (live: Live) => live.wake(KEY)],
  ["hints that may be lost", (live: Live) => live.wake()],
  ["the end of the channel", (live: Live) => live.end(KEY)],
])("after %s a new reader begins with the log", async (_what, happens) => {
  const { live, next, leave } = scene([1, 2]);
  live.begins(KEY, 0, [event(1)]);
  happens(live);
  expect(await next(2)).toEqual([1, 2]);
  leave();
});

test("a reader that is behind what began here reads the log", async () => {
  const { live, next, leave } = scene([1, 2, 3]);
  live.begins(KEY, 2, [event(3)]);
  expect(await next(3)).toEqual([1, 2, 3]);
  leave();
});

test("an event that stands on commits which came while a page was read waits until these are read", async () => {
  // The commits of another process, of which the page has two when it is read; the others come before it arrives.
  const logged = [1, 2];
  const { live, next, leave } = scene(logged, {
    read: async (after) => {
      const page = logged.filter((seq) => seq > after).map(event);
      if (after === 0) {
        logged.push(3, 4, 5);
        live.publish({ key: KEY, graph: null, base: 4 }, [event(5)], 5);
      }
      return page;
    },
    ahead: async () => ({ seq: logged.at(-1) ?? 0, events: [], more: false }),
  });
  expect(await next(5)).toEqual([1, 2, 3, 4, 5]);
  leave();
});
