import { END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { expect, it, vi } from "vitest";
import { drained, failure, latch, settled } from "../support/latch.js";
import { line, stateSchema } from "./helpers.js";

const thread = { threadId: "t" };

it("a stop while a hold point's `when` hangs ends the run, and a resume asks `when` again", async () => {
  const asked = latch();
  const never = latch();
  const when = vi.fn(async () => {
    asked.open();
    if (when.mock.calls.length === 1) await never.opened;
    return true;
  });
  const execute = vi.fn(() => "x");
  const app = line({ EXECUTE: execute }, { interruptBefore: [{ node: "EXECUTE", when }] });
  const running = app.invoke({}, thread);
  await asked.opened;
  await app.stop(thread);
  expect(await running).toMatchObject({ status: "stopped", interrupts: [] });
  const resumed = await app.resume({}, thread);
  expect(resumed.status).toBe("interrupted_before");
  expect(when).toHaveBeenCalledTimes(2);
  expect(execute).not.toHaveBeenCalled();
  never.open();
});

it("a stop while a conditional edge hangs keeps what the node did, and a resume asks the edge alone", async () => {
  const asked = latch();
  const never = latch();
  const work = vi.fn(() => ({ amount: 1 }));
  const route = vi.fn(async () => {
    asked.open();
    if (route.mock.calls.length === 1) await never.opened;
    return END;
  });
  const app = new StateGraph({ state: stateSchema })
    .addNode("WORK", work)
    .addEdge(START, "WORK")
    .addConditionalEdges("WORK", route)
    .compile({ checkpointer: new InMemoryCheckpointer() });
  const running = app.invoke({}, thread);
  await asked.opened;
  await app.stop(thread);
  expect(await running).toMatchObject({ status: "stopped", state: { amount: 1 }, step: 1 });
  expect(await app.resume({}, thread)).toMatchObject({ status: "completed", state: { amount: 1 } });
  expect(work).toHaveBeenCalledTimes(1);
  never.open();
});

it("answers given before a stop stay given: only the other question is asked again, under a new id", async () => {
  const app = line({
    ASK: async (_state, ctx) => {
      const both = await Promise.all([
        ctx.interrupt({ message: "left" }),
        ctx.interrupt({ message: "right" }),
      ]);
      return { log: both.map(({ data }) => data as string) };
    },
  });
  const paused = await app.invoke({}, thread);
  const [left, right] = paused.interrupts;
  await app.resume({ interruptId: left?.id, decision: "respond", data: "L" }, thread);
  const receipt = await app.stop(thread);
  expect(receipt.cancelledInterrupts).toEqual([right?.id]);
  const again = await app.resume({}, thread);
  expect(again.interrupts.map(({ message }) => message)).toEqual(["right"]);
  expect(again.interrupts[0]?.id).not.toBe(right?.id);
  const result = await app.resume({ decision: "respond", data: "R" }, thread);
  expect(result).toMatchObject({ status: "completed", state: { log: ["L", "R"] } });
});

it("an answer about a lost attempt stays given over a stop before its node began, though that attempt goes on", async () => {
  const [began, asked, never] = [latch(), latch(), latch()];
  const pay = vi.fn(async () => {
    began.open();
    if (pay.mock.calls.length === 1) await never.opened;
    return { amount: pay.mock.calls.length };
  });
  // It is asked behind the hold point in front of its graph, and before any node of that run begins.
  const when = vi.fn(async () => {
    asked.open();
    if (when.mock.calls.length === 1) await never.opened;
    return false;
  });
  const inner = line({ TELL: () => ({ log: ["told"] }) }, { interruptBefore: [{ node: "TELL", when }] });
  const app = new StateGraph({ state: stateSchema })
    .addNode("PAY", pay, { onCrash: "hold" })
    .addNode("SUB", inner)
    .addEdge(START, "PAY")
    .addEdge(START, "SUB")
    .addEdge("PAY", END)
    .addEdge("SUB", END)
    .compile({ checkpointer: new InMemoryCheckpointer(), interruptBefore: ["SUB"] });
  const first = app.invoke({}, thread);
  await began.opened;
  await app.stop(thread);
  await first;
  const { interrupts } = await app.resume({}, thread);
  expect(interrupts.map(({ kind, node }) => `${kind} ${node}`)).toEqual(["crash PAY", "before SUB"]);
  const answers = interrupts.map(({ id }) => ({ interruptId: id, decision: "approve" as const }));
  const approved = app.resume({ answers }, thread);
  await asked.opened;
  await app.stop(thread);
  expect(await approved).toMatchObject({ status: "stopped", interrupts: [] });
  expect(pay).toHaveBeenCalledTimes(1);

  const result = await app.resume({}, thread);
  expect(result).toMatchObject({ status: "completed", state: { amount: 2, log: ["told"] } });
  never.open();
  await settled();
  expect(pay).toHaveBeenCalledTimes(2);
  expect((await app.getState(thread)).state).toMatchObject({ amount: 2 });
});

it("a node that pauses in its grace opens no interrupt; a resume asks what it asked", async () => {
  const began = latch();
  const node = vi.fn();
  const app = line({
    ASK: async (_state, ctx) => {
      node();
      const cut = new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
      began.open();
      if (node.mock.calls.length === 1) await cut;
      const { data } = await ctx.interrupt({ message: "?" });
      return { log: [data as string] };
    },
  });
  const running = app.invoke({}, thread);
  await began.opened;
  await app.stop(thread);
  expect(await running).toMatchObject({ status: "stopped", interrupts: [] });
  expect((await app.resume({}, thread)).interrupts).toMatchObject([{ message: "?" }]);
  const result = await app.resume({ decision: "respond", data: "yes" }, thread);
  expect(result).toMatchObject({ status: "completed", state: { log: ["yes"] } });
});

it("a stop and an answer at once: one of them wins, and the node runs at most once", async () => {
  for (let i = 0; i < 20; i++) {
    const execute = vi.fn(() => "x");
    const app = line({ EXECUTE: execute }, { interruptBefore: ["EXECUTE"] });
    await app.invoke({}, thread);
    const [stopped, answered] = await Promise.allSettled([
      app.stop(thread),
      app.resume({ decision: "approve" }, thread),
    ]);
    expect(stopped.status).toBe("fulfilled");
    const { status } = await app.getState(thread);
    if (answered.status === "rejected") {
      expect(["interrupt_cancelled", "not_resumable"]).toContain(answered.reason.code);
      expect(status).toBe("stopped");
      expect(execute).not.toHaveBeenCalled();
    } else {
      expect(["completed", "stopped"]).toContain(answered.value.status);
      expect(execute.mock.calls.length).toBeLessThanOrEqual(1);
    }
  }
});

it("a stop in the very beginning is met before any node runs, or after: never lost", async () => {
  const app = line({ A: () => "a", B: () => "b", C: () => "c" });
  const running = app.stream({}, thread);
  await running.next();
  const receipt = await app.stop(thread);
  const { events } = await drained(running);
  const last = events.at(-1)?.eventType;
  expect(receipt.running ? "stopped" : "end").toBe(last);
  const { status } = await app.getState(thread);
  expect(status).toBe(receipt.running ? "stopped" : "completed");
});

it("a stop after the step of a node that fails in it ends stopped, not error", async () => {
  const began = latch();
  const held = latch();
  let broken = true;
  const app = line({
    WORK: async () => {
      began.open();
      if (!broken) return { amount: 1 };
      await held.opened;
      throw new Error("broken");
    },
  });
  const running = app.invoke({}, thread);
  await began.opened;
  const stopping = app.stop({ ...thread, mode: "after_step" });
  await settled();
  held.open();
  expect((await stopping).status).toBe("stopped");
  expect(await running).toMatchObject({ status: "stopped", error: null });
  broken = false;
  expect((await app.resume({}, thread)).state.amount).toBe(1);
});

it("two calls with one key in one tick are one question: its answer leaves none open", async () => {
  const app = line({
    ASK: async (_state, ctx) => {
      const both = await Promise.all([
        ctx.interrupt({ message: "?", key: "same" }),
        ctx.interrupt({ message: "?", key: "same" }),
      ]);
      return { log: both.map(({ data }) => data as string) };
    },
  });
  const paused = await app.invoke({}, thread);
  expect(paused.interrupts).toHaveLength(1);
  const result = await app.resume(
    { interruptId: paused.interrupts[0]?.id, decision: "respond", data: "x" },
    thread,
  );
  expect(result).toMatchObject({ status: "completed", state: { log: ["x", "x"] } });
});

it("an open setInterrupt AFTER and a declared hold after the same node are both asked", async () => {
  const next = vi.fn(() => "next");
  const app = line(
    {
      MAKE: (state) => {
        state.setInterrupt({ reason: "mine", status: "interrupted_after" });
        return { amount: 1 };
      },
      NEXT: next,
    },
    { interruptAfter: ["MAKE"] },
  );
  const paused = await app.invoke({}, thread);
  expect(paused.interrupts.map(({ kind }) => kind).sort()).toEqual(["after", "manual"]);
  expect((await failure(app.invoke({}, thread))).code).toBe("ambiguous_interrupt");
  const [first, second] = paused.interrupts;
  await app.resume({ interruptId: first?.id, decision: "approve" }, thread);
  expect(next).not.toHaveBeenCalled();
  const result = await app.resume({ interruptId: second?.id, decision: "approve" }, thread);
  expect(result).toMatchObject({ status: "completed", state: { amount: 1 } });
  expect(next).toHaveBeenCalledTimes(1);
});

it("of several answers to one pause a denial decides, whatever the order", async () => {
  for (const order of [0, 1]) {
    const next = vi.fn(() => "next");
    const app = line(
      {
        MAKE: (state) => {
          state.setInterrupt({ reason: "mine", status: "interrupted_after" });
        },
        NEXT: next,
      },
      { interruptAfter: ["MAKE"] },
    );
    const { interrupts } = await app.invoke({}, thread);
    const decisions = order === 0 ? (["deny", "approve"] as const) : (["approve", "deny"] as const);
    let result;
    for (const [i, decision] of decisions.entries())
      result = await app.resume({ interruptId: interrupts[i]?.id, decision }, thread);
    expect(result).toMatchObject({ status: "completed", decision: { decision: "deny" } });
    expect(next).not.toHaveBeenCalled();
  }
});
