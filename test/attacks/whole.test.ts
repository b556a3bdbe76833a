/** Branches and nested graphs against the sentences of the engine's page, one by one. */
import {
  Command,
  END,
  InMemoryCheckpointer,
  Send,
  START,
  StateGraph,
  type NodeContext,
  type RunEvent,
} from "holdpoint";
import { expect, it } from "vitest";
import { z } from "zod";
import { drained, failure, latch, settled } from "../support/latch.js";
import { until } from "../support/poll.js";
import { readEvents } from "../../src/runs/hydrate.js";
import { ref, runtime } from "./support.js";

const thread = { threadId: "t" };
const log = z.array(z.string()).default([]);
const amount = z.number().default(0);
const graph = () =>
  new StateGraph({
    state: z.object({ log, amount, item: z.string().default("") }),
    reducers: { log: (now: string[], more: string[]) => [...now, ...more] },
  });
/** `inner` as the only node of a graph that is the only node of a graph. */
const twoDeep = (inner: any, compile: object = {}) =>
  graph()
    .addNode(
      "MIDDLE",
      graph()
        .addNode("INNER", inner)
        .addEdge(START, "INNER")
        .addEdge("INNER", END)
        .compile({ name: "middle" }),
    )
    .addEdge(START, "MIDDLE")
    .addEdge("MIDDLE", END)
    .compile({ name: "outer", ...compile });
const single = (node: any, options: object = {}, compile: object = {}) =>
  graph()
    .addNode("WORK", node, options)
    .addEdge(START, "WORK")
    .addEdge("WORK", END)
    .compile({ name: "inner", ...compile });
const PATH = ["MIDDLE", "INNER", "WORK"];
const events = async (app: any, input = {}): Promise<{ events: RunEvent[]; error: unknown }> =>
  drained(app.stream(input, thread));

it("a node at depth is retried as its retry says, and says restart with its path", async () => {
  const app = twoDeep(
    single(
      async function* (_state: any, ctx: NodeContext) {
        yield `try ${ctx.attempt}`;
        if (ctx.attempt < 3) throw new Error("not yet");
        return { log: [`attempt ${ctx.attempt}`] };
      },
      { retry: { attempts: 3 } },
    ),
  );
  const { events: seen, error } = await events(app);
  expect(error).toBeNull();
  const of = (type: string) => seen.filter(({ eventType }) => eventType === type);
  expect(of("restart").map(({ data, path }) => [path, data])).toEqual(
    [2, 3].map((attempt) => [PATH, { step: 0, node: "WORK", path: PATH, attempt }]),
  );
  expect(of("delta").every(({ path }) => path.join() === PATH.join())).toBe(true);
  expect(of("progress").map(({ path }) => path.length)).toEqual([1, 2, 3, 3, 3]);
});

it("a timeout at depth is a fault with its path; a gated one is asked about", async () => {
  const hangs = (_state: any, ctx: NodeContext) =>
    ctx.attempt > 1 ? { log: ["second"] } : new Promise(() => undefined);
  const app = twoDeep(single(hangs, { timeoutMs: 5 }));
  expect(await failure(app.invoke({}, thread))).toMatchObject({ code: "node_timeout", node: "WORK" });
  expect((await app.resume({}, thread)).state.log).toEqual(["second"]);

  const gated = twoDeep(single(hangs, { timeoutMs: 5 }, { interruptBefore: ["WORK"] }));
  await gated.invoke({}, thread);
  expect(await failure(gated.resume({ decision: "approve" }, thread))).toMatchObject({
    code: "node_timeout",
  });
  const asked = await gated.resume({}, thread);
  expect(asked.interrupts).toMatchObject([
    { kind: "crash", path: PATH, data: { cause: "timeout", attempt: 1 } },
  ]);
  expect((await gated.resume({ decision: "approve" }, thread)).state.log).toEqual(["second"]);
});

it("every node of a nested graph behind a hold point is asked about, where the hold is two graphs further out", async () => {
  const began = latch();
  const cp = new InMemoryCheckpointer();
  let calls = 0;
  const inner = single(async () => {
    calls++;
    began.open();
    await new Promise(() => undefined);
  });
  const app = twoDeep(inner, { interruptBefore: ["MIDDLE"], checkpointer: cp });
  await app.invoke({}, thread);
  const run = app.resume({ decision: "approve" }, thread);
  await began.opened;
  await app.stop(thread);
  await run;
  expect((await app.resume({}, thread)).interrupts).toMatchObject([{ kind: "crash", path: PATH }]);
  expect(calls).toBe(1);
});

it("a node at depth that looks at its signal has its own grace, and what it gives in it is kept", async () => {
  const began = latch();
  const inner = single(
    async (_state: any, ctx: NodeContext) => {
      began.open();
      await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
      return { log: ["in grace"] };
    },
    { graceMs: 60_000 },
  );
  const app = twoDeep(inner);
  const run = app.invoke({}, thread);
  await began.opened;
  expect(await app.stop(thread)).toMatchObject({ status: "stopped", abandoned: [] });
  expect((await run).status).toBe("stopped");
  expect((await app.resume({}, thread)).state.log).toEqual(["in grace"]);
});

it("the recursion limit counts the steps at every depth", async () => {
  const loop = graph()
    .addNode("A", () => ({ log: ["a"] }))
    .addConditionalEdges("A", (state) => (state.log.length < 6 ? "A" : END), ["A", END])
    .addEdge(START, "A")
    .compile({ name: "loop" });
  const app = twoDeep(loop);
  const error = await failure(app.invoke({}, { ...thread, recursionLimit: 4 }));
  expect(error).toMatchObject({ code: "recursion_limit", step: 4 });
  const done = await app.resume({}, { ...thread, recursionLimit: 10 });
  expect(done.state.log).toHaveLength(6);
});

it("several questions in several branches and depths are all asked at once, and denied and answered apart", async () => {
  const ask = async (state: any, ctx: NodeContext) => {
    const { data } = await ctx.interrupt({ message: `What of ${state.item}?` });
    return { log: [`${state.item}: ${String(data)}`] };
  };
  const app = graph()
    .addNode("SUB", single(ask), { onDeny: "REFUSED" })
    .addNode("ASK", ask, { onDeny: "REFUSED" })
    .addNode("REFUSED", (_state, ctx) => ({ log: [`refused: ${ctx.answer?.reason}`] }))
    .addConditionalEdges(START, () => [
      new Send("SUB", { item: "s1" }),
      new Send("SUB", { item: "s2" }),
      new Send("ASK", { item: "a1" }),
    ])
    .addEdge("SUB", END)
    .addEdge("ASK", END)
    .addEdge("REFUSED", END)
    .compile();
  const { interrupts } = await app.invoke({}, thread);
  expect(interrupts.map(({ message, path }) => [message, path.join(".")])).toEqual([
    ["What of s1?", "SUB.WORK"],
    ["What of s2?", "SUB.WORK"],
    ["What of a1?", "ASK"],
  ]);
  const [s1, s2, a1] = interrupts.map(({ id }) => id);
  const done = await app.resume(
    {
      answers: [
        { interruptId: a1, decision: "deny", reason: "third" },
        { interruptId: s1, decision: "respond", data: 0 },
        { interruptId: s2, decision: "deny", reason: "second" },
      ],
    },
    thread,
  );
  // REFUSED runs once in the round in which both denials arrive, with the first in task order.
  expect(done.state.log).toEqual(["s1: 0", "refused: second"]);
  expect(done.decision).toMatchObject({ decision: "deny", reason: "second" });
});

it("a denial that onDeny meets inside one instance does not end the other", async () => {
  const inner = graph()
    .addNode("PAY", (state) => ({ log: [`paid ${state.amount}`] }))
    .addEdge(START, "PAY")
    .addEdge("PAY", END)
    .compile({
      name: "inner",
      interruptBefore: [{ node: "PAY", message: (state) => `Pay ${state.amount}?` }],
    });
  const app = graph()
    .addNode("SUB", inner)
    .addNode("NEXT", (state) => ({ log: [`next of ${state.log.length}`] }))
    .addConditionalEdges(START, () => [1, 2].map((amount) => new Send("SUB", { amount })))
    .addEdge("SUB", "NEXT")
    .addEdge("NEXT", END)
    .compile();
  const { interrupts } = await app.invoke({}, thread);
  const [one, two] = interrupts.map(({ id }) => id);
  await app.resume({ interruptId: two, decision: "edit", state: { amount: 20 } }, thread);
  const done = await app.resume({ interruptId: one, decision: "deny" }, thread);
  expect(done.state).toMatchObject({ log: ["paid 20", "next of 1"], amount: 0 });
});

it("an edit of one Send is held for by nobody else, and its words are made anew for a fork", async () => {
  const app = graph()
    .addNode("WORK", (state) => ({ log: [`${state.item} ${state.amount}`] }))
    .addConditionalEdges(START, () => ["x", "y"].map((item) => new Send("WORK", { item, amount: 1 })))
    .addEdge("WORK", END)
    .compile({ interruptBefore: [{ node: "WORK", message: ({ item, amount }) => `${item} ${amount}?` }] });
  const { interrupts } = await app.invoke({}, thread);
  const [x, y] = interrupts.map(({ id }) => id);
  await app.resume({ interruptId: x, decision: "edit", state: { amount: 5 } }, thread);
  const stopped = await app.stop(thread);
  expect(stopped.cancelledInterrupts).toEqual([y]);
  const asked = await app.resume({}, thread);
  expect(asked.interrupts.map(({ message }) => message)).toEqual(["y 1?"]);
  const done = await app.resume({ decision: "approve" }, thread);
  expect(done.state.log).toEqual(["x 5", "y 1"]);
});

it("what a lost attempt of a Send did is an output: it goes into the state, checked by its schema", async () => {
  const began = latch();
  const app = graph()
    .addNode(
      "WORK",
      async () => {
        began.open();
        await new Promise(() => undefined);
      },
      { onCrash: "hold" },
    )
    .addNode("NEXT", (state) => ({ log: [`next of ${state.amount}`] }))
    .addConditionalEdges(START, () => new Send("WORK", { item: "x" }))
    .addEdge("WORK", "NEXT")
    .addEdge("NEXT", END)
    .compile();
  const run = app.invoke({}, thread);
  await began.opened;
  await app.stop(thread);
  await run;
  await app.resume({}, thread);
  const refused = await failure(app.resume({ decision: "edit", state: { nothing: 1 } }, thread));
  expect(refused).toMatchObject({ code: "validation_failed" });
  const done = await app.resume({ decision: "edit", state: { amount: 42 } }, thread);
  expect(done.state).toMatchObject({ amount: 42, log: ["next of 42"] });
});

it("an edit where a Send's node asks for its output to be looked at is of the state that the output is in", async () => {
  const app = graph()
    .addNode("WORK", (state) => {
      state.setInterrupt({ reason: `look at ${state.item}`, status: "interrupted_after" });
      return { log: [state.item] };
    })
    .addNode("NEXT", (state) => ({ log: [`next of ${state.amount}`] }))
    .addConditionalEdges(START, () => ["x", "y"].map((item) => new Send("WORK", { item })))
    .addEdge("WORK", "NEXT")
    .addEdge("NEXT", END)
    .compile();
  const { interrupts } = await app.invoke({}, thread);
  const [x, y] = interrupts.map(({ id }) => id);
  await app.resume({ interruptId: x, decision: "edit", state: { amount: 3 } }, thread);
  const done = await app.resume({ interruptId: y, decision: "approve" }, thread);
  expect(done.state).toMatchObject({ amount: 3, log: ["x", "y", "next of 3"] });
});

it("what a stream said of nested messages is what the log says of them later, each once", async () => {
  const cp = new InMemoryCheckpointer();
  const rt = runtime(cp);
  const say = (text: string) =>
    async function* () {
      yield text.slice(0, 2);
      yield text.slice(2);
    };
  const inner = graph()
    .addNode("ONE", say("first words"))
    .addNode("TWO", say("second words"))
    .addEdge(START, "ONE")
    .addEdge("ONE", "TWO")
    .addEdge("TWO", END)
    .compile({ name: "inner", interruptAfter: ["ONE"] });
  twoDeep(inner).bind(rt, "g");
  await rt.start();
  const seen: any[] = [];
  const abort = new AbortController();
  const all = (async () => {
    for await (const event of rt.runs.reader.events(ref, 0, { signal: abort.signal })) seen.push(event);
  })();
  await (await rt.runs.start({ ref, graph: "g", input: { messages: ["hi"] } })).outcome();
  await ((await rt.runs.resume({ ref, decision: "approve", by: "p" })) as any).outcome();
  await settled();
  abort.abort();
  await all;
  const replay = await readEvents(cp, ref, 0);
  expect(replay).toEqual(seen.filter(({ eventType }) => eventType !== "delta"));
  const said = replay.filter(({ eventType }) => eventType === "message");
  expect(said.map(({ content, path }) => [content, path.at(-1) ?? null])).toEqual([
    ["hi", null],
    ["first words", "ONE"],
    ["second words", "TWO"],
  ]);
  const deltas = seen.filter(({ eventType }) => eventType === "delta");
  const ids = said.map(({ data }: any) => data.message.id);
  expect(deltas.length).toBeGreaterThan(0);
  for (const { data } of deltas) expect(ids).toContain(data.messageId);
});

it("publishers of the outer graph get every event of every depth, in order; those of the inner none twice", async () => {
  const got: RunEvent[] = [];
  const inner = single(() => ({ log: ["w"] }), {}, { publisher: { publish: () => got.push(null as never) } });
  const app = twoDeep(inner, { publisher: { publish: (event: RunEvent) => void got.push(event) } });
  const { events: seen } = await events(app);
  await settled();
  expect(got).toEqual(seen);
});

it("a Command inside a nested graph goes to a node of that graph, and to none around it", async () => {
  const inner = graph()
    .addNode("LEAD", () => new Command({ goto: "AFTER" as never }))
    .addNode("HERE", () => ({ log: ["here"] }))
    .addEdge(START, "LEAD")
    .addEdge("HERE", END)
    .compile({ name: "inner" });
  const app = graph()
    .addNode("SUB", inner)
    .addNode("AFTER", () => ({ log: ["after"] }))
    .addEdge(START, "SUB")
    .addEdge("SUB", "AFTER")
    .addEdge("AFTER", END)
    .compile();
  expect(await failure(app.invoke({}, thread))).toMatchObject({ message: expect.stringContaining("AFTER") });
});

it("a process that dies inside one of two gated instances is asked about both that were in flight, and no more", async () => {
  const cp = new InMemoryCheckpointer();
  const first = runtime(cp, { leaseMs: 60_000 });
  let begun = 0;
  const both = latch();
  const inner = single(
    async () => {
      if (++begun === 2) both.open();
      await new Promise(() => undefined);
    },
    { onCrash: "hold" },
  );
  const build = () =>
    graph()
      .addNode("SUB", inner)
      .addNode("FREE", () => ({ log: ["free"] }))
      .addConditionalEdges(START, () => [new Send("SUB", {}), new Send("SUB", {}), "FREE"])
      .addEdge("SUB", END)
      .addEdge("FREE", END)
      .compile();
  build().bind(first, "g");
  await first.start();
  await first.runs.start({ ref, graph: "g", input: {} });
  await both.opened;
  await settled();
  await cp.release(ref, (await cp.thread(ref))?.epoch ?? 0, { inFlight: true });
  const second = runtime(cp, { heartbeatMs: 20 });
  build().bind(second, "g");
  await second.start();
  const view = await until("it is asked about", async () => {
    const { status, interrupts } = await second.threads.state(ref);
    return status === "interrupted_before" ? interrupts : null;
  });
  expect(view.map(({ kind, path }: any) => [kind, path.join(".")])).toEqual([
    ["crash", "SUB.WORK"],
    ["crash", "SUB.WORK"],
  ]);
  expect(begun).toBe(2);
});
