import { describe, expect, it } from "vitest";
import {
  addMessages,
  mergeFields,
  opsBetween,
  patchValues,
  UpdateFault,
} from "../../src/engine/state-change.js";
import { applyOps } from "../../src/engine/state-ops.js";
import { anyState, append, definition, message } from "./helpers.js";

const def = definition({ A: {}, B: {} }, { state: anyState(new Map([["list", append]])) });

describe("mergeFields", () => {
  it("replaces, or combines where a field has a reducer", () => {
    expect(mergeFields(def, { n: 1, list: [1] }, { n: 2, list: [2] })).toEqual({ n: 2, list: [1, 2] });
  });

  it("changes nothing of what it is given, and freezes what a reducer gave", () => {
    const values = Object.freeze({ n: 1, list: Object.freeze([1]) });
    const merged = mergeFields(def, values, { list: [2] });
    expect(values).toEqual({ n: 1, list: [1] });
    expect(Object.isFrozen(merged.list)).toBe(true);
  });

  it("names the field whose reducer threw or gave what is refused", () => {
    const broken = (reducer: () => unknown) =>
      definition({}, { state: anyState(new Map([["list", reducer]])) });
    const threw = broken(() => {
      throw new Error("odd");
    });
    expect(() => mergeFields(threw, {}, { list: [] })).toThrow(UpdateFault);
    expect(() => mergeFields(threw, {}, { list: [] })).toThrow(/"list".*odd/);
    expect(() =>
      mergeFields(
        broken(() => "bad"),
        {},
        { list: [] },
      ),
    ).toThrow(/"list".*refuses/);
  });
});

describe("addMessages", () => {
  it("appends, and puts one of a known id in the place of the old one", () => {
    const { context, placed } = addMessages(
      [message("a"), message("b")],
      [message("c"), message("a", "new")],
    );
    expect(context.map(({ content }) => content)).toEqual(["new", "b", "c"]);
    expect(placed.map(({ pos }) => pos)).toEqual([2, 0]);
  });

  it("of nothing gives the same context", () => {
    const context = [message("a")];
    expect(addMessages(context, [])).toEqual({ context, placed: [] });
  });

  it("adds two of one id as one message", () => {
    const { context } = addMessages([], [message("a", "1"), message("a", "2")]);
    expect(context.map(({ content }) => content)).toEqual(["2"]);
  });
});

it("a patch goes past the reducers and says what it changed", () => {
  const values = { n: 1, list: [1] };
  const { values: patched, ops } = patchValues(values, { list: [9] });
  expect(patched).toEqual({ n: 1, list: [9] });
  expect(ops).toEqual([["set", "list", [9]]]);
  expect(applyOps(values, ops)).toEqual(patched);
  expect(patchValues(values, {}).ops).toEqual([]);
});

it("opsBetween gives one op for each field that changed, none for the rest", () => {
  expect(opsBetween({ a: 1, b: 2 }, { a: 1, b: 3, c: 4 })).toEqual([
    ["set", "b", 3],
    ["set", "c", 4],
  ]);
});
