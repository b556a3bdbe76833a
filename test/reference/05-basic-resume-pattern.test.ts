import { END, InMemoryCheckpointer, Message, START, StateGraph } from "holdpoint";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { failure, latch } from "../support/latch.js";
import { line } from "./helpers.js";

const thread = { threadId: "session-123" };

it("the page's pattern: run, be paused, resume by invoke on the same thread", async () => {
  const execute = vi.fn(() => "processed");
  const app = line({ EXECUTE: execute }, { interruptBefore: ["EXECUTE"] });
  let result = await app.invoke({ messages: [Message.text("Process the transaction")] }, thread);
  expect(result.interrupted).toBe(true);
  expect(result.interruptReason).toBe("interrupt_before: EXECUTE");
  result = await app.invoke({ messages: [Message.text("Approved by human")] }, thread);
  expect(result).toMatchObject({ status: "completed", interrupted: false, interruptReason: null });
  expect(execute).toHaveBeenCalledTimes(1);
  expect((await app.getState(thread)).messages.map(({ content }) => content)).toEqual([
    "Process the transaction",
    "Approved by human",
    "processed",
  ]);
});

it("a resume with empty input just goes on", async () => {
  const app = line({ EXECUTE: () => "done" }, { interruptBefore: ["EXECUTE"] });
  await app.invoke({ messages: ["go"] }, thread);
  const byInvoke = await app.invoke({}, thread);
  expect(byInvoke.status).toBe("completed");
  expect(byInvoke.messages.map(({ content }) => content)).toEqual(["done"]);

  await app.invoke({}, { threadId: "other" });
  expect((await app.resume({}, { threadId: "other" })).status).toBe("completed");
});

it("another thread is another execution", async () => {
  const app = line({ EXECUTE: () => "done" }, { interruptBefore: ["EXECUTE"] });
  await app.invoke({}, thread);
  const other = await app.invoke({}, { threadId: "other" });
  expect(other.status).toBe("interrupted_before");
  expect((await app.getState(thread)).status).toBe("interrupted_before");
});

it("invoke without a thread id makes a thread of its own", async () => {
  const app = line({ EXECUTE: () => "done" });
  const [a, b] = [await app.invoke(), await app.invoke()];
  expect(a.threadId).not.toBe(b.threadId);
  expect((await app.getState({ threadId: a.threadId })).status).toBe("completed");
});

it("the same graph compiled again on the same checkpointer goes on: what was paused is not lost", async () => {
  const checkpointer = new InMemoryCheckpointer();
  const nodes = { PREPARE: () => ({ amount: 3 }), EXECUTE: () => "done" };
  await line(nodes, { checkpointer, interruptBefore: ["EXECUTE"] }).invoke({}, thread);
  const again = line(nodes, { checkpointer, interruptBefore: ["EXECUTE"] });
  expect(await again.invoke({}, thread)).toMatchObject({ status: "completed", state: { amount: 3 } });
});

it("a completed thread starts anew on its state, and is not resumable", async () => {
  const app = line({ COUNT: (state) => ({ amount: state.amount + 1 }) });
  await app.invoke({}, thread);
  expect((await app.invoke({}, thread)).state.amount).toBe(2);
  expect((await failure(app.resume({}, thread))).code).toBe("not_resumable");
});

it("a resume of a thread that nobody knows is not_found", async () => {
  const app = line({ WORK: () => "x" });
  expect((await failure(app.resume({}, { threadId: "nobody" }))).code).toBe("not_found");
});

it("a second run on a busy thread is refused, and so is a resume", async () => {
  const began = latch();
  const held = latch();
  const app = line({
    WORK: async () => {
      began.open();
      await held.opened;
    },
  });
  const running = app.invoke({}, thread);
  await began.opened;
  expect((await failure(app.invoke({}, thread))).code).toBe("thread_busy");
  expect((await failure(app.resume({}, thread))).code).toBe("thread_busy");
  expect((await failure(app.updateState({ amount: 1 }, thread))).code).toBe("thread_busy");
  held.open();
  expect((await running).status).toBe("completed");
});

it("of two answers at once exactly one wins, and the node runs once", async () => {
  const execute = vi.fn(() => "done");
  const app = line({ EXECUTE: execute }, { interruptBefore: ["EXECUTE"] });
  await app.invoke({}, thread);
  const answers = await Promise.allSettled([
    app.resume({ decision: "approve" }, { ...thread, by: "ann" }),
    app.resume({ decision: "deny" }, { ...thread, by: "bob" }),
  ]);
  expect(answers.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  expect(execute.mock.calls.length).toBeLessThanOrEqual(1);
  const lost = answers.find((each) => each.status === "rejected");
  expect(["already_decided", "thread_busy", "not_resumable"]).toContain(lost?.reason.code);
});

it("a repeated answer that names its interrupt gets the first outcome; another one says who decided what", async () => {
  const execute = vi.fn(() => "done");
  const app = line({ EXECUTE: execute }, { interruptBefore: ["EXECUTE"] });
  const { interrupts } = await app.invoke({}, thread);
  const interruptId = interrupts[0]?.id;
  const ann = { ...thread, by: "ann" };
  const first = await app.resume({ interruptId, decision: "approve" }, ann);
  const repeated = await app.resume({ interruptId, decision: "approve" }, ann);
  expect(repeated).toMatchObject({ runId: first.runId, status: "completed" });
  const other = await failure(app.resume({ interruptId, decision: "deny" }, { ...thread, by: "bob" }));
  expect(other.code).toBe("already_decided");
  expect(other.message).toContain("ann");
  expect(other.message).toContain("approve");
  expect(execute).toHaveBeenCalledTimes(1);
});

describe("per-run hold points", () => {
  const names = ["A", "B", "C"] as const;
  const abc = () => line(Object.fromEntries(names.map((name) => [name, () => name])));

  it("by name add to the compiled ones", async () => {
    const app = line(
      { A: () => "a", B: () => "b", C: () => "c" },
      {
        interruptBefore: ["B"],
      },
    );
    const held: unknown[] = [];
    let result = await app.invoke({}, { ...thread, interruptBefore: ["C"], interruptAfter: ["A"] });
    while (result.interrupted) {
      held.push([result.status, result.currentNode]);
      result = await app.invoke({}, thread);
    }
    expect(held).toEqual([
      ["interrupted_after", "A"],
      ["interrupted_before", "B"],
      ["interrupted_before", "C"],
    ]);
  });

  it('"*" holds every node, and stays over each resume', async () => {
    const app = abc();
    const held: unknown[] = [];
    let result = await app.invoke({}, { ...thread, interruptBefore: "*" });
    while (result.interrupted) {
      held.push(result.currentNode);
      result = await app.resume({ decision: "approve" }, thread);
    }
    expect(held).toEqual(["A", "B", "C"]);
  });

  it("a resume may add one, and never loses one", async () => {
    const app = abc();
    await app.invoke({}, { ...thread, interruptBefore: ["A", "B"] });
    const atB = await app.resume({}, { ...thread, interruptBefore: ["C"] });
    expect(atB.currentNode).toBe("B");
    const atC = await app.resume({}, thread);
    expect(atC.currentNode).toBe("C");
    expect((await app.resume({}, thread)).status).toBe("completed");
  });

  it("stay over a stop", async () => {
    const app = abc();
    await app.invoke({}, { ...thread, interruptBefore: ["A", "C"] });
    await app.stop(thread);
    expect((await app.resume({}, thread)).currentNode).toBe("A");
    expect((await app.resume({}, thread)).currentNode).toBe("C");
  });

  it("are gone in a fresh run", async () => {
    const app = abc();
    await app.invoke({}, { ...thread, interruptBefore: ["A"] });
    await app.invoke({}, thread);
    expect((await app.invoke({}, thread)).status).toBe("completed");
  });

  it("of an unknown name are refused with the nearest one", async () => {
    const app = line({ EXECUTE: () => "x" });
    const error = await failure(app.invoke({}, { ...thread, interruptBefore: ["EXCUTE"] }));
    expect(error.code).toBe("validation_failed");
    expect(error.message).toContain('did you mean "EXECUTE"');
  });
});

it("a loop's approvals are not carried over: each visit needs its own", async () => {
  const app = new StateGraph({ state: z.object({ n: z.number().default(0) }) })
    .addNode("WORK", ({ n }) => ({ n: n + 1 }))
    .addEdge(START, "WORK")
    .addConditionalEdges("WORK", ({ n }) => (n < 2 ? "WORK" : END), ["WORK", END])
    .compile({ interruptBefore: ["WORK"] });
  const first = await app.invoke({}, thread);
  await app.resume({ decision: "approve" }, thread);
  const stale = await failure(app.resume({ interruptId: first.interrupts[0]?.id, decision: "deny" }, thread));
  expect(stale.code).toBe("already_decided");
  expect((await app.getState(thread)).status).toBe("interrupted_before");
});

it("a thread that waits at a node which the graph no longer has is graph_changed, and stays as it is", async () => {
  const checkpointer = new InMemoryCheckpointer();
  await line({ A: () => "a", OLD: () => "old" }, { checkpointer, interruptBefore: ["OLD"] }).invoke(
    {},
    thread,
  );
  const changed = line({ A: () => "a", NEW: () => "new" }, { checkpointer, interruptBefore: ["NEW"] });
  const error = await failure(changed.resume({ decision: "approve" }, thread));
  expect(error.code).toBe("graph_changed");
  expect(error.message).toContain("OLD");
  expect((await changed.getState(thread)).interrupts).toHaveLength(1);
});

it("what was held stays held, also where the graph no longer declares the hold point", async () => {
  const checkpointer = new InMemoryCheckpointer();
  const execute = vi.fn(() => "x");
  await line({ EXECUTE: execute }, { checkpointer, interruptBefore: ["EXECUTE"] }).invoke({}, thread);
  const without = line({ EXECUTE: execute }, { checkpointer });
  await without.stop(thread);
  expect((await without.resume({}, thread)).status).toBe("interrupted_before");
  expect(execute).not.toHaveBeenCalled();
});
