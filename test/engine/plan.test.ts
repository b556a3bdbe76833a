import { describe, expect, it } from "vitest";
import { pausedStatus, plan, rejudge, verdictKey, type Plan } from "../../src/engine/plan.js";
import {
  ownerId,
  type Answer,
  type Ask,
  type GraphDefinition,
  type HoldNames,
  type Interrupt,
  type Snapshot,
} from "../../src/engine/index.js";
import type { Task } from "../../src/engine/index.js";
import { answer, ask, definition, done, nested, row, running, snapshot, task, taskIn } from "./helpers.js";

const none = new Map<string, Ask | null>();
const verdict = (of: Task, held: Ask | null): Map<string, Ask | null> => new Map([[verdictKey(of), held]]);
const inner = definition({ X: {}, Y: {} });
const def = definition({ A: {}, B: {}, C: {}, SUB: nested(inner), TOO: nested(inner) });

function planned(
  tasks: readonly Task[],
  rows: readonly Interrupt[] = [],
  verdicts = none,
  {
    graph = def,
    failed = [] as readonly string[],
  }: { graph?: GraphDefinition; failed?: readonly string[] } = {},
): Plan {
  return plan(graph, snapshot(tasks), rows, verdicts, new Set(failed));
}

/** What may be done, by the paths of tasks and of scopes; what is empty is left out. */
function todo({ open, close, route, ...next }: Plan): Record<string, string[]> {
  const { judge, execute, enter, leave } = next;
  const paths = {
    ...Object.fromEntries(
      Object.entries({ judge, execute, enter, leave }).map(([kind, places]) => [
        kind,
        places.map((place) => place.task.path.join("/")),
      ]),
    ),
    close: close.map((scope) => scope.owner?.task.path.join("/") ?? ""),
    route: route.map((scope) => scope.owner?.task.path.join("/") ?? ""),
    open: open.map((opening) => opening.task.path.join("/")),
  };
  return Object.fromEntries(Object.entries(paths).filter(([, list]) => list.length > 0));
}

const tasksOf = (next: Plan): readonly Task[] => next.snapshot.position.tasks;

describe("a place without a declared hold point", () => {
  const held = definition({ A: {}, B: {} }, { before: new Map([["B", { node: "B", plain: true }]]) });
  const passing = (tasks: readonly Task[], of: Partial<Snapshot> = {}, graph = held): Plan =>
    plan(graph, snapshot(tasks, of), [], none, new Set(), { passUnheld: true });
  const holds = (before: HoldNames): Partial<Snapshot> => ({
    position: { tasks: [task("A")], holds: { before, after: [] } },
  });

  it("is passed at once, before a node and behind it", () => {
    expect(todo(passing([task("A")]))).toEqual({ execute: ["A"] });
    expect(todo(passing([task("A", { stage: "after", closed: true })]))).toEqual({ route: [""] });
  });

  it("is one where neither the graph nor the run has one, and none has held", () => {
    expect(todo(passing([task("B")]))).toEqual({ judge: ["B"] });
    expect(todo(passing([], holds(["A"])))).toEqual({ judge: ["A"] });
    expect(todo(passing([], holds("*")))).toEqual({ judge: ["A"] });
    expect(todo(passing([task("A", { asks: [ask()] })]))).toEqual({ judge: ["A"] });
  });

  it("is looked for in the nested graph where a task is", () => {
    const graph = definition({ A: {}, SUB: nested(held) });
    const at = (node: string): Task => running("SUB", (owner) => [taskIn(owner, node)]);
    expect(todo(passing([at("A")], {}, graph))).toEqual({ execute: ["SUB/A"] });
    expect(todo(passing([at("B")], {}, graph))).toEqual({ judge: ["SUB/B"] });
    // The names of a run are those of its own graph.
    const named = { position: { tasks: [at("A")], holds: { before: ["A"], after: [] } } };
    expect(todo(passing([], named, graph))).toEqual({ execute: ["SUB/A"] });
  });
});

describe("a task that is due", () => {
  it("is looked at before anything is decided, once", () => {
    expect(todo(planned([task("A")]))).toEqual({ judge: ["A"] });
    expect(todo(planned([task("A", { judged: true })]))).toEqual({ execute: ["A"] });
  });

  it("runs where nothing holds it", () => {
    const next = planned([task("A")], [], verdict(task("A"), null));
    expect(todo(next)).toEqual({ execute: ["A"] });
    expect(tasksOf(next)).toMatchObject([{ stage: "cleared" }]);
  });

  it("pauses where it is held, and keeps what it asks", () => {
    const next = planned([task("A")], [], verdict(task("A"), ask()));
    expect(todo(next)).toEqual({ open: ["A"] });
    expect(next.open).toMatchObject([{ ask: { key: "before" } }]);
    expect(pausedStatus(next.open)).toBe("interrupted_before");
    expect(tasksOf(next)).toMatchObject([{ stage: "due", judged: true, asks: [{ key: "before" }] }]);
  });

  it("is held until it is answered: open, cancelled, of another task or of another key is no answer", () => {
    const held = task("A", { judged: true, asks: [ask()] });
    for (const rows of [
      [],
      [row(held, ask(), null)],
      [row(held, ask(), null, { status: "cancelled" })],
      [row(held, ask(), answer(), { status: "cancelled" })],
      [row(task("B", { id: "other" }), ask(), answer())],
      [row(held, ask({ key: "after" }), answer())],
      [row(held, ask(), answer()), row(held, ask(), null)],
    ]) {
      expect(todo(planned([held], rows, verdict(held, ask())))).toEqual({ open: ["A"] });
    }
  });

  it.each([["approve"], ["edit"], [null]] as const)(
    "passes by %s, and its node gets the answer",
    (decision) => {
      const held = task("A", { judged: true, asks: [ask()] });
      const given = answer({ decision });
      const next = planned([held], [row(held, ask(), given)]);
      expect(todo(next)).toEqual({ execute: ["A"] });
      expect(tasksOf(next)).toMatchObject([{ stage: "cleared", answer: given, passed: 1 }]);
      expect(tasksOf(next)[0]).not.toHaveProperty("asks");
    },
  );

  it("that was denied does not run: its visit is over, and its step waits to be closed", () => {
    const held = task("A", { judged: true, asks: [ask()] });
    const given = answer({ decision: "deny" });
    const next = planned([held], [row(held, ask(), given)]);
    expect(todo(next)).toEqual({ close: [""] });
    expect(tasksOf(next)).toMatchObject([{ stage: "done", denied: given }]);
    expect(tasksOf(next)[0]).not.toHaveProperty("deniedInside");
  });

  it("takes new words for what is asked again, and stays held though its verdict is null now", () => {
    const held = task("A", { judged: true, asks: [ask({ message: "old" })] });
    expect(todo(planned([held]))).toEqual({ judge: ["A"], open: ["A"] });
    const renewed = planned([held], [], verdict(held, ask({ message: "new" })));
    expect(todo(renewed)).toEqual({ open: ["A"] });
    expect(renewed.open).toMatchObject([{ ask: { message: "new" } }]);
    expect(todo(planned([held], [], verdict(held, null)))).toEqual({ open: ["A"] });
  });
});

describe("a task whose node asks", () => {
  const question = ask({ key: "#0", kind: "request", plain: false });
  const second = ask({ key: "#1", kind: "request", plain: false });

  it("waits until all its questions are answered, and opens those that are not", () => {
    const asking = task("A", { stage: "cleared", asks: [question, second] });
    const next = planned([asking], [row(asking, question, answer())]);
    expect(todo(next)).toEqual({ open: ["A"] });
    expect(next.open).toMatchObject([{ ask: { key: "#1" } }]);
  });

  it("runs again with the last answer, marked as one that was answered inside", () => {
    const asking = task("A", { stage: "cleared", asks: [question, second] });
    const rows = [row(asking, question, answer({ data: 1 })), row(asking, second, answer({ data: 2 }))];
    const next = planned([asking], rows);
    expect(todo(next)).toEqual({ execute: ["A"] });
    expect(tasksOf(next)).toMatchObject([{ answered: true, answer: { data: 2 } }]);
  });

  it("runs again when a question was denied, for its node to judge; a denied setInterrupt does not", () => {
    const asking = task("A", { stage: "cleared", asks: [question] });
    const denied = answer({ decision: "deny" });
    expect(todo(planned([asking], [row(asking, question, denied)]))).toEqual({ execute: ["A"] });
    const manual = ask({ key: "#0", kind: "manual" });
    const paused = task("A", { stage: "cleared", asks: [manual] });
    const next = planned([paused], [row(paused, manual, denied)]);
    expect(todo(next)).toEqual({ close: [""] });
    expect(tasksOf(next)).toMatchObject([{ stage: "done", denied, deniedInside: true }]);
  });
});

describe("a task behind its node", () => {
  const after = ask({ key: "after", kind: "after", pauses: "after" });

  it("pauses after where it is held, and its way is asked for when it is answered", () => {
    const closed = task("A", { stage: "after", closed: true });
    expect(todo(planned([closed]))).toEqual({ judge: ["A"] });
    const paused = planned([closed], [], verdict(closed, after));
    expect(todo(paused)).toEqual({ open: ["A"] });
    expect(pausedStatus(paused.open)).toBe("interrupted_after");
    const held = task("A", { stage: "after", closed: true, judged: true, asks: [after] });
    const next = planned([held], [row(held, after, answer())]);
    expect(todo(next)).toEqual({ route: [""] });
    expect(tasksOf(next)).toMatchObject([{ stage: "route" }]);
  });

  it("is routed where nothing holds it, and a verdict of before its node is none of it", () => {
    const closed = task("A", { stage: "after", closed: true });
    expect(todo(planned([closed], [], verdict(closed, null)))).toEqual({ route: [""] });
    expect(todo(planned([closed], [], verdict(task("A"), null)))).toEqual({ judge: ["A"] });
  });

  it("that was denied goes its denial's way, and is closed no second time", () => {
    const held = task("A", { stage: "after", closed: true, judged: true, asks: [after] });
    const denied = answer({ decision: "deny" });
    const next = planned([held], [row(held, after, denied)]);
    expect(todo(next)).toEqual({ route: [""] });
    expect(tasksOf(next)).toMatchObject([{ stage: "route", denied }]);
  });

  it("does not ask for its output while its step still waits for others", () => {
    const asking = done("A", {}, { asks: [ask({ key: "#0", kind: "manual", pauses: "after" })] });
    const held = task("B", { judged: true, asks: [ask()] });
    expect(todo(planned([asking, held], [], verdict(held, null)))).toEqual({ open: ["B"] });
  });
});

describe("a lost attempt", () => {
  const crash = ask({ key: "crash:1", kind: "crash", plain: false });
  const held = task("A", { stage: "cleared", asks: [crash] });

  it.each([
    ["approve", "execute", "A", "cleared"],
    ["deny", "close", "", "done"],
  ] as const)("answered by %s goes on by %s", (decision, kind, path, stage) => {
    const next = planned([held], [row(held, crash, answer({ decision }))]);
    expect(todo(next)).toEqual({ [kind]: [path] });
    expect(tasksOf(next)).toMatchObject([{ stage }]);
    expect(tasksOf(next)[0]).not.toHaveProperty("asks");
  });

  it("answered by edit has acted: it does not run, and its step closes on no update of its own", () => {
    const next = planned([held], [row(held, crash, answer({ decision: "edit" }))]);
    expect(todo(next)).toEqual({ close: [""] });
    expect(tasksOf(next)).toMatchObject([{ stage: "done", result: { updates: [], messages: [] } }]);
    expect(tasksOf(next)[0]).not.toHaveProperty("denied");
  });
});

describe("a step of several tasks", () => {
  const held = task("A", { judged: true, asks: [ask()] });

  it("nothing left to do is an empty plan", () => {
    expect(todo(planned([]))).toEqual({});
  });

  it("a task that waits keeps back its own step, and no other task", () => {
    const tasks = [held, task("B", { stage: "cleared" }), done("C")];
    expect(todo(planned(tasks, [], verdict(held, ask())))).toEqual({ execute: ["B"], open: ["A"] });
    expect(todo(planned([held, done("B"), done("C")], [], verdict(held, ask())))).toEqual({ open: ["A"] });
  });

  it("closes when the last result is there, one that was denied among them", () => {
    const rows = [row(held, ask(), answer({ decision: "deny" }))];
    expect(todo(planned([held, done("B")], rows))).toEqual({ close: [""] });
  });

  it("is routed when the last hold point behind it has been passed", () => {
    const after = ask({ key: "after", kind: "after", pauses: "after" });
    const waits = task("A", { stage: "after", closed: true, judged: true, asks: [after] });
    const through = task("B", { stage: "route", closed: true });
    expect(todo(planned([waits, through], [], verdict(waits, after)))).toEqual({ open: ["A"] });
    expect(todo(planned([waits, through], [row(waits, after, answer())]))).toEqual({ route: [""] });
  });

  it("of several pauses one before makes the status", () => {
    const openings = (...pauses: Ask["pauses"][]) =>
      pauses.map((when) => ({ task: held, ask: ask({ pauses: when }) }));
    expect(pausedStatus(openings("after", "before"))).toBe("interrupted_before");
    expect(pausedStatus(openings("after", "after"))).toBe("interrupted_after");
  });

  it("goes on beside a task that has failed, whose questions and whose step wait for another run", () => {
    const asked = task("A", { stage: "cleared", asks: [ask({ key: "#0", kind: "request" })] });
    const tasks = [asked, task("B", { stage: "cleared" }), held];
    const failed = { failed: [asked.id] };
    expect(todo(planned([asked, task("B", { stage: "cleared" })], [], none, failed))).toEqual({
      execute: ["B"],
    });
    expect(todo(planned([asked, done("B")], [], none, failed))).toEqual({});
    expect(todo(planned(tasks, [row(asked, ask({ key: "#0" }), answer())], none, failed)).execute).toEqual([
      "B",
    ]);
    const through = task("A", { stage: "route" });
    expect(todo(planned([through], [], none, { failed: [through.id] }))).toEqual({});
  });
});

describe("a nested graph", () => {
  const after = ask({ key: "after", kind: "after", pauses: "after" });

  it("is judged as a node is, begins when nothing is in front of it, and its tasks are planned where they stand", () => {
    expect(todo(planned([task("SUB")]))).toEqual({ judge: ["SUB"] });
    expect(todo(planned([task("SUB")], [], verdict(task("SUB"), ask())))).toEqual({ open: ["SUB"] });
    expect(todo(planned([task("SUB", { stage: "cleared" })]))).toEqual({ enter: ["SUB"] });
    const sub = running("SUB", (owner) => [taskIn(owner, "X"), taskIn(owner, "Y", { stage: "cleared" })]);
    const next = planned([sub]);
    expect(todo(next)).toEqual({ judge: ["SUB/X"], execute: ["SUB/Y"] });
    expect(next.execute[0]?.scope.def).toBe(inner);
  });

  it("closes and routes its own steps, whatever those around it and beside it wait for", () => {
    const held = task("A", { judged: true, asks: [ask()] });
    const sub = running("SUB", (owner) => [taskIn(owner, "X", { stage: "done" })]);
    const too = running("TOO", (owner) => [taskIn(owner, "Y", { stage: "route", closed: true })]);
    const next = planned([held, sub, too], [], verdict(held, ask()));
    expect(todo(next)).toEqual({ close: ["SUB"], route: ["TOO"], open: ["A"] });
    expect([...next.close, ...next.route].map(ownerId)).toEqual([sub.id, too.id]);
  });

  it("is left when nothing is next in it; only then may the step around it close", () => {
    const through = running("SUB", () => []);
    expect(todo(planned([done("A"), through]))).toEqual({ leave: ["SUB"] });
    expect(todo(planned([done("A"), done("SUB")]))).toEqual({ close: [""] });
  });

  it("takes answers in at any depth, and a pause inside opens by its path", () => {
    const deep = definition({ SUB: nested(definition({ MID: nested(inner) })) });
    const build = (x: Partial<Task>): Task =>
      running("SUB", (sub) => [
        running("MID", (mid) => [taskIn(mid, "X", x)], {}, taskIn(sub, "MID", { stage: "cleared" })),
      ]);
    const asks = [ask()];
    const x = build({}).inner?.tasks[0]?.inner?.tasks[0] ?? task("none");
    const held = build({ judged: true, asks });
    expect(todo(planned([held], [], verdict(x, ask()), { graph: deep }))).toEqual({ open: ["SUB/MID/X"] });
    const given: Answer = answer();
    const next = planned([held], [row(x, ask(), given)], none, { graph: deep });
    expect(todo(next)).toEqual({ execute: ["SUB/MID/X"] });
    expect(tasksOf(next)).toMatchObject([
      { inner: { tasks: [{ inner: { tasks: [{ stage: "cleared", answer: given }] } }] } },
    ]);
  });

  it("that has failed at its end is not left again; what failed inside keeps back its own step only", () => {
    const through = running("SUB", () => []);
    expect(todo(planned([through], [], none, { failed: [through.id] }))).toEqual({});
    const sub = running("SUB", (owner) => [
      taskIn(owner, "X", { stage: "cleared" }),
      taskIn(owner, "Y", { stage: "after", closed: true }),
    ]);
    const [x, y] = sub.inner?.tasks ?? [];
    const beside = running("TOO", (owner) => [taskIn(owner, "X", { stage: "done" })]);
    const next = planned([sub, beside], [], verdict(y ?? sub, after), { failed: [x?.id ?? ""] });
    expect(todo(next)).toEqual({ close: ["TOO"], open: ["SUB/Y"] });
  });
});

describe("rejudge", () => {
  const patched = { patched: true, held: false };
  const held = { patched: false, held: true };
  const neither = { patched: false, held: false };
  const passing = task("A", { stage: "cleared", judged: true });
  const approved = task("A", { stage: "cleared", passed: 1, answer: answer() });

  it("has a node that nobody approved looked at again, after a patch or under a new hold point", () => {
    for (const of of [patched, held]) {
      expect(rejudge(passing, of)).toMatchObject({ stage: "due" });
      expect(todo(planned([rejudge(passing, of)]))).toEqual({ judge: ["A"] });
    }
    expect(rejudge(passing, neither)).toBe(passing);
  });

  it("asks anew about one that was approved with another state, under a key that the old answer is none to", () => {
    const again = rejudge(approved, patched);
    expect(again).toMatchObject({ stage: "due", judged: true, asks: [{ key: "before:1", kind: "before" }] });
    expect(again).not.toHaveProperty("answer");
    expect(todo(planned([again], [row(approved, ask(), answer())]))).toMatchObject({ open: ["A"] });
    const twice = planned([again], [row(again, ask({ key: "before:1" }), answer())]);
    expect(tasksOf(twice)).toMatchObject([{ stage: "cleared", passed: 2 }]);
    expect(rejudge(approved, held)).toBe(approved);
  });

  it("leaves alone what has not been let pass, asks already, or is at work inside", () => {
    const asking = task("A", { stage: "cleared", asks: [ask()] });
    const inside = running("SUB", (owner) => [taskIn(owner, "X")]);
    for (const each of [task("A"), asking, done("A"), task("A", { stage: "after" }), inside])
      expect(rejudge(each, patched)).toBe(each);
  });
});

it("plan gives back the snapshot itself where no task has moved", () => {
  const given = snapshot([task("A", { stage: "cleared" }), done("B"), running("SUB", () => [])]);
  expect(plan(def, given, [], none, new Set()).snapshot).toBe(given);
});
