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
function scene(logged: number[]) {
  const live = new Live(1_000_000);
  const leave = new AbortController();
  const reader = tail({
    key: KEY,
    live,
    after: 0,
    read: async (after) => logged.filter((seq) => seq > after).map(event),
    pollMs: () => HOUR,
    signal: leave.signal,
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
