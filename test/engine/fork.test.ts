import { describe, expect, it } from "vitest";
import { bornIn, closeStep, dueTask, forkPosition, NO_HOLDS, OFFERED, plan } from "../../src/engine/index.js";
import type { Answer, Ask, GraphDefinition, Snapshot, Task } from "../../src/engine/index.js";

const task = (of: Partial<Task> = {}): Task => ({ ...dueTask(bornIn("r"), 0, 0, of.node ?? "N"), ...of });
const ask = (of: Partial<Ask> = {}): Ask => ({
  key: "before",
  kind: "before",
  pauses: "before",
  reason: "why",
  message: "?",
  data: null,
  responseSchema: null,
  decisions: OFFERED.before,
  named: false,
  plain: true,
  ...of,
});
const answer = (of: Partial<Answer> = {}): Answer => ({
  interruptId: "i",
  decision: "approve",
  reason: null,
  data: null,
  state: null,
  messages: [],
  by: "ann",
  at: "2026-01-01T00:00:00.000Z",
  ...of,
});
const denial = answer({ decision: "deny" });
const before = ask();
const after = ask({ key: "after", kind: "after", pauses: "after" });
const crash = ask({ key: "crash:1", kind: "crash" });
const question = ask({ key: "#0", kind: "request" });
const paused = ask({ key: "#0", kind: "manual" });
const reviewed = ask({ key: "#0", kind: "manual", pauses: "after" });
const result = { updates: [{ n: 1 }], messages: [] };

const fork = (...tasks: Task[]): readonly Task[] => forkPosition({ tasks, holds: NO_HOLDS }).tasks;

describe("a fork keeps", () => {
  it.each<[string, Partial<Task>]>([
    ["a task that is next", {}],
    ["what a Send gave, and the attempts", { stage: "cleared", sent: { value: 1 }, attempts: 2 }],
    ["a hold point that waits", { asks: [before], judged: true }],
    ["a hold point that waits behind a denial's way", { asks: [before], judged: true, answer: denial }],
    ["questions of a node that had no answer yet", { stage: "cleared", asks: [question], attempts: 1 }],
    ["a lost attempt's question", { stage: "cleared", asks: [crash], attempts: 1 }],
    ["a result", { stage: "done", result, attempts: 1 }],
    ["a result whose node will ask for it", { stage: "done", result, asks: [reviewed], attempts: 1 }],
    ["a hold point behind a node", { stage: "after", closed: true, asks: [after], judged: true }],
    [
      "the end of a nested graph that was denied inside",
      { stage: "done", result, denied: denial, deniedInside: true },
    ],
    ["the same when its step is closed", { stage: "route", denied: denial, deniedInside: true }],
    ["a way that waits for its edges", { stage: "route", closed: true }],
  ])("%s", (_what, of) => {
    expect(fork(task(of))).toEqual([task(of)]);
  });

  it("the hold points of the run", () => {
    const holds = { before: "*" as const, after: ["N"] };
    expect(forkPosition({ tasks: [], holds })).toEqual({ tasks: [], holds });
  });

  it("nothing of deltas that its readers have not seen", () => {
    expect(fork(task({ stage: "cleared", streamed: true, attempts: 1 }))).toEqual([
      task({ stage: "cleared", attempts: 1 }),
    ]);
  });
});

describe("a fork asks again", () => {
  const held = { stage: "due", judged: true, asks: [before] } as const;

  it.each<[string, Partial<Task>, Partial<Task>]>([
    [
      "a hold point that was approved",
      { stage: "cleared", passed: 1, answer: answer(), decided: [before] },
      held,
    ],
    [
      "the same, of a node with questions open",
      { stage: "cleared", passed: 1, decided: [before], asks: [question] },
      held,
    ],
    [
      "one that was asked twice, once",
      { stage: "cleared", passed: 2, decided: [{ ...before, key: "before:1" }] },
      { ...held, asks: [{ ...before, key: "before:1" }] },
    ],
    [
      "one that waits again after a patch, once",
      { decided: [before], judged: true, asks: [{ ...before, key: "before:1" }] },
      { ...held, asks: [{ ...before, key: "before:1" }] },
    ],
    ["one that was denied", { stage: "done", denied: denial, decided: [before] }, held],
    ["one that was denied beside a closed step", { stage: "route", denied: denial, decided: [before] }, held],
    [
      "all questions of a node that had answers",
      { stage: "cleared", answered: true, answer: answer(), asks: [question] },
      { stage: "cleared" },
    ],
    [
      "a question that was denied",
      { stage: "done", denied: denial, deniedInside: true, answered: true },
      { stage: "cleared" },
    ],
    [
      "the hold point before it as well",
      { stage: "done", denied: denial, deniedInside: true, answered: true, decided: [before] },
      held,
    ],
    [
      "a lost attempt that was approved",
      { stage: "cleared", answer: answer(), decided: [crash], attempts: 1 },
      { stage: "cleared", asks: [crash], attempts: 1 },
    ],
    [
      "a hold point and a lost attempt",
      { stage: "cleared", decided: [before], asks: [crash], attempts: 1 },
      { ...held, asks: [before, crash], attempts: 1 },
    ],
    [
      "a hold point behind a node that was passed",
      { stage: "route", closed: true, decided: [after] },
      { stage: "after", closed: true, judged: true, asks: [after] },
    ],
    [
      "one that was denied there",
      { stage: "route", closed: true, denied: denial, decided: [reviewed, after], deniedInside: true },
      { stage: "after", closed: true, judged: true, asks: [reviewed, after] },
    ],
  ])("%s", (_what, of, then) => {
    expect(fork(task(of))).toEqual([task(then)]);
  });

  it("with the denial that led there, not with the answer that came after it", () => {
    const own = { stage: "cleared", answer: answer({ interruptId: "own" }), decided: [before] } as const;
    expect(fork(task({ ...own, cameBy: denial }))).toEqual([task({ ...held, answer: denial })]);
    expect(fork(task(own))[0]).not.toHaveProperty("answer");
  });

  it("inside a nested graph, behind the hold point of the graph itself", () => {
    const inside = task({ id: "r/0/0/SUB/1/0/N", stage: "cleared", decided: [before], passed: 1 });
    const inner = { values: {}, messages: [], updates: [], tasks: [inside] };
    const [free] = fork(task({ node: "SUB", stage: "cleared", inner, attempts: 1 }));
    expect(free).toMatchObject({ stage: "cleared", inner: { tasks: [held] } });
    const [gated] = fork(task({ node: "SUB", stage: "cleared", inner, passed: 1, decided: [before] }));
    expect(gated).toMatchObject({ ...held, inner: { tasks: [held] } });
  });
});

/** Two nodes that do nothing, and a graph of one. */
function definition(): GraphDefinition {
  const nodes = (names: readonly string[]): GraphDefinition["nodes"] =>
    new Map(names.map((name) => [name, { kind: "function", name, run: () => undefined, options: {} }]));
  const rest = {
    edges: new Map(),
    before: new Map(),
    after: new Map(),
    publishers: [],
    state: {
      fields: ["n"],
      reducers: new Map(),
      check: () => ({ ok: true as const, value: 0 }),
      defaults: () => ({ n: 0 }),
      missing: () => [],
      jsonSchema: {},
    },
  };
  const inner: GraphDefinition = { name: "inner", nodes: nodes(["IN"]), ...rest };
  const sub = { kind: "graph" as const, name: "SUB", graph: inner, options: {} };
  return { name: "g", ...rest, nodes: new Map([...nodes(["A", "B"]), ["SUB", sub]]) };
}
const at = (...tasks: Task[]): Snapshot => ({
  step: 1,
  values: { n: 0 },
  messages: [],
  position: { tasks, holds: NO_HOLDS },
});
const none = new Map<string, never>();

describe("the plan of a fork", () => {
  it("keeps a nested graph waiting for its hold point, asks and nodes inside included", () => {
    const asking = task({ id: "x/1/0/IN", node: "IN", asks: [before], judged: true });
    for (const inside of [asking, task({ id: "x/1/0/IN", node: "IN", stage: "cleared" })]) {
      const inner = { values: {}, messages: [], updates: [], tasks: [inside] };
      const owner = task({ id: "x", node: "SUB", judged: true, asks: [before], inner });
      const { open, execute, judge, snapshot } = plan(
        definition(),
        at(owner),
        [],
        new Map([["due:x", before]]),
        none,
      );
      expect(open.map((each) => each.task.node)).toEqual(["SUB"]);
      expect([...execute, ...judge]).toEqual([]);
      expect(snapshot.position.tasks).toMatchObject([{ inner: { tasks: [{ stage: inside.stage }] } }]);
    }
  });

  it("closes the step of a task that comes behind its siblings over its own result alone", () => {
    const waiting = task({ id: "a", node: "A", stage: "after", closed: true, judged: true, asks: [after] });
    const late = task({ id: "b", node: "B", stage: "done", result: { updates: [{ n: 5 }], messages: [] } });
    const given = at(waiting, late);
    const { close, route } = plan(definition(), given, [], none, none);
    expect([close.length, route.length]).toEqual([1, 0]);
    const closed = closeStep(definition(), given, null);
    expect(closed.tasks.map(({ id }) => id)).toEqual(["b"]);
    expect(closed.snapshot).toMatchObject({ step: 2, values: { n: 5 } });
    expect(closed.snapshot.position.tasks).toMatchObject([
      { id: "a", stage: "after", asks: [after] },
      { id: "b", stage: "after", closed: true },
    ]);
    const through = plan(definition(), closed.snapshot, [], none, none);
    expect(through.close).toEqual([]);
  });

  it("does not close a step in which a task is still to run", () => {
    const given = at(
      task({ id: "a", node: "A", stage: "after", closed: true, judged: true, asks: [after] }),
      task({ id: "b", node: "B", stage: "cleared" }),
    );
    expect(plan(definition(), given, [], none, none)).toMatchObject({
      close: [],
      route: [],
      execute: [{ task: { id: "b" } }],
    });
  });
});

describe("what a fork needs is kept when an answer is taken", () => {
  const rowOf = (of: Task, asked: Ask, decision: Answer) => ({
    ...asked,
    id: "i",
    taskId: of.id,
    threadId: "t",
    runId: "r",
    graph: "g",
    node: of.node,
    path: of.path,
    status: "resolved" as const,
    seq: 1,
    createdAt: decision.at,
    expiresAt: null,
    decidedAt: decision.at,
    decision,
    resumedBy: null,
  });
  const settled = (of: Partial<Task>, asked: Ask, decision: Answer): Task | undefined => {
    const given = task({ id: "a", node: "A", asks: [asked], judged: true, ...of });
    const verdicts = new Map([[`${given.stage}:a`, asked]]);
    return plan(definition(), at(given), [rowOf(given, asked, decision)], verdicts, none).snapshot.position
      .tasks[0];
  };

  it.each<[string, Ask, Partial<Task>, Answer]>([
    ["approved hold point", before, {}, answer()],
    ["denied hold point", before, {}, denial],
    ["approved lost attempt", crash, { stage: "cleared", judged: undefined }, answer()],
    ["hold point behind a node", after, { stage: "after", closed: true }, answer()],
    ["review that a node asked for", reviewed, { stage: "after", closed: true }, denial],
  ])("of an %s, the question", (_what, asked, of, decision) => {
    expect(settled(of, asked, decision)).toMatchObject({ decided: [asked] });
  });

  it.each([question, paused])("of what a node asks, that it had an answer: $kind", (asked) => {
    for (const decision of [answer(), denial]) {
      const after = settled({ stage: "cleared", judged: undefined }, asked, decision);
      expect(after).toMatchObject({ answered: true });
      expect(after).not.toHaveProperty("decided");
    }
  });

  it("of a node on a denial's way, the denial", () => {
    const passed = settled({ answer: denial }, before, answer({ interruptId: "own" }));
    expect(passed).toMatchObject({ cameBy: denial, answer: { interruptId: "own" } });
    const again = settled({ ...passed, stage: "cleared", asks: [crash], judged: undefined }, crash, answer());
    expect(again).toMatchObject({ cameBy: denial, decided: [before, crash] });
  });
});
