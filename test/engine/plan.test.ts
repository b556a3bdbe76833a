import { describe, expect, it } from "vitest";
import { needVerdicts, plan } from "../../src/engine/plan.js";
import type { Ask, Task } from "../../src/engine/index.js";
import { answer, ask, row, snapshot, task } from "./helpers.js";

const none = new Map<string, Ask | null>();
const verdict = (of: Task, held: Ask | null): Map<string, Ask | null> => new Map([[of.id, held]]);

describe("a task that is due", () => {
  it("is looked at before anything is decided, once", () => {
    const due = task("A");
    expect(needVerdicts(snapshot([due]), [])).toEqual([due]);
    expect(plan(snapshot([due]), [], none).kind).toBe("again");
    expect(needVerdicts(snapshot([task("A", { judged: true })]), [])).toEqual([]);
  });

  it("runs where nothing holds it", () => {
    const next = plan(snapshot([task("A")]), [], verdict(task("A"), null));
    expect(next).toMatchObject({ kind: "execute", tasks: [{ node: "A", stage: "cleared" }] });
  });

  it("pauses where it is held, and keeps what it asks", () => {
    const next = plan(snapshot([task("A")]), [], verdict(task("A"), ask()));
    expect(next).toMatchObject({
      kind: "pause",
      status: "interrupted_before",
      open: [{ task: { node: "A" }, ask: { key: "before" } }],
    });
    expect(next.snapshot.position.tasks).toMatchObject([
      { stage: "due", judged: true, asks: [{ key: "before" }] },
    ]);
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
      expect(plan(snapshot([held]), rows, verdict(held, ask())).kind).toBe("pause");
    }
  });

  it.each([["approve"], ["edit"], [null]] as const)(
    "passes by %s, and its node gets the answer",
    (decision) => {
      const held = task("A", { judged: true, asks: [ask()] });
      const given = answer({ decision });
      const next = plan(snapshot([held]), [row(held, ask(), given)], none);
      expect(next).toMatchObject({ kind: "execute", tasks: [{ stage: "cleared", answer: given }] });
      expect(next.snapshot.position.tasks[0]).not.toHaveProperty("asks");
    },
  );

  it("that was denied does not run: its way is asked for", () => {
    const held = task("A", { judged: true, asks: [ask()] });
    const given = answer({ decision: "deny" });
    const next = plan(snapshot([held]), [row(held, ask(), given)], none);
    expect(next).toMatchObject({ kind: "route", tasks: [{ stage: "route", denied: given }] });
  });

  it("takes new words for what is asked again, and stays held though its verdict is null now", () => {
    const held = task("A", { judged: true, asks: [ask({ message: "old" })] });
    expect(needVerdicts(snapshot([held]), [])).toEqual([held]);
    const renewed = plan(snapshot([held]), [], verdict(held, ask({ message: "new" })));
    expect(renewed).toMatchObject({ kind: "pause", open: [{ ask: { message: "new" } }] });
    expect(plan(snapshot([held]), [], verdict(held, null)).kind).toBe("pause");
  });
});

describe("a task whose node asks", () => {
  const question = ask({ key: "#0", kind: "request", plain: false });
  const second = ask({ key: "#1", kind: "request", plain: false });

  it("waits until all its questions are answered, those that are open only", () => {
    const asking = task("A", { stage: "cleared", asks: [question, second] });
    const next = plan(snapshot([asking]), [row(asking, question, answer())], none);
    expect(next).toMatchObject({ kind: "pause", open: [{ ask: { key: "#1" } }] });
    expect(next.kind === "pause" ? next.open : []).toHaveLength(1);
  });

  it("runs again with the last answer, marked as one that was answered inside", () => {
    const asking = task("A", { stage: "cleared", asks: [question, second] });
    const rows = [row(asking, question, answer({ data: 1 })), row(asking, second, answer({ data: 2 }))];
    expect(plan(snapshot([asking]), rows, none)).toMatchObject({
      kind: "execute",
      tasks: [{ answered: true, answer: { data: 2 } }],
    });
  });

  it("runs again when a question was denied, for its node to judge; a denied setInterrupt does not", () => {
    const asking = task("A", { stage: "cleared", asks: [question] });
    const denied = answer({ decision: "deny" });
    expect(plan(snapshot([asking]), [row(asking, question, denied)], none).kind).toBe("execute");
    const manual = ask({ key: "#0", kind: "manual" });
    const paused = task("A", { stage: "cleared", asks: [manual] });
    expect(plan(snapshot([paused]), [row(paused, manual, denied)], none)).toMatchObject({
      kind: "route",
      tasks: [{ denied }],
    });
  });
});

describe("a task behind its node", () => {
  const after = ask({ key: "after", kind: "after", pauses: "after" });

  it("pauses after where it is held, and its way is asked for when it is answered", () => {
    const done = task("A", { stage: "after", closed: true });
    expect(plan(snapshot([done]), [], verdict(done, after))).toMatchObject({
      kind: "pause",
      status: "interrupted_after",
    });
    const held = task("A", { stage: "after", closed: true, judged: true, asks: [after] });
    expect(plan(snapshot([held]), [row(held, after, answer())], none)).toMatchObject({
      kind: "route",
      tasks: [{ stage: "route" }],
    });
  });

  it("is routed where nothing holds it", () => {
    const done = task("A", { stage: "after", closed: true });
    expect(plan(snapshot([done]), [], verdict(done, null)).kind).toBe("route");
  });
});

describe("a lost attempt", () => {
  const crash = ask({ key: "crash:1", kind: "crash", plain: false });

  it.each([
    ["approve", "execute", "cleared"],
    ["deny", "route", "route"],
  ] as const)("answered by %s goes on by %s", (decision, kind, stage) => {
    const held = task("A", { stage: "cleared", asks: [crash] });
    const next = plan(snapshot([held]), [row(held, crash, answer({ decision }))], none);
    expect(next).toMatchObject({ kind, tasks: [{ stage }] });
    expect(next.snapshot.position.tasks[0]).not.toHaveProperty("asks");
  });

  it("answered by edit has acted: it does not run, and a hold point behind it is still looked at", () => {
    const held = task("A", { stage: "cleared", asks: [crash] });
    const rows = [row(held, crash, answer({ decision: "edit" }))];
    const next = plan(snapshot([held]), rows, none);
    expect(next.kind).not.toBe("execute");
    expect(next.snapshot.position.tasks[0]).toMatchObject({ stage: "after" });
    expect(needVerdicts(next.snapshot, rows)).toHaveLength(1);
    expect(plan(next.snapshot, rows, verdict(held, null)).kind).toBe("route");
  });
});

it("nothing left to do is the end", () => {
  expect(plan(snapshot([]), [], none).kind).toBe("end");
});

it("what can run runs before a pause shows; of several pauses one before makes the status", () => {
  const [a, b, c] = [
    task("A", { id: "a", judged: true, asks: [ask()] }),
    task("B", { id: "b", stage: "cleared" }),
    task("C", { id: "c", stage: "after", judged: true, asks: [ask({ key: "after", pauses: "after" })] }),
  ];
  expect(plan(snapshot([a, b, c]), [], none)).toMatchObject({ kind: "execute", tasks: [{ node: "B" }] });
  const paused = plan(snapshot([c, a]), [], none);
  expect(paused).toMatchObject({ kind: "pause", status: "interrupted_before" });
  expect(paused.kind === "pause" ? paused.open.map(({ task: { node } }) => node) : []).toEqual(["C", "A"]);
});

it("plan changes nothing of what it is given", () => {
  const given = snapshot([task("A", { judged: true, asks: [ask()] }), task("B", { id: "b" })]);
  const before = structuredClone(given);
  plan(given, [], none);
  plan(
    given,
    given.position.tasks.map((each) => row(each, ask(), answer())),
    none,
  );
  expect(given).toEqual(before);
});
