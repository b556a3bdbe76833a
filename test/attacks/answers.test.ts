import { END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { expect, it } from "vitest";
import { z } from "zod";
import { failure } from "../support/latch.js";
import { line, stateSchema } from "../reference/helpers.js";
import { ref, runtime } from "./support.js";

const thread = { threadId: "t" };

/** A node that asks two things at once. */
const two = (checkpointer = new InMemoryCheckpointer()) =>
  line(
    {
      ASK: async (_state, ctx) => {
        await Promise.all([ctx.interrupt({ message: "1" }), ctx.interrupt({ message: "2" })]);
      },
    },
    { checkpointer },
  );

it.each([
  ["approve", "INSIDE"],
  ["deny", "FRONT"],
] as const)("%s at the hold and deny where it is asked: the way is %s", async (decision, way) => {
  const ran: string[] = [];
  const app = new StateGraph({ state: stateSchema })
    .addNode("A", async (_state, ctx) => void (await ctx.interrupt({ message: "?" })), { onDeny: "INSIDE" })
    .addNode("INSIDE", () => void ran.push("INSIDE"))
    .addNode("FRONT", () => void ran.push("FRONT"))
    .addEdge(START, "A")
    .addEdge("A", END)
    .addEdge("INSIDE", END)
    .addEdge("FRONT", END)
    .compile({
      checkpointer: new InMemoryCheckpointer(),
      interruptBefore: [{ node: "A", onDeny: "FRONT" }],
    });
  await app.invoke({}, thread);
  await app.resume({ decision }, thread);
  if (decision === "approve") await app.resume({ decision: "deny" }, thread);
  expect(ran).toEqual([way]);
});

it("a message of an answer does not replace one of an answer that waits with it", async () => {
  const app = two();
  const { interrupts } = await app.invoke({}, thread);
  const say = (i: number, content: string) =>
    app.resume(
      {
        interruptId: interrupts[i]?.id,
        decision: "approve",
        messages: [{ id: "m", role: "user", content }],
      },
      thread,
    );
  await say(0, "first");
  expect(await failure(say(1, "second"))).toMatchObject({ code: "message_exists" });
  expect((await say(1, "first")).messages.map(({ content }) => content)).toEqual(["first"]);
});

it("a repeated edit gets its first outcome, also where the schema changes what it is given", async () => {
  const app = new StateGraph({ state: z.object({ name: z.string().trim().default("") }) })
    .addNode("A", () => undefined)
    .addEdge(START, "A")
    .addEdge("A", END)
    .compile({ checkpointer: new InMemoryCheckpointer(), interruptBefore: ["A"] });
  const { interrupts } = await app.invoke({}, thread);
  const said = { interruptId: interrupts[0]?.id, decision: "edit" as const, state: { name: " x " } };
  const first = await app.resume(said, thread);
  expect((await app.resume(said, thread)).runId).toBe(first.runId);
  const other = await failure(app.resume({ ...said, state: { name: "y" } }, thread));
  expect(other.code).toBe("already_decided");
});

it("answers that were given apart and are repeated together begin with the decision that started the run", async () => {
  const checkpointer = new InMemoryCheckpointer();
  const app = two(checkpointer);
  const { interrupts } = await app.invoke({}, thread);
  const answers = interrupts.map(({ id }) => ({ interruptId: id, decision: "approve" as const }));
  for (const answer of answers) await app.resume({ answers: [answer] }, thread);

  const again = runtime(checkpointer);
  app.bind(again, "graph");
  await again.start();
  const handle: any = await again.runs.resume({ ref, answers, by: "anonymous" });
  const events: any[] = [];
  for await (const event of handle.events()) events.push(event);
  expect(events.every(({ runId }) => runId === handle.runId)).toBe(true);
  expect(events.filter(({ eventType }) => eventType === "decision")).toHaveLength(1);
});
