/** What a request supposes of a thread instead of reading it. */
import { END, InMemoryCheckpointer, PgCheckpointer, Send, START, StateGraph } from "holdpoint";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { z } from "zod";
import type { Checkpointer } from "../../src/checkpoint/checkpointer.js";
import type { CompiledGraph } from "../../src/graph/index.js";
import type { ThreadNow } from "../../src/runs/found.js";
import { Guesses } from "../../src/runs/guesses.js";
import { Runtime } from "../../src/runs/runtime.js";
import { newPostgresDatabase } from "../support/databases.js";
import { failure } from "../support/latch.js";

const quiet = () => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const state = z.object({ n: z.number().default(0), said: z.array(z.string()).default([]) });
const said = { said: (now: string[], more: string[]) => [...now, ...more] };

/** A graph in a process of its own, as far as its storage knows. */
function inProcess(graph: CompiledGraph, checkpointer: Checkpointer): CompiledGraph {
  const runtime = new Runtime({ checkpointer, log });
  graph.bind(runtime, graph.definition.name);
  onTestFinished(async () => {
    await runtime.drain(1000);
    await runtime.close();
  });
  return graph;
}

const counting = () =>
  new StateGraph({ state })
    .addNode("A", ({ n }) => ({ n: n + 1, messages: `${n}` }))
    .addNode("B", ({ n }) => ({ n: n + 1 }))
    .addNode("C", ({ n }) => ({ n: n + 1 }))
    .addEdge(START, "A")
    .addEdge("A", "B")
    .addEdge("B", "C")
    .addEdge("C", END)
    .compile({ name: "counting", interruptBefore: ["B"], interruptAfter: ["B"] }) as unknown as CompiledGraph;

const asking = () =>
  new StateGraph({ state, reducers: said })
    .addNode("ASK", async (given, ctx) => {
      const { of } = given as unknown as { of: string };
      if (of === "fails") throw new Error("no");
      if (of === "once") await ctx.once("effect", () => 1);
      const { data } = await ctx.interrupt({ message: `${of}?` });
      const { data: again } = await ctx.interrupt({ message: `${of} again?` });
      return { said: [`${of} ${JSON.stringify([data, again])}`] };
    })
    .addConditionalEdges(START, ({ said: before }) =>
      (before.length > 0 ? before : ["a", "b"]).map((of) => new Send("ASK", { of })),
    )
    .addEdge("ASK", END)
    .compile({ name: "asking" }) as unknown as CompiledGraph;

const storages = {
  memory: () => Promise.resolve(new InMemoryCheckpointer()),
  postgres: async () => new PgCheckpointer(await newPostgresDatabase()),
};

describe.each(Object.entries(storages))("on %s", (_name, storage) => {
  it("what is kept of a thread is what a read of it gives", async () => {
    const kept: ThreadNow[] = [];
    const keep = vi.spyOn(Guesses.prototype, "keep").mockImplementation((thread) => void kept.push(thread));
    onTestFinished(() => keep.mockRestore());
    const checkpointer = await storage();
    const count = inProcess(counting(), checkpointer);
    const ask = inProcess(asking(), checkpointer);
    const compared = async (turns: number) => {
      expect(kept).toHaveLength(turns);
      const thread = kept.at(-1);
      if (thread === undefined) return;
      const read = await checkpointer.load(thread.head);
      if (read.head === null) throw new Error("the thread is gone");
      const { head, ...rest } = thread;
      const { snapshot, interrupts, records, sinceValues } = read;
      expect(read.head).toMatchObject(head);
      expect(rest).toEqual({ snapshot, interrupts, records, sinceValues });
    };
    const threadId = "counts";
    await count.invoke({ messages: ["hello"] }, { threadId });
    await compared(1);
    await count.resume({ decision: "approve", messages: ["yes"] }, { threadId });
    await compared(2);
    await count.stop({ threadId });
    await count.resume({}, { threadId });
    await compared(3);
    await count.resume({ decision: "edit", state: { n: 7 } }, { threadId });
    await compared(4);

    // What comes of tasks beside others is stored beside their steps, where nobody looks for it here.
    await ask.invoke({}, { threadId: "several" });
    await compared(4);
    await ask.invoke({ said: ["alone"] } as never, { threadId: "alone" });
    await compared(5);
    for (let turn = 6; turn < 8; turn++) {
      await ask.resume({ decision: "respond", data: turn }, { threadId: "alone" });
      await compared(turn);
    }
    await failure(ask.invoke({ said: ["fails"] } as never, { threadId: "fails" }));
    await compared(8);
    await ask.invoke({ said: ["once"] } as never, { threadId: "once" });
    await compared(8);
  });

  it("a new thread is not read, nor one that has just paused or ended here", async () => {
    const checkpointer = await storage();
    const graph = inProcess(counting(), checkpointer);
    await graph.invoke({}, { threadId: "first" });
    const load = vi.spyOn(checkpointer, "load");
    await graph.invoke({}, { threadId: "second" });
    await graph.resume({ decision: "approve" }, { threadId: "second" });
    await graph.resume({ decision: "approve" }, { threadId: "second" });
    const { state: end } = await graph.invoke({}, { threadId: "second" });
    expect(end.n).toBe(4);
    expect(load).not.toHaveBeenCalled();
  });

  it("nor a long one", async () => {
    const checkpointer = await storage();
    const graph = inProcess(counting(), checkpointer);
    const messages = Array.from({ length: 2000 }, (_, i) => `message ${i} ${"x".repeat(200)}`);
    await graph.invoke({ messages }, { threadId: "long" });
    const load = vi.spyOn(checkpointer, "load");
    const { status } = await graph.resume({ decision: "approve" }, { threadId: "long" });
    expect(status).toBe("interrupted_after");
    expect(load).not.toHaveBeenCalled();
  });

  it("threads that are not new are read at once when the last ones were not", async () => {
    const checkpointer = await storage();
    const graph = inProcess(counting(), checkpointer);
    const guesses = new Guesses();
    const ref = { tenant: "default", threadId: "any" };
    expect(guesses.of(ref)).toEqual({ head: null, seq: 0 });
    guesses.learn(false);
    expect(guesses.of(ref)).toBeNull();
    guesses.learn(true);
    guesses.learn(true);
    expect(guesses.of(ref)).toEqual({ head: null, seq: 0 });
    await graph.invoke({}, { threadId: "any" });
  });
});

describe("what is kept is bounded", () => {
  const named = (threadId: string, text = ""): ThreadNow => ({
    head: {
      tenant: "default",
      threadId,
      graph: "g",
      status: "completed",
      runId: "r",
      seq: 1,
      step: 1,
      checkpointId: null,
      currentNode: null,
      nextNodes: [],
      interruptReason: null,
    },
    snapshot: {
      step: 1,
      values: { text },
      messages: [],
      position: { tasks: [], holds: { before: [], after: [] } },
    },
    interrupts: [],
    records: [],
    sinceValues: { bytes: 0, size: 0 },
  });
  const ref = (threadId: string) => ({ tenant: "default", threadId });
  const are = (guesses: Guesses, ...ids: string[]): (string | undefined)[] =>
    ids.map((id) => guesses.kept(ref(id))?.head.threadId);

  it("by its weight: the oldest make way, and one that is too heavy is not kept", () => {
    const guesses = new Guesses(1000);
    for (const id of ["a", "b", "c"]) guesses.keep(named(id, "x".repeat(300)));
    guesses.keep(named("huge", "x".repeat(1000)));
    expect(are(guesses, "huge", "a", "b", "c")).toEqual([undefined, undefined, "b", "c"]);
    // What was given no longer weighs.
    for (const id of ["d", "e"]) guesses.keep(named(id, "x".repeat(300)));
    expect(are(guesses, "d", "e")).toEqual(["d", "e"]);
  });

  it("by their number, and by time", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    onTestFinished(() => void vi.useRealTimers());
    const guesses = new Guesses();
    for (let i = 0; i < 257; i++) guesses.keep(named(`t${i}`));
    expect(are(guesses, "t0", "t1", "t256")).toEqual([undefined, "t1", "t256"]);
    vi.advanceTimersByTime(60_001);
    expect(are(guesses, "t2")).toEqual([undefined]);
  });

  it("a thread that is kept again weighs once", () => {
    const guesses = new Guesses(1000);
    for (let i = 0; i < 10; i++) guesses.keep(named("a", "x".repeat(300)));
    guesses.keep(named("b", "x".repeat(300)));
    expect(are(guesses, "a", "b")).toEqual(["a", "b"]);
  });
});

describe("a guess that is wrong changes nothing", () => {
  const two = async () => {
    const url = await newPostgresDatabase();
    return [
      inProcess(counting(), new PgCheckpointer(url)),
      inProcess(counting(), new PgCheckpointer(url)),
    ] as const;
  };
  const threadId = "t";

  it("where another process has answered and ended the thread", async () => {
    const [here, there] = await two();
    await here.invoke({}, { threadId });
    await there.resume({ decision: "approve" }, { threadId });
    await there.resume({ decision: "approve" }, { threadId });
    expect(await failure(here.resume({ decision: "approve" }, { threadId }))).toMatchObject({
      code: "not_resumable",
      details: { thread_status: "completed" },
    });
    expect((await here.getState({ threadId })).state.n).toBe(3);
  });

  it("where another process has answered and the thread asks again: a bare answer is of what it asks now", async () => {
    const [here, there] = await two();
    await here.invoke({}, { threadId });
    const { interrupts } = await there.resume({ decision: "approve" }, { threadId });
    const { status } = await here.resume({ decision: "approve" }, { threadId });
    expect(status).toBe("completed");
    expect(
      await failure(there.resume({ interruptId: interrupts[0]?.id, decision: "deny" }, { threadId })),
    ).toMatchObject({ code: "already_decided" });
  });

  it("where another process has patched the thread", async () => {
    const [here, there] = await two();
    await here.invoke({}, { threadId });
    await there.updateState({ n: 40, messages: ["patched"] } as never, { threadId });
    const { state: now } = await here.resume({ decision: "approve" }, { threadId });
    expect(now.n).toBe(41);
  });

  it("where the thread is there already", async () => {
    const [here, there] = await two();
    await there.invoke({}, { threadId });
    const before = await there.getState({ threadId });
    // To go on is what the library's `invoke` means on a thread that waits.
    const { status, state: now } = await here.invoke({}, { threadId });
    expect(status).toBe("interrupted_after");
    expect(now.n).toBe(2);
    expect(before.state.n).toBe(1);
  });

  it("and where nothing is wrong but the request, that is said of the thread as it is", async () => {
    const [here] = await two();
    expect(await failure(here.invoke({ nothing: 1 } as never, { threadId }))).toMatchObject({
      code: "validation_failed",
    });
    expect(await failure(here.getState({ threadId }))).toMatchObject({ code: "not_found" });
  });
});
