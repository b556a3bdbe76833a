/** Graphs as nodes of graphs (design: engine, section 8), through the library. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { END, GraphError, InMemoryCheckpointer, Send, START, StateGraph } from "holdpoint";
import { latch } from "../support/latch.js";

const append = <T>(current: readonly T[], update: readonly T[]): T[] => [...current, ...update];
const log = z.array(z.string()).default([]);
const logged = z.object({ log });
let threads = 0;
const thread = (): { threadId: string } => ({ threadId: `nested-${process.pid}-${threads++}` });

const payment = (hold: { onDeny?: "REFUND" } = {}) =>
  new StateGraph({ state: z.object({ log, amount: z.number().default(0) }), reducers: { log: append } })
    .addNode("CHECK", (state) => ({ log: [`check ${state.amount}`], messages: [`checked ${state.amount}`] }))
    .addNode("PAY", (state) => ({ log: [`pay ${state.amount}`] }))
    .addNode("REFUND", (_state, ctx) => ({ log: [`refused by ${ctx.answer?.by}`] }))
    .addEdge(START, "CHECK")
    .addConditionalEdges("CHECK", () => "PAY")
    .addEdge("PAY", END)
    .addEdge("REFUND", END)
    .compile({
      name: "payment",
      interruptBefore: [{ node: "PAY", message: (state) => `Pay ${state.amount}?`, ...hold }],
    });

const shop = (inner = payment(), options: object = {}) =>
  new StateGraph({ state: z.object({ log, amount: z.number().default(0) }), reducers: { log: append } })
    .addNode("CART", () => ({ log: ["cart"], amount: 30 }))
    .addNode("PAYMENT", inner, options)
    .addNode("SHIP", (state) => ({ log: [`ship after ${state.log.length}`] }))
    .addNode("REFUSED", (_state, ctx) => ({ log: [`refused: ${ctx.answer?.reason}`] }))
    .addEdge(START, "CART")
    .addConditionalEdges("CART", () => "PAYMENT")
    .addEdge("PAYMENT", "SHIP")
    .addEdge("SHIP", END)
    .addEdge("REFUSED", END);

describe("a nested graph", () => {
  it("pauses its parent, with a path, and goes on inside when it is answered", async () => {
    const graph = shop().compile();
    const t = thread();
    const held = await graph.invoke({}, t);
    expect(held).toMatchObject({
      status: "interrupted_before",
      currentNode: "PAY",
      nextNodes: ["PAY"],
      interrupts: [{ node: "PAY", path: ["PAYMENT", "PAY"], message: "Pay 30?" }],
      state: { log: ["cart"] },
    });
    const done = await graph.resume({ decision: "approve" }, t);
    expect(done).toMatchObject({
      status: "completed",
      state: { log: ["cart", "check 30", "pay 30", "ship after 3"] },
    });
    expect((await graph.getState(t)).messages.map(({ content }) => content)).toEqual(["checked 30"]);
  });

  it("puts its path on every event, says each message once, and its steps are steps of the thread", async () => {
    const graph = shop().compile();
    const t = thread();
    const events = [];
    for await (const event of graph.stream({}, t)) events.push(event);
    const updates = events.filter(({ eventType }) => eventType === "update");
    expect(updates.map(({ path, data }) => [path.join("."), (data as { step: number }).step])).toEqual([
      ["CART", 1],
      ["PAYMENT.CHECK", 2],
    ]);
    const said = events.filter(({ eventType }) => eventType === "message");
    expect(said.map(({ path, content }) => [path.join("."), content])).toEqual([
      ["PAYMENT.CHECK", "checked 30"],
    ]);
    const more = [];
    await graph.resume({ decision: "approve" }, t);
    for await (const event of graph.stream({}, thread())) more.push(event);
    expect(more.map(({ eventType }) => eventType)).toContain("interrupted");
  });

  it("an edit is of the state inside", async () => {
    const graph = shop().compile();
    const t = thread();
    await graph.invoke({}, t);
    const done = await graph.resume({ decision: "edit", state: { amount: 5 } }, t);
    expect(done.state.log).toContain("pay 5");
    expect(done.state.amount).toBe(30);
  });

  it("that is denied inside without onDeny is denied as a node of its parent", async () => {
    const open = shop().compile();
    const t = thread();
    await open.invoke({}, t);
    const ended = await open.resume({ decision: "deny", reason: "no" }, t);
    expect(ended).toMatchObject({ status: "completed", decision: { decision: "deny", reason: "no" } });
    expect(ended.state.log).not.toContain("pay 30");
    expect(ended.state.log.some((line) => line.startsWith("ship"))).toBe(false);

    const caught = shop(payment(), { onDeny: "REFUSED" }).compile();
    const u = thread();
    await caught.invoke({}, u);
    const refused = await caught.resume({ decision: "deny", reason: "no" }, u);
    expect(refused.state.log).toEqual(["cart", "check 30", "refused: no"]);
  });

  it("whose onDeny meets the denial inside is not denied itself", async () => {
    const graph = shop(payment({ onDeny: "REFUND" }), { onDeny: "REFUSED" }).compile();
    const t = thread();
    await graph.invoke({}, t);
    const done = await graph.resume({ decision: "deny" }, t);
    expect(done.state.log).toEqual(["cart", "check 30", "refused by anonymous", "ship after 3"]);
  });

  it("is mapped in and out explicitly, and then sees nothing else", async () => {
    const inner = new StateGraph({ state: z.object({ sum: z.number(), log: z.number().default(0) }) })
      .addNode("DOUBLE", (state) => ({ sum: state.sum * 2, messages: [`${state.context.length} before`] }))
      .addEdge(START, "DOUBLE")
      .addEdge("DOUBLE", END)
      .compile({ name: "double" });
    const graph = new StateGraph({ state: z.object({ log, amount: z.number().default(4) }) })
      .addNode("SUB", inner, {
        in: (state) => ({ sum: state.amount, messages: ["only this"] }),
        out: (state) => ({ amount: state.sum, messages: [`out of ${state.context.length}`] }),
      })
      .addEdge(START, "SUB")
      .addEdge("SUB", END)
      .compile();
    const result = await graph.invoke({ messages: ["a", "b"] }, thread());
    expect(result.state.amount).toBe(8);
    expect(result.messages.map(({ content }) => content)).toEqual(["a", "b", "out of 2"]);
  });

  it("with a field of another schema is a fault of the graph, unless both ways are mapped", () => {
    const inner = new StateGraph({ state: z.object({ log: z.string().default("") }) })
      .addNode("X", () => undefined)
      .addEdge(START, "X")
      .addEdge("X", END)
      .compile({ name: "other" });
    const make = (options: object) =>
      new StateGraph({ state: logged })
        .addNode("SUB", inner, options)
        .addEdge(START, "SUB")
        .addEdge("SUB", END);
    expect(() => make({}).compile()).toThrow(GraphError);
    expect(() => make({}).compile()).toThrow(/"log" has another schema in the graph "other"/);
    expect(() => make({ in: () => ({}), out: () => ({}) }).compile()).not.toThrow();
    expect(() => make({ timeoutMs: 5 }).compile()).toThrow(/no option "timeoutMs"/);
  });

  it("two instances in one step do not see each other; all that waits is answered in any order, after a restart too", async () => {
    const ledger: string[] = [];
    const build = (checkpointer: InMemoryCheckpointer) => {
      const leaf = new StateGraph({
        state: z.object({ log, item: z.string().default("") }),
        reducers: { log: append },
      })
        .addNode("PREPARE", (state) => {
          ledger.push(`prepare ${state.item}`);
          return { log: [`prepared ${state.item}`] };
        })
        .addNode("ACT", (state) => {
          ledger.push(`act ${state.item}`);
          return { log: [`acted ${state.item} after ${state.log.length}`] };
        })
        .addEdge(START, "PREPARE")
        .addEdge("PREPARE", "ACT")
        .addEdge("ACT", END)
        .compile({ name: "leaf", interruptBefore: ["ACT"] });
      const middle = new StateGraph({
        state: z.object({ log, item: z.string().default("") }),
        reducers: { log: append },
      })
        .addNode("LEAF", leaf)
        .addEdge(START, "LEAF")
        .addEdge("LEAF", END)
        .compile({ name: "middle" });
      return new StateGraph({ state: logged, reducers: { log: append } })
        .addNode("EACH", middle)
        .addConditionalEdges(START, () => ["1", "2", "3", "4", "5"].map((item) => new Send("EACH", { item })))
        .addEdge("EACH", END)
        .compile({ name: "root", checkpointer });
    };
    const storage = new InMemoryCheckpointer();
    const t = thread();
    const held = await build(storage).invoke({}, t);
    expect(held.interrupts.map(({ path }) => path.join("."))).toEqual(Array(5).fill("EACH.LEAF.ACT"));
    expect(new Set(held.interrupts.map(({ id }) => id)).size).toBe(5);
    const again = build(storage);
    let last = held;
    for (const { id } of [...held.interrupts].reverse())
      last = await again.resume({ interruptId: id, decision: "approve" }, t);
    expect(last.status).toBe("completed");
    expect(last.state.log).toEqual(
      ["1", "2", "3", "4", "5"].flatMap((item) => [`prepared ${item}`, `acted ${item} after 1`]),
    );
    expect([...ledger].sort()).toEqual(
      ["act", "prepare"].flatMap((did) => ["1", "2", "3", "4", "5"].map((item) => `${did} ${item}`)),
    );
  });

  it("goes on beside a slow sibling, and a stop reaches every depth", async () => {
    const [stuck, through] = [latch(), latch()];
    const inner = new StateGraph({ state: logged, reducers: { log: append } })
      .addNode("ONE", () => ({ log: ["one"] }))
      .addNode("TWO", () => {
        through.open();
        return { log: ["two"] };
      })
      .addNode("WAIT", async (_state, ctx) => {
        stuck.open();
        await new Promise((_r, reject) =>
          ctx.signal.addEventListener("abort", () => reject(new Error("cut"))),
        );
      })
      .addEdge(START, "ONE")
      .addEdge("ONE", "TWO")
      .addEdge("TWO", "WAIT")
      .addEdge("WAIT", END)
      .compile({ name: "inner" });
    const graph = new StateGraph({ state: logged, reducers: { log: append } })
      .addNode("SUB", inner)
      .addNode("SLOW", async () => {
        await stuck.opened;
        return { log: ["slow"] };
      })
      .addEdge(START, "SUB")
      .addEdge(START, "SLOW")
      .addEdge("SUB", END)
      .addEdge("SLOW", END)
      .compile();
    const t = thread();
    const run = graph.invoke({}, t);
    await through.opened;
    await stuck.opened;
    const receipt = await graph.stop(t);
    expect(receipt).toMatchObject({ status: "stopped", abandoned: [["SUB", "WAIT"]] });
    expect(await run).toMatchObject({ status: "stopped", nextNodes: ["WAIT"] });
  });

  it("a hold of the run by name is of the root, by * of every node at every depth", async () => {
    const graph = shop(
      new StateGraph({ state: z.object({ log, amount: z.number().default(0) }), reducers: { log: append } })
        .addNode("SHIP", () => ({ log: ["inner"] }))
        .addEdge(START, "SHIP")
        .addEdge("SHIP", END)
        .compile({ name: "named alike" }),
    ).compile();
    const held = await graph.invoke({}, { ...thread(), interruptBefore: ["SHIP"] });
    expect(held).toMatchObject({ interrupts: [{ path: ["SHIP"] }], state: { log: ["cart", "inner"] } });
    const t = thread();
    const paths: string[] = [];
    for (
      let result = await graph.invoke({}, { ...t, interruptBefore: "*" });
      ;
      result = await graph.resume({ decision: "approve" }, t)
    ) {
      if (result.status === "completed") break;
      paths.push(...result.interrupts.map(({ path }) => path.join(".")));
    }
    expect(paths).toEqual(["CART", "PAYMENT", "PAYMENT.SHIP", "SHIP"]);
  });

  it("a fault inside names its path, and only the broken node runs again", async () => {
    let broken = true;
    const ran: string[] = [];
    const inner = new StateGraph({ state: logged, reducers: { log: append } })
      .addNode("A", () => {
        ran.push("A");
        return { log: ["a"] };
      })
      .addNode("B", () => {
        ran.push("B");
        if (broken) throw new Error("not yet");
        return { log: ["b"] };
      })
      .addEdge(START, "A")
      .addEdge("A", "B")
      .addEdge("B", END)
      .compile({ name: "inner" });
    const graph = new StateGraph({ state: logged, reducers: { log: append } })
      .addNode("SUB", inner)
      .addEdge(START, "SUB")
      .addEdge("SUB", END)
      .compile();
    const t = thread();
    await expect(graph.invoke({}, t)).rejects.toMatchObject({ code: "node_failed", node: "B" });
    broken = false;
    expect((await graph.resume({}, t)).state.log).toEqual(["a", "b"]);
    expect(ran).toEqual(["A", "B", "B"]);
  });
});
