import { expect, it, vi } from "vitest";
import { line } from "./helpers.js";

const thread = { threadId: "debug-session" };

function debugAgent() {
  const runs = { PREPROCESS: vi.fn(), MODEL_INFERENCE: vi.fn(), POSTPROCESS: vi.fn() };
  const app = line(
    {
      PREPROCESS: (state) => {
        runs.PREPROCESS();
        return { amount: state.amount * 2, log: ["preprocessed"] };
      },
      MODEL_INFERENCE: (state) => {
        runs.MODEL_INFERENCE();
        return { amount: state.amount + 1, messages: ["the model's answer"] };
      },
      POSTPROCESS: () => void runs.POSTPROCESS(),
    },
    { interruptAfter: ["PREPROCESS", "MODEL_INFERENCE"] },
  );
  return { app, runs };
}

it("the page's loop inspects after each named node and ends: each node runs once", async () => {
  const { app, runs } = debugAgent();
  const inspected: unknown[] = [];
  let result = await app.invoke({ amount: 10 }, thread);
  while (result.interrupted) {
    inspected.push([result.currentNode, result.nextNodes, result.state.amount, result.step]);
    result = await app.invoke({}, thread);
  }
  expect(inspected).toEqual([
    ["PREPROCESS", ["MODEL_INFERENCE"], 20, 1],
    ["MODEL_INFERENCE", ["POSTPROCESS"], 21, 2],
  ]);
  expect(result).toMatchObject({ status: "completed", step: 3, state: { amount: 21 } });
  for (const run of Object.values(runs)) expect(run).toHaveBeenCalledTimes(1);
});

it("what is inspected by getState is what the result said", async () => {
  const { app } = debugAgent();
  const result = await app.invoke({ amount: 10 }, thread);
  const state = await app.getState(thread);
  expect(state.state).toEqual(result.state);
  expect(state.nextNodes).toEqual(result.nextNodes);
  expect(state.interrupts).toEqual(result.interrupts);
  expect(state.executionMeta).toMatchObject({
    status: "interrupted_after",
    currentNode: "PREPROCESS",
    interruptedNode: "PREPROCESS",
    interruptReason: "interrupt_after: PREPROCESS",
  });
  expect(state.seq).toBe(result.seq);
});

it("what was inspected can be changed before it goes on", async () => {
  const { app } = debugAgent();
  await app.invoke({ amount: 10 }, thread);
  const result = await app.resume({ decision: "edit", state: { amount: 100, log: [] } }, thread);
  expect(result).toMatchObject({ status: "interrupted_after", state: { amount: 101, log: [] } });
});

it("an earlier checkpoint can still be read when the thread has gone on", async () => {
  const { app } = debugAgent();
  await app.invoke({ amount: 10 }, thread);
  const { checkpointId } = await app.getState(thread);
  await app.invoke({}, thread);
  await app.invoke({}, thread);
  const then = await app.getState({ ...thread, checkpointId: checkpointId ?? "" });
  expect(then).toMatchObject({
    status: "interrupted_after",
    state: { amount: 20 },
    nextNodes: ["MODEL_INFERENCE"],
    messages: [],
  });
});

it("single stepping with the run's own hold points walks the graph node by node", async () => {
  const { app } = debugAgent();
  const walked: unknown[] = [];
  let result = await app.invoke({}, { ...thread, interruptBefore: "*", interruptAfter: "*" });
  while (result.interrupted) {
    walked.push(`${result.status.slice("interrupted_".length)} ${result.currentNode ?? ""}`);
    result = await app.invoke({}, thread);
  }
  expect(walked).toEqual([
    "before PREPROCESS",
    "after PREPROCESS",
    "before MODEL_INFERENCE",
    "after MODEL_INFERENCE",
    "before POSTPROCESS",
    "after POSTPROCESS",
  ]);
});

it("the messages of a result are those that this run added, its input first", async () => {
  const { app } = debugAgent();
  const first = await app.invoke({ messages: ["one"] }, thread);
  const second = await app.invoke({ messages: ["two"] }, thread);
  expect(first.messages.map(({ content }) => content)).toEqual(["one"]);
  expect(second.messages.map(({ content }) => content)).toEqual(["two", "the model's answer"]);
});
