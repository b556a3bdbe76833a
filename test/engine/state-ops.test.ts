import fc from "fast-check";
import { expect, it } from "vitest";
import { opsBetween } from "../../src/engine/state-change.js";
import { applyOps, opFor, type StateOp } from "../../src/engine/state-ops.js";
import type { JsonObject } from "../../src/lib/json.js";

const values = fc.dictionary(
  fc.constantFrom("a", "b", "c"),
  fc.oneof(fc.integer(), fc.string(), fc.constant(null), fc.array(fc.integer(), { maxLength: 4 })),
) as fc.Arbitrary<JsonObject>;

/** A state that follows another: fields set anew, or lists that grew as a reducer grows them. */
const next = (before: JsonObject): fc.Arbitrary<JsonObject> =>
  fc.tuple(values, fc.array(fc.integer(), { maxLength: 3 })).map(([update, tail]) => {
    const after: Record<string, JsonObject[string]> = { ...before };
    for (const [key, value] of Object.entries(update)) {
      const current = after[key];
      after[key] = Array.isArray(current) ? [...(current as number[]), ...tail] : value;
    }
    return after;
  });

it("the ops of every step, folded over the first state, give the last state", () => {
  fc.assert(
    fc.property(
      values.chain((first) =>
        fc
          .array(fc.integer(), { minLength: 1, maxLength: 6 })
          .chain((steps) =>
            steps.reduce<fc.Arbitrary<JsonObject[]>>(
              (list) => list.chain((all) => next(all.at(-1) ?? {}).map((after) => [...all, after])),
              fc.constant([first]),
            ),
          ),
      ),
      (states) => {
        const ops: StateOp[] = [];
        for (let i = 1; i < states.length; i++) ops.push(...opsBetween(states[i - 1] ?? {}, states[i] ?? {}));
        expect(applyOps(states[0] ?? {}, ops)).toEqual(states.at(-1));
      },
    ),
  );
});

it("a fold one by one, or in any two parts, is the fold of all", () => {
  const op: fc.Arbitrary<StateOp> = fc.oneof(
    fc.tuple(
      fc.constant("set" as const),
      fc.constantFrom("a", "b"),
      fc.oneof(fc.integer(), fc.array(fc.integer(), { maxLength: 3 })),
    ),
    fc.tuple(
      fc.constant("append" as const),
      fc.constantFrom("a", "b"),
      fc.array(fc.integer(), { maxLength: 3 }),
    ),
  );
  fc.assert(
    fc.property(values, fc.array(op, { maxLength: 8 }), fc.nat(8), (base, ops, cut) => {
      const whole = applyOps(base, ops);
      expect(applyOps(applyOps(base, ops.slice(0, cut)), ops.slice(cut))).toEqual(whole);
      expect(ops.reduce<JsonObject>((state, each) => applyOps(state, [each]), base)).toEqual(whole);
    }),
  );
});

it("applyOps changes neither the base nor the ops", () => {
  const base = { list: [1] };
  const ops: StateOp[] = [
    ["append", "list", [2]],
    ["append", "list", [3]],
    ["set", "other", [4]],
    ["append", "other", [5]],
  ];
  const before = structuredClone({ base, ops });
  const result = applyOps(base, ops);
  expect(result).toEqual({ list: [1, 2, 3], other: [4, 5] });
  expect({ base, ops }).toEqual(before);
  expect(applyOps(base, ops)).toEqual(result);
});

it("a list that grew by the same members is stored as its tail", () => {
  const [a, b, c] = [{ x: 1 }, { x: 2 }, { x: 3 }];
  expect(opFor("list", [a, b], [a, b, c])).toEqual(["append", "list", [c]]);
});

it("a list that changed, shrank or was empty is stored whole", () => {
  const a = { x: 1 };
  expect(opFor("list", [a], [{ x: 1 }, { x: 2 }])).toEqual(["set", "list", [{ x: 1 }, { x: 2 }]]);
  expect(opFor("list", [1, 2], [1])).toEqual(["set", "list", [1]]);
  expect(opFor("list", [], [1])).toEqual(["set", "list", [1]]);
  expect(opFor("list", undefined, [1])).toEqual(["set", "list", [1]]);
});

it("an unchanged value needs no op, a falsy one does", () => {
  const list = [1];
  expect(opFor("list", list, list)).toBeNull();
  expect(opFor("n", 0, 0)).toBeNull();
  for (const falsy of [0, "", false, null]) expect(opFor("n", 1, falsy)).toEqual(["set", "n", falsy]);
});
