import { expect, test } from "vitest";
import { Cutoff, pause, type Cut } from "../../src/lib/cutoff.js";

test("those who listen are told once, in the order in which they came, and not who has left or comes late", () => {
  const cut = new Cutoff();
  const told: string[] = [];
  const [first, left, last, late] = ["first", "left", "last", "late"].map(
    (name) => () => void told.push(name),
  );
  for (const listener of [first, left, last, first]) cut.addEventListener("abort", listener as () => void);
  cut.removeEventListener("abort", left as () => void);
  expect([cut.aborted, cut.reason]).toEqual([false, undefined]);
  cut.abort("why");
  cut.addEventListener("abort", late as () => void);
  cut.abort("again");
  expect(told).toEqual(["first", "last"]);
  expect([cut.aborted, cut.reason]).toEqual([true, "why"]);
});

test("one that is told may take others off the list; none comes on it any more", () => {
  const cut = new Cutoff();
  const told: string[] = [];
  const other = (): void => void told.push("other");
  cut.addEventListener("abort", () => {
    told.push(`aborted: ${cut.aborted}`);
    cut.removeEventListener("abort", other);
    cut.addEventListener("abort", () => told.push("never"));
  });
  cut.addEventListener("abort", other);
  cut.abort();
  expect(told).toEqual(["aborted: true"]);
});

test.each([
  ["a cutoff", () => new Cutoff()],
  ["a controller", () => new AbortController()],
])("a pause is cut short by %s, and at once where that was before", async (_what, make) => {
  const made = make();
  const cut: Cut = made instanceof AbortController ? made.signal : made;
  const waiting = pause(3_600_000, cut);
  made.abort();
  await waiting;
  await pause(3_600_000, cut);
  await pause(1);
});
