/** History and forks through the library (design: engine, section 8). */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { END, InMemoryCheckpointer, Send, START, StateGraph, type NodeContext } from "holdpoint";
import { failure, latch } from "../support/latch.js";
import { until } from "../support/poll.js";

const append = <T>(current: readonly T[], update: readonly T[]): T[] => [...current, ...update];
const log = z.array(z.string()).default([]);
let threads = 0;
const thread = (): { threadId: string } => ({ threadId: `fork-${process.pid}-${threads++}` });

interface Reads {
  history(of: { threadId: string; limit?: number; cursor?: string }): Promise<{
    readonly items: readonly {
      readonly checkpointId: string;
      readonly status: string;
      readonly nextNodes: readonly string[];
    }[];
  }>;
}
async function newest(graph: Reads, { threadId }: { threadId: string }): Promise<string> {
  const { items } = await graph.history({ threadId, limit: 1 });
  return items[0]?.checkpointId ?? "";
}

/** READ, then PAY behind a hold point, then SHIP; what was done is in `ledger`. */
function shop(compile: object = { interruptBefore: ["PAY"] }) {
  const ledger: string[] = [];
  const did = (what: string): string[] => {
    ledger.push(what);
    return [what];
  };
  const graph = new StateGraph({
    state: z.object({ log, amount: z.number().default(0) }),
    reducers: { log: append },
  })
    .addNode("READ", ({ amount }) => ({ log: did(`read ${amount}`), messages: `You want ${amount}.` }))
    .addNode("PAY", ({ amount }) => ({ log: did(`pay ${amount}`), messages: `Paid ${amount}.` }), {
      onDeny: "REFUSE",
    })
    .addNode("SHIP", () => ({ log: did("ship") }))
    .addNode("REFUSE", (_state, ctx) => ({ log: did(`refused: ${ctx.answer?.reason}`) }))
    .addEdge(START, "READ")
    .addEdge("READ", "PAY")
    .addEdge("PAY", "SHIP")
    .addEdge("SHIP", END)
    .addEdge("REFUSE", END)
    .compile(compile);
  return { graph, ledger };
}

describe("the history of a thread", () => {
  it("is every checkpoint, newest first, each with the one before it, page by page", async () => {
    const { graph } = shop();
    const t = thread();
    await graph.invoke({ amount: 3 }, t);
    await graph.resume({ decision: "approve" }, t);
    const { items, nextCursor } = await graph.history(t);
    expect(nextCursor).toBeNull();
    expect(items.map(({ parentId }) => parentId)).toEqual([
      ...items.slice(1).map(({ checkpointId }) => checkpointId),
      null,
    ]);
    expect(items.at(-1)).toMatchObject({ source: "input", step: 0, nextNodes: ["READ"], status: "running" });
    expect(items[0]).toMatchObject({ source: "step", step: 3, nextNodes: [], status: "completed" });
    expect(items.find(({ status }) => status === "interrupted_before")).toMatchObject({
      step: 1,
      nextNodes: ["PAY"],
    });
    const first = await graph.history({ ...t, limit: 2 });
    const rest = await graph.history({ ...t, limit: 200, cursor: first.nextCursor ?? "" });
    expect([...first.items, ...rest.items]).toEqual(items);
  });

  it("has a step of a nested graph with its path", async () => {
    const inner = new StateGraph({ state: z.object({ log }), reducers: { log: append } })
      .addNode("IN", () => ({ log: ["in"] }))
      .addEdge(START, "IN")
      .addEdge("IN", END)
      .compile({ name: "inner" });
    const graph = new StateGraph({ state: z.object({ log }), reducers: { log: append } })
      .addNode("SUB", inner)
      .addNode("LAST", () => ({ log: ["last"] }))
      .addEdge(START, "SUB")
      .addEdge("SUB", "LAST")
      .addEdge("LAST", END)
      .compile();
    const t = thread();
    await graph.invoke({}, t);
    const { items } = await graph.history(t);
    expect(items.map(({ path }) => path)).toContainEqual(["SUB"]);
  });

  it("shows at each pause the state as it was then, with what was asked", async () => {
    const { graph } = shop();
    const t = thread();
    await graph.invoke({ amount: 3 }, t);
    const then = await graph.getState(t);
    await graph.resume({ decision: "approve" }, t);
    const { executionMeta, ...read } = await graph.getState({ ...t, checkpointId: then.checkpointId ?? "" });
    const { executionMeta: meta, ...was } = then;
    expect(read).toEqual(was);
    expect({ ...executionMeta, isInterrupted: null }).toEqual({ ...meta, isInterrupted: null });
  });

  it("is refused by a limit or a thread that there is not", async () => {
    const { graph } = shop();
    for (const limit of [0, 201, 1.5, NaN])
      expect(await failure(graph.history({ ...thread(), limit }))).toMatchObject({
        code: "validation_failed",
      });
    expect(await failure(graph.history(thread()))).toMatchObject({ code: "not_found" });
  });
});

describe("a fork", () => {
  it("stands stopped where its source was, has its state and messages, and has run nothing", async () => {
    const { graph, ledger } = shop();
    const t = thread();
    await graph.invoke({ amount: 3, messages: ["please"] }, t);
    const was = await graph.getState(t);
    await graph.resume({ decision: "approve" }, t);
    const source = { state: await graph.getState(t), history: await graph.history(t) };
    const done = [...ledger];
    const to = thread().threadId;
    const made = await graph.fork({ ...t, checkpointId: was.checkpointId ?? "", to });
    expect(made).toMatchObject({
      threadId: to,
      status: "stopped",
      state: was.state,
      messages: was.messages,
      nextNodes: ["PAY"],
      pending: [],
      interrupts: [],
      executionMeta: { status: "stopped", currentNode: "PAY", step: 1, interruptReason: null },
    });
    expect(ledger).toEqual(done);
    const { items } = await graph.history({ threadId: to });
    expect(items).toMatchObject([
      {
        checkpointId: made.checkpointId,
        parentId: was.checkpointId,
        source: "fork",
        runId: null,
        step: 1,
        path: [],
        status: "stopped",
        nextNodes: ["PAY"],
      },
    ]);
    expect({ ...source.state, executionMeta: null }).toEqual({
      ...(await graph.getState(t)),
      executionMeta: null,
    });
    expect(await graph.history(t)).toEqual(source.history);
  });

  it("of the end is completed, and takes a new run", async () => {
    const { graph, ledger } = shop({});
    const t = thread();
    await graph.invoke({ amount: 1 }, t);
    const made = await graph.fork({ ...t, checkpointId: await newest(graph, t) });
    expect(made).toMatchObject({ status: "completed", nextNodes: [], executionMeta: { currentNode: null } });
    expect(await failure(graph.resume({}, { threadId: made.threadId }))).toMatchObject({
      code: "not_resumable",
    });
    const again = await graph.invoke({}, { threadId: made.threadId });
    expect(again.state.log).toHaveLength(6);
    expect(ledger).toHaveLength(6);
  });

  it("of the input begins at the beginning", async () => {
    const { graph, ledger } = shop({});
    const t = thread();
    await graph.invoke({ amount: 7 }, t);
    const first = (await graph.history(t)).items.at(-1)?.checkpointId ?? "";
    ledger.length = 0;
    const made = await graph.fork({ ...t, checkpointId: first });
    const done = await graph.resume({}, { threadId: made.threadId });
    expect(done).toMatchObject({ status: "completed", state: { log: ["read 7", "pay 7", "ship"] } });
    expect(ledger).toEqual(["read 7", "pay 7", "ship"]);
  });

  it("asks again what was approved, under a new id, and without asking `when`", async () => {
    let asked = 0;
    const { graph, ledger } = shop({
      interruptBefore: [
        { node: "PAY", when: () => ++asked === 1, message: (s: { amount: number }) => `Pay ${s.amount}?` },
      ],
    });
    const t = thread();
    const held = await graph.invoke({ amount: 3 }, t);
    await graph.resume({ decision: "approve", messages: ["ok"] }, t);
    // Each checkpoint from the hold point on to the moment that PAY was done.
    const { items } = await graph.history(t);
    const before = items.filter(({ nextNodes }) => nextNodes.includes("PAY"));
    expect(before.length).toBeGreaterThanOrEqual(2);
    for (const { checkpointId } of before) {
      ledger.length = 0;
      const made = await graph.fork({ ...t, checkpointId });
      const u = { threadId: made.threadId };
      const again = await graph.resume({}, u);
      expect(again).toMatchObject({
        status: "interrupted_before",
        interrupts: [{ node: "PAY", message: "Pay 3?", status: "open" }],
      });
      expect(again.interrupts[0]?.id).not.toBe(held.interrupts[0]?.id);
      expect(ledger).toEqual([]);
      expect(
        await failure(graph.resume({ interruptId: held.interrupts[0]?.id ?? "", decision: "approve" }, u)),
      ).toMatchObject({ code: "not_found" });
      await graph.resume({ decision: "deny", reason: "no" }, u);
      expect(ledger).toEqual(["refused: no"]);
    }
    expect(asked).toBe(1);
  });

  it("asks again what was denied or let go on, at an `after` hold too; and keeps a denial whose way was taken", async () => {
    const { graph, ledger } = shop({ interruptBefore: ["PAY"], interruptAfter: ["READ"] });
    const t = thread();
    await graph.invoke({ amount: 2 }, t);
    const atRead = await newest(graph, t);
    await graph.resume({ decision: "approve" }, t);
    const atPay = await newest(graph, t);
    await graph.resume({ decision: "deny", reason: "too much" }, t);
    const { items } = await graph.history(t);
    const refusing = items.find(({ nextNodes }) => nextNodes.includes("REFUSE"))?.checkpointId ?? "";
    ledger.length = 0;

    const one = await graph.fork({ ...t, checkpointId: atRead });
    expect(await graph.resume({}, { threadId: one.threadId })).toMatchObject({
      status: "interrupted_after",
      nextNodes: ["PAY"],
    });
    const two = await graph.fork({ ...t, checkpointId: atPay });
    expect(await graph.resume({}, { threadId: two.threadId })).toMatchObject({
      status: "interrupted_before",
      nextNodes: ["PAY"],
    });
    expect(ledger).toEqual([]);
    const three = await graph.fork({ ...t, checkpointId: refusing });
    await graph.resume({}, { threadId: three.threadId });
    expect(ledger).toEqual(["refused: too much"]);
  });

  it("is of the source's tenant only, and needs a checkpoint and an id that is free", async () => {
    const { graph } = shop();
    const [t, other] = [thread(), thread()];
    await graph.invoke({}, t);
    await graph.invoke({}, other);
    const checkpointId = await newest(graph, t);
    expect(await failure(graph.fork({ ...t, checkpointId: "none" }))).toMatchObject({ code: "not_found" });
    expect(await failure(graph.fork({ ...other, checkpointId }))).toMatchObject({ code: "not_found" });
    expect(await failure(graph.fork({ ...thread(), checkpointId }))).toMatchObject({ code: "not_found" });
    for (const to of [t.threadId, other.threadId])
      expect(await failure(graph.fork({ ...t, checkpointId, to }))).toMatchObject({ code: "thread_exists" });
    expect(await failure(graph.fork({ ...t, checkpointId, to: "a/b" }))).toMatchObject({
      code: "invalid_thread_id",
    });
  });

  it("of a fork, patched before it goes on, leaves both others alone", async () => {
    const { graph } = shop();
    const t = thread();
    await graph.invoke({ amount: 3 }, t);
    const one = await graph.fork({ ...t, checkpointId: await newest(graph, t) });
    const two = await graph.fork({ threadId: one.threadId, checkpointId: one.checkpointId ?? "" });
    const u = { threadId: two.threadId };
    await graph.updateState({ amount: 9, messages: ["instead"] }, u);
    await graph.resume({}, u);
    const done = await graph.resume({ decision: "approve" }, u);
    expect(done.state).toMatchObject({ amount: 9, log: ["read 3", "pay 9", "ship"] });
    expect((await graph.getState({ threadId: one.threadId })).state).toMatchObject({
      amount: 3,
      log: ["read 3"],
    });
    expect((await graph.getState(t)).messages.map(({ content }) => content)).toEqual(["You want 3."]);
    const approved = await graph.resume({ decision: "approve" }, t);
    expect(approved.state.log).toEqual(["read 3", "pay 3", "ship"]);
  });
});

/** START → A, B, C in one step, then JOIN. */
function parallel(nodes: Record<"A" | "B" | "C", (ctx: NodeContext) => unknown>, compile: object = {}) {
  const graph = new StateGraph({ state: z.object({ log }), reducers: { log: append } });
  const node = (name: "A" | "B" | "C") => async (_state: unknown, ctx: NodeContext) => ({
    log: [`${name} ${((await nodes[name](ctx)) ?? "") as string}`],
  });
  return graph
    .addNode("A", node("A"))
    .addNode("B", node("B"), { onDeny: "NO" })
    .addNode("C", node("C"))
    .addNode("JOIN", (state) => ({ log: [`join ${state.log.length}`] }))
    .addNode("NO", (_state, ctx) => ({ log: [`no: ${ctx.answer?.reason}`] }))
    .addEdge(START, "A")
    .addEdge(START, "B")
    .addEdge(START, "C")
    .addEdge("A", "JOIN")
    .addEdge("B", "JOIN")
    .addEdge("C", "JOIN")
    .addEdge("JOIN", END)
    .addEdge("NO", END)
    .compile(compile);
}

describe("a fork in the middle of a step", () => {
  it("keeps the results that are there, and asks what was asked", async () => {
    const ran: string[] = [];
    const graph = parallel(
      {
        A: () => void ran.push("A"),
        B: () => void ran.push("B"),
        C: async (ctx) => (await ctx.interrupt({ message: "C?" })).data,
      },
      { interruptBefore: ["B"] },
    );
    const t = thread();
    const paused = await graph.invoke({}, t);
    const was = await graph.getState(t);
    expect(was.pending).toEqual(["A"]);
    const checkpointId = was.checkpointId ?? "";
    expect((await graph.getState({ ...t, checkpointId })).pending).toEqual(["A"]);
    // The source goes on first: what is kept at the checkpoint stays with it.
    for (const { id, kind } of paused.interrupts)
      await graph.resume(
        {
          interruptId: id,
          ...(kind === "request" ? { decision: "respond", data: "yes" } : { decision: "approve" }),
        },
        t,
      );
    expect((await graph.getState(t)).status).toBe("completed");
    expect(ran).toEqual(["A", "B"]);

    const made = await graph.fork({ ...t, checkpointId });
    expect(made).toMatchObject({
      status: "stopped",
      pending: ["A"],
      nextNodes: ["B", "C"],
      state: { log: [] },
    });
    const u = { threadId: made.threadId };
    const again = await graph.resume({}, u);
    expect(again.interrupts.map(({ node, kind }) => [node, kind])).toEqual([
      ["B", "before"],
      ["C", "request"],
    ]);
    const answers = again.interrupts.map(({ id, kind }) => ({
      interruptId: id,
      ...(kind === "request"
        ? { decision: "respond" as const, data: "no" }
        : { decision: "approve" as const }),
    }));
    const done = await graph.resume({ answers }, u);
    expect(done).toMatchObject({ status: "completed", state: { log: ["A ", "B ", "C no", "join 3"] } });
    expect(ran).toEqual(["A", "B", "B"]);
  });

  it("works while the source runs, with the results of tasks that have settled and of theirs only", async () => {
    const ran: string[] = [];
    const [began, held] = [latch(), latch()];
    const graph = parallel({
      A: () => void ran.push("A"),
      B: async (ctx) => {
        ran.push("B");
        await ctx.once("charge", () => void ran.push("charge"));
        if (ran.filter((name) => name === "B").length > 1) return "in the fork";
        began.open();
        await held.opened;
        return "in the source";
      },
      C: () => void ran.push("C"),
    });
    const t = thread();
    const running = graph.invoke({}, t);
    await began.opened;
    const state = await until("A and C are kept", async () => {
      const now = await graph.getState(t);
      return now.pending.length === 2 && now;
    });
    expect(state).toMatchObject({
      status: "running",
      pending: ["A", "C"],
      nextNodes: ["A", "B", "C"],
      state: { log: [] },
    });
    const made = await graph.fork({ ...t, checkpointId: state.checkpointId ?? "" });
    expect(made).toMatchObject({ status: "stopped", pending: ["A", "C"], nextNodes: ["B"] });
    const done = await graph.resume({}, { threadId: made.threadId });
    expect(done.state.log).toEqual(["A ", "B in the fork", "C ", "join 3"]);
    expect(ran.toSorted()).toEqual(["A", "B", "B", "C", "charge"]);
    held.open();
    expect((await running).state.log).toEqual(["A ", "B in the source", "C ", "join 3"]);
    expect(ran).toHaveLength(5);
  });

  it("asks again a hold point that was approved, of a node that is in flight", async () => {
    const [began, held] = [latch(), latch()];
    let calls = 0;
    const graph = parallel(
      {
        A: async (ctx) => (await ctx.interrupt({ message: "A?" })).data,
        B: async () => {
          calls++;
          began.open();
          await held.opened;
        },
        C: () => undefined,
      },
      { interruptBefore: ["B"] },
    );
    const t = thread();
    const paused = await graph.invoke({}, t);
    const answers = paused.interrupts.map(({ id }) => ({
      interruptId: id,
      decision: "approve" as const,
      messages: ["go"],
    }));
    const running = graph.resume({ answers }, t);
    await began.opened;
    const made = await graph.fork({ ...t, checkpointId: await newest(graph, t) });
    const again = await graph.resume({}, { threadId: made.threadId });
    expect(again.status).toBe("interrupted_before");
    expect(again.interrupts.map(({ node }) => node)).toContain("B");
    expect(calls).toBe(1);
    held.open();
    expect((await running).status).toBe("completed");
  });

  it("asks a denied task again whose siblings are held behind their output, which stays", async () => {
    const ran: string[] = [];
    const graph = parallel(
      { A: () => void ran.push("A"), B: () => void ran.push("B"), C: () => void ran.push("C") },
      { interruptBefore: ["B"], interruptAfter: ["A"] },
    );
    const t = thread();
    await graph.invoke({}, t);
    const held = await graph.resume({ decision: "deny", reason: "never" }, t);
    expect(held).toMatchObject({ status: "interrupted_after", state: { log: ["A ", "C "] } });
    const made = await graph.fork({ ...t, checkpointId: await newest(graph, t) });
    const u = { threadId: made.threadId };
    const again = await graph.resume({}, u);
    expect(again.interrupts.map(({ node, kind }) => [node, kind])).toEqual([
      ["A", "after"],
      ["B", "before"],
    ]);
    const answers = again.interrupts.map(({ id }) => ({ interruptId: id, decision: "approve" as const }));
    const done = await graph.resume({ answers }, u);
    expect(done).toMatchObject({
      status: "completed",
      decision: { decision: "approve" },
      state: { log: ["A ", "C ", "B ", "join 3"] },
    });
    expect(ran).toEqual(["A", "C", "B"]);
    const source = await graph.resume({ decision: "approve" }, t);
    expect(source.state.log).toEqual(["A ", "C ", "join 2", "no: never"]);
  });

  it("keeps what Sends gave, and asks each of them", async () => {
    const graph = new StateGraph({ state: z.object({ log }), reducers: { log: append } })
      .addNode("WORK", async (state, ctx) => {
        const { item } = state as unknown as { item: number };
        if (item === 1) return { log: [`did ${item}`] };
        const { data } = await ctx.interrupt({ message: `${item}?` });
        return { log: [`did ${item} ${JSON.stringify(data)}`] };
      })
      .addConditionalEdges(START, () => [1, 2, 3].map((item) => new Send("WORK", { item })))
      .addEdge("WORK", END)
      .compile();
    const t = thread();
    await graph.invoke({}, t);
    const made = await graph.fork({ ...t, checkpointId: await newest(graph, t) });
    const u = { threadId: made.threadId };
    const again = await graph.resume({}, u);
    expect(again.interrupts.map(({ message }) => message)).toEqual(["2?", "3?"]);
    const answers = again.interrupts.map(({ id, message }) => ({
      interruptId: id,
      decision: "respond" as const,
      data: message,
    }));
    expect((await graph.resume({ answers }, u)).state.log).toEqual(["did 1", 'did 2 "2?"', 'did 3 "3?"']);
  });
});

describe("a fork of a node that asks", () => {
  it("asks every question again, in its order, and has the `once` results", async () => {
    const effects: string[] = [];
    const graph = new StateGraph({ state: z.object({ log }), reducers: { log: append } })
      .addNode("ASK", async (_state, ctx) => {
        const one = await ctx.interrupt({ message: "one?" });
        const paid = await ctx.once("pay", () => (effects.push("paid"), effects.length));
        const two = await ctx.interrupt({ message: `two after ${JSON.stringify(one.data)}?` });
        return { log: [`${JSON.stringify(one.data)} ${JSON.stringify(two.data)} ${paid}`] };
      })
      .addEdge(START, "ASK")
      .addEdge("ASK", END)
      .compile({ interruptBefore: ["ASK"] });
    const t = thread();
    await graph.invoke({}, t);
    await graph.resume({ decision: "approve" }, t);
    await graph.resume({ decision: "respond", data: "a" }, t);
    const made = await graph.fork({ ...t, checkpointId: await newest(graph, t) });
    const u = { threadId: made.threadId };
    const asked: string[] = [];
    let result = await graph.resume({}, u);
    for (const [i, answer] of [
      { decision: "approve" },
      { decision: "respond", data: "x" },
      { decision: "respond", data: "y" },
    ].entries()) {
      expect(result.interrupts).toHaveLength(1);
      asked.push(result.interrupts[0]?.message ?? `nothing at ${i}`);
      result = await graph.resume(answer as { decision: "approve" }, u);
    }
    expect(asked.slice(1)).toEqual(["one?", 'two after "x"?']);
    expect(result).toMatchObject({ status: "completed", state: { log: ['"x" "y" 1'] } });
    const source = await graph.resume({ decision: "respond", data: "b" }, t);
    expect(source.state.log).toEqual(['"a" "b" 1']);
    expect(effects).toEqual(["paid"]);
  });

  it("opens the question where it was open, and never takes the source's answer for it", async () => {
    let runs = 0;
    const graph = new StateGraph({ state: z.object({ log }), reducers: { log: append } })
      .addNode("ASK", async (_state, ctx) => {
        runs++;
        return { log: [JSON.stringify((await ctx.interrupt({ message: "?" })).data)] };
      })
      .addEdge(START, "ASK")
      .addEdge("ASK", END)
      .compile();
    const t = thread();
    await graph.invoke({}, t);
    const checkpointId = await newest(graph, t);
    await graph.resume({ decision: "respond", data: "source" }, t);
    const made = await graph.fork({ ...t, checkpointId });
    const u = { threadId: made.threadId };
    expect(runs).toBe(2);
    expect(await graph.resume({}, u)).toMatchObject({
      status: "interrupted_before",
      interrupts: [{ message: "?" }],
    });
    expect(runs).toBe(2);
    expect((await graph.resume({ decision: "respond", data: "fork" }, u)).state.log).toEqual(['"fork"']);
  });

  it("stays at the question about a lost attempt", async () => {
    let runs = 0;
    const began = latch();
    const graph = new StateGraph({})
      .addNode(
        "ACT",
        () => {
          runs++;
          began.open();
          return new Promise<undefined>(() => undefined);
        },
        { onCrash: "hold" },
      )
      .addEdge(START, "ACT")
      .addEdge("ACT", END)
      .compile();
    const t = thread();
    const running = graph.invoke({}, t);
    await began.opened;
    await graph.stop(t);
    await running;
    const made = await graph.fork({ ...t, checkpointId: await newest(graph, t) });
    expect(await graph.resume({}, { threadId: made.threadId })).toMatchObject({
      status: "interrupted_before",
      interrupts: [{ kind: "crash", node: "ACT" }],
    });
    expect(runs).toBe(1);
  });
});

describe("a fork of a nested graph", () => {
  const payment = (did: string[], compile: object) =>
    new StateGraph({ state: z.object({ log }), reducers: { log: append } })
      .addNode("CHECK", () => ({ log: (did.push("check"), ["check"]) }))
      .addNode("PAY", () => ({ log: (did.push("pay"), ["pay"]) }))
      .addEdge(START, "CHECK")
      .addEdge("CHECK", "PAY")
      .addEdge("PAY", END)
      .compile({ name: "payment", ...compile });
  const around = (inner: ReturnType<typeof payment>, compile: object) =>
    new StateGraph({ state: z.object({ log }), reducers: { log: append } })
      .addNode("SUB", inner)
      .addNode("LAST", () => ({ log: ["last"] }))
      .addEdge(START, "SUB")
      .addEdge("SUB", "LAST")
      .addEdge("LAST", END)
      .compile(compile);

  it("goes on inside, and asks there again", async () => {
    const did: string[] = [];
    const graph = around(payment(did, { interruptBefore: ["PAY"] }), {});
    const t = thread();
    await graph.invoke({}, t);
    const checkpointId = await newest(graph, t);
    await graph.resume({ decision: "approve" }, t);
    did.length = 0;
    const made = await graph.fork({ ...t, checkpointId });
    const u = { threadId: made.threadId };
    expect(await graph.resume({}, u)).toMatchObject({ interrupts: [{ node: "PAY", path: ["SUB", "PAY"] }] });
    const done = await graph.resume({ decision: "approve" }, u);
    expect(done.state.log).toEqual(["check", "pay", "last"]);
    expect(did).toEqual(["pay"]);
  });

  it("asks the graph's own hold point before anything more happens inside; its finished steps stay", async () => {
    const did: string[] = [];
    const graph = around(payment(did, { interruptBefore: ["PAY"] }), { interruptBefore: ["SUB"] });
    const t = thread();
    await graph.invoke({}, t);
    await graph.resume({ decision: "approve" }, t);
    const made = await graph.fork({ ...t, checkpointId: await newest(graph, t) });
    const u = { threadId: made.threadId };
    const first = await graph.resume({}, u);
    expect(first.interrupts.map(({ node }) => node)).toEqual(["SUB"]);
    const second = await graph.resume({ decision: "approve" }, u);
    expect(second.interrupts.map(({ node }) => node)).toEqual(["PAY"]);
    const done = await graph.resume({ decision: "approve" }, u);
    expect(done.state.log).toEqual(["check", "pay", "last"]);
    expect(did).toEqual(["check", "pay"]);

    const other = await graph.fork({ ...t, checkpointId: await newest(graph, t) });
    const v = { threadId: other.threadId };
    await graph.resume({}, v);
    expect(await graph.resume({ decision: "deny" }, v)).toMatchObject({
      status: "completed",
      state: { log: [] },
    });
    expect(did).toEqual(["check", "pay"]);
  });
});

describe("a patch while a thread waits", () => {
  it("leaves the results of its step alone, and is what the others see when it goes on", async () => {
    const ran: string[] = [];
    const graph = new StateGraph({
      state: z.object({ log, n: z.number().default(1) }),
      reducers: { log: append },
    })
      .addNode("A", ({ n }) => (ran.push("A"), { log: [`A ${n}`] }))
      .addNode("B", ({ n }) => ({ log: [`B ${n}`] }))
      .addNode("JOIN", ({ n, log: told }) => ({ log: [`join ${n} ${told.length}`] }))
      .addEdge(START, "A")
      .addEdge(START, "B")
      .addEdge("A", "JOIN")
      .addEdge("B", "JOIN")
      .addEdge("JOIN", END)
      .compile({ interruptBefore: [{ node: "B", message: (s) => `B with ${s.n}?` }] });
    const t = thread();
    await graph.invoke({}, t);
    const patched = await graph.updateState({ n: 5 }, t);
    expect(patched).toMatchObject({
      status: "interrupted_before",
      pending: ["A"],
      state: { n: 5, log: [] },
      interrupts: [{ message: "B with 5?" }],
    });
    const done = await graph.resume({ decision: "approve" }, t);
    expect(done.state.log).toEqual(["A 1", "B 5", "join 5 2"]);
    expect(ran).toEqual(["A"]);
  });

  it("is of the root's state, and a nested graph that has begun keeps its own", async () => {
    const inner = new StateGraph({
      state: z.object({ n: z.number().default(1), log }),
      reducers: { log: append },
    })
      .addNode("PAY", ({ n }) => ({ log: [`pay ${n}`] }))
      .addEdge(START, "PAY")
      .addEdge("PAY", END)
      .compile({ name: "pay", interruptBefore: ["PAY"] });
    const graph = new StateGraph({
      state: z.object({ n: z.number().default(1), log }),
      reducers: { log: append },
    })
      .addNode("SUB", inner)
      .addNode("LAST", ({ n }) => ({ log: [`last ${n}`] }))
      .addEdge(START, "SUB")
      .addEdge("SUB", "LAST")
      .addEdge("LAST", END)
      .compile({ checkpointer: new InMemoryCheckpointer() });
    const t = thread();
    await graph.invoke({}, t);
    expect(await graph.updateState({ n: 5 }, t)).toMatchObject({
      status: "interrupted_before",
      nextNodes: ["PAY"],
      state: { n: 5 },
    });
    const done = await graph.resume({ decision: "approve" }, t);
    expect(done.state).toMatchObject({ n: 5, log: ["pay 1", "last 5"] });
  });
});
