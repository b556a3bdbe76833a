import { END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { expect, it, vi } from "vitest";
import { z } from "zod";

/** The page's first graph, which counts how often each node ran. */
function pageGraph() {
  const analyze = vi.fn(() => "analysed");
  const execute = vi.fn(() => "executed");
  const cleanup = vi.fn(() => "cleaned up");
  const graph = new StateGraph()
    .addNode("ANALYZE", analyze)
    .addNode("EXECUTE_TOOL", execute)
    .addNode("CLEANUP", cleanup)
    .addEdge(START, "ANALYZE")
    .addEdge("ANALYZE", "EXECUTE_TOOL")
    .addEdge("EXECUTE_TOOL", "CLEANUP")
    .addEdge("CLEANUP", END);
  return { graph, analyze, execute, cleanup };
}

it("interruptBefore pauses before the node has run", async () => {
  const { graph, analyze, execute } = pageGraph();
  const app = graph.compile({
    checkpointer: new InMemoryCheckpointer(),
    interruptBefore: ["EXECUTE_TOOL"],
  });
  const result = await app.invoke({ messages: ["go"] }, { threadId: "t" });

  expect(result).toMatchObject({
    status: "interrupted_before",
    interrupted: true,
    interruptReason: "interrupt_before: EXECUTE_TOOL",
    currentNode: "EXECUTE_TOOL",
    nextNodes: ["EXECUTE_TOOL"],
    step: 1,
  });
  expect(analyze).toHaveBeenCalledTimes(1);
  expect(execute).not.toHaveBeenCalled();
});

it("interruptAfter pauses when the node's output is committed, and names what the edges give", async () => {
  const { graph, execute } = pageGraph();
  const app = graph.compile({ checkpointer: new InMemoryCheckpointer(), interruptAfter: ["ANALYZE"] });
  const result = await app.invoke({ messages: ["go"] }, { threadId: "t" });

  expect(result).toMatchObject({
    status: "interrupted_after",
    interrupted: true,
    interruptReason: "interrupt_after: ANALYZE",
    currentNode: "ANALYZE",
    nextNodes: ["EXECUTE_TOOL"],
  });
  expect(result.messages.map(({ content }) => content)).toEqual(["go", "analysed"]);
  expect(execute).not.toHaveBeenCalled();
});

it("both kinds in one graph pause one after the other, and each node runs once", async () => {
  const { graph, analyze, execute, cleanup } = pageGraph();
  const app = graph.compile({
    checkpointer: new InMemoryCheckpointer(),
    interruptBefore: ["EXECUTE_TOOL"],
    interruptAfter: ["ANALYZE"],
  });
  const first = await app.invoke({}, { threadId: "t" });
  const second = await app.invoke({}, { threadId: "t" });
  const third = await app.invoke({}, { threadId: "t" });

  expect([first.status, second.status, third.status]).toEqual([
    "interrupted_after",
    "interrupted_before",
    "completed",
  ]);
  for (const node of [analyze, execute, cleanup]) expect(node).toHaveBeenCalledTimes(1);
});

it("a node held before and after is asked about twice and runs between", async () => {
  const { graph, execute } = pageGraph();
  const app = graph.compile({
    checkpointer: new InMemoryCheckpointer(),
    interruptBefore: ["EXECUTE_TOOL"],
    interruptAfter: ["EXECUTE_TOOL"],
  });
  const before = await app.invoke({}, { threadId: "t" });
  expect(before.status).toBe("interrupted_before");
  expect(execute).not.toHaveBeenCalled();
  const after = await app.invoke({}, { threadId: "t" });
  expect(after.status).toBe("interrupted_after");
  expect(execute).toHaveBeenCalledTimes(1);
  const end = await app.invoke({}, { threadId: "t" });
  expect(end.status).toBe("completed");
  expect(execute).toHaveBeenCalledTimes(1);
});

it("interruptAfter on the last node pauses, and the answer simply ends the run", async () => {
  const { graph, cleanup } = pageGraph();
  const app = graph.compile({ checkpointer: new InMemoryCheckpointer(), interruptAfter: ["CLEANUP"] });
  const paused = await app.invoke({}, { threadId: "t" });
  expect(paused).toMatchObject({ status: "interrupted_after", currentNode: "CLEANUP", nextNodes: [] });
  const result = await app.resume({ decision: "approve" }, { threadId: "t" });
  expect(result).toMatchObject({ status: "completed", interrupted: false, interrupts: [], nextNodes: [] });
  expect(cleanup).toHaveBeenCalledTimes(1);
});

it("a hold point in front of the first node pauses before anything has run", async () => {
  const { graph, analyze } = pageGraph();
  const app = graph.compile({ checkpointer: new InMemoryCheckpointer(), interruptBefore: ["ANALYZE"] });
  const result = await app.invoke({ messages: ["go"] }, { threadId: "t" });
  expect(result).toMatchObject({ status: "interrupted_before", currentNode: "ANALYZE", step: 0 });
  expect(result.messages.map(({ content }) => content)).toEqual(["go"]);
  expect(analyze).not.toHaveBeenCalled();
});

it("a loop pauses at each visit of a held node", async () => {
  const work = vi.fn((state: { rounds: number }) => ({ rounds: state.rounds + 1 }));
  const app = new StateGraph({ state: z.object({ rounds: z.number().default(0) }) })
    .addNode("WORK", work)
    .addEdge(START, "WORK")
    .addConditionalEdges("WORK", (state) => state.rounds < 3, { true: "WORK", false: END })
    .compile({ checkpointer: new InMemoryCheckpointer(), interruptBefore: ["WORK"] });

  const ids = new Set<string>();
  let result = await app.invoke({}, { threadId: "t" });
  for (let visit = 0; visit < 3; visit++) {
    expect(result.status).toBe("interrupted_before");
    expect(result.state.rounds).toBe(visit);
    expect(work).toHaveBeenCalledTimes(visit);
    ids.add(result.interrupts[0]?.id ?? "");
    result = await app.resume({ decision: "approve" }, { threadId: "t" });
  }
  expect(result).toMatchObject({ status: "completed", state: { rounds: 3 } });
  expect(ids.size).toBe(3);
});

it('"*" holds every node', async () => {
  const { graph } = pageGraph();
  const app = graph.compile({ checkpointer: new InMemoryCheckpointer(), interruptBefore: "*" });
  const held: (string | null)[] = [];
  let result = await app.invoke({}, { threadId: "t" });
  while (result.interrupted) {
    held.push(result.currentNode);
    result = await app.invoke({}, { threadId: "t" });
  }
  expect(held).toEqual(["ANALYZE", "EXECUTE_TOOL", "CLEANUP"]);
});

it("a node named twice holds once, by its object", async () => {
  const { graph, execute } = pageGraph();
  const app = graph.compile({
    checkpointer: new InMemoryCheckpointer(),
    interruptBefore: ["EXECUTE_TOOL", { node: "EXECUTE_TOOL", message: () => "Run it?" }, "EXECUTE_TOOL"],
  });
  const result = await app.invoke({}, { threadId: "t" });
  expect(result.interrupts).toHaveLength(1);
  expect(result.interrupts[0]).toMatchObject({ message: "Run it?", plain: false });
  const end = await app.resume({ decision: "approve" }, { threadId: "t" });
  expect(end.status).toBe("completed");
  expect(execute).toHaveBeenCalledTimes(1);
});

it("a hold point object asks in its own words, with its data, only when `when` says so", async () => {
  const pay = vi.fn(() => "paid");
  const app = new StateGraph({ state: z.object({ amount: z.number() }) })
    .addNode("PAY", pay)
    .addEdge(START, "PAY")
    .addEdge("PAY", END)
    .compile({
      checkpointer: new InMemoryCheckpointer(),
      interruptBefore: [
        {
          node: "PAY",
          when: (state) => state.amount > 1000,
          message: (state) => `Pay ${state.amount}?`,
          data: (state) => ({ amount: state.amount }),
        },
      ],
    });

  const small = await app.invoke({ amount: 10 }, { threadId: "small" });
  expect(small.status).toBe("completed");

  const large = await app.invoke({ amount: 5000 }, { threadId: "large" });
  expect(large.interrupts).toMatchObject([
    {
      kind: "before",
      node: "PAY",
      reason: "interrupt_before: PAY",
      message: "Pay 5000?",
      data: { amount: 5000 },
      decisions: ["approve", "edit", "deny"],
      status: "open",
    },
  ]);
  expect(pay).toHaveBeenCalledTimes(1);
});

it("`when` is asked once a visit: a patch that makes it false does not open the way", async () => {
  const pay = vi.fn(() => "paid");
  const when = vi.fn(({ amount }: { amount: number }) => amount > 1000);
  const app = new StateGraph({ state: z.object({ amount: z.number() }) })
    .addNode("PAY", pay)
    .addEdge(START, "PAY")
    .addEdge("PAY", END)
    .compile({ checkpointer: new InMemoryCheckpointer(), interruptBefore: [{ node: "PAY", when }] });
  await app.invoke({ amount: 5000 }, { threadId: "t" });
  await app.updateState({ amount: 1 }, { threadId: "t" });
  await app.stop({ threadId: "t" });
  const again = await app.resume({}, { threadId: "t" });
  expect(again.status).toBe("interrupted_before");
  expect(when).toHaveBeenCalledTimes(1);
  expect(pay).not.toHaveBeenCalled();
});

it("the words of an open interrupt follow a patch, so that nobody approves what is no longer true", async () => {
  const app = new StateGraph({ state: z.object({ amount: z.number() }) })
    .addNode("PAY", () => "paid")
    .addEdge(START, "PAY")
    .addEdge("PAY", END)
    .compile({
      checkpointer: new InMemoryCheckpointer(),
      interruptBefore: [{ node: "PAY", message: (state) => `Pay ${state.amount}?` }],
    });
  await app.invoke({ amount: 5000 }, { threadId: "t" });
  const view = await app.updateState({ amount: 9000 }, { threadId: "t" });
  expect(view.interrupts.map(({ message }) => message)).toEqual(["Pay 9000?"]);
});

it("a conditional edge at an after hold is evaluated when the hold is answered", async () => {
  const left = vi.fn(() => "left");
  const right = vi.fn(() => "right");
  const app = new StateGraph({ state: z.object({ way: z.enum(["left", "right"]).default("left") }) })
    .addNode("ASK", () => "asked")
    .addNode("LEFT", left)
    .addNode("RIGHT", right)
    .addEdge(START, "ASK")
    .addConditionalEdges("ASK", (state) => state.way, { left: "LEFT", right: "RIGHT" })
    .addEdge("LEFT", END)
    .addEdge("RIGHT", END)
    .compile({ checkpointer: new InMemoryCheckpointer(), interruptAfter: ["ASK"] });
  const paused = await app.invoke({}, { threadId: "t" });
  expect(paused.nextNodes).toEqual(["LEFT"]);
  await app.resume({ decision: "edit", state: { way: "right" } }, { threadId: "t" });
  expect(left).not.toHaveBeenCalled();
  expect(right).toHaveBeenCalledTimes(1);
});
