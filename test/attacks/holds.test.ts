import { END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { expect, it, vi } from "vitest";
import { failure, latch } from "../support/latch.js";
import { line, stateSchema } from "../reference/helpers.js";
import { wrapped } from "./support.js";

const thread = { threadId: "t" };

it("an approval of 10 is not used for 10 000 after a failure and a resume with state", async () => {
  const paid: number[] = [];
  let broken = true;
  const app = line(
    {
      PAY: ({ amount }) => {
        if (broken) throw new Error("broken");
        paid.push(amount);
      },
    },
    { interruptBefore: [{ node: "PAY", message: ({ amount }) => `Pay ${amount}?` }] },
  );
  const asked = await app.invoke({ amount: 10 }, thread);
  expect(asked.interrupts[0]?.message).toBe("Pay 10?");
  await failure(app.resume({ decision: "approve" }, thread));
  broken = false;
  await app.resume({ state: { amount: 10_000 } }, thread);
  expect(paid).toEqual([]);
});

it("a hold that let 10 pass is judged again for 10 000 after a failure and a resume with state", async () => {
  const paid: number[] = [];
  let broken = true;
  const app = line(
    {
      PAY: ({ amount }) => {
        if (broken) throw new Error("broken");
        paid.push(amount);
      },
    },
    { interruptBefore: [{ node: "PAY", when: ({ amount }) => amount > 1000 }] },
  );
  await failure(app.invoke({ amount: 10 }, thread));
  broken = false;
  await app.resume({ state: { amount: 10_000 } }, thread);
  expect(paid).toEqual([]);
});

it("the same by a stop while the way to PAY is committed, and a patch", async () => {
  const paid: number[] = [];
  const app = line(
    { A: () => undefined, PAY: ({ amount }) => void paid.push(amount) },
    { interruptBefore: [{ node: "PAY", when: ({ amount }) => amount > 1000 }] },
  );
  await failure(app.invoke({ amount: 10 }, { ...thread, recursionLimit: 1 }));
  await app.updateState({ amount: 10_000 }, thread);
  await app.resume({}, thread);
  expect(paid).toEqual([]);
});

it("a resume that adds a hold point in front of the node that failed is held there", async () => {
  const pay = vi.fn();
  let broken = true;
  const app = line({
    PAY: () => {
      if (broken) throw new Error("broken");
      pay();
    },
  });
  await failure(app.invoke({}, thread));
  broken = false;
  await app.resume({}, { ...thread, interruptBefore: ["PAY"] });
  expect(pay).not.toHaveBeenCalled();
});

it("a resume that adds a hold in front of a node that did not begin (recursion limit) is held there", async () => {
  const pay = vi.fn();
  const app = line({ A: () => undefined, PAY: () => void pay() });
  await failure(app.invoke({}, { ...thread, recursionLimit: 1 }));
  await app.resume({}, { ...thread, interruptBefore: "*" });
  expect(pay).not.toHaveBeenCalled();
});

it("hold points that came with an answer that was not the last are kept", async () => {
  const next = vi.fn();
  const app = line({
    ASK: async (_s, ctx) => {
      await Promise.all([ctx.interrupt({ message: "a" }), ctx.interrupt({ message: "b" })]);
    },
    NEXT: () => void next(),
  });
  const { interrupts } = await app.invoke({}, thread);
  await app.resume(
    { interruptId: interrupts[0]?.id, decision: "approve" },
    { ...thread, interruptBefore: ["NEXT"] },
  );
  await app.resume({ interruptId: interrupts[1]?.id, decision: "approve" }, thread);
  expect(next).not.toHaveBeenCalled();
});

it("a bare resume of a stopped thread is never the answer to a hold point that opened after it came", async () => {
  const pay = vi.fn();
  const held = latch();
  const arrived = latch();
  let delay = false;
  const cp = wrapped({
    write: async (inner, write) => {
      if (delay && write.start !== undefined) {
        delay = false;
        arrived.open();
        await held.opened;
      }
      return inner.write(write);
    },
  });
  const began = latch();
  let n = 0;
  const app = line(
    {
      A: async () => {
        began.open();
        if (++n === 1) await new Promise(() => undefined);
      },
      PAY: () => void pay(),
    },
    { checkpointer: cp, interruptBefore: ["PAY"] },
  );
  const running = app.invoke({}, thread);
  await began.opened;
  await app.stop(thread);
  await running;
  delay = true;
  const slow = app.resume({}, thread).catch((e: unknown) => e);
  await arrived.opened;
  const first = await app.resume({}, thread);
  expect(first.status).toBe("interrupted_before");
  held.open();
  await slow;
  expect(pay).not.toHaveBeenCalled();
});

it("a crash that was edited, and denied behind the node, goes the way of the hold point behind it", async () => {
  const began = latch();
  const before = vi.fn();
  const after = vi.fn();
  const app = new StateGraph({ state: stateSchema })
    .addNode("PAY", async () => {
      began.open();
      await new Promise(() => undefined);
    })
    .addNode("REFUSED", () => void before())
    .addNode("UNDO", () => void after())
    .addEdge(START, "PAY")
    .addEdge("PAY", END)
    .addEdge("REFUSED", END)
    .addEdge("UNDO", END)
    .compile({
      checkpointer: new InMemoryCheckpointer(),
      interruptBefore: [{ node: "PAY", onDeny: "REFUSED" }],
      interruptAfter: [{ node: "PAY", onDeny: "UNDO" }],
    });
  await app.invoke({}, thread);
  const running = app.resume({ decision: "approve" }, thread);
  await began.opened;
  await app.stop(thread);
  await running;
  expect((await app.resume({}, thread)).interrupts[0]?.kind).toBe("crash");
  const paused = await app.resume({ decision: "edit", state: { amount: 7 } }, thread);
  expect(paused).toMatchObject({ status: "interrupted_after", step: 1, interrupts: [{ kind: "after" }] });
  await app.resume({ decision: "deny" }, thread);
  expect(after).toHaveBeenCalledTimes(1);
  expect(before).not.toHaveBeenCalled();
});

it("the same answer said again gets the first outcome, also with an empty state", async () => {
  const app = line({ A: () => undefined }, { interruptBefore: ["A"] });
  const { interrupts } = await app.invoke({}, thread);
  const said = { interruptId: interrupts[0]?.id, decision: "approve" as const, state: {} };
  await app.resume(said, thread);
  expect((await app.resume(said, thread)).status).toBe("completed");
});
it("two answers in one request with one message id and other words are refused", async () => {
  const app = line({
    ASK: async (_s, ctx) =>
      void (await Promise.all([ctx.interrupt({ message: "a" }), ctx.interrupt({ message: "b" })])),
  });
  const { interrupts } = await app.invoke({}, thread);
  const say = (i: number, content: string) => ({
    interruptId: interrupts[i]?.id,
    decision: "approve" as const,
    messages: [{ id: "m", role: "user" as const, content }],
  });
  const error = await app.resume({ answers: [say(0, "one"), say(1, "two")] }, thread).then(
    (r) => r.messages.map((m) => m.content),
    (e: { code: string }) => e.code,
  );
  expect(error).toBe("message_exists");
});
