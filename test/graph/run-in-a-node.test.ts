/** A run that a node of another one starts, in one process and in memory. */
import { expect, test } from "vitest";
import { z } from "zod";
import { END, START, StateGraph } from "holdpoint";

test("a run that a node starts goes on beside the one that asks for it step by step", async () => {
  const inner = new StateGraph()
    .addNode("WORK", () => ({}))
    .addEdge(START, "WORK")
    .addEdge("WORK", END)
    .compile({ name: "inner" });
  let work: Promise<unknown> = Promise.resolve();
  let isDone = false;
  const outer = new StateGraph({ state: z.object({ asked: z.number().default(0) }) })
    .addNode("BEGIN", () => {
      work = inner.invoke({}, { threadId: "inner" }).then(() => (isDone = true));
      return {};
    })
    .addNode("ASK", ({ asked }) => ({ asked: asked + 1 }))
    .addEdge(START, "BEGIN")
    .addEdge("BEGIN", "ASK")
    .addConditionalEdges("ASK", () => (isDone ? END : "ASK"), ["ASK", END])
    .compile({ name: "outer" });
  const { status, state } = await outer.invoke({}, { threadId: "outer", recursionLimit: 200 });
  expect(status).toBe("completed");
  expect(state.asked).toBeLessThan(100);
  await work;
});
