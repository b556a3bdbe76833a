import { expect, it } from "vitest";
import {
  birthIn,
  changeTask,
  eachTask,
  heldByRun,
  leavesOf,
  placeOf,
  rootScope,
  scopeIn,
  scopeOf,
  scopesOf,
  taskIds,
  withInner,
  withTask,
} from "../../src/engine/scope.js";
import { NO_HOLDS } from "../../src/engine/index.js";
import { definition, message, nested, running, snapshot, task, taskIn } from "./helpers.js";

const mid = definition({ DEEP: nested(definition({ X: {} })), Y: {} });
const def = definition({ A: {}, SUB: nested(mid), TOO: nested(mid) });

/** A; SUB with DEEP with X, and Y beside it; TOO, whose graph is through. */
const sub = running(
  "SUB",
  (owner) => [
    running("DEEP", (deep) => [taskIn(deep, "X")], { values: { n: 2 } }, taskIn(owner, "DEEP")),
    taskIn(owner, "Y"),
  ],
  { values: { n: 1 }, messages: [message("m", "changed"), message("inside")] },
);
const at = snapshot([task("A"), sub, running("TOO", () => [])], { messages: [message("m"), message("n")] });
const [deep, y] = sub.inner?.tasks ?? [];
const [x] = deep?.inner?.tasks ?? [];
if (deep === undefined || y === undefined || x === undefined) throw new Error("the scene has no such task");

const paths = (tasks: Iterable<{ readonly path: readonly string[] }>): string[] =>
  [...tasks].map(({ path }) => path.join("/"));

it("tasks are listed each before those inside it; the leaves are those that do the work", () => {
  const { tasks } = at.position;
  expect(paths(eachTask(tasks))).toEqual(["A", "SUB", "SUB/DEEP", "SUB/DEEP/X", "SUB/Y", "TOO"]);
  expect(paths(leavesOf(tasks))).toEqual(["A", "SUB/DEEP/X", "SUB/Y", "TOO"]);
  expect(taskIds({ tasks, holds: NO_HOLDS })).toEqual([...eachTask(tasks)].map(({ id }) => id));
  expect(new Set(taskIds(at.position)).size).toBe(6);
});

it("a task is changed at any depth, and nothing else is: what is beside it is the same object", () => {
  const { tasks } = at.position;
  const changed = changeTask(tasks, x.id, (each) => ({ ...each, attempts: 9 }));
  expect([...eachTask(changed)].map(({ attempts }) => attempts)).toEqual([0, 0, 0, 9, 0, 0]);
  expect(changed[0]).toBe(tasks[0]);
  expect(changed[2]).toBe(tasks[2]);
  expect(changed[1]?.inner?.tasks[1]).toBe(y);
  expect(changeTask(tasks, "nobody", () => task("B"))).toEqual(tasks);
});

it("a task whose id begins as another's does is not taken for one inside it", () => {
  const [one, ten] = [
    running("SUB", () => [], {}, task("SUB", { id: "r/0/1" })),
    task("A", { id: "r/0/10" }),
  ];
  expect(changeTask([one, ten], ten.id, (each) => ({ ...each, attempts: 1 }))).toMatchObject([
    { id: "r/0/1", attempts: 0 },
    { id: "r/0/10", attempts: 1 },
  ]);
});

it("withTask and withInner put what was changed back where it stands", () => {
  expect(placeOf(def, withTask(at, { ...x, attempts: 5 }), x.id)?.task.attempts).toBe(5);
  const told = withInner(at, deep.id, (inner) => ({ ...inner, values: { n: 7 } }));
  expect(scopeOf(def, told, deep.id).values).toEqual({ n: 7 });
  expect(scopeOf(def, told, sub.id).values).toEqual({ n: 1 });
  expect(withInner(at, "nobody", () => ({ values: {}, messages: [], updates: [], tasks: [] }))).toEqual(at);
});

it("each scope has its own graph, values and tasks, and knows the task that it runs in", () => {
  expect(
    [...scopesOf(def, at)].map(({ owner, values }) => [owner?.task.path.join("/") ?? "", values]),
  ).toEqual([
    ["", { n: 0, list: [] }],
    ["SUB", { n: 1 }],
    ["SUB/DEEP", { n: 2 }],
    ["TOO", { n: 0, list: [] }],
  ]);
  expect(scopeOf(def, at, sub.id).def).toBe(mid);
  expect(placeOf(def, at, x.id)?.scope.owner?.scope.owner?.task.id).toBe(sub.id);
  expect(placeOf(def, at, "nobody")).toBeNull();
  expect(() => scopeOf(def, at, "nobody")).toThrow(/no nested graph runs in task nobody/);
  expect(scopeIn(rootScope(def, at), task("A"))).toBeNull();
  expect(scopeIn(rootScope(def, at), task("SUB"))).toBeNull();
});

it("a nested graph sees the messages around it and its own, as one context; one that was given its own sees only those", () => {
  const seen = (from: typeof at, owner: string) =>
    scopeOf(def, from, owner).messages.map(({ content }) => content);
  expect(seen(at, sub.id)).toEqual(["changed", "n", "inside"]);
  expect(seen(at, deep.id)).toEqual(["changed", "n", "inside"]);
  const apart = withInner(at, sub.id, (inner) => ({ ...inner, apart: [message("given")] }));
  expect(seen(apart, sub.id)).toEqual(["given", "changed", "inside"]);
  expect(seen(apart, deep.id)).toEqual(["given", "changed", "inside"]);
});

it("names of a run's hold points are of the thread's own graph; * is every node at every depth", () => {
  const [root, inside] = [rootScope(def, at), scopeOf(def, at, sub.id)];
  expect(heldByRun(root, ["A"], "A")).toBe(true);
  expect(heldByRun(root, ["A"], "SUB")).toBe(false);
  expect(heldByRun(inside, ["Y"], "Y")).toBe(false);
  expect(heldByRun(inside, "*", "Y")).toBe(true);
});

it("new tasks are made under the run at the root, and under their owner inside", () => {
  expect(birthIn(rootScope(def, at), "run2")).toEqual({ id: "run2", path: [] });
  expect(birthIn(scopeOf(def, at, deep.id), "run2")).toMatchObject({ id: deep.id, path: ["SUB", "DEEP"] });
});

it("what a nested graph sees is made once, and anew where the context around it is another", () => {
  const [first, again] = [scopesOf(def, at), scopesOf(def, at)];
  expect(first[1]?.messages).toBe(again[1]?.messages);
  const elsewhere = { ...at, messages: [message("o")] };
  expect(scopeOf(def, elsewhere, sub.id).messages.map(({ id }) => id)).toEqual(["o", "m", "inside"]);
  expect(scopeOf(def, at, sub.id).messages.map(({ id }) => id)).toEqual(["m", "n", "inside"]);
});
