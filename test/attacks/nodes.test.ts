/** What nodes hand over in shapes that no type would let them. */
import { Command, END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { describe, expect, it } from "vitest";
import { drained, failure, latch, settled } from "../support/latch.js";
import { line, stateSchema } from "../reference/helpers.js";
import { readEvents } from "../../src/runs/hydrate.js";
import { ref, wrapped } from "./support.js";

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

describe("what a node hands over is read to its end, however it comes", () => {
  const own = (): unknown => {
    const given: any = Promise.resolve({ amount: 5 });
    given.then = (f: never) => void Promise.prototype.then.call(given, f);
    return given;
  };
  it.each([
    ["a promise whose own `then` gives nothing back", own],
    ["a thenable that is a function", () => Object.assign(() => 1, { then: (f: any) => f({ amount: 5 }) })],
  ])("%s", async (_title, run) => {
    const { state } = await line({ A: run as never }).invoke({}, thread);
    expect(state).toMatchObject({ amount: 5 });
  });

  const pieces = function* () {
    yield "a";
    yield "b";
  };
  it.each([
    ["a promise of a generator", async () => pieces()],
    ["a thenable that gives a generator", () => ({ then: (f: any) => f(pieces()) })],
  ])("%s", async (_title, run) => {
    const { messages } = await line({ A: run as never }).invoke({}, thread);
    expect(messages).toMatchObject([{ role: "assistant", content: "ab" }]);
  });

  it("also where somebody has put another Promise in the place of the engine's", async () => {
    const { Promise: native } = globalThis;
    globalThis.Promise = class extends native<unknown> {} as PromiseConstructor;
    try {
      const { messages } = await line({ A: pieces }).invoke({}, thread);
      expect(messages).toMatchObject([{ role: "assistant", content: "ab" }]);
    } finally {
      globalThis.Promise = native;
    }
  });
});

describe("what a node that returned at once has left to begin in the same tick is part of it", () => {
  it.each([
    [
      "a question whose await was forgotten",
      (_: any, ctx: any) => {
        void (async () => {
          await Promise.resolve();
          await ctx.interrupt({ message: "May I?" });
        })();
      },
    ],
    [
      "an interrupt of its state",
      (state: any) =>
        queueMicrotask(() => state.setInterrupt({ reason: "late", status: "interrupted_before" })),
    ],
  ])("%s holds the run", async (_title, run) => {
    const app = line({ A: run });
    expect(await app.invoke({}, thread)).toMatchObject({ status: "interrupted_before" });
  });

  it("an effect happens, and an event is sent", async () => {
    let effects = 0;
    const app = line({
      A: (_, ctx) =>
        void Promise.resolve().then(() => {
          ctx.emit("note", 1);
          void ctx.once("k", () => ++effects);
        }),
    });
    const { events } = await drained(app.stream({}, thread));
    expect(events.map(({ eventType }) => eventType)).toContain("custom");
    expect(effects).toBe(1);
  });
});

it.each(["now", "after_step"] as const)(
  "a node that failed is not tried again behind a stop %s",
  async (mode) => {
    let tries = 0;
    const app = new StateGraph({ state: stateSchema })
      .addNode(
        "A",
        async () => {
          if (++tries === 1) void app.stop({ ...thread, mode }).catch(() => undefined);
          await settled();
          throw new Error("no");
        },
        { retry: { attempts: 5 } },
      )
      .addEdge(START, "A")
      .addEdge("A", END)
      .compile({ checkpointer: new InMemoryCheckpointer() });
    await app.invoke({}, thread).catch(() => undefined);
    expect(tries).toBe(1);
  },
);

it("a node that throws at once, and is tried again without a pause, can be stopped meanwhile", async () => {
  let tries = 0;
  const app = new StateGraph({ state: stateSchema })
    .addNode(
      "A",
      () => {
        if (++tries === 1) void app.stop(thread).catch(() => undefined);
        throw new Error("no");
      },
      { retry: { attempts: 1000 } },
    )
    .addEdge(START, "A")
    .addEdge("A", END)
    .compile({ checkpointer: new InMemoryCheckpointer() });
  expect(await app.invoke({}, thread)).toMatchObject({ status: "stopped" });
  expect(tries).toBeLessThan(100);
});

it("a generator that is stopped between two pieces runs its finally", async () => {
  const begun = latch();
  const goesOn = latch();
  const ended = latch();
  const app = line({
    A: async function* () {
      try {
        yield "a";
        begun.open();
        await goesOn.opened;
        yield "b";
      } finally {
        ended.open();
      }
    },
  });
  const running = app.invoke({}, thread);
  await begun.opened;
  await app.stop(thread);
  expect(await running).toMatchObject({ status: "stopped" });
  goesOn.open();
  await ended.opened;
});

it("a node sees of its state what there is: the summary only once somebody wrote one", async () => {
  const seen: string[][] = [];
  const app = line({
    A: (state) => {
      seen.push(Object.keys(state));
      return { contextSummary: "short" };
    },
    B: (state) => void seen.push(Object.keys(state)),
  });
  await app.invoke({}, thread);
  expect(seen).toEqual([
    ["amount", "log"],
    ["amount", "log"],
  ]);
});

it("what a node sends while a step of a graph beside it is committed is neither lost nor out of order", async () => {
  const committing = latch();
  const sent = latch();
  let writes = 0;
  const checkpointer = wrapped({
    write: async (inner, write) => {
      // The start, the way into A, then A's first step: B speaks meanwhile.
      if (++writes === 3) {
        committing.open();
        await sent.opened;
      }
      return inner.write(write);
    },
  });
  const app = new StateGraph({ state: stateSchema })
    .addNode("A", line({ I: () => undefined, J: () => undefined }, { name: "inside" }))
    .addNode("B", async function* (_state, ctx) {
      yield "one ";
      await committing.opened;
      ctx.emit("note", 1);
      yield "two ";
      // Once its piece was taken.
      setImmediate(() => sent.open());
      await sent.opened;
      yield "three";
    })
    .addEdge(START, "A")
    .addEdge(START, "B")
    .addEdge("A", END)
    .addEdge("B", END)
    .compile({ checkpointer });
  const { events } = await drained(app.stream({}, thread));
  const deltas = events.filter(({ eventType }) => eventType === "delta");
  expect(deltas.map(({ content }) => content).join("")).toBe("one two three");
  expect(events.map(({ seq }) => seq)).toEqual(events.map(({ seq }) => seq).toSorted((a, b) => a - b));
  const logged = (await readEvents(checkpointer, ref, 0)).map(({ eventType }) => eventType);
  expect(logged.filter((type) => type === "custom")).toHaveLength(1);
});
