import { describe, expect, it } from "vitest";
import { applySaid, isSentState, patchThread, type Said } from "../../src/engine/patching.js";
import { applyOps } from "../../src/engine/state-ops.js";
import {
  NO_HOLDS,
  UpdateFault,
  type InterruptKind,
  type RunHolds,
  type Snapshot,
  type Task,
  type Values,
} from "../../src/engine/index.js";
import {
  answer,
  anyState,
  append,
  ask,
  definition,
  message,
  nested,
  placed,
  running,
  snapshot,
  task,
  taskIn,
} from "./helpers.js";

const state = anyState(new Map([["list", append]]));
const inner = definition({ X: {}, Y: {} }, { state });
const def = definition({ A: {}, B: {}, SUB: nested(inner), TOO: nested(inner) }, { state });

const passing = (of: Task): Task => ({ ...of, stage: "cleared", judged: true });
const said = (about: Task | null, state: Values | null, kind: InterruptKind = "before"): Said => ({
  about: about === null ? null : { taskId: about.id, kind },
  messages: [],
  state,
});
const told = (about: Task | null, ...ids: string[]): Said => ({
  ...said(about, null),
  messages: ids.map((id) => message(id)),
});
const apply = (
  tasks: readonly Task[],
  list: readonly Said[],
  merged: Values = {},
  holds: Partial<RunHolds> = {},
) => applySaid(def, snapshot(tasks), list, merged, holds);
const now = (at: Snapshot, of: Task): Task => placed(def, at, of).task;

describe("a patch", () => {
  const sub = running("SUB", (owner) => [passing(taskIn(owner, "X")), taskIn(owner, "Y")]);
  const [x] = sub.inner?.tasks ?? [];
  if (x === undefined) throw new Error("the scene has no such task");

  it("of a task of the thread's own graph goes to its state, past the reducers", () => {
    const { snapshot: at, ops } = apply([task("A")], [said(task("A"), { list: [9] })]);
    expect(at.values).toEqual({ n: 0, list: [9] });
    expect(ops).toEqual([["set", "list", [9]]]);
    expect(applyOps(snapshot([]).values, ops)).toEqual(at.values);
  });

  it("of a task inside a nested graph goes to the state there, and to nothing else", () => {
    const { snapshot: at, ops } = apply([task("A"), sub], [said(x, { n: 5 })]);
    expect(now(at, sub).inner).toMatchObject({ values: { n: 5, list: [] }, updates: [] });
    expect(at.values).toEqual({ n: 0, list: [] });
    expect(ops).toEqual([]);
  });

  it("that says what a lost attempt inside did is its output: the graph around gets it in the end", () => {
    const { snapshot: at } = apply([sub], [said(x, { list: [5] }, "crash")]);
    expect(now(at, sub).inner).toMatchObject({ values: { list: [5] }, updates: [{ list: [5] }] });
  });

  it("of a task that was sent its state goes there, beside what it was sent; behind the node to the state", () => {
    const sent = task("A", { sent: { value: { a: 1, b: 2 } } });
    const { snapshot: at, ops } = apply([sent], [said(sent, { b: 3 })]);
    expect(now(at, sent).sent).toEqual({ value: { a: 1, b: 3 } });
    expect(at.values).toEqual({ n: 0, list: [] });
    expect(ops).toEqual([]);
    const closed: Task = { ...sent, stage: "after", closed: true };
    for (const kind of ["after", "manual"] as const) {
      const after = apply([closed], [said(closed, { n: 3 }, kind)]);
      expect(now(after.snapshot, closed).sent).toEqual(sent.sent);
      expect(after.snapshot.values).toMatchObject({ n: 3 });
    }
    expect(isSentState(sent, "before")).toBe(true);
    expect(isSentState(closed, "after")).toBe(false);
    // What a lost attempt did is its output.
    expect(isSentState(sent, "crash")).toBe(false);
    expect(isSentState(task("A"), "before")).toBe(false);
  });

  it("of several answers: all are applied, in their order", () => {
    const { snapshot: at } = apply(
      [task("A"), task("B"), sub],
      [said(task("A"), { n: 1 }), said(task("B"), { n: 2 }), said(x, { n: 3 })],
    );
    expect(at.values).toMatchObject({ n: 2 });
    expect(now(at, sub).inner?.values).toMatchObject({ n: 3 });
  });

  it("comes before what is merged, which goes through the reducers and is refused as they refuse", () => {
    const { snapshot: at } = apply([], [said(null, { list: [1] })], { list: [2] });
    expect(at.values).toEqual({ n: 0, list: [1, 2] });
    expect(() => apply([], [], { list: null })).toThrow(UpdateFault);
  });

  it("of the thread gives it the fields that its graph has got since, and moves nobody", () => {
    const change = patchThread(def, snapshot([passing(task("A"))], { values: { n: 1 } }), {}, []);
    expect(change.snapshot.values).toEqual({ n: 1, list: [] });
    expect(change.ops).toEqual([["set", "list", []]]);
    expect(now(change.snapshot, task("A"))).toEqual(passing(task("A")));
  });
});

describe("messages that come with an answer", () => {
  const build = (apart: boolean) => {
    const sub = running(
      "SUB",
      (owner) => [taskIn(owner, "X")],
      apart ? { apart: [message("given")] } : { messages: [message("own")] },
    );
    return { sub, x: sub.inner?.tasks[0] ?? sub };
  };

  it("are the thread's, in order", () => {
    const { snapshot: at, messages } = apply(
      [task("A"), task("B")],
      [told(task("A"), "1"), told(task("B"), "2")],
    );
    expect(at.messages.map(({ id }) => id)).toEqual(["1", "2"]);
    expect(messages.map(({ pos }) => pos)).toEqual([0, 1]);
  });

  it("also reach a nested graph that does not see the thread's, where it asked", () => {
    const { sub, x } = build(true);
    const { snapshot: at } = apply([sub], [told(x, "yes")]);
    expect(now(at, sub).inner?.apart?.map(({ id }) => id)).toEqual(["given", "yes"]);
    expect(at.messages.map(({ id }) => id)).toEqual(["yes"]);
    const aside = apply([task("A"), sub], [told(task("A"), "yes"), told(null, "all")]);
    expect(now(aside.snapshot, sub).inner?.apart?.map(({ id }) => id)).toEqual(["given"]);
  });

  it("are not put twice before one that does see them", () => {
    const { sub, x } = build(false);
    const { snapshot: at } = apply([sub], [told(x, "yes")]);
    expect(now(at, sub)).toEqual(sub);
    expect(placed(def, at, x).scope.messages.map(({ id }) => id)).toEqual(["yes", "own"]);
  });
});

describe("what was let pass is looked at again", () => {
  const a = passing(task("A"));
  const sent = passing(task("B", { sent: { value: { a: 1 } } }));
  const sub = running("SUB", (owner) => [passing(taskIn(owner, "X"))]);
  const too = running("TOO", (owner) => [passing(taskIn(owner, "X"))]);
  const [inSub, inToo] = [sub, too].map(({ inner: has }) => has?.tasks[0] ?? sub);
  if (inSub === undefined || inToo === undefined) throw new Error("the scene has no such task");
  const tasks = [a, sent, sub, too];

  /** The paths of the tasks that are due again. */
  const due = (list: readonly Said[], merged: Values = {}, holds: Partial<RunHolds> = {}): string[] => {
    const { snapshot: at } = apply(tasks, list, merged, holds);
    return [a, sent, inSub, inToo].flatMap((each) => {
      const { stage, path } = now(at, each);
      return stage === "due" ? [path.join("/")] : [];
    });
  };

  it("where the state that it sees was patched, and nowhere else", () => {
    expect(due([said(null, { n: 1 })])).toEqual(["A"]);
    expect(due([said(sent, { a: 2 })])).toEqual(["B"]);
    expect(due([said(inSub, { n: 1 })])).toEqual(["SUB/X"]);
    expect(due([said(inSub, { n: 1 }), said(a, { n: 2 })])).toEqual(["A", "SUB/X"]);
    expect(due([], { n: 1 })).toEqual(["A"]);
  });

  it("not by words alone, by a patch of nothing, or by one that changes nothing", () => {
    expect(due([told(null, "m"), said(null, {}), said(null, null)])).toEqual([]);
    expect(due([said(null, { n: 0 })])).toEqual([]);
  });

  it("where a hold point was added: by name in the thread's own graph, by * at every depth", () => {
    expect(due([], {}, { before: ["A", "X"] })).toEqual(["A"]);
    expect(due([], {}, { before: "*" })).toEqual(["A", "B", "SUB/X", "TOO/X"]);
    expect(due([], {}, { after: "*" })).toEqual([]);
  });

  it("and one that was approved is asked about anew, with the state that it will see", () => {
    const approved: Task = { ...task("A", { passed: 1 }), stage: "cleared", answer: answer() };
    const { snapshot: at } = apply([approved], [said(null, { n: 1 })]);
    expect(now(at, approved)).toMatchObject({ stage: "due", asks: [{ key: "before:1" }] });
  });

  it("and what is held already goes on waiting for its own answer", () => {
    const held = task("A", { judged: true, asks: [ask()] });
    expect(now(apply([held], [said(null, { n: 1 })]).snapshot, held)).toEqual(held);
  });

  it("the added hold points stay with the position", () => {
    const { snapshot: at } = applySaid(
      def,
      snapshot([], { position: { tasks: [], holds: { ...NO_HOLDS, before: ["A"] } } }),
      [],
      {},
      {
        before: ["B"],
        after: "*",
      },
    );
    expect(at.position.holds).toEqual({ before: ["A", "B"], after: "*" });
  });
});
