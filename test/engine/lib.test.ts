import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { deepFreeze } from "../../src/lib/deep-freeze.js";
import { jsonCopy, jsonEqual, jsonFault, MAX_DEPTH } from "../../src/lib/json.js";
import { didYouMean, nearest } from "../../src/lib/nearest.js";
import { uuidv7 } from "../../src/lib/uuidv7.js";

describe("jsonFault", () => {
  it("finds nothing in what JSON carries, and that survives a round trip", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        expect(jsonFault(value)).toBeNull();
        expect(jsonEqual(jsonCopy(value), JSON.parse(JSON.stringify(value)))).toBe(true);
      }),
    );
  });

  const self: Record<string, unknown> = { a: {} };
  self.a = self;
  it.each([
    [{ a: [1, { b: 3n }] }, "a[1].b", "bigint"],
    [{ a: NaN }, "a", "NaN"],
    [[Infinity], "[0]", "Infinity"],
    [{ at: new Date(0) }, "at", "Date"],
    [{ m: new Map() }, "m", "Map"],
    [{ b: new Uint8Array(1) }, "b", "Uint8Array"],
    [{ f: () => 1 }, "f", "function"],
    [{ s: Symbol("s") }, "s", "symbol"],
    [[undefined], "[0]", "undefined"],
    [self, "a", "itself"],
  ])("names where %o is not JSON, and why", (value, path, problem) => {
    expect(jsonFault(value)).toMatchObject({ path, code: "not_serialisable" });
    expect(jsonFault(value)?.problem).toContain(problem);
  });

  it("says what is wrong with a hole in a list", () => {
    expect(jsonFault([1, , 2])?.path).toBe("[1]");
  });

  it("lets undefined members and objects without a prototype pass", () => {
    expect(jsonFault({ a: undefined })).toBeNull();
    expect(jsonFault(Object.assign(Object.create(null), { a: 1 }))).toBeNull();
  });

  it("does not take an object that JSON.stringify would change by its toJSON", () => {
    expect(jsonFault({ a: { toJSON: () => "other" } })).not.toBeNull();
  });

  it("sees a value that stands twice, but not within itself, as sound", () => {
    const shared = { a: 1 };
    expect(jsonFault([shared, shared])).toBeNull();
  });

  it(`takes ${MAX_DEPTH} levels and refuses one more, without overflowing on many`, () => {
    const nested = (levels: number): unknown => {
      let value: unknown = 1;
      for (let i = 0; i < levels; i++) value = [value];
      return value;
    };
    expect(jsonFault(nested(MAX_DEPTH))).toBeNull();
    expect(jsonFault(nested(MAX_DEPTH + 1))?.code).toBe("too_deep");
    expect(jsonFault(nested(100_000))?.code).toBe("too_deep");
  });
});

describe("jsonEqual", () => {
  it("is equality of values, whatever the order of keys, with undefined as absent", () => {
    expect(jsonEqual({ a: 1, b: [1, { c: null }] }, { b: [1, { c: null }], a: 1 })).toBe(true);
    expect(jsonEqual({ a: 1, b: undefined }, { a: 1 })).toBe(true);
    expect(jsonEqual({ a: undefined, b: 1 }, { b: 1, c: undefined })).toBe(true);
    expect(jsonEqual(0, -0)).toBe(true);
  });

  it.each([
    [1, "1"],
    [null, undefined],
    [null, {}],
    [[], {}],
    [
      [1, 2],
      [2, 1],
    ],
    [[1], [1, 2]],
    [{ a: 1 }, { a: 2 }],
    [{ a: 1 }, { b: 1 }],
    [false, 0],
    ["", null],
  ])("tells %o from %o", (a, b) => {
    expect(jsonEqual(a, b)).toBe(false);
    expect(jsonEqual(b, a)).toBe(false);
  });

  it("is reflexive and symmetric over any JSON", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        expect(jsonEqual(a, jsonCopy(a))).toBe(true);
        expect(jsonEqual(a, b)).toBe(jsonEqual(b, a));
      }),
    );
  });
});

it("jsonCopy shares nothing, and keeps a key called __proto__ as a key", () => {
  const value = { a: { b: [1] } };
  const copy = jsonCopy(value);
  expect(copy).toEqual(value);
  expect(copy.a.b).not.toBe(value.a.b);
  const odd = JSON.parse('{"__proto__": {"x": 1}}');
  expect(Object.keys(jsonCopy(odd))).toEqual(["__proto__"]);
  expect(jsonCopy<unknown>(undefined)).toBeUndefined();
});

it("deepFreeze freezes all the way down and returns the same value", () => {
  const value = { a: [{ b: 1 }] };
  expect(deepFreeze(value)).toBe(value);
  expect([value, value.a, value.a[0]].every((each) => Object.isFrozen(each))).toBe(true);
  expect(deepFreeze(null)).toBeNull();
});

describe("nearest", () => {
  it("finds the name that was probably meant, and none where nothing is close", () => {
    const known = ["ANALYZE", "EXECUTE_TOOL", "CLEANUP"];
    expect(nearest("EXECUTE_TOL", known)).toBe("EXECUTE_TOOL");
    expect(nearest("analyse", known)).toBe("ANALYZE");
    expect(nearest("CLEANUP", known)).toBe("CLEANUP");
    expect(nearest("QQQQQQQQQ", known)).toBeNull();
    expect(nearest("anything", [])).toBeNull();
    expect(nearest("x".repeat(10_000), known)).toBeNull();
  });

  it("ends a sentence with it, or with nothing", () => {
    expect(didYouMean("CLEANUPP", ["CLEANUP"])).toBe('; did you mean "CLEANUP"?');
    expect(didYouMean("zzzzzzz", ["CLEANUP"])).toBe("");
  });

  it("is quick for long names", () => {
    expect(nearest("A".repeat(200), ["A".repeat(199), "B"])).toBe("A".repeat(199));
  });
});

describe("uuidv7", () => {
  const random = fc.uint8Array({ minLength: 10, maxLength: 10 });
  const time = fc.integer({ min: 0, max: 2 ** 48 - 1 });

  it("is a UUID of version 7 and the RFC's variant that carries its time", () => {
    fc.assert(
      fc.property(time, random, (now, bytes) => {
        const id = uuidv7(now, bytes);
        expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        expect(parseInt(id.slice(0, 8) + id.slice(9, 13), 16)).toBe(now);
      }),
    );
  });

  it("sorts as text as its time does, whatever the random bytes", () => {
    fc.assert(
      fc.property(time, time, random, random, (a, b, x, y) => {
        fc.pre(a !== b);
        expect(uuidv7(a, x) < uuidv7(b, y)).toBe(a < b);
      }),
    );
  });

  it("differs where the random bytes differ", () => {
    const ids = Array.from({ length: 256 }, (_, i) => uuidv7(1, new Uint8Array(10).fill(i)));
    expect(new Set(ids).size).toBe(256);
  });
});
