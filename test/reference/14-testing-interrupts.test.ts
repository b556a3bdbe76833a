import { END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { expect, it } from "vitest";
import { z } from "zod";
import { line } from "./helpers.js";

const config = { threadId: "test-interrupt" };

it("the page's test: interrupted with the node in the reason, then completed with messages", async () => {
  const app = line(
    { ANALYZE_REQUEST: () => "analysed", EXECUTE_ACTION: () => "executed", FINALIZE: () => "finalized" },
    { interruptBefore: ["EXECUTE_ACTION"] },
  );
  const result = await app.invoke({ messages: ["Execute sensitive action"] }, config);
  expect(result.interrupted).toBe(true);
  expect(result.interruptReason).toContain("EXECUTE_ACTION");

  const final = await app.invoke({ messages: ["APPROVED"] }, config);
  expect(final.interrupted).toBe(false);
  expect(final.messages.length).toBeGreaterThan(0);
});

it("a graph without a checkpointer keeps its paused threads in memory, and warns once", async () => {
  const warnings: unknown[][] = [];
  const warn = console.warn;
  console.warn = (...said: unknown[]) => void warnings.push(said);
  try {
    const app = new StateGraph()
      .addNode("A", () => "a")
      .addEdge(START, "A")
      .addEdge("A", END)
      .compile({ interruptBefore: ["A"] });
    expect((await app.invoke({}, config)).status).toBe("interrupted_before");
    expect((await app.invoke({}, config)).status).toBe("completed");
  } finally {
    console.warn = warn;
  }
  expect(warnings).toHaveLength(1);
  expect(String(warnings[0]?.[0])).toContain("without a checkpointer");
});

it("two graphs without a checkpointer share nothing", async () => {
  const make = () => line({ A: () => "a" }, { interruptBefore: ["A"] });
  const [one, two] = [make(), make()];
  await one.invoke({}, config);
  expect((await two.invoke({}, config)).status).toBe("interrupted_before");
  expect((await one.invoke({}, config)).status).toBe("completed");
  expect((await two.getState(config)).status).toBe("interrupted_before");
});

it("two unnamed graphs on one checkpointer never run each other's nodes", async () => {
  const checkpointer = new InMemoryCheckpointer();
  const make = (word: string) =>
    new StateGraph()
      .addNode("SAY", () => word)
      .addEdge(START, "SAY")
      .addEdge("SAY", END)
      .compile({ checkpointer });
  const [one, two] = [make("one"), make("two")];
  const said = async (app: typeof one, threadId: string) =>
    (await app.invoke({}, { threadId })).messages.map(({ content }) => content);
  expect(await said(one, "a")).toEqual(["one"]);
  expect(await said(two, "b")).toEqual(["two"]);
  expect(await said(one, "c")).toEqual(["one"]);
});

it("what a caller does to a result changes nothing of the thread", async () => {
  const app = line(
    { A: () => ({ log: ["one"], messages: ["m"] }), B: () => "b" },
    { interruptBefore: [{ node: "B", data: () => ({ list: [1] }) }] },
  );
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  const result: any = await app.invoke({ messages: ["go"] }, config);
  const before = structuredClone(await plain(app));
  for (const change of [
    () => result.state.log.push("two"),
    () => (result.state.amount = 9),
    () => result.messages.pop(),
    () => (result.messages[0].content = "changed"),
    () => result.interrupts[0].data.list.push(2),
    () => result.interrupts[0].decisions.push("respond"),
    () => (result.interrupts[0].status = "resolved"),
    () => result.interrupts.pop(),
    () => result.nextNodes.pop(),
  ]) {
    try {
      change();
    } catch (error) {
      expect(error).toBeInstanceOf(TypeError);
    }
  }
  expect(await plain(app)).toEqual(before);
});

it("what a caller does to a result does not change what other threads are offered", async () => {
  const app = line({ A: () => "a" }, { interruptBefore: ["A"] });
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  const result: any = await app.invoke({}, config);
  try {
    result.interrupts[0].decisions.push("vandalised");
  } catch (error) {
    expect(error).toBeInstanceOf(TypeError);
  }
  const other = await app.invoke({}, { threadId: "other" });
  expect(other.interrupts[0]?.decisions).toEqual(["approve", "edit", "deny"]);
});

async function plain(app: ReturnType<typeof line>): Promise<unknown> {
  const { state, messages, interrupts, nextNodes } = await app.getState(config);
  return JSON.parse(JSON.stringify({ state, messages, interrupts, nextNodes }));
}

it("a result of a completed run has all its fields, and its state is whole", async () => {
  const app = new StateGraph({ state: z.object({ a: z.number().default(1), b: z.string().optional() }) })
    .addNode("A", () => undefined)
    .addEdge(START, "A")
    .addEdge("A", END)
    .compile({ name: "whole" });
  const result = await app.invoke({}, config);
  expect(result).toEqual({
    threadId: "test-interrupt",
    runId: expect.any(String),
    graph: "whole",
    status: "completed",
    interrupted: false,
    interruptReason: null,
    interrupts: [],
    decision: null,
    currentNode: null,
    nextNodes: [],
    step: 1,
    messages: [],
    state: { a: 1, contextSummary: null },
    error: null,
    seq: expect.any(Number),
  });
});

it("many threads of one graph run side by side", async () => {
  const app = line({ A: (state) => ({ amount: state.amount + 1 }) }, { interruptAfter: ["A"] });
  const ids = Array.from({ length: 100 }, (_, i) => ({ threadId: `t${i}` }));
  const paused = await Promise.all(ids.map((each, i) => app.invoke({ amount: i }, each)));
  expect(paused.map(({ state }) => state.amount)).toEqual(ids.map((_, i) => i + 1));
  const ended = await Promise.all(ids.map((each) => app.resume({ decision: "approve" }, each)));
  expect(new Set(ended.map(({ status }) => status))).toEqual(new Set(["completed"]));
});
