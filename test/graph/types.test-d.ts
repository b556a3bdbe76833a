import {
  Command,
  END,
  Message,
  Send,
  START,
  StateGraph,
  type NodeContext,
  type RunEvent,
  type Sent,
  type StateOf,
} from "holdpoint";
import { describe, expectTypeOf, it } from "vitest";
import { z } from "zod";

const state = z.object({
  amount: z.number().default(0),
  status: z.enum(["open", "paid"]).default("open"),
  note: z.string().optional(),
  log: z.array(z.string()).default([]),
});
const graph = () => new StateGraph({ state });
/** Two nodes, joined: what compiles. */
const pair = () =>
  graph()
    .addNode("ANALYZE", () => ({ amount: 1 }))
    .addNode("EXECUTE", () => "done")
    .addEdge(START, "ANALYZE")
    .addEdge("ANALYZE", "EXECUTE")
    .addEdge("EXECUTE", END);

describe("what a node gets", () => {
  it("is the state of the graph's schema and the context", () => {
    graph().addNode("A", (given, ctx) => {
      expectTypeOf(given.amount).toEqualTypeOf<number>();
      expectTypeOf(given.status).toEqualTypeOf<"open" | "paid">();
      expectTypeOf(given.note).toEqualTypeOf<string | undefined>();
      expectTypeOf(given.context).toEqualTypeOf<readonly Message[]>();
      expectTypeOf(given.contextSummary).toEqualTypeOf<string | null>();
      expectTypeOf(ctx).toEqualTypeOf<NodeContext>();
      expectTypeOf(ctx.signal).toEqualTypeOf<AbortSignal>();
    });
  });

  it("is read-only, and has no unknown field", () => {
    graph().addNode("A", (given) => {
      // @ts-expect-error a node returns its update, it does not assign
      given.amount = 2;
      // @ts-expect-error no such field
      expectTypeOf(given.amonut);
    });
  });

  it("has a typed result of once", () => {
    graph().addNode("A", async (_given, ctx) => {
      expectTypeOf(await ctx.once("x", () => ({ receipt: "r" }))).toEqualTypeOf<{ receipt: string }>();
    });
  });
});

describe("what a node may return", () => {
  it("is an update, a message, several, text, the state, a Command or nothing; sync, async or a generator", () => {
    graph()
      .addNode("UPDATE", () => ({ amount: 1 }))
      .addNode("SEVERAL_FIELDS", () => ({ amount: 1, status: "paid" as const, messages: ["m"] }))
      .addNode("SUMMARY", () => ({ contextSummary: "short" }))
      .addNode("ASYNC", async () => Promise.resolve({ log: ["a"] }))
      .addNode("TEXT", () => "text")
      .addNode("MESSAGE", () => Message.text("text", "assistant"))
      .addNode("MESSAGES", () => [Message.text("a"), Message.text("b")])
      .addNode("STATE", (given) => given)
      .addNode("NOTHING", () => undefined)
      .addNode("VOID", () => {
        void 0;
      })
      .addNode("EITHER", ({ amount }) => (amount > 1 ? { amount } : undefined))
      .addNode("GENERATOR", async function* () {
        yield "a";
        return { amount: 1 };
      });
  });

  it("is a Command with a typed update, with or without goto", () => {
    graph()
      .addNode("GO", () => new Command({ goto: "NEXT" }))
      .addNode("END", () => new Command({ goto: END }))
      .addNode("UPDATE", () => new Command({ update: { amount: 1 }, goto: "NEXT" }))
      .addNode("MAYBE", ({ amount }) => (amount > 1 ? new Command({ goto: "NEXT" }) : undefined))
      .addNode("ASYNC", async () => Promise.resolve(new Command({ update: { amount: 1 }, goto: "NEXT" })));
  });

  it("is not an update with a wrong key, alone or beside a right one, sync or async", () => {
    graph()
      // @ts-expect-error wrong key alone
      .addNode("A", () => ({ amonut: 1 }))
      // @ts-expect-error wrong key beside a right one
      .addNode("B", () => ({ amount: 1, amonut: 1 }))
      // @ts-expect-error wrong key alone, async
      .addNode("C", async () => Promise.resolve({ amonut: 1 }))
      // @ts-expect-error wrong key beside a right one, async
      .addNode("D", async () => Promise.resolve({ amount: 1, amonut: 1 }));
  });

  it("is not an update with a wrong key from one of several returns, or from a generator", () => {
    graph()
      // @ts-expect-error one of two returns has a wrong key
      .addNode("A", ({ amount }) => (amount > 1 ? { amount: 1, amonut: 1 } : undefined))
      // @ts-expect-error a generator's return has a wrong key
      .addNode("B", async function* () {
        yield "a";
        return { amount: 1, amonut: 1 };
      });
  });

  it("is not an update with a wrong value, sync or async", () => {
    graph()
      // @ts-expect-error a string for a number
      .addNode("A", () => ({ amount: "1" }))
      // @ts-expect-error not one of the enum
      .addNode("B", () => ({ status: "lost" as const }))
      // @ts-expect-error a string for a number, async
      .addNode("C", async () => Promise.resolve({ amount: "1", note: "x" }))
      // @ts-expect-error a number is no update
      .addNode("D", () => 3);
  });

  it("is not a Command whose update has a wrong key or value", () => {
    graph()
      // @ts-expect-error a string for a number
      .addNode("A", () => new Command({ update: { amount: "1" }, goto: END }))
      // @ts-expect-error a wrong key
      .addNode("B", () => new Command({ update: { amonut: 1 }, goto: END }));
  });
});

describe("names in a chained graph", () => {
  it("that are known compile", () => {
    pair().compile({ interruptBefore: ["EXECUTE"], interruptAfter: ["ANALYZE", { node: "EXECUTE" }] });
    pair().compile({ interruptBefore: "*" });
    pair().addConditionalEdges("EXECUTE", () => "again", { again: "ANALYZE", over: END });
    pair().addConditionalEdges("EXECUTE", () => END, ["ANALYZE", END]);
    pair().setEntryPoint("ANALYZE");
  });

  it("that are unknown are errors in addEdge", () => {
    // @ts-expect-error unknown target
    pair().addEdge("ANALYZE", "EXCUTE");
    // @ts-expect-error unknown source
    pair().addEdge("ANALYSE", "EXECUTE");
    // @ts-expect-error nothing follows END
    pair().addEdge(END, "EXECUTE");
  });

  it("that are unknown are errors in hold points", () => {
    // @ts-expect-error unknown name
    pair().compile({ interruptBefore: ["EXCUTE"] });
    // @ts-expect-error unknown name beside a known one
    pair().compile({ interruptAfter: ["ANALYZE", "EXCUTE"] });
    // @ts-expect-error unknown name in a hold point object
    pair().compile({ interruptBefore: [{ node: "EXCUTE" }] });
    // @ts-expect-error unknown onDeny
    pair().compile({ interruptBefore: [{ node: "EXECUTE", onDeny: "REFUSE" }] });
  });

  it("that are unknown are errors in the map of a conditional edge", () => {
    // @ts-expect-error unknown name in a map
    pair().addConditionalEdges("EXECUTE", () => "a", { a: "ANALYSE" });
    // @ts-expect-error unknown name in a list
    pair().addConditionalEdges("EXECUTE", () => "a", ["ANALYSE"]);
  });

  it("may be named by onDeny before or after they are added", () => {
    graph()
      .addNode("REFUSED", () => "refused")
      .addNode("PAY", () => "paid", { onDeny: "REFUSED" });
    graph()
      .addNode("PAY", () => "paid", { onDeny: "REFUSED" })
      .addNode("REFUSED", () => "refused");
  });
});

it("statement style compiles: names are then checked by compile", () => {
  const built = new StateGraph({ state });
  built.addNode("ANALYZE", (given) => ({ amount: given.amount + 1 }));
  built.addNode("EXECUTE", () => "done");
  built.addEdge(START, "ANALYZE");
  built.addConditionalEdges("ANALYZE", () => "x", { x: "EXECUTE", y: END });
  built.addEdge("EXECUTE", END);
  const app = built.compile({ interruptBefore: ["EXECUTE"], interruptAfter: [{ node: "ANALYZE" }] });
  void app.invoke().then(({ state: given }) => expectTypeOf(given.amount).toEqualTypeOf<number>());
});

it("a graph without a schema compiles, and its nodes have no fields", () => {
  new StateGraph()
    .addNode("A", () => "a")
    .addEdge(START, "A")
    .addEdge("A", END)
    .compile();
  // @ts-expect-error there are no fields
  new StateGraph().addNode("A", () => ({ amount: 1 }));
});

describe("sending", () => {
  const sending = () =>
    graph()
      .addNode("SPLIT", () => undefined)
      .addNode("WORK", ({ item, context }: Sent<{ item: string }>, ctx) => {
        expectTypeOf(item).toEqualTypeOf<string>();
        expectTypeOf(context).toEqualTypeOf<readonly Message[]>();
        expectTypeOf(ctx).toEqualTypeOf<NodeContext>();
        return { log: [item] };
      });

  it("names known nodes, one or several, beside names, at once or later", () => {
    sending().addConditionalEdges("SPLIT", () => new Send("WORK", { item: "a" }));
    sending().addConditionalEdges("SPLIT", ({ log }) => log.map((item) => new Send("WORK", { item })));
    sending().addConditionalEdges("SPLIT", ({ amount }) =>
      amount > 1 ? [new Send("WORK", { item: "a" }), "SPLIT"] : END,
    );
    sending().addConditionalEdges("SPLIT", async () => Promise.resolve([new Send("WORK", { item: "a" })]));
    sending().addConditionalEdges("SPLIT", (): Send[] => [new Send("WORK", { item: "a" })]);
  });

  it("to an unknown node is an error, alone, in a list, beside a right one, and later", () => {
    // @ts-expect-error unknown node
    sending().addConditionalEdges("SPLIT", () => new Send("WROK", 1));
    // @ts-expect-error unknown node in a list
    sending().addConditionalEdges("SPLIT", ({ log }) => log.map((item) => new Send("WROK", { item })));
    // @ts-expect-error unknown node beside a known one
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment
    sending().addConditionalEdges("SPLIT", () => [new Send("WORK", 1), new Send("WROK", 1)]);
    // @ts-expect-error unknown node, async
    sending().addConditionalEdges("SPLIT", async () => Promise.resolve(new Send("WROK", 1)));
  });

  it("is what a Command may do, alone or beside names", () => {
    graph()
      .addNode("A", () => new Command({ goto: new Send("B", { item: "x" }) }))
      .addNode("B", () => new Command({ update: { amount: 1 }, goto: ["A", new Send("C", 1), END] }))
      .addNode("C", () => new Command({ goto: [new Send("A", 1), new Send("B", 2)] }));
    // @ts-expect-error a number is no way
    new Command({ goto: [1] });
  });

  it("gives its node a state of its own, which has no fields of the graph, and a checked update", () => {
    // @ts-expect-error the graph's field is not sent
    graph().addNode("WORK", ({ amount }: Sent<{ item: string }>) => ({ amount }));
    // @ts-expect-error a wrong key
    graph().addNode("WORK", ({ item }: Sent<{ item: string }>) => ({ logg: [item] }));
    // @ts-expect-error a wrong value
    graph().addNode("WORK", ({ item }: Sent<{ item: string }>) => ({ log: item }));
  });

  it("has to be said: a node of another graph is none of this one", () => {
    const other = z.object({ total: z.number().default(0) });
    const count = ({ total }: StateOf<typeof other>) => `${total}`;
    new StateGraph({ state: other }).addNode("A", count);
    // @ts-expect-error this graph's state has no total
    graph().addNode("A", count);
  });
});

describe("a compiled graph as a node", () => {
  const inner = new StateGraph({ state: z.object({ total: z.number().default(0) }) })
    .addNode("COUNT", ({ total }) => ({ total: total + 1 }))
    .addEdge(START, "COUNT")
    .addEdge("COUNT", END)
    .compile({ name: "inner" });

  it("is known by its name, and may say onDeny and onCrash", () => {
    const built = graph()
      .addNode("SORRY", () => "sorry")
      .addNode("SUB", inner, { onDeny: "SORRY", onCrash: "rerun" })
      .addEdge(START, "SUB")
      .addEdge("SUB", END);
    built.compile({ interruptBefore: ["SUB"] });
    // @ts-expect-error unknown name
    built.addEdge("SUBB", END);
    // @ts-expect-error milliseconds are its nodes' affair
    graph().addNode("SUB", inner, { timeoutMs: 5 });
  });

  it("is mapped in by the outer state and out by the inner one", () => {
    graph().addNode("SUB", inner, {
      in: (given) => {
        expectTypeOf(given).toEqualTypeOf<StateOf<typeof state>>();
        return { total: given.amount, messages: ["go"] };
      },
      out: (given) => {
        expectTypeOf(given.total).toEqualTypeOf<number>();
        return { amount: given.total, messages: ["done"] };
      },
    });
    graph().addNode("SUB", inner, { in: async ({ amount }) => Promise.resolve({ total: amount }) });
  });

  it("is not mapped by a wrong field or value, either way", () => {
    // @ts-expect-error the outer graph has no such field
    graph().addNode("SUB", inner, { in: (given) => ({ total: given.total }) });
    // @ts-expect-error a string for a number
    graph().addNode("SUB", inner, { in: () => ({ total: "1" }) });
    // @ts-expect-error the inner graph has no such field
    graph().addNode("SUB", inner, { in: () => ({ totall: 1 }) });
    // @ts-expect-error the inner graph has no such field
    graph().addNode("SUB", inner, { out: (given) => ({ amount: given.amount }) });
    // @ts-expect-error a string for a number
    graph().addNode("SUB", inner, { out: () => ({ amount: "1" }) });
    // @ts-expect-error the outer graph has no such field
    graph().addNode("SUB", inner, { out: () => ({ total: 1 }) });
  });
});

describe("hold point functions and reducers", () => {
  it("get the typed state", () => {
    pair().compile({
      interruptBefore: [
        {
          node: "EXECUTE",
          when: (given) => given.amount > 1,
          message: (given) => {
            expectTypeOf(given).toEqualTypeOf<StateOf<typeof state>>();
            return `Pay ${given.amount}?`;
          },
          data: (given) => ({ amount: given.amount }),
        },
      ],
    });
    // @ts-expect-error no such field
    pair().compile({ interruptBefore: [{ node: "EXECUTE", when: (given) => given.amonut > 1 }] });
    // @ts-expect-error respond is not offered at a hold point
    pair().compile({ interruptBefore: [{ node: "EXECUTE", decisions: ["respond"] }] });
  });

  it("are of the schema's fields", () => {
    new StateGraph({
      state,
      reducers: {
        log: (current, update: string[]) => {
          expectTypeOf(current).toEqualTypeOf<string[]>();
          return [...current, ...update];
        },
      },
    });
    // @ts-expect-error no such field
    new StateGraph({ state, reducers: { amonut: (a: number, b: number) => a + b } });
    // @ts-expect-error gives a string for a number
    new StateGraph({ state, reducers: { amount: () => "x" } });
  });
});

describe("a compiled graph", () => {
  it("gives a typed state", async () => {
    const app = pair().compile();
    const result = await app.invoke({ amount: 1 }, { threadId: "t" });
    expectTypeOf(result.state.amount).toEqualTypeOf<number>();
    expectTypeOf(result.state.status).toEqualTypeOf<"open" | "paid">();
    expectTypeOf(result.state.contextSummary).toEqualTypeOf<string | null>();
    expectTypeOf(result.messages).toEqualTypeOf<readonly Message[]>();
    expectTypeOf((await app.resume({}, { threadId: "t" })).state.amount).toEqualTypeOf<number>();
    expectTypeOf((await app.getState({ threadId: "t" })).state.amount).toEqualTypeOf<number>();
    // @ts-expect-error no such field
    expectTypeOf(result.state.amonut);
  });

  it("takes a typed input", () => {
    const app = pair().compile();
    void app.invoke({ amount: 1, messages: ["hi", Message.text("ho")] });
    void app.updateState({ amount: 1 }, { threadId: "t" });
    // @ts-expect-error a string for a number
    void app.invoke({ amount: "1" });
    // @ts-expect-error no such field
    void app.invoke({ amonut: 1 });
    // @ts-expect-error no such field
    void app.updateState({ amonut: 1 }, { threadId: "t" });
    // @ts-expect-error no such decision
    void app.resume({ decision: "maybe" }, { threadId: "t" });
    // @ts-expect-error a resume names its thread
    void app.resume({ decision: "approve" }, {});
  });

  it("streams events that are told apart by their type", async () => {
    for await (const event of pair().compile().stream()) {
      expectTypeOf(event).toEqualTypeOf<RunEvent>();
      if (event.eventType === "interrupted")
        expectTypeOf(event.data.interrupted).toEqualTypeOf<"before" | "after">();
      if (event.eventType === "delta") expectTypeOf(event.data.messageId).toEqualTypeOf<string>();
    }
  });
});
