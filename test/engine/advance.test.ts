import { describe, expect, it } from "vitest";
import {
  closeStep,
  denyTask,
  dropResult,
  keepResult,
  keepTask,
  nextNodes,
  ResultFault,
  takeRoutes,
  type Routes,
} from "../../src/engine/advance.js";
import { applyOps } from "../../src/engine/state-ops.js";
import { END, START, taskIds, type HoldPoint, type Snapshot, type Task } from "../../src/engine/index.js";
import {
  answer,
  anyState,
  append,
  ask,
  definition,
  done,
  message,
  nested,
  running,
  snapshot,
  task,
  taskIn,
} from "./helpers.js";

const state = anyState(new Map([["list", append]]));
const inner = definition({ X: {}, Y: {}, Z: {} }, { state });
const def = definition({ A: {}, B: {}, C: {}, SUB: nested(inner), TOO: nested(inner) }, { state });

const root = (at: Snapshot): readonly Task[] => at.position.tasks;
const inside = (at: Snapshot, i = 0) => at.position.tasks[i]?.inner;

describe("what an attempt came to", () => {
  const output = { update: { n: 5 }, messages: [message("m")], goto: null };

  it("a result is kept beside the state: nothing of it is visible before its step closes", () => {
    const cleared = task("A", { stage: "cleared", asks: [ask()] });
    const given = snapshot([cleared, task("B")]);
    const kept = keepResult(given, cleared, output, { attempts: 2, streamed: false });
    expect(kept).toMatchObject({ step: 0, values: given.values, messages: [] });
    expect(root(kept)).toEqual([
      task("A", { stage: "done", attempts: 2, result: { updates: [{ n: 5 }], messages: [message("m")] } }),
      task("B"),
    ]);
  });

  it("a result keeps where its Command goes, and what asks for its output; an empty update is none", () => {
    const given = snapshot([task("A", { stage: "cleared" })]);
    const goto = ["B", { node: "C", value: 1 }];
    const asks = [ask({ key: "#0", kind: "manual", pauses: "after" })];
    const of = { attempts: 1, asks, streamed: false };
    const kept = keepResult(given, task("A"), { update: {}, messages: [], goto }, of);
    expect(root(kept)).toMatchObject([{ goto, asks, result: { updates: [] } }]);
  });

  it("what a reader has seen of a result is known until its step has closed, for it may be dropped", () => {
    const cleared = task("A", { stage: "cleared" });
    const kept = keepResult(snapshot([cleared]), cleared, output, { attempts: 1, streamed: true });
    const [result = cleared] = root(kept);
    expect(root(dropResult(kept, result))).toEqual([{ ...cleared, attempts: 1, streamed: true }]);
    expect(root(closeStep(def, kept, null).snapshot)[0]).not.toHaveProperty("streamed");
  });

  it("of an attempt that came to nothing its count is kept, what it asks, and that it was heard", () => {
    const given = snapshot([task("A", { stage: "cleared" })]);
    const kept = keepTask(given, task("A", { stage: "cleared" }), {
      attempts: 3,
      asks: [ask()],
      streamed: true,
    });
    expect(root(kept)).toEqual([task("A", { stage: "cleared", attempts: 3, asks: [ask()], streamed: true })]);
  });

  it("a task that was denied from inside drops what it asked and has no output", () => {
    const denied = answer({ decision: "deny" });
    const asking = task("A", { stage: "cleared", asks: [ask()], streamed: true });
    const at = denyTask(snapshot([asking]), asking, denied, 2);
    expect(root(at)).toEqual([task("A", { stage: "done", denied, deniedInside: true, attempts: 2 })]);
  });

  it("a dropped result leaves a task that is to run again, and nothing of how its last visit ended", () => {
    const denied = answer({ decision: "deny" });
    const given = done(
      "A",
      { updates: [{ n: 1 }] },
      { goto: ["B"], denied, deniedInside: true, attempts: 2 },
    );
    expect(root(dropResult(snapshot([given]), given))).toEqual([
      task("A", { stage: "cleared", attempts: 2 }),
    ]);
  });
});

describe("closeStep", () => {
  it("is one step of all its tasks: its ops fold to its values, and its tasks wait behind it", () => {
    const given = snapshot([done("A", { updates: [{ n: 5, list: [1] }], messages: [message("m")] })], {
      step: 4,
    });
    const change = closeStep(def, given, null);
    expect(change.snapshot).toMatchObject({ step: 5, values: { n: 5, list: [1] }, messages: [message("m")] });
    expect(root(change.snapshot)).toEqual([task("A", { stage: "after", closed: true })]);
    expect(applyOps(given.values, change.ops)).toEqual(change.snapshot.values);
    expect(change.messages).toEqual([{ pos: 0, message: message("m") }]);
    expect(change).toMatchObject({ path: [], changed: ["n", "list"], tasks: given.position.tasks });
  });

  it("applies results in the order of the tasks, whichever was there first", () => {
    const a = done("A", { updates: [{ n: 1, list: ["a"] }], messages: [message("1"), message("2")] });
    const b = done("B", { updates: [{ n: 2, list: ["b"] }], messages: [message("3"), message("1", "new")] });
    const { snapshot: closed, messages } = closeStep(def, snapshot([a, b]), null);
    expect(closed.values).toEqual({ n: 2, list: ["a", "b"] });
    expect(closed.messages.map(({ content }) => content)).toEqual(["new", "2", "3"]);
    expect(messages.map(({ pos }) => pos).sort()).toEqual([0, 1, 2]);
  });

  it("says which messages are news: those of a nested graph that ended were said at its own steps", () => {
    const [a, b] = [message("a"), message("b")];
    const tasks = [done("A", { messages: [a] }), done("SUB", { messages: [b], said: true })];
    const change = closeStep(def, snapshot(tasks), null);
    expect(change.snapshot.messages).toEqual([a, b]);
    expect(change.said).toEqual([{ message: a, task: tasks[0] }]);
  });

  it("a task that was denied ran without output: only its denial's way is left", () => {
    const denied = answer({ decision: "deny" });
    const { snapshot: closed, ops } = closeStep(def, snapshot([task("A", { stage: "done", denied })]), null);
    expect(root(closed)).toEqual([task("A", { stage: "route", denied })]);
    expect(closed.step).toBe(1);
    expect(ops).toEqual([]);
  });

  it("names the task whose result the state does not take, and has changed nothing", () => {
    const picky = (current: unknown, update: unknown): unknown => {
      if (update === "odd") throw new Error("no odd ones");
      return append(current, update);
    };
    const graph = definition({ A: {}, B: {} }, { state: anyState(new Map([["list", picky]])) });
    const tasks = [done("A", { updates: [{ list: [1] }] }), done("B", { updates: [{ list: "odd" }] })];
    let fault: unknown;
    try {
      closeStep(graph, snapshot(tasks), null);
    } catch (error) {
      fault = error;
    }
    expect(fault).toBeInstanceOf(ResultFault);
    expect(fault).toMatchObject({
      task: tasks[1],
      message: expect.stringMatching(/"list".*no odd ones/) as string,
    });
  });

  it("inside a nested graph changes the state there; the graph around it gets it when the nested one ends", () => {
    const sub = running(
      "SUB",
      (owner) => [
        { ...done("X", { updates: [{ n: 1, list: [1] }], messages: [message("new")] }), ...idIn(owner, "X") },
        { ...done("Y", { updates: [{ list: [2] }] }), ...idIn(owner, "Y") },
      ],
      { values: { n: 0, list: [0] }, messages: [message("old")], updates: [{ list: [0] }] },
    );
    const change = closeStep(def, snapshot([task("A"), sub], { step: 7 }), sub.id);
    expect(change.snapshot).toMatchObject({ step: 8, values: { n: 0, list: [] }, messages: [] });
    expect(inside(change.snapshot, 1)).toMatchObject({
      values: { n: 1, list: [0, 1, 2] },
      messages: [message("old"), message("new")],
      updates: [{ list: [0] }, { n: 1, list: [1] }, { list: [2] }],
      tasks: [
        { node: "X", stage: "after", closed: true },
        { node: "Y", stage: "after", closed: true },
      ],
    });
    expect(root(change.snapshot)[0]).toEqual(task("A"));
    expect(change).toMatchObject({ ops: [], messages: [], path: ["SUB"], changed: ["n", "list"] });
    expect(change.said).toMatchObject([{ message: message("new"), task: { path: ["SUB", "X"] } }]);
  });

  const idIn = (owner: Task, node: string): Pick<Task, "id" | "path"> => {
    const { id, path } = taskIn(owner, node);
    return { id, path };
  };
});

describe("takeRoutes", () => {
  const behind = (node: string, of: Partial<Task> = {}): Task =>
    task(node, { stage: "route", closed: true, ...of });
  const routed = (tasks: readonly Task[], routes: Record<string, string[]>, step = 3): readonly Task[] =>
    root(
      takeRoutes(
        def,
        snapshot(tasks, { step }),
        null,
        new Map(tasks.map((each) => [each.id, routes[each.node] ?? []])),
        "run2",
      ),
    );

  it("puts the successors in the place of the tasks, with ids of their own, and counts no step", () => {
    const given = snapshot([behind("A")], { step: 3 });
    const next = takeRoutes(def, given, null, new Map([[behind("A").id, ["B"]]]), "run2");
    expect(root(next)).toEqual([{ id: "run2/3/0/B", node: "B", path: ["B"], stage: "due", attempts: 0 }]);
    expect(next.step).toBe(3);
  });

  it("runs a node once to which several lead, in the order of declaration, and drops what leads to END", () => {
    const next = routed([behind("A"), behind("B"), behind("C")], { A: ["C", "A"], B: [END], C: ["A", "B"] });
    expect(next.map(({ id }) => id)).toEqual(["run2/3/0/A", "run2/3/1/B", "run2/3/2/C"]);
    expect(routed([behind("A")], { A: [END] })).toEqual([]);
  });

  it("makes a task of each Send, in list order, beside the plain visit of the same node", () => {
    const [a, b] = [behind("A"), behind("B")];
    const send = (value: number) => ({ node: "C", value });
    const routes: Routes = new Map([
      [a.id, ["TOO", send(1), "C", send(2)]],
      [b.id, [send(1), "C", "A"]],
    ]);
    const next = root(takeRoutes(def, snapshot([a, b]), null, routes, "r2"));
    expect(next.map(({ node, sent }) => [node, sent?.value])).toEqual([
      ["A", undefined],
      ["C", 1],
      ["C", undefined],
      ["C", 2],
      ["C", 1],
      ["TOO", undefined],
    ]);
    expect(new Set(next.map(({ id }) => id)).size).toBe(next.length);
  });

  it("hands a denial on to the node that it leads to, also where others lead there", () => {
    const denied = answer({ decision: "deny" });
    expect(routed([behind("A", { denied })], { A: ["C"] })).toMatchObject([{ node: "C", answer: denied }]);
    for (const tasks of [
      [behind("A", { denied }), behind("B")],
      [behind("A"), behind("B", { denied })],
    ])
      expect(routed(tasks, { A: ["C"], B: ["C"] })).toMatchObject([{ node: "C", answer: denied }]);
  });

  it("a visit of the same node at another step has another id", () => {
    const [first] = routed([behind("A")], { A: ["A"] }, 1);
    const [again] = routed([behind("A")], { A: ["A"] }, 2);
    expect(first?.id).not.toBe(again?.id);
  });

  it("inside nested graphs moves that graph only, under ids that no other task of the thread has", () => {
    const sub = running("SUB", (owner) => [taskIn(owner, "X", { stage: "route", closed: true })]);
    const other = running("TOO", (owner) => [taskIn(owner, "X", { stage: "route", closed: true })]);
    const sends = [0, 1].map((i) => ({ ...sub, id: `${sub.id}-${i}` }));
    let at = snapshot([sub, other, ...sends], { step: 2 });
    const seen = new Set(taskIds(at.position));
    for (const { id: owner } of [sub, other, ...sends]) {
      const before = at;
      const x = at.position.tasks.find(({ id }) => id === owner)?.inner?.tasks[0]?.id ?? "";
      at = takeRoutes(def, at, owner, new Map([[x, ["X", "Y", { node: "Y", value: 1 }]]]), "r");
      for (const [i, each] of before.position.tasks.entries())
        if (each.id !== owner) expect(root(at)[i]).toEqual(each);
    }
    const ids = taskIds(at.position);
    expect(new Set(ids).size).toBe(ids.length);
    const fresh = root(at).flatMap((each) => each.inner?.tasks ?? []);
    expect(fresh).toHaveLength(12);
    for (const { id, path } of fresh) {
      expect(seen).not.toContain(id);
      expect(path.slice(0, -1)).toSatisfy((head: string[]) => head.length === 1);
    }
    expect(inside(at)?.tasks.map(({ path }) => path.join("/"))).toEqual(["SUB/X", "SUB/Y", "SUB/Y"]);
  });

  describe("after a denial inside a nested graph", () => {
    const denied = answer({ decision: "deny" });
    const meets = (before: ReadonlyMap<string, HoldPoint>) => {
      const graph = definition({ SUB: nested(definition({ X: {}, Y: {} }, { state, before })) }, { state });
      const sub = running("SUB", (owner) => [
        taskIn(owner, "X", { stage: "route", denied }),
        taskIn(owner, "Y", { stage: "route", closed: true }),
      ]);
      const [x, y] = sub.inner?.tasks ?? [];
      const routes = new Map([
        [x?.id ?? "", before.size === 0 ? [END] : ["Y"]],
        [y?.id ?? "", [END]],
      ]);
      return inside(takeRoutes(graph, snapshot([sub]), sub.id, routes, "r"));
    };

    it("one that no onDeny meets is the graph's own, once the others are through", () => {
      expect(meets(new Map())).toMatchObject({ tasks: [], denied });
    });

    it("one that an onDeny meets is not", () => {
      const met = meets(new Map([["X", { node: "X", plain: true, onDeny: "Y" }]]));
      expect(met).not.toHaveProperty("denied");
      expect(met).toMatchObject({ tasks: [{ node: "Y", answer: denied }] });
    });
  });
});

it("nextNodes names the nodes whose result is missing, those inside nested graphs for the graph; START is none", () => {
  const sub = running("SUB", (owner) => [taskIn(owner, "X"), taskIn(owner, "Y", { stage: "done" })]);
  expect(nextNodes(snapshot([task(START), task("A"), done("B"), task("A", { id: "2" }), sub]))).toEqual([
    "A",
    "X",
  ]);
  expect(nextNodes(snapshot([running("SUB", () => [])]))).toEqual(["SUB"]);
});
