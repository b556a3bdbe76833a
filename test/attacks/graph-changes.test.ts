/** A thread goes on with another release of its graph, or with a graph that shares its name. */
import { Command, END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { expect, it } from "vitest";
import { z } from "zod";
import { failure, latch } from "../support/latch.js";
import { stateSchema } from "../reference/helpers.js";
import { ref, runtime } from "./support.js";

const thread = { threadId: "t" };

/** A, which goes to its last follower by a Command or by its edge; it is held after. */
const release = (checkpointer: InMemoryCheckpointer, followers: readonly string[]) => {
  const graph = new StateGraph({ state: stateSchema })
    .addNode("A", (): any => new Command({ goto: followers.at(-1) }))
    .addEdge(START, "A")
    .addConditionalEdges("A", () => followers[0]) as any;
  for (const name of followers) graph.addNode(name, () => undefined).addEdge(name, END);
  return graph.compile({ checkpointer, interruptAfter: ["A"] });
};

it("a Command to a node that the loaded graph no longer has fails the edge, and a graph that has it goes on", async () => {
  const checkpointer = new InMemoryCheckpointer();
  const whole = release(checkpointer, ["B", "C"]);
  await whole.invoke({}, thread);
  const less = release(checkpointer, ["B"]);
  const error = await failure(less.resume({ decision: "approve" }, thread));
  expect(error).toMatchObject({ code: "edge_failed", node: "A" });
  expect(error.message).toContain('"C"');
  expect(await whole.resume({}, thread)).toMatchObject({ status: "completed" });
});

it("a run that is taken over at a node that the loaded graph no longer has fails by name", async () => {
  const checkpointer = new InMemoryCheckpointer();
  const began = latch();
  const make = (name: string) =>
    new StateGraph({ state: stateSchema })
      .addNode(name, () => (began.open(), new Promise<undefined>(() => undefined)))
      .addEdge(START, name)
      .addEdge(name, END)
      .compile({ checkpointer });
  const [first, second] = [runtime(checkpointer), runtime(checkpointer)];
  make("OLD").bind(first, "g");
  await first.start();
  const { runId } = await first.runs.start({ ref, graph: "g" });
  await began.opened;
  const { epoch } = (await checkpointer.thread(ref)) as { epoch: number };
  await checkpointer.release(ref, epoch, { inFlight: true });
  make("NEW").bind(second, "g");
  await second.start();
  const { error } = await second.runs.reader.outcome(ref, runId);
  expect(error).toMatchObject({ code: "node_failed", node: "OLD" });
});

it.each(["resume", "invoke"] as const)(
  "a field that the graph has got since has its default (%s)",
  async (way) => {
    const checkpointer = new InMemoryCheckpointer();
    const seen: unknown[] = [];
    const make = (more: object, run: (state: any) => any) =>
      new StateGraph({
        state: z.object({ amount: z.number().default(0), ...more }) as typeof stateSchema,
        reducers:
          "log" in more ? { log: (current: string[], update: string[]) => [...current, ...update] } : {},
      })
        .addNode("A", run)
        .addEdge(START, "A")
        .addEdge("A", END)
        .compile({ checkpointer, interruptBefore: ["A"] });
    await make({}, () => undefined).invoke({}, thread);
    const next = make({ log: z.array(z.string()).default([]) }, ({ log }) => {
      seen.push(log);
      return { log: ["a"] };
    });
    if (way === "invoke") {
      await next.stop(thread);
      await next.invoke({}, thread);
    }
    const result = await next.resume({ decision: "approve" }, thread);
    expect(seen).toEqual([[]]);
    expect(result.state).toMatchObject({ log: ["a"] });
  },
);

it("two graphs of one checkpointer that have no name of their own check patches by their own schema", async () => {
  const checkpointer = new InMemoryCheckpointer();
  const make = (state: z.ZodObject<any>) =>
    new StateGraph({ state })
      .addNode("A", () => undefined)
      .addEdge(START, "A")
      .addEdge("A", END)
      .compile({ checkpointer });
  const one = make(z.object({ x: z.number().default(0) }));
  const other = make(z.object({ y: z.number().default(0) }));
  await one.invoke({}, thread);
  await other.invoke({}, { threadId: "u" });
  expect((await one.updateState({ x: 3 } as object, thread)).state).toMatchObject({ x: 3 });
});

it("a patch by another graph than the thread's is refused", async () => {
  const checkpointer = new InMemoryCheckpointer();
  const make = (name: string) =>
    new StateGraph({ state: stateSchema })
      .addNode("A", () => undefined)
      .addEdge(START, "A")
      .addEdge("A", END)
      .compile({ checkpointer, name });
  await make("one").invoke({}, thread);
  expect(await failure(make("other").updateState({ amount: 3 }, thread))).toMatchObject({
    code: "graph_mismatch",
  });
});

it("a compile option that is misspelt is a fault, not a hold point that is not there", () => {
  const graph = new StateGraph({ state: stateSchema })
    .addNode("A", () => undefined)
    .addEdge(START, "A")
    .addEdge("A", END);
  expect(() => graph.compile({ interuptBefore: ["A"] } as object)).toThrow(
    /"interuptBefore".*interruptBefore/,
  );
});

it("a field that is called like a member of every object is missed where it is missing", async () => {
  const app = new StateGraph({ state: z.object({ constructor: z.number() }) as any })
    .addNode("A", () => undefined)
    .addEdge(START, "A")
    .addEdge("A", END)
    .compile({ checkpointer: new InMemoryCheckpointer() });
  expect(await failure(app.invoke({}, thread))).toMatchObject({ code: "validation_failed" });
});
