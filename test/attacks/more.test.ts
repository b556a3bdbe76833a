import { InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { expect, it, vi } from "vitest";
import { failure, latch } from "../support/latch.js";
import { line, stateSchema } from "../reference/helpers.js";
import { ref, runtime, wrapped } from "./support.js";
const thread = { threadId: "t" };

it("a stop of a run that waits for a free place ends it now", async () => {
  const cp = new InMemoryCheckpointer();
  const rt = runtime(cp, { concurrency: 1, stopWaitMs: 300, pollMs: 20, slowPollMs: 20 });
  const hold = latch(),
    began = latch();
  line({
    A: async () => {
      began.open();
      await hold.opened;
    },
  }).bind(rt, "g");
  await rt.start();
  await rt.runs.start({ ref: { ...ref, threadId: "first" }, graph: "g" });
  await began.opened;
  await rt.runs.start({ ref, graph: "g" });
  const receipt = await rt.runs.stop(ref, { by: "p" });
  hold.open();
  expect(receipt.status).toBe("stopped");
});

it("a conditional edge that threw is not asked once more for next_nodes", async () => {
  const route = vi.fn(() => {
    throw new Error("x");
  });
  const app = new StateGraph({ state: stateSchema })
    .addNode("A", () => undefined)
    .addEdge(START, "A")
    .addConditionalEdges("A", route)
    .compile({ checkpointer: new InMemoryCheckpointer() });
  await failure(app.invoke({}, thread));
  expect(route).toHaveBeenCalledTimes(1);
});
it("an edge that hangs does not keep a failed or held run from ending", async () => {
  const app = new StateGraph({ state: stateSchema })
    .addNode("A", () => undefined)
    .addEdge(START, "A")
    .addConditionalEdges("A", () => new Promise(() => undefined))
    .compile({ checkpointer: new InMemoryCheckpointer(), interruptAfter: ["A"] });
  // A run that waits for its edge never comes back, and the test times out.
  expect(await app.invoke({}, thread)).toMatchObject({ status: "interrupted_after", nextNodes: [] });
});

it("a go-on by invoke is bound to the pause that it saw, not to the next one", async () => {
  const b = vi.fn();
  const held = latch(),
    arrived = latch();
  let delay = false;
  const cp = wrapped({
    load: async (inner, r) => {
      const seen = await inner.load(r);
      if (delay) {
        delay = false;
        arrived.open();
        await held.opened;
      }
      return seen;
    },
  });
  const app = line(
    { A: () => undefined, B: () => void b() },
    { checkpointer: cp, interruptBefore: ["A", "B"] },
  );
  await app.invoke({}, thread);
  delay = true;
  const slow = app.invoke({}, thread).catch((e: unknown) => e);
  await arrived.opened;
  await app.resume({ decision: "approve" }, thread);
  held.open();
  await slow;
  expect(b).not.toHaveBeenCalled();
});
