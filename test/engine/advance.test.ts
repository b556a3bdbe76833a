import { describe, expect, it } from "vitest";
import {
  addMessages,
  applyOutput,
  denyTask,
  loseAttempt,
  mayRepeat,
  mergeFields,
  nextNodes,
  opsBetween,
  patchValues,
  takeRoutes,
  UpdateFault,
} from "../../src/engine/advance.js";
import { applyOps } from "../../src/engine/state-ops.js";
import { END, START, type Message } from "../../src/engine/index.js";
import { answer, anyState, ask, definition, snapshot, task } from "./helpers.js";

const message = (id: string, content = id): Message => ({ id, role: "user", content, created_at: "" });
const append = (current: unknown, update: unknown): unknown => [
  ...(current as unknown[]),
  ...(update as unknown[]),
];
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

it("the output of a node is one step, its ops fold to its values, and its task waits behind it", () => {
  const given = snapshot([task("A", { stage: "cleared", streamed: true })], { step: 4 });
  const output = { update: { n: 5, list: [1] }, messages: [message("m")], goto: null };
  const change = applyOutput(def, given, given.position.tasks[0] ?? task("A"), output, [], 2);
  expect(change.snapshot).toMatchObject({
    step: 5,
    values: { n: 5, list: [1] },
    position: { tasks: [{ node: "A", stage: "after", closed: true, attempts: 2 }] },
  });
  expect(change.snapshot.position.tasks[0]).not.toHaveProperty("streamed");
  expect(applyOps(given.values, change.ops)).toEqual(change.snapshot.values);
  expect(change.messages).toEqual([{ pos: 0, message: message("m") }]);
  expect(given.step).toBe(4);
});

describe("takeRoutes", () => {
  const closed = task("A", { stage: "route", closed: true });

  it("puts the successors in the place of the task, with ids of their own", () => {
    const next = takeRoutes(snapshot([closed], { step: 3 }), new Map([[closed.id, ["B"]]]), "run2");
    expect(next.position.tasks).toMatchObject([
      { id: "run2/3/0/B", node: "B", path: ["B"], stage: "due", attempts: 0 },
    ]);
    expect(next.step).toBe(3);
  });

  it("drops an END, and leaves tasks without routes where they are", () => {
    const other = task("B", { id: "other" });
    const next = takeRoutes(snapshot([closed, other]), new Map([[closed.id, [END]]]), "r");
    expect(next.position.tasks).toEqual([other]);
  });

  it("closes the step of a denied task that never ran, and hands the denial on", () => {
    const denied = answer({ decision: "deny" });
    const given = snapshot([task("A", { stage: "route", denied })], { step: 3 });
    const id = given.position.tasks[0]?.id ?? "";
    const next = takeRoutes(given, new Map([[id, ["B"]]]), "r");
    expect(next.step).toBe(4);
    expect(next.position.tasks).toMatchObject([{ node: "B", answer: denied, stage: "due" }]);
    const after = snapshot([task("A", { stage: "route", denied, closed: true })], { step: 3 });
    expect(takeRoutes(after, new Map([[id, ["B"]]]), "r").step).toBe(3);
  });

  it("a visit of the same node at another step has another id", () => {
    const first = takeRoutes(snapshot([closed], { step: 1 }), new Map([[closed.id, ["A"]]]), "r");
    const again = takeRoutes(snapshot([closed], { step: 2 }), new Map([[closed.id, ["A"]]]), "r");
    expect(first.position.tasks[0]?.id).not.toBe(again.position.tasks[0]?.id);
  });
});

it("a task that was denied from inside drops what it asked and goes its way", () => {
  const denied = answer({ decision: "deny" });
  const asking = task("A", { stage: "cleared", asks: [ask()] });
  const [done] = denyTask(snapshot([asking]), asking, denied, 2).position.tasks;
  expect(done).toMatchObject({ stage: "route", denied, attempts: 2 });
  expect(done).not.toHaveProperty("asks");
});

describe("a lost attempt", () => {
  const lost = { attempt: 2, beganAt: "then", cause: "crash" as const, once: ["charge"] };

  it("of a node without a gate is counted and repeated", () => {
    const given = task("A", { stage: "cleared" });
    const [kept] = loseAttempt(def, snapshot([given]), given, lost).position.tasks;
    expect(kept).toMatchObject({ attempts: 2, stage: "cleared" });
    expect(kept).not.toHaveProperty("asks");
  });

  it("of a gated node asks, and shows node, attempt, when it began and what it had stored", () => {
    const gated = definition({ A: { onCrash: "hold" } });
    const given = task("A", { stage: "cleared" });
    const [kept] = loseAttempt(gated, snapshot([given]), given, lost).position.tasks;
    expect(kept?.asks).toMatchObject([
      {
        key: "crash:2",
        kind: "crash",
        plain: false,
        decisions: ["approve", "edit", "deny"],
        data: { node: "A", attempt: 2, began_at: "then", cause: "crash", once: ["charge"] },
      },
    ]);
  });

  it("may be repeated unless a person has a say in the node, or as onCrash says", () => {
    const hold = { node: "A", plain: true };
    const of = task("A");
    const holds = (before: readonly string[] | "*") =>
      snapshot([of], { position: { tasks: [of], holds: { before, after: [] } } });
    expect(mayRepeat(def, snapshot([of]), of)).toBe(true);
    expect(mayRepeat(definition({ A: {} }, { before: new Map([["A", hold]]) }), snapshot([of]), of)).toBe(
      false,
    );
    expect(mayRepeat(definition({ A: {} }, { after: new Map([["A", hold]]) }), snapshot([of]), of)).toBe(
      false,
    );
    expect(mayRepeat(def, snapshot([of]), task("A", { answered: true }))).toBe(false);
    expect(mayRepeat(def, holds(["A"]), of)).toBe(false);
    expect(mayRepeat(def, holds("*"), of)).toBe(false);
    expect(mayRepeat(def, holds(["B"]), of)).toBe(true);
    expect(mayRepeat(definition({ A: { onCrash: "rerun" } }), holds("*"), of)).toBe(true);
    expect(mayRepeat(definition({ A: { onCrash: "hold" } }), snapshot([of]), of)).toBe(false);
  });
});

it("nextNodes names the nodes that are next, START is none", () => {
  expect(nextNodes(snapshot([task(START), task("A")]))).toEqual(["A"]);
});

it("opsBetween gives one op for each field that changed, none for the rest", () => {
  expect(opsBetween({ a: 1, b: 2 }, { a: 1, b: 3, c: 4 })).toEqual([
    ["set", "b", 3],
    ["set", "c", 4],
  ]);
});
