import { ExecutionStatus, END, START, StateGraph, type Answer } from "holdpoint";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { line, type Node } from "./helpers.js";

const thread = { threadId: "t" };

describe("setInterrupt with INTERRUPTED_BEFORE", () => {
  function approval() {
    const answers: (Answer | undefined)[] = [];
    const node: Node = (state, ctx) => {
      answers.push(ctx.answer);
      state.setInterrupt({
        node: "approval_node",
        reason: "Requires human approval for high-value transaction",
        status: ExecutionStatus.INTERRUPTED_BEFORE,
        data: { transaction_amount: 10000, requires_approval: true },
      });
      return { amount: state.amount + 1, messages: ["from the node"] };
    };
    const next = vi.fn(() => "next");
    return { app: line({ approval_node: node, NEXT: next }), answers, next };
  }

  it("pauses, drops the output of this attempt, and shows reason and data", async () => {
    const { app, next } = approval();
    const result = await app.invoke({ messages: ["go"] }, thread);
    expect(result).toMatchObject({
      status: "interrupted_before",
      interruptReason: "Requires human approval for high-value transaction",
      currentNode: "approval_node",
      nextNodes: ["approval_node"],
      state: { amount: 0 },
      step: 0,
    });
    expect(result.interrupts).toMatchObject([
      { kind: "manual", data: { transaction_amount: 10000, requires_approval: true }, plain: true },
    ]);
    expect(result.messages.map(({ content }) => content)).toEqual(["go"]);
    expect(next).not.toHaveBeenCalled();
  });

  it("does not pause again once it is answered, and the node gets the answer", async () => {
    const { app, answers, next } = approval();
    await app.invoke({}, thread);
    const result = await app.resume(
      { decision: "approve", data: { by_phone: true }, reason: "called them" },
      { ...thread, by: "ann" },
    );
    expect(result).toMatchObject({ status: "completed", state: { amount: 1 } });
    expect(answers).toHaveLength(2);
    expect(answers[0]).toBeUndefined();
    expect(answers[1]).toMatchObject({
      decision: "approve",
      data: { by_phone: true },
      reason: "called them",
      by: "ann",
    });
    expect(next).toHaveBeenCalledTimes(1);
  });

  it("takes invoke as go on", async () => {
    const { app, answers } = approval();
    await app.invoke({}, thread);
    const result = await app.invoke({ messages: ["Approved by human"] }, thread);
    expect(result.status).toBe("completed");
    expect(answers[1]).toMatchObject({ decision: null });
  });

  it("a denial ends the branch: the node does not run again", async () => {
    const { app, answers, next } = approval();
    await app.invoke({}, thread);
    const result = await app.resume({ decision: "deny" }, thread);
    expect(result).toMatchObject({ status: "completed", decision: { decision: "deny" } });
    expect(answers).toHaveLength(1);
    expect(next).not.toHaveBeenCalled();
  });

  it("an edit patches the state that the node sees when it runs again", async () => {
    const { app } = approval();
    await app.invoke({ amount: 10 }, thread);
    const result = await app.resume({ decision: "edit", state: { amount: 41 } }, thread);
    expect(result.state.amount).toBe(42);
  });
});

describe("setInterrupt with INTERRUPTED_AFTER", () => {
  function review() {
    const node = vi.fn<Node>((state) => {
      state.setInterrupt({ reason: "look at it", status: ExecutionStatus.INTERRUPTED_AFTER });
      return { amount: state.amount + 1, messages: ["made"] };
    });
    const answers: (Answer | undefined)[] = [];
    const next = vi.fn<Node>((_state, ctx) => void answers.push(ctx.answer));
    return { app: line({ MAKE: node, NEXT: next }), node, next };
  }

  it("pauses with the output committed, and once answered the successors run", async () => {
    const { app, node, next } = review();
    const paused = await app.invoke({}, thread);
    expect(paused).toMatchObject({
      status: "interrupted_after",
      interruptReason: "look at it",
      currentNode: "MAKE",
      nextNodes: ["NEXT"],
      state: { amount: 1 },
    });
    expect(paused.messages.map(({ content }) => content)).toEqual(["made"]);
    const result = await app.resume({ decision: "approve" }, thread);
    expect(result).toMatchObject({ status: "completed", state: { amount: 1 } });
    expect(node).toHaveBeenCalledTimes(1);
    expect(next).toHaveBeenCalledTimes(1);
  });

  it("a denial keeps the output and runs no successor", async () => {
    const { app, node, next } = review();
    await app.invoke({}, thread);
    const result = await app.resume({ decision: "deny" }, thread);
    expect(result).toMatchObject({ status: "completed", state: { amount: 1 } });
    expect(node).toHaveBeenCalledTimes(1);
    expect(next).not.toHaveBeenCalled();
  });
});

it("a loop that calls setInterrupt is asked at each visit", async () => {
  const work = vi.fn<Node>((state) => {
    state.setInterrupt({ reason: `round ${state.amount}`, status: "interrupted_before" });
    return { amount: state.amount + 1 };
  });
  const app = new StateGraph({ state: z.object({ amount: z.number().default(0) }) })
    .addNode("WORK", work as never)
    .addEdge(START, "WORK")
    .addConditionalEdges("WORK", ({ amount }) => (amount < 2 ? "WORK" : END))
    .compile();
  const first = await app.invoke({}, thread);
  const second = await app.invoke({}, thread);
  const third = await app.invoke({}, thread);
  expect([first, second, third].map(({ interruptReason }) => interruptReason)).toEqual([
    "round 0",
    "round 1",
    null,
  ]);
  expect(third).toMatchObject({ status: "completed", state: { amount: 2 } });
});

it("another name in `node` moves nothing: the node that calls it pauses", async () => {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const app = line({
    A: (state) => state.setInterrupt({ node: "B", reason: "wait", status: "interrupted_before" }),
    B: () => "b",
  });
  const result = await app.invoke({}, thread);
  expect(result.currentNode).toBe("A");
  expect(warn.mock.calls.flat().map(String).join(" ")).toContain("moves nothing");
  warn.mockRestore();
});
