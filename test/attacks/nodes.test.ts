/** What nodes hand over in shapes that no type would let them. */
import { Command, END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { expect, it } from "vitest";
import { failure } from "../support/latch.js";
import { line, stateSchema } from "../reference/helpers.js";
import { readEvents } from "../../src/runs/hydrate.js";
import { ref } from "./support.js";

const thread = { threadId: "t" };

it("an attempt whose update a reducer refuses is void: not logged, and the next one says restart", async () => {
  let broken = true;
  const checkpointer = new InMemoryCheckpointer();
  const app = new StateGraph({
    state: stateSchema,
    reducers: {
      amount: (_current, update: number) => {
        if (broken) throw new Error("no");
        return update;
      },
    },
  })
    .addNode("A", async function* (_state, ctx) {
      ctx.emit("note", 1);
      yield "hello";
      return { amount: 1 };
    })
    .addEdge(START, "A")
    .addEdge("A", END)
    .compile({ checkpointer });
  const types = async () => (await readEvents(checkpointer, ref, 0)).map(({ eventType }) => eventType);
  await failure(app.invoke({}, thread));
  expect(await types()).toEqual(["start", "error"]);
  broken = false;
  await app.resume({}, thread);
  expect((await types()).slice(2)).toEqual(["start", "restart", "progress", "custom", "update", "end"]);
});

it.each([
  ["setInterrupt without a reason", (state: any) => state.setInterrupt({ status: "interrupted_before" })],
  [
    "setInterrupt with a number",
    (state: any) => state.setInterrupt({ status: "interrupted_after", reason: 5 }),
  ],
  ["ctx.interrupt that offers nothing", (_: any, ctx: any) => ctx.interrupt({ message: "?", decisions: [] })],
  ["emit of what has no name", (_: any, ctx: any) => ctx.emit(5n, 1)],
])("%s fails the node", async (_title, run) => {
  const app = line({ A: run });
  expect(await failure(app.invoke({}, thread))).toMatchObject({ code: "node_failed", node: "A" });
});

it("a generator that ends with a mere way keeps the text that it streamed", async () => {
  const app = new StateGraph({ state: stateSchema })
    .addNode("A", async function* () {
      yield "hello";
      return new Command({ goto: END });
    })
    .addEdge(START, "A")
    .compile({ checkpointer: new InMemoryCheckpointer() });
  const { messages } = await app.invoke({}, thread);
  expect(messages).toMatchObject([{ role: "assistant", content: "hello" }]);
});

it("the code of a refused message is that of its fault, whatever its words are", async () => {
  const app = line({ A: () => undefined });
  const send = (message: object) => failure(app.invoke({ messages: [message as never] }, thread));
  const message = { role: "user", content: "x" };
  expect((await send({ ...message, "nested deeper": 1 })).code).toBe("validation_failed");
  expect((await send({ ...message, metadata: { f: () => 1 } })).code).toBe("not_serialisable");
});
