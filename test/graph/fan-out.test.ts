/** Steps of several nodes (design: engine, section 2), through the library. */
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { Command, END, Send, START, StateGraph } from "holdpoint";
import { latch } from "../support/latch.js";

const append = <T>(current: readonly T[], update: readonly T[]): T[] => [...current, ...update];
const logged = z.object({ log: z.array(z.string()).default([]) });
let threads = 0;
const thread = (): { threadId: string } => ({ threadId: `fan-${process.pid}-${threads++}` });

describe("several edges from one node", () => {
  it("run their nodes at once, and apply what these give in the order of declaration", async () => {
    const [aBegan, bDone] = [latch(), latch()];
    const graph = new StateGraph({ state: logged, reducers: { log: append } })
      .addNode("FIRST", () => ({ log: ["first"] }))
      .addNode("A", async () => {
        aBegan.open();
        await bDone.opened;
        return { log: ["a"] };
      })
      .addNode("B", async () => {
        await aBegan.opened;
        bDone.open();
        return { log: ["b"] };
      })
      .addNode("JOIN", (state) => ({ log: [`join of ${state.log.join()}`] }))
      .addEdge(START, "FIRST")
      .addEdge("FIRST", "B")
      .addEdge("FIRST", "A")
      .addEdge("A", "JOIN")
      .addEdge("B", "JOIN")
      .addEdge("JOIN", END)
      .compile();
    const result = await graph.invoke({}, thread());
    expect(result.state.log).toEqual(["first", "a", "b", "join of first,a,b"]);
    expect(result.step).toBe(3);
  });

  it("see the same state, not each other's output", async () => {
    const seen: string[][] = [];
    const look = (state: { log: string[] }): { log: string[] } => {
      seen.push([...state.log]);
      return { log: ["x"] };
    };
    const graph = new StateGraph({ state: logged, reducers: { log: append } })
      .addNode("A", look)
      .addNode("B", look)
      .addEdge(START, "A")
      .addEdge(START, "B")
      .addEdge("A", END)
      .addEdge("B", END)
      .compile();
    await graph.invoke({ log: ["in"] }, thread());
    expect(seen).toEqual([["in"], ["in"]]);
  });

  it("a branch of another length runs its join once a round in which something arrives", async () => {
    const graph = new StateGraph({ state: logged, reducers: { log: append } })
      .addNode("SHORT", () => ({ log: ["short"] }))
      .addNode("LONG1", () => ({ log: ["long1"] }))
      .addNode("LONG2", () => ({ log: ["long2"] }))
      .addNode("JOIN", () => ({ log: ["join"] }))
      .addEdge(START, "SHORT")
      .addEdge(START, "LONG1")
      .addEdge("LONG1", "LONG2")
      .addEdge("SHORT", "JOIN")
      .addEdge("LONG2", "JOIN")
      .addEdge("JOIN", END)
      .compile();
    const result = await graph.invoke({}, thread());
    expect(result.state.log).toEqual(["short", "long1", "long2", "join", "join"]);
  });
});

describe("a conditional edge", () => {
  it("that returns a list runs each of its nodes", async () => {
    const graph = new StateGraph({ state: logged, reducers: { log: append } })
      .addNode("PICK", () => undefined)
      .addNode("A", () => ({ log: ["a"] }))
      .addNode("B", () => ({ log: ["b"] }))
      .addNode("C", () => ({ log: ["c"] }))
      .addEdge(START, "PICK")
      .addConditionalEdges("PICK", () => ["C", "A"], ["A", "B", "C"])
      .addEdge("A", END)
      .addEdge("B", END)
      .addEdge("C", END)
      .compile();
    expect((await graph.invoke({}, thread())).state.log).toEqual(["a", "c"]);
  });

  it("that sends gives each task a state, a result and interrupts of its own, in the order of the list", async () => {
    const graph = new StateGraph({ state: logged, reducers: { log: append } })
      .addNode("SPLIT", () => undefined)
      .addNode("WORK", async (state, ctx) => {
        const item = (state as unknown as { item: string }).item;
        const { data } = await ctx.interrupt({ message: `What of ${item}?` });
        return { log: [`${item}: ${JSON.stringify(data)}`] };
      })
      .addNode("COLLECT", (state) => `${state.log.length} done`)
      .addEdge(START, "SPLIT")
      .addConditionalEdges("SPLIT", () => ["x", "y", "z"].map((item) => new Send("WORK", { item })))
      .addEdge("WORK", "COLLECT")
      .addEdge("COLLECT", END)
      .compile();
    const t = thread();
    const held = await graph.invoke({}, t);
    expect(held.interrupts.map(({ message }) => message)).toEqual(["What of x?", "What of y?", "What of z?"]);
    for (const [i, interrupt] of [...held.interrupts].reverse().entries()) {
      const after = await graph.resume({ interruptId: interrupt.id, decision: "respond", data: i }, t);
      expect(after.status).toBe(i === 2 ? "completed" : "interrupted_before");
    }
    const { state, messages } = await graph.getState(t);
    expect(state.log).toEqual(["x: 2", "y: 1", "z: 0"]);
    expect(messages.at(-1)?.content).toBe("3 done");
  });

  it.each([["item"], [7], [null], [false], [["a"]]])(
    "may send %j, which is the node's state as it is",
    async (value) => {
      const seen: unknown[] = [];
      const graph = new StateGraph({ state: logged })
        .addNode("WORK", (state) => {
          seen.push(state);
        })
        .addConditionalEdges(START, () => new Send("WORK", value))
        .addEdge("WORK", END)
        .compile();
      await graph.invoke({}, thread());
      expect(seen).toEqual([value]);
    },
  );

  it.each([
    [[], /empty list/],
    [new Send("WROK" as "WORK", 1), /"WROK", which is not a node; did you mean "WORK"/],
    [new Send("WORK", new Map()), /not JSON/],
  ])("that gives %j fails the run by name", async (gives, message) => {
    const graph = new StateGraph({ state: logged })
      .addNode("WORK", () => undefined)
      .addConditionalEdges(START, () => gives)
      .addEdge("WORK", END)
      .compile();
    await expect(graph.invoke({}, thread())).rejects.toMatchObject({
      code: "edge_failed",
      message: expect.stringMatching(message),
    });
  });
});

describe("a step in which something waits", () => {
  const runs: string[] = [];
  const counted = (name: string) => (): { log: string[] } => {
    runs.push(name);
    return { log: [name] };
  };
  const gated = new StateGraph({ state: logged, reducers: { log: append } })
    .addNode("FREE", counted("FREE"))
    .addNode("PAY", counted("PAY"))
    .addNode("JOIN", counted("JOIN"))
    .addEdge(START, "FREE")
    .addEdge(START, "PAY")
    .addEdge("FREE", "JOIN")
    .addEdge("PAY", "JOIN")
    .addEdge("JOIN", END)
    .compile({ interruptBefore: ["PAY"] });

  it("keeps what is done beside the state, and does not run it again", async () => {
    runs.length = 0;
    const t = thread();
    const held = await gated.invoke({}, t);
    expect(held).toMatchObject({
      status: "interrupted_before",
      currentNode: "PAY",
      nextNodes: ["PAY"],
      step: 0,
    });
    expect(held.state.log).toEqual([]);
    expect(await gated.getState(t)).toMatchObject({ pending: ["FREE"], state: { log: [] } });
    const done = await gated.resume({ decision: "approve" }, t);
    expect(done.state.log).toEqual(["FREE", "PAY", "JOIN"]);
    expect(runs).toEqual(["FREE", "PAY", "JOIN"]);
  });

  it("a denial ends its branch and nothing else", async () => {
    runs.length = 0;
    const t = thread();
    await gated.invoke({}, t);
    const done = await gated.resume({ decision: "deny" }, t);
    expect(done).toMatchObject({ status: "completed", decision: { decision: "deny" } });
    expect(done.state.log).toEqual(["FREE", "JOIN"]);
  });

  it("a failing node aborts no sibling; a resume runs it alone, and then the pauses open", async () => {
    let broken = true;
    const ran: string[] = [];
    const slow = latch();
    const graph = new StateGraph({ state: logged, reducers: { log: append } })
      .addNode("BREAKS", () => {
        ran.push("BREAKS");
        slow.open();
        if (broken) throw new Error("not yet");
        return { log: ["breaks"] };
      })
      .addNode("SLOW", async () => {
        ran.push("SLOW");
        await slow.opened;
        return { log: ["slow"] };
      })
      .addNode("HELD", () => ({ log: ["held"] }))
      .addEdge(START, "BREAKS")
      .addEdge(START, "SLOW")
      .addEdge(START, "HELD")
      .addEdge("BREAKS", END)
      .addEdge("SLOW", END)
      .addEdge("HELD", END)
      .compile({ interruptBefore: ["HELD"] });
    const t = thread();
    await expect(graph.invoke({}, t)).rejects.toMatchObject({ code: "node_failed", node: "BREAKS" });
    expect(await graph.getState(t)).toMatchObject({ status: "error", pending: ["SLOW"], interrupts: [] });
    broken = false;
    const held = await graph.resume({}, t);
    expect(held).toMatchObject({ status: "interrupted_before", interrupts: [{ node: "HELD" }] });
    expect((await graph.resume({ decision: "approve" }, t)).state.log).toEqual(["breaks", "slow", "held"]);
    expect(ran).toEqual(["BREAKS", "SLOW", "BREAKS"]);
  });

  it("a stop keeps what came back, and runs the rest again", async () => {
    const ran: string[] = [];
    const began = latch();
    let patient = true;
    const graph = new StateGraph({ state: logged, reducers: { log: append } })
      .addNode("QUICK", () => {
        ran.push("QUICK");
        return { log: ["quick"] };
      })
      .addNode("STUCK", async (_state, ctx) => {
        ran.push("STUCK");
        if (!patient) return { log: ["stuck"] };
        began.open();
        await new Promise((_resolve, reject) =>
          ctx.signal.addEventListener("abort", () => reject(new Error("cut"))),
        );
        return {};
      })
      .addEdge(START, "QUICK")
      .addEdge(START, "STUCK")
      .addEdge("QUICK", END)
      .addEdge("STUCK", END)
      .compile();
    const t = thread();
    const run = graph.invoke({}, t);
    await began.opened;
    expect(await graph.stop(t)).toMatchObject({ status: "stopped", abandoned: [["STUCK"]] });
    expect((await run).status).toBe("stopped");
    patient = false;
    expect((await graph.resume({}, t)).state.log).toEqual(["quick", "stuck"]);
    expect(ran).toEqual(["QUICK", "STUCK", "STUCK"]);
  });

  it("both kinds of hold at once: before first, then what waits behind its output", async () => {
    const graph = new StateGraph({ state: logged, reducers: { log: append } })
      .addNode("A", () => ({ log: ["a"] }))
      .addNode("B", () => ({ log: ["b"] }))
      .addEdge(START, "A")
      .addEdge(START, "B")
      .addEdge("A", END)
      .addEdge("B", END)
      .compile({ interruptBefore: ["B"], interruptAfter: ["A"] });
    const t = thread();
    expect(await graph.invoke({}, t)).toMatchObject({
      status: "interrupted_before",
      interrupts: [{ node: "B" }],
    });
    const after = await graph.resume({ decision: "approve" }, t);
    expect(after).toMatchObject({
      status: "interrupted_after",
      interrupts: [{ node: "A" }],
      state: { log: ["a", "b"] },
    });
    expect((await graph.resume({ decision: "approve" }, t)).status).toBe("completed");
  });
});

it("a Command may go to several nodes, and send", async () => {
  const graph = new StateGraph({ state: logged, reducers: { log: append } })
    .addNode("LEAD", () => new Command({ goto: ["A", new Send("B", { of: 1 })] as never }))
    .addNode("A", () => ({ log: ["a"] }))
    .addNode("B", (state) => ({ log: [JSON.stringify(state)] }))
    .addEdge(START, "LEAD")
    .addEdge("A", END)
    .addEdge("B", END)
    .compile();
  expect((await graph.invoke({}, thread())).state.log).toEqual(["a", '{"of":1}']);
});

it("the recursion limit counts steps, not nodes", async () => {
  const graph = new StateGraph({ state: logged })
    .addNode("A", () => undefined)
    .addNode("B", () => undefined)
    .addEdge(START, "A")
    .addEdge(START, "B")
    .addEdge("A", "B")
    .addEdge("B", "A")
    .addConditionalEdges("A", () => "B")
    .compile();
  await expect(graph.invoke({}, { ...thread(), recursionLimit: 4 })).rejects.toMatchObject({
    code: "recursion_limit",
    step: 4,
  });
});
