import type { RunEvent } from "holdpoint";
import { expect, it } from "vitest";
import { drained, failure, latch, settled } from "../support/latch.js";
import { line, type Node } from "./helpers.js";

const thread = { threadId: "my-session" };

/** A node that streams one word after the other until its signal aborts, and keeps what it has said. */
function talker(spoken: ReturnType<typeof latch>): Node {
  return async function* (_state, ctx) {
    let text = "";
    for (let i = 0; ; i++) {
      if (ctx.signal.aborted) return text;
      yield `word${i} `;
      text += `word${i} `;
      if (i === 2) spoken.open();
      await settled();
    }
  };
}

it("a stream in the background is stopped from outside and ends with one stopped event", async () => {
  const spoken = latch();
  const app = line({ TALK: talker(spoken), NEXT: () => "next" });
  const reading = drained(app.stream({ messages: ["talk"] }, thread));
  await spoken.opened;
  const receipt = await app.stop({ ...thread, reason: "the user left", by: "frontend" });
  expect(receipt).toMatchObject({ ok: true, threadId: "my-session", running: true, status: "stopped" });

  const { events, error } = await reading;
  expect(error).toBeNull();
  expect(events.filter(({ eventType }) => eventType === "stopped")).toHaveLength(1);
  expect(events.at(-1)).toMatchObject({ eventType: "stopped", data: { result: { status: "stopped" } } });
  expect(receipt.seq).toBe(events.at(-1)?.seq);
});

it("the partial reply of a node that came back in its grace is kept, under the id of its deltas", async () => {
  const spoken = latch();
  const app = line({ TALK: talker(spoken) });
  const reading = drained(app.stream({}, thread));
  await spoken.opened;
  await app.stop(thread);
  const { events } = await reading;
  const deltas = events.flatMap((event) => (event.eventType === "delta" ? [event] : []));
  const [message] = (await app.getState(thread)).messages;
  expect(message?.content).toBe(deltas.map(({ content }) => content).join(""));
  expect(new Set(deltas.map(({ data }) => data.messageId))).toEqual(new Set([message?.id]));
});

it("a reader that leaves does not stop the run", async () => {
  const began = latch();
  const held = latch();
  const ended = latch();
  const app = line({
    WORK: async () => {
      began.open();
      await held.opened;
      return { amount: 1 };
    },
    LAST: () => ended.open(),
  });
  for await (const event of app.stream({}, thread)) if (event.eventType === "progress") break;
  await began.opened;
  held.open();
  await ended.opened;
  await settled();
  expect(await app.getState(thread)).toMatchObject({ status: "completed", state: { amount: 1 } });
});

it("two stops at once both come back, and the run is stopped once", async () => {
  const began = latch();
  const held = latch();
  const app = line({
    WORK: async () => {
      began.open();
      await held.opened;
    },
  });
  const reading = drained(app.stream({}, thread));
  await began.opened;
  const receipts = await Promise.all([app.stop(thread), app.stop(thread)]);
  for (const receipt of receipts) expect(receipt.ok).toBe(true);
  const { events } = await reading;
  expect(events.filter(({ eventType }) => eventType === "stopped")).toHaveLength(1);
  held.open();
});

it("a stopped thread can be resumed where it was, or started anew", async () => {
  const runs: string[] = [];
  const began = [latch(), latch()];
  const held = latch();
  let blocks = 2;
  const app = line({
    A: () => void runs.push("A"),
    B: async () => {
      runs.push("B");
      if (blocks > 0) {
        began[2 - blocks--]?.open();
        await held.opened;
      }
    },
    C: () => void runs.push("C"),
  });
  for (const each of began) {
    const running = each === began[0] ? app.invoke({}, thread) : app.resume({}, thread);
    await each.opened;
    await app.stop(thread);
    expect((await running).nextNodes).toEqual(["B"]);
  }
  expect((await app.resume({}, thread)).status).toBe("completed");
  expect(runs).toEqual(["A", "B", "B", "B", "C"]);
  held.open();
});

it("a start on a stopped thread gives up what was left undone", async () => {
  const began = latch();
  const held = latch();
  const runs: string[] = [];
  let first = true;
  const app = line({
    A: () => void runs.push("A"),
    B: async () => {
      runs.push("B");
      if (!first) return;
      first = false;
      began.open();
      await held.opened;
    },
  });
  const running = app.invoke({}, thread);
  await began.opened;
  await app.stop(thread);
  await running;
  held.open();
  expect((await app.invoke({}, thread)).status).toBe("completed");
  expect(runs).toEqual(["A", "B", "A", "B"]);
});

it("a gated node that a stop abandoned is not silently repeated: the resume asks", async () => {
  const began = latch();
  const held = latch();
  let runs = 0;
  const app = line(
    {
      PAY: async () => {
        runs++;
        if (runs > 1) return "paid";
        began.open();
        await held.opened;
        return "too late";
      },
    },
    { interruptBefore: ["PAY"] },
  );
  await app.invoke({}, thread);
  const running = app.resume({ decision: "approve" }, thread);
  await began.opened;
  await app.stop(thread);
  expect((await running).status).toBe("stopped");
  held.open();

  const asked = await app.resume({}, thread);
  expect(asked.status).toBe("interrupted_before");
  expect(asked.interrupts).toMatchObject([
    { kind: "crash", node: "PAY", data: { node: "PAY", attempt: 1, cause: "stop", once: [] } },
  ]);
  expect(runs).toBe(1);
  expect((await failure(app.invoke({}, thread))).code).toBe("decision_required");
  expect((await app.resume({ decision: "approve" }, thread)).status).toBe("completed");
  expect(runs).toBe(2);
});

it("edit at a crash interrupt says that the node has acted: the patch is its output", async () => {
  const began = latch();
  const held = latch();
  let runs = 0;
  const app = line(
    {
      PAY: async () => {
        runs++;
        began.open();
        await held.opened;
      },
      BOOK: (state) => ({ log: [`booked ${state.amount}`] }),
    },
    { interruptBefore: ["PAY"] },
  );
  await app.invoke({}, thread);
  const running = app.resume({ decision: "approve" }, thread);
  await began.opened;
  await app.stop(thread);
  await running;
  await app.resume({}, thread);
  const result = await app.resume({ decision: "edit", state: { amount: 99 } }, thread);
  expect(result).toMatchObject({ status: "completed", state: { amount: 99, log: ["booked 99"] } });
  expect(runs).toBe(1);
  held.open();
});

it("stop after the terminal chunk says that nothing runs", async () => {
  const app = line({ WORK: () => "x" });
  let last: RunEvent | undefined;
  for await (const event of app.stream({}, thread)) last = event;
  expect(last?.eventType).toBe("end");
  expect(await app.stop(thread)).toMatchObject({ running: false, reason: "not-running" });
});

it("a stop of a thread that nobody knows is not_found", async () => {
  const app = line({ WORK: () => "x" });
  expect((await failure(app.stop(thread))).code).toBe("not_found");
});
