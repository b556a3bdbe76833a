/** Several questions answered by several people, through the library. */
import { END, Send, START, StateGraph } from "holdpoint";
import { expect, it } from "vitest";
import { z } from "zod";
import { failure } from "../support/latch.js";

it("each task gets the answer of whoever answered it, and nobody repeats for another", async () => {
  const graph = new StateGraph({
    state: z.object({ said: z.array(z.string()).default([]) }),
    reducers: { said: (now: string[], more: string[]) => [...now, ...more] },
  })
    .addNode("ASK", async (state, ctx) => {
      const { of } = state as unknown as { of: string };
      const { by, data } = await ctx.interrupt({ message: `${of}?` });
      return { said: [`${of}: ${by} said ${JSON.stringify(data)}`] };
    })
    .addConditionalEdges(START, () => ["a", "b", "c"].map((of) => new Send("ASK", { of })))
    .addEdge("ASK", END)
    .compile();
  const threadId = "answers-by";
  const { interrupts } = await graph.invoke({}, { threadId });
  const answer = (i: number, by: string, data: unknown) =>
    graph.resume({ interruptId: interrupts[i]?.id, decision: "respond", data }, { threadId, by });
  await answer(2, "carol", 0);
  await answer(1, "bob", "");
  expect(await failure(answer(1, "mallory", ""))).toMatchObject({
    code: "already_decided",
    message: expect.stringContaining("bob"),
  });
  const done = await answer(0, "alice", false);
  expect(done.state.said).toEqual(["a: alice said false", 'b: bob said ""', "c: carol said 0"]);
  // The first denial in task order, else the last answer in it.
  expect(done.decision).toMatchObject({ by: "carol", data: 0 });
});
