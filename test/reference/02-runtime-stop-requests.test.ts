import { END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { describe, expect, it, vi } from "vitest";
import { drained, failure, latch, settled } from "../support/latch.js";
import { line } from "./helpers.js";

const thread = { threadId: "t" };

function slow(began: ReturnType<typeof latch>, held: ReturnType<typeof latch>, graceMs: number) {
  const graph = new StateGraph()
    .addNode(
      "SLOW",
      async (_state, ctx) => {
        expect(ctx.signal.aborted).toBe(false);
        began.open();
        await held.opened;
        return "too late";
      },
      { graceMs },
    )
    .addEdge(START, "SLOW")
    .addEdge("SLOW", END)
    .compile();
  return { graph };
}

function retry(node: () => never) {
  const retrying = new StateGraph()
    .addNode("FLAKY", node, { retry: { attempts: 5, delayMs: 3_600_000 } })
    .addEdge(START, "FLAKY")
    .addEdge("FLAKY", END)
    .compile();
  return { retrying };
}

describe("a node that ignores its signal", () => {
  function deaf() {
    const began = latch();
    const held = latch();
    const late = latch();
    const emitted = vi.fn();
    let runs = 0;
    const app = line({
      FIRST: () => ({ amount: 1 }),
      DEAF: async (_state, ctx) => {
        if (++runs > 1) return { amount: 2 };
        began.open();
        await held.opened;
        try {
          ctx.emit("late", true);
          emitted();
          return { amount: 666, messages: ["late"] };
        } finally {
          late.open();
        }
      },
      LAST: () => "last",
    });
    return { app, began, held, late, emitted };
  }

  it("is abandoned at once: the stop does not wait for it", async () => {
    const { app, began, held } = deaf();
    const running = app.invoke({}, thread);
    await began.opened;
    const receipt = await app.stop(thread);
    expect(receipt).toMatchObject({
      ok: true,
      running: true,
      status: "stopped",
      node: "DEAF",
      step: 1,
      abandoned: [["DEAF"]],
    });
    expect(await running).toMatchObject({
      status: "stopped",
      interrupted: false,
      interrupts: [],
      nextNodes: ["DEAF"],
      state: { amount: 1 },
    });
    held.open();
  });

  it("has a late result that nobody ever sees", async () => {
    const { app, began, held, late, emitted } = deaf();
    const stream = drained(app.stream({}, thread));
    await began.opened;
    await app.stop(thread);
    const before = await app.getState(thread);
    held.open();
    await late.opened;
    await settled();

    expect(emitted).toHaveBeenCalled();
    expect(await app.getState(thread)).toEqual({
      ...before,
      executionMeta: expect.objectContaining({ status: "stopped" }),
    });
    const { events } = await stream;
    expect(events.map(({ eventType }) => eventType)).not.toContain("custom");
    expect(events.at(-1)?.eventType).toBe("stopped");
  });

  it("runs again at a resume, and its late result does not disturb that", async () => {
    const { app, began, held, late } = deaf();
    const running = app.invoke({}, thread);
    await began.opened;
    await app.stop(thread);
    await running;
    const resumed = app.resume({}, thread);
    held.open();
    await late.opened;
    const result = await resumed;
    expect(result).toMatchObject({ status: "completed", state: { amount: 2 } });
    expect(result.messages.map(({ content }) => content)).toEqual(["last"]);
  });
});

describe("a node that looks at its signal", () => {
  /** Resolves when the signal aborts. */
  const aborted = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => signal.addEventListener("abort", () => resolve()));

  it("gets its grace: what it returns is committed, and the resume goes on behind it", async () => {
    const began = latch();
    const careful = vi.fn();
    const app = line({
      CAREFUL: async (_state, ctx) => {
        careful();
        const cut = aborted(ctx.signal);
        began.open();
        await cut;
        return { amount: 7, messages: ["what I had"] };
      },
      LAST: () => "last",
    });
    const running = app.invoke({}, thread);
    await began.opened;
    const receipt = await app.stop(thread);
    expect(receipt).toMatchObject({ status: "stopped", abandoned: [] });

    const stopped = await running;
    expect(stopped).toMatchObject({ status: "stopped", state: { amount: 7 }, step: 1 });
    expect(stopped.messages.map(({ content }) => content)).toEqual(["what I had"]);

    const resumed = await app.resume({}, thread);
    expect(resumed).toMatchObject({ status: "completed", state: { amount: 7 } });
    expect(careful).toHaveBeenCalledTimes(1);
    expect(resumed.messages.map(({ content }) => content)).toEqual(["last"]);
  });

  it("has the node behind it as the next one, not itself", async () => {
    const began = latch();
    const app = line({
      CAREFUL: async (_state, ctx) => {
        const cut = aborted(ctx.signal);
        began.open();
        await cut;
        return { amount: 7 };
      },
      LAST: () => "last",
    });
    const running = app.invoke({}, thread);
    await began.opened;
    await app.stop(thread);
    expect((await running).nextNodes).toEqual(["LAST"]);
  });

  it("has nothing committed of it when it throws in its grace, and runs again at a resume", async () => {
    const began = latch();
    let runs = 0;
    const app = line({
      CAREFUL: async (_state, ctx) => {
        if (++runs > 1) return { amount: 2 };
        const cut = aborted(ctx.signal);
        began.open();
        await cut;
        throw new Error("aborted in the middle");
      },
    });
    const running = app.invoke({}, thread);
    await began.opened;
    await app.stop(thread);
    expect(await running).toMatchObject({ status: "stopped", error: null, state: { amount: 0 } });
    expect(await app.resume({}, thread)).toMatchObject({ status: "completed", state: { amount: 2 } });
  });

  it("is abandoned when its own grace is over", async () => {
    const began = latch();
    const held = latch();
    const { graph } = slow(began, held, 0);
    const running = graph.invoke({}, thread);
    await began.opened;
    const receipt = await graph.stop(thread);
    expect(receipt).toMatchObject({ status: "stopped", abandoned: [["SLOW"]] });
    held.open();
    expect(await running).toMatchObject({ status: "stopped", state: {} });
  });

  it("that was the last one ends stopped all the same, and a resume ends completed at once", async () => {
    const began = latch();
    const only = vi.fn();
    const app = line({
      ONLY: async (_state, ctx) => {
        only();
        const cut = aborted(ctx.signal);
        began.open();
        await cut;
        return "done in its grace";
      },
    });
    const running = app.invoke({}, thread);
    await began.opened;
    await app.stop(thread);
    expect((await running).status).toBe("stopped");
    expect(await app.resume({}, thread)).toMatchObject({ status: "completed" });
    expect(only).toHaveBeenCalledTimes(1);
  });
});

describe("after_step", () => {
  it("lets the step finish and stops before the next one", async () => {
    const began = latch();
    const held = latch();
    const second = vi.fn(() => "second");
    const app = line({
      FIRST: async () => {
        began.open();
        await held.opened;
        return { amount: 1 };
      },
      SECOND: second,
    });
    const running = app.invoke({}, thread);
    await began.opened;
    const stopping = app.stop({ ...thread, mode: "after_step" });
    await settled();
    held.open();
    expect(await stopping).toMatchObject({ status: "stopped", abandoned: [] });
    expect(await running).toMatchObject({
      status: "stopped",
      state: { amount: 1 },
      step: 1,
      nextNodes: ["SECOND"],
    });
    expect(second).not.toHaveBeenCalled();
    expect((await app.resume({}, thread)).status).toBe("completed");
    expect(second).toHaveBeenCalledTimes(1);
  });

  it("is overtaken by a stop now", async () => {
    const began = latch();
    const held = latch();
    const app = line({
      FIRST: async () => {
        began.open();
        await held.opened;
        return { amount: 1 };
      },
    });
    const running = app.invoke({}, thread);
    await began.opened;
    const gentle = app.stop({ ...thread, mode: "after_step" });
    await settled();
    const now = await app.stop(thread);
    expect(now).toMatchObject({ status: "stopped", abandoned: [["FIRST"]] });
    expect(await gentle).toMatchObject({ status: "stopped" });
    expect((await running).state.amount).toBe(0);
    held.open();
  });
});

describe("a stop of a paused thread", () => {
  it("cancels the interrupt; a resume asks again under a new id; the cancelled one is interrupt_cancelled", async () => {
    const execute = vi.fn(() => "executed");
    const app = line({ PREPARE: () => "ready", EXECUTE: execute }, { interruptBefore: ["EXECUTE"] });
    const paused = await app.invoke({}, thread);
    const [first] = paused.interrupts;
    const receipt = await app.stop(thread);
    expect(receipt).toMatchObject({
      running: false,
      status: "stopped",
      cancelledInterrupts: [first?.id],
    });
    expect((await app.getState(thread)).status).toBe("stopped");

    const late = await failure(app.resume({ interruptId: first?.id, decision: "approve" }, thread));
    expect(late.code).toBe("interrupt_cancelled");
    expect(execute).not.toHaveBeenCalled();

    const again = await app.resume({}, thread);
    expect(again.status).toBe("interrupted_before");
    expect(again.interrupts[0]?.id).not.toBe(first?.id);
    expect(execute).not.toHaveBeenCalled();

    const stale = await failure(app.resume({ interruptId: first?.id, decision: "approve" }, thread));
    expect(stale.code).toBe("interrupt_cancelled");
    expect((await app.resume({ decision: "approve" }, thread)).status).toBe("completed");
    expect(execute).toHaveBeenCalledTimes(1);
  });

  it("is never an answer: a decision on a stopped thread is refused", async () => {
    const execute = vi.fn(() => "executed");
    const app = line({ EXECUTE: execute }, { interruptBefore: ["EXECUTE"] });
    await app.invoke({}, thread);
    await app.stop(thread);
    const error = await failure(app.resume({ decision: "approve" }, thread));
    expect(error.code).toBe("not_resumable");
    expect(execute).not.toHaveBeenCalled();
  });

  it("is followed by a run that starts anew where somebody invokes it: the hold point asks again", async () => {
    const execute = vi.fn(() => "executed");
    const prepare = vi.fn(() => "ready");
    const app = line({ PREPARE: prepare, EXECUTE: execute }, { interruptBefore: ["EXECUTE"] });
    await app.invoke({}, thread);
    await app.stop(thread);
    const again = await app.invoke({}, thread);
    expect(again.status).toBe("interrupted_before");
    expect(prepare).toHaveBeenCalledTimes(2);
    expect(execute).not.toHaveBeenCalled();
  });
});

it("a stop that was accepted before the pause wins: no interrupt is opened", async () => {
  const began = latch();
  const held = latch();
  const app = line(
    {
      FIRST: async () => {
        began.open();
        await held.opened;
        return { amount: 1 };
      },
      GATED: () => "gated",
    },
    { interruptBefore: ["GATED"] },
  );
  const running = app.invoke({}, thread);
  await began.opened;
  const stopping = app.stop({ ...thread, mode: "after_step" });
  await settled();
  held.open();
  await stopping;
  expect(await running).toMatchObject({ status: "stopped", interrupts: [], interruptReason: null });
  const state = await app.getState(thread);
  expect(state.interrupts).toEqual([]);
  expect((await app.resume({}, thread)).status).toBe("interrupted_before");
});

it("a stop where nothing runs changes nothing and says so", async () => {
  const app = line({ ONLY: () => "done" });
  await app.invoke({}, thread);
  const receipt = await app.stop(thread);
  expect(receipt).toMatchObject({ ok: true, running: false, reason: "not-running" });
  expect((await app.getState(thread)).status).toBe("completed");
});

it("a stop reaches a run from a second graph object on the same checkpointer", async () => {
  const checkpointer = new InMemoryCheckpointer();
  const began = latch();
  const held = latch();
  const nodes = {
    DEAF: async () => {
      began.open();
      await held.opened;
    },
  };
  const one = line(nodes, { checkpointer });
  const other = line(nodes, { checkpointer });
  const running = one.invoke({}, thread);
  await began.opened;
  expect(await other.stop(thread)).toMatchObject({ running: true, status: "stopped" });
  expect((await running).status).toBe("stopped");
  held.open();
});

it("a stop during a retry's pause ends the retries", async () => {
  const failed = latch();
  const node = vi.fn(() => {
    failed.open();
    throw new Error("not yet");
  });
  const { retrying } = retry(node);
  const running = retrying.invoke({}, thread);
  await failed.opened;
  await settled();
  await retrying.stop(thread);
  expect((await running).status).toBe("stopped");
  expect(node).toHaveBeenCalledTimes(1);
});
