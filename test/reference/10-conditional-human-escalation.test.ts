import { Command, END, ExecutionStatus, START, StateGraph, type Answer } from "holdpoint";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { failure } from "../support/latch.js";

const thread = { threadId: "t" };
const state = z.object({ confidence: z.number(), complexity: z.number(), handled: z.string().default("") });

function escalation() {
  const answers: (Answer | undefined)[] = [];
  const app = new StateGraph({ state })
    .addNode("smart_escalation_node", (current, ctx) => {
      answers.push(ctx.answer);
      const { confidence, complexity } = current;
      if (confidence < 0.7 || complexity > 0.8) {
        current.setInterrupt({
          node: "smart_escalation_node",
          reason: `Low confidence (${confidence.toFixed(2)}) or high complexity (${complexity.toFixed(2)})`,
          status: ExecutionStatus.INTERRUPTED_BEFORE,
          data: { confidence, complexity, escalation_reason: "Requires human expertise" },
        });
      }
      return current;
    })
    .addNode("HANDLE", (_current, ctx) => ({ handled: ctx.node }))
    .addEdge(START, "smart_escalation_node")
    .addEdge("smart_escalation_node", "HANDLE")
    .addEdge("HANDLE", END)
    .compile();
  return { app, answers };
}

describe("the page's escalation", () => {
  it("lets simple cases through without a pause", async () => {
    const { app } = escalation();
    const result = await app.invoke({ confidence: 0.9, complexity: 0.1 }, thread);
    expect(result).toMatchObject({ status: "completed", state: { handled: "HANDLE" } });
  });

  it("pauses the others with reason and data, and goes on once they are answered", async () => {
    const { app, answers } = escalation();
    const paused = await app.invoke({ confidence: 0.5, complexity: 0.1 }, thread);
    expect(paused.interruptReason).toBe("Low confidence (0.50) or high complexity (0.10)");
    expect(paused.interrupts[0]?.data).toEqual({
      confidence: 0.5,
      complexity: 0.1,
      escalation_reason: "Requires human expertise",
    });
    expect((await app.getState(thread)).executionMeta.interruptData).toEqual(paused.interrupts[0]?.data);
    const result = await app.resume({ decision: "approve" }, thread);
    expect(result.status).toBe("completed");
    expect(answers.map((answer) => answer?.decision)).toEqual([undefined, "approve"]);
  });
});

describe("a conditional edge", () => {
  const routed = (
    route: (state: { way: unknown }) => unknown,
    map?: Record<string, "A" | "B" | typeof END>,
  ) => {
    const ran: string[] = [];
    const ask = vi.fn();
    const app = new StateGraph({ state: z.object({ way: z.unknown().default(null) }) })
      .addNode("ASK", () => void ask())
      .addNode("A", () => void ran.push("A"))
      .addNode("B", () => void ran.push("B"))
      .addEdge(START, "ASK")
      .addConditionalEdges("ASK", route, map)
      .addEdge("A", END)
      .addEdge("B", END)
      .compile();
    return { app, ran, ask };
  };
  const map = { true: "A", 2: "B", "": END } as const;

  it.each([
    [true, ["A"]],
    [2, ["B"]],
    ["", []],
  ])("takes %j as a key of its map", async (way, expected) => {
    const { app, ran } = routed((current) => current.way, { ...map, unused: "A" });
    expect((await app.invoke({ way }, thread)).status).toBe("completed");
    expect(ran).toEqual(expected);
  });

  it("without a map may name any node, or END", async () => {
    const { app, ran } = routed((current) => current.way);
    await app.invoke({ way: "B" }, thread);
    await app.invoke({ way: END }, thread);
    expect(ran).toEqual(["B"]);
  });

  it("may be asynchronous", async () => {
    const { app, ran } = routed(async (current) => Promise.resolve(current.way));
    await app.invoke({ way: "A" }, thread);
    expect(ran).toEqual(["A"]);
  });

  it.each([["C"], [null], [undefined], [{}], [["A", "C"]], [[]]])(
    "that returns %j fails with edge_failed, naming the edge; it never falls through",
    async (way) => {
      const { app, ran } = routed(() => way);
      const error = await failure(app.invoke({}, thread));
      expect(error).toMatchObject({ code: "edge_failed", node: "ASK" });
      expect(error.message).toContain("ASK");
      expect(ran).toEqual([]);
    },
  );

  it("that throws fails the run, keeps what the node produced, and a resume asks the edge alone", async () => {
    let broken = true;
    const cause = new Error("no idea");
    const { app, ran, ask } = routed(() => {
      if (broken) throw cause;
      return "A";
    });
    const error = await failure(app.invoke({}, thread));
    expect(error).toMatchObject({ code: "edge_failed", node: "ASK", step: 1 });
    expect(error.cause).toBe(cause);
    expect((await app.getState(thread)).status).toBe("error");
    broken = false;
    expect((await app.resume({}, thread)).status).toBe("completed");
    expect(ask).toHaveBeenCalledTimes(1);
    expect(ran).toEqual(["A"]);
  });

  it("that returned an unknown name is asked again with a patched state", async () => {
    const { app, ran, ask } = routed((current) => current.way, { a: "A", b: "B" });
    const error = await failure(app.invoke({ way: "aa" }, thread));
    expect(error.message).toContain('did you mean "a"');
    await app.resume({ state: { way: "b" } }, thread);
    expect(ask).toHaveBeenCalledTimes(1);
    expect(ran).toEqual(["B"]);
  });

  it("from START decides the first node", async () => {
    const ran: string[] = [];
    const app = new StateGraph({ state: z.object({ way: z.string() }) })
      .addNode("A", () => void ran.push("A"))
      .addNode("B", () => void ran.push("B"))
      .addConditionalEdges(START, (current) => current.way, ["A", "B"])
      .addEdge("A", END)
      .addEdge("B", END)
      .compile();
    await app.invoke({ way: "B" }, thread);
    expect(ran).toEqual(["B"]);
    const error = await failure(app.invoke({ way: "C" }, { threadId: "other" }));
    expect(error.code).toBe("edge_failed");
    expect(error.message).toContain("START");
  });
});

describe("Command", () => {
  it("goto replaces the node's edges for that visit only, with its update", async () => {
    const ran: string[] = [];
    const app = new StateGraph({ state: z.object({ n: z.number().default(0) }) })
      .addNode("A", ({ n }) =>
        n === 0 ? new Command({ update: { n: 1, messages: ["went"] }, goto: "C" }) : undefined,
      )
      .addNode("B", () => void ran.push("B"))
      .addNode("C", ({ n }) => {
        ran.push("C");
        return n === 1 ? new Command({ update: { n: 2 }, goto: "A" }) : undefined;
      })
      .addEdge(START, "A")
      .addEdge("A", "B")
      .addEdge("B", "C")
      .addEdge("C", END)
      .compile();
    const result = await app.invoke({}, thread);
    expect(result).toMatchObject({ status: "completed", state: { n: 2 } });
    expect(result.messages.map(({ content }) => content)).toEqual(["went"]);
    expect(ran).toEqual(["C", "B", "C"]);
  });

  it("goto END ends the run, and a goto does not skip a hold point", async () => {
    const gated = vi.fn(() => "gated");
    const app = new StateGraph()
      .addNode("A", () => new Command({ goto: "GATED" }))
      .addNode("GATED", () => {
        gated();
        return new Command({ goto: END });
      })
      .addEdge(START, "A")
      .compile({ interruptBefore: ["GATED"] });
    expect((await app.invoke({}, thread)).status).toBe("interrupted_before");
    expect(gated).not.toHaveBeenCalled();
    expect((await app.invoke({}, thread)).status).toBe("completed");
  });

  it("goto an unknown node fails the node with the nearest name", async () => {
    const app = new StateGraph()
      .addNode("A", () => new Command({ goto: "FINISHH" }))
      .addNode("FINISH", () => new Command({ goto: END }))
      .addEdge(START, "A")
      .compile();
    const error = await failure(app.invoke({}, thread));
    expect(error.node).toBe("A");
    expect(error.message).toContain('did you mean "FINISH"');
  });

  it("a node without an edge that returns no Command fails the run by its name", async () => {
    const app = new StateGraph()
      .addNode("DEAD_END", () => "x")
      .addEdge(START, "DEAD_END")
      .compile();
    const error = await failure(app.invoke({}, thread));
    expect(error).toMatchObject({ node: "DEAD_END" });
    expect(error.message).toContain("DEAD_END");
    expect((await app.getState(thread)).messages).toHaveLength(1);
  });
});
