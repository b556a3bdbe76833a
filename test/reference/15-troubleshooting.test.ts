import { END, GraphError, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { failure } from "../support/latch.js";
import { line } from "./helpers.js";

const thread = { threadId: "t" };

/** The faults of a graph that does not compile. */
function faults(compile: () => unknown): readonly string[] {
  try {
    compile();
  } catch (error) {
    expect(error).toBeInstanceOf(GraphError);
    return (error as GraphError).faults;
  }
  throw new Error("it compiled");
}
const work = () => undefined;
/** A builder without types, as JavaScript authors have it. */
interface Loose {
  addNode(name: string, run: unknown, options?: object): Loose;
  addEdge(from: string, to: string): Loose;
  addConditionalEdges(from: string, route: unknown, map?: object): Loose;
}
function graph(build: (of: Loose) => void, options: object = {}): StateGraph {
  const made = new StateGraph(options);
  build(made);
  return made;
}

describe("interrupts are ignored: the names do not match", () => {
  it("compile refuses an unknown name in a hold point, with the nearest one", () => {
    const found = faults(() =>
      graph((g) => g.addNode("EXECUTE_TOOL", work).addEdge(START, "EXECUTE_TOOL")).compile({
        interruptBefore: ["EXECUTE_TOL"],
        interruptAfter: [{ node: "EXECTE_TOOL" }],
      }),
    );
    expect(found).toHaveLength(2);
    expect(found[0]).toMatch(/interruptBefore.*"EXECUTE_TOL".*did you mean "EXECUTE_TOOL"/);
    expect(found[1]).toMatch(/interruptAfter.*"EXECTE_TOOL".*did you mean "EXECUTE_TOOL"/);
  });

  it("one GraphError lists every fault, each with what helps", () => {
    const broken = graph(
      (g) => {
        g.addNode("ANALYZE", work).addNode("ANALYZE", work).addNode("EXECUTE", work, { timeout: 3 });
        g.addEdge("ANALYSE", "EXECUTE").addEdge("ANALYZE", "EXCUTE");
        g.addConditionalEdges("EXECUTE", work, { a: "ANALZE", b: END });
      },
      { state: z.object({ messages: z.string() }), reducers: { amount: work } },
    );
    const found = faults(() => broken.compile({ interruptBefore: ["NOBODY_LIKE_IT"] }));
    const all = found.join("\n");
    for (const part of [
      '"ANALYZE" is added twice',
      'option "timeout"',
      '"ANALYSE" is not a node; did you mean "ANALYZE"',
      '"EXCUTE" is not a node; did you mean "EXECUTE"',
      '"ANALZE" is not a node; did you mean "ANALYZE"',
      '"messages"',
      '"amount" is not a field',
      '"NOBODY_LIKE_IT" is not a node',
      "no entry",
    ])
      expect(all).toContain(part);
    expect(found).toHaveLength(9);
  });

  it("the error's message has every fault on its own line, and the graph's name", () => {
    const error = (() => {
      try {
        graph((g) => g.addNode("A", work).addNode("A", work)).compile({ name: "payments" });
      } catch (thrown) {
        return thrown as GraphError;
      }
      return null;
    })();
    expect(error?.message).toContain("payments");
    expect(error?.message.split("\n")).toHaveLength((error?.faults.length ?? 0) + 1);
  });

  it.each(["messages", "context", "contextSummary", "executionMeta"])(
    "%s cannot be a field of a schema",
    (name) => {
      const found = faults(() =>
        graph((g) => g.addNode("A", work).addEdge(START, "A").addEdge("A", END), {
          state: z.object({ [name]: z.string().default("") }),
        }).compile(),
      );
      expect(found.join()).toContain(name);
    },
  );

  it("finds no entry, unreachable nodes and nodes with no way to END", () => {
    expect(faults(() => graph((g) => g.addNode("A", work).addEdge("A", END)).compile())[0]).toContain(
      "no entry",
    );
    expect(
      faults(() =>
        graph((g) =>
          g.addNode("A", work).addNode("B", work).addEdge(START, "A").addEdge("A", END).addEdge("B", END),
        ).compile(),
      ),
    ).toEqual([expect.stringMatching(/"B" cannot be reached/)]);
    expect(
      faults(() =>
        graph((g) =>
          g.addNode("A", work).addNode("B", work).addEdge(START, "A").addEdge("A", "B").addEdge("B", "A"),
        ).compile(),
      ),
    ).toEqual([
      expect.stringMatching(/"A" has no way to END/),
      expect.stringMatching(/"B" has no way to END/),
    ]);
  });

  it("raises neither fault where a node without edges, or a conditional edge without a map, can be reached", () => {
    const free = graph((g) =>
      g
        .addNode("A", work)
        .addNode("B", work)
        .addNode("LOOP", work)
        .addEdge(START, "A")
        .addConditionalEdges("A", () => END)
        .addEdge("B", END)
        .addEdge("LOOP", "LOOP"),
    );
    expect(() => free.compile()).not.toThrow();
    const byCommand = graph((g) =>
      g.addNode("A", work).addNode("B", work).addEdge(START, "A").addEdge("B", END),
    );
    expect(() => byCommand.compile()).not.toThrow();
  });

  it("counts a declared onDeny as a way", () => {
    const ways = graph((g) =>
      g
        .addNode("A", work)
        .addNode("REFUSED", work)
        .addEdge(START, "A")
        .addEdge("A", END)
        .addEdge("REFUSED", END),
    );
    expect(() => ways.compile()).toThrow(GraphError);
    expect(() => ways.compile({ interruptBefore: [{ node: "A", onDeny: "REFUSED" }] })).not.toThrow();
    const found = faults(() => ways.compile({ interruptBefore: [{ node: "A", onDeny: "REFUSE" }] }));
    expect(found.join()).toContain('did you mean "REFUSED"');
  });

  it.each([
    ["an empty name", (g: Loose) => g.addNode("", work)],
    ["START", (g: Loose) => g.addNode(START, work)],
    ["END", (g: Loose) => g.addNode(END, work)],
    ["what is not a function", (g: Loose) => g.addNode("A", "work")],
    ["a timeout of 0", (g: Loose) => g.addNode("A", work, { timeoutMs: 0 })],
    ["retry of 0 attempts", (g: Loose) => g.addNode("A", work, { retry: { attempts: 0 } })],
    ["a negative retry delay", (g: Loose) => g.addNode("A", work, { retry: { attempts: 2, delayMs: -1 } })],
    ["an onCrash that is none", (g: Loose) => g.addNode("A", work, { onCrash: "ask" })],
    [
      "an edge that leads to START",
      (g: Loose) => g.addNode("A", work).addEdge(START, "A").addEdge("A", START),
    ],
    ["an edge from END", (g: Loose) => g.addNode("A", work).addEdge(START, "A").addEdge(END, "A")],
  ])("a node with %s is a GraphError", (_what, build) => {
    const made = graph((g) => {
      g.addNode("OK", work)
        .addEdge(START, "OK")
        .addConditionalEdges("OK", () => END);
      build(g);
    });
    expect(() => made.compile()).toThrow(GraphError);
  });
});

describe("resume does not work: another checkpointer", () => {
  it("a thread of one checkpointer is not found in another", async () => {
    const nodes = { A: () => "a" };
    await line(nodes, { checkpointer: new InMemoryCheckpointer(), interruptBefore: ["A"] }).invoke(
      {},
      thread,
    );
    const other = line(nodes, { checkpointer: new InMemoryCheckpointer(), interruptBefore: ["A"] });
    expect((await failure(other.resume({ decision: "approve" }, thread))).code).toBe("not_found");
  });

  it("a thread belongs to its graph", async () => {
    const checkpointer = new InMemoryCheckpointer();
    await line({ A: () => "a" }, { checkpointer, name: "one" }).invoke({}, thread);
    const other = line({ A: () => "a" }, { checkpointer, name: "two" });
    expect((await failure(other.invoke({}, thread))).code).toBe("graph_mismatch");
  });

  it.each(["invoke", "resume"] as const)(
    "a paused thread is not answered by %s of another graph",
    async (by) => {
      const checkpointer = new InMemoryCheckpointer();
      const gated = { interruptBefore: ["A"], checkpointer };
      const ran: string[] = [];
      await line({ A: () => void ran.push("one") }, { ...gated, name: "one" }).invoke({}, thread);
      const other = line({ A: () => void ran.push("two") }, { ...gated, name: "two" });
      const answered = by === "invoke" ? other.invoke({}, thread) : other.resume({}, thread);
      expect((await failure(answered)).code).toBe("graph_mismatch");
      expect(ran).toEqual([]);
    },
  );
});

describe("several interrupts: a loop of them", () => {
  it("`when` keeps a loop from asking again", async () => {
    const app = new StateGraph({ state: z.object({ n: z.number().default(0) }) })
      .addNode("WORK", ({ n }) => ({ n: n + 1 }))
      .addEdge(START, "WORK")
      .addConditionalEdges("WORK", ({ n }) => n >= 3, { true: END, false: "WORK" })
      .compile({
        checkpointer: new InMemoryCheckpointer(),
        interruptBefore: [{ node: "WORK", when: ({ n }) => n === 0 }],
      });
    expect((await app.invoke({}, thread)).interrupted).toBe(true);
    expect(await app.resume({ decision: "approve" }, thread)).toMatchObject({
      status: "completed",
      state: { n: 3 },
    });
  });
});
