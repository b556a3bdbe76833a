import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addMessages, type PlacedMessage } from "../../src/engine/state-change.js";
import type { Message } from "../../src/engine/index.js";
import { message } from "./helpers.js";

/** What adding means, said in the plainest way. */
function plainly(context: readonly Message[], added: readonly Message[]): [Message[], PlacedMessage[]] {
  const next = [...context];
  const placed = new Map<number, PlacedMessage>();
  for (const each of added) {
    const at = next.findLastIndex(({ id }) => id === each.id);
    const pos = at === -1 ? next.length : at;
    next[pos] = each;
    placed.set(pos, { pos, message: each });
  }
  return [next, [...placed.values()]];
}

/** Ids that ascend, with gaps between them. */
const idOf = (n: number): string => `m${String(n * 10).padStart(6, "0")}`;
const long = (count: number): readonly Message[] =>
  Object.freeze(Array.from({ length: count }, (_, i) => Object.freeze(message(idOf(i)))));

/** An id that is there, one that is new and the highest, one that is new and not. */
const anId = fc.oneof(
  fc.nat(99).map(idOf),
  fc.nat(99).map((n) => idOf(1000 + n)),
  fc.nat(999).map((n) => `${idOf(n)}x`),
  fc.constantFrom("", "zzz", "\ud800", "é", "😀"),
);

describe("a context that grows", () => {
  it("is what adding plainly gives, whichever of its former contexts is gone on from; these stay as they were", () => {
    const change = fc.record({ from: fc.nat(), ids: fc.array(anId, { minLength: 1, maxLength: 3 }) });
    fc.assert(
      fc.property(fc.nat(100), fc.array(change, { maxLength: 30 }), (count, changes) => {
        const contexts = [long(count)];
        const copies = [[...long(count)]];
        for (const [i, { from, ids }] of changes.entries()) {
          // Mostly the newest, as a run does.
          const at = from % 3 === 0 ? from % contexts.length : contexts.length - 1;
          const added = ids.map((id) => message(id, `${i}`));
          const { context, placed } = addMessages(contexts[at] ?? [], added);
          const [next, where] = plainly(copies[at] ?? [], added);
          expect(placed).toEqual(where);
          contexts.push(context);
          copies.push(next);
        }
        expect(contexts).toEqual(copies);
        expect(contexts.every((context) => Object.isFrozen(context) && Array.isArray(context))).toBe(true);
      }),
    );
  });

  it("that is gone on from twice knows the ids of neither way in the other", () => {
    const context = long(100);
    // Twice each, below the highest: then all ids are kept.
    const one = addMessages(addMessages(context, [message("a")]).context, [message("b")]).context;
    const again = addMessages(one, [message("c")]).context;
    const other = addMessages(one, [message("d"), message("e")]).context;
    expect(addMessages(again, [message("d", "new")]).placed).toMatchObject([{ pos: 103 }]);
    expect(addMessages(other, [message("c", "new")]).placed).toMatchObject([{ pos: 104 }]);
    expect(addMessages(other, [message("e", "new")]).placed).toMatchObject([{ pos: 103 }]);
    expect(addMessages(context, [message("a", "new")]).placed).toMatchObject([{ pos: 100 }]);
    expect([context.length, one.length, again.length, other.length]).toEqual([100, 102, 103, 104]);
  });

  it("keeps a message in the place of the one that it replaces, near the end and at the beginning", () => {
    let context = long(1000);
    for (const n of [999, 0, 500, 0]) {
      const { context: next, placed } = addMessages(context, [message(idOf(n), "new")]);
      expect(placed).toEqual([{ pos: n, message: message(idOf(n), "new") }]);
      context = next;
    }
    expect(context).toHaveLength(1000);
    expect(context.filter(({ content }) => content === "new")).toHaveLength(3);
  });
});
