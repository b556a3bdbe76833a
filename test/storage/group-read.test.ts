/** Reads that go to the database together, each with its own answer. */
import { expect, test } from "vitest";
import { HoldpointError } from "holdpoint";
import { GroupRead } from "../../src/checkpoint/postgres/group-read.js";
import { failure, latch, settled } from "../support/latch.js";
import { within } from "../support/poll.js";

/** Answers with the key and an exclamation mark; the first statement waits until it is let go. */
function scene(refuse: (keys: readonly string[]) => readonly string[] = (keys) => keys) {
  const sent: (readonly string[])[] = [];
  const first = latch();
  const reads = new GroupRead<string, string>(async (keys) => {
    sent.push(keys);
    if (sent.length === 1) await first.opened;
    return refuse(keys).map((key) => `${key}!`);
  });
  return { sent, first, reads };
}

test("a lone read goes at once; what is asked for meanwhile goes together, and each gets its own", async () => {
  const { sent, first, reads } = scene();
  const all = ["a", "b", "c", "b"].map((key) => reads.read(key));
  expect(sent).toEqual([["a"]]);
  first.open();
  expect(await Promise.all(all)).toEqual(["a!", "b!", "c!", "b!"]);
  expect(sent).toEqual([["a"], ["b", "c", "b"]]);
});

test("where the last ones went together, those of one turn of the event loop do; behind a lone one the next goes at once", async () => {
  const { sent, first, reads } = scene();
  const before = ["a", "b", "c"].map((key) => reads.read(key));
  first.open();
  await Promise.all(before);
  const turn = [reads.read("d"), reads.read("e")];
  expect(sent.length).toBe(2);
  expect(await Promise.all(turn)).toEqual(["d!", "e!"]);
  const lone = reads.read("f");
  expect(sent.slice(2)).toEqual([["d", "e"]]);
  expect(await lone).toBe("f!");
  await settled();
  const next = reads.read("g");
  expect(sent.slice(2)).toEqual([["d", "e"], ["f"], ["g"]]);
  expect(await next).toBe("g!");
});

test("one that takes long does not keep the others", async () => {
  const { first, reads } = scene();
  const slow = reads.read("slow");
  expect(await within("the others are read", Promise.all([reads.read("b"), reads.read("c")]), 5000)).toEqual([
    "b!",
    "c!",
  ]);
  first.open();
  expect(await slow).toBe("slow!");
});

test("a group has at most 32 members, and the rest follows", async () => {
  const { sent, first, reads } = scene();
  const keys = Array.from({ length: 70 }, (_, i) => String(i));
  const all = keys.map((key) => reads.read(key));
  first.open();
  expect(await Promise.all(all)).toEqual(keys.map((key) => `${key}!`));
  expect(sent.map(({ length }) => length)).toEqual([1, 32, 32, 5]);
});

test.each([
  ["an error", () => Promise.reject(new Error("not this one"))],
  ["too few answers", () => []],
])("%s of one is its own", async (_what, refusal) => {
  const go = latch();
  const reads = new GroupRead<string, string>(async (keys) => {
    if (keys.includes("first")) await go.opened;
    return keys.includes("bad") ? await refusal() : keys;
  });
  const [first, good, bad] = [reads.read("first"), reads.read("good"), reads.read("bad")];
  const failed = failure(bad);
  go.open();
  expect([await first, await good]).toEqual(["first", "good"]);
  expect(await failed).toBeInstanceOf(Error);
});

test("a database that is away is away for all, and is asked once", async () => {
  const go = latch();
  let sent = 0;
  const reads = new GroupRead<string, string>(async (keys) => {
    sent++;
    if (sent > 1) throw new HoldpointError("database_unavailable", "away");
    await go.opened;
    return keys;
  });
  const [first, ...others] = ["a", "b", "c"].map((key) => reads.read(key));
  const failures = Promise.all(others.map(failure));
  go.open();
  await first;
  expect((await failures).map(({ code }: HoldpointError) => code)).toEqual([
    "database_unavailable",
    "database_unavailable",
  ]);
  await settled();
  expect(sent).toBe(2);
});
