import { END, ExecutionStatus, Message, START, StateGraph, type StateOf } from "holdpoint";
import { expect, it } from "vitest";
import { z } from "zod";
import { failure, latch } from "../support/latch.js";
import { line, type stateSchema } from "./helpers.js";

const thread = { threadId: "t" };
type State = StateOf<typeof stateSchema>;

it("the page's statuses have their names", () => {
  expect(ExecutionStatus).toMatchObject({
    INTERRUPTED_BEFORE: "interrupted_before",
    INTERRUPTED_AFTER: "interrupted_after",
    RUNNING: "running",
    COMPLETED: "completed",
    ERROR: "error",
  });
});

it("a paused thread says that it is interrupted, where, why and with what data", async () => {
  const app = line(
    { EXECUTE: () => "executed" },
    {
      interruptBefore: [{ node: "EXECUTE", data: (state) => ({ amount: state.amount }) }],
    },
  );
  await app.invoke({ amount: 5 }, thread);
  const { executionMeta } = await app.getState(thread);
  expect(executionMeta.isInterrupted()).toBe(true);
  expect(executionMeta).toMatchObject({
    status: ExecutionStatus.INTERRUPTED_BEFORE,
    currentNode: "EXECUTE",
    interruptedNode: "EXECUTE",
    interruptReason: "interrupt_before: EXECUTE",
    interruptData: { amount: 5 },
    step: 0,
  });
});

it("an answered thread no longer says so", async () => {
  const app = line({ EXECUTE: () => "executed" }, { interruptAfter: ["EXECUTE"] });
  await app.invoke({}, thread);
  expect((await app.getState(thread)).executionMeta.status).toBe("interrupted_after");
  await app.invoke({}, thread);
  const { executionMeta, status, interrupts } = await app.getState(thread);
  expect(executionMeta.isInterrupted()).toBe(false);
  expect(executionMeta).toMatchObject({
    status: "completed",
    interruptedNode: null,
    interruptReason: null,
    interruptData: null,
  });
  expect({ status, interrupts }).toEqual({ status: "completed", interrupts: [] });
});

it("a running thread is running, for its node and for those who look", async () => {
  const began = latch();
  const held = latch();
  let seen: Pick<State["executionMeta"], "status" | "currentNode"> | undefined;
  const app = line({
    WORK: async ({ executionMeta }) => {
      seen = executionMeta;
      began.open();
      await held.opened;
    },
  });
  const running = app.invoke({}, thread);
  await began.opened;
  expect(seen).toMatchObject({ status: "running", currentNode: "WORK" });
  expect((await app.getState(thread)).executionMeta).toMatchObject({
    status: "running",
    currentNode: "WORK",
  });
  held.open();
  await running;
});

it("a failed thread has the status error", async () => {
  const app = line({
    WORK: () => {
      throw new Error("broken");
    },
  });
  await failure(app.invoke({}, thread));
  const { executionMeta } = await app.getState(thread);
  expect(executionMeta).toMatchObject({ status: ExecutionStatus.ERROR, currentNode: "WORK" });
  expect(executionMeta.isInterrupted()).toBe(false);
});

it("a stopped thread has the status stopped and no open interrupt", async () => {
  const app = line({ WORK: () => "x" }, { interruptBefore: ["WORK"] });
  await app.invoke({}, thread);
  await app.stop(thread);
  const state = await app.getState(thread);
  expect(state.executionMeta).toMatchObject({ status: "stopped", interruptReason: null });
  expect(state).toMatchObject({ interrupts: [], nextNodes: ["WORK"] });
});

it("getState gives the fields, the messages and the context summary", async () => {
  const app = line({ WORK: () => ({ amount: 4, contextSummary: "short", messages: ["said"] }) });
  await app.invoke({ messages: [Message.text("hello")] }, thread);
  const { state, messages, nextNodes } = await app.getState(thread);
  expect(state).toEqual({ amount: 4, log: [], contextSummary: "short" });
  expect(messages.map(({ role, content }) => [role, content])).toEqual([
    ["user", "hello"],
    ["assistant", "said"],
  ]);
  expect(nextNodes).toEqual([]);
});

it("getState of an unknown thread is not_found", async () => {
  const app = line({ WORK: () => "x" });
  expect((await failure(app.getState({ threadId: "nobody" }))).code).toBe("not_found");
});

it("steps count over the thread's runs and never go back", async () => {
  const steps: number[] = [];
  const app = line({
    A: (_state, ctx) => void steps.push(ctx.step),
    B: (_state, ctx) => void steps.push(ctx.step),
  });
  const first = await app.invoke({}, thread);
  const second = await app.invoke({}, thread);
  expect([first.step, second.step]).toEqual([2, 4]);
  expect(steps).toEqual([0, 1, 2, 3]);
});

it("the state that a node sees is frozen all the way down", async () => {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  const attempts: Record<string, (state: any) => void> = {
    field: (state) => (state.amount = 9),
    list: (state) => state.log.push("sneaked in"),
    context: (state) => state.context.push({ role: "user", content: "sneaked in" }),
    message: (state) => (state.context[0].content = "changed"),
    meta: (state) => (state.executionMeta.status = "completed"),
    newField: (state) => (state.other = 1),
  };
  for (const [what, change] of Object.entries(attempts)) {
    const app = line({
      WORK: (state) => {
        expect(() => change(state), what).toThrow(TypeError);
      },
    });
    const result = await app.invoke({ messages: ["hello"], log: ["one"] }, thread);
    expect(result.state, what).toMatchObject({ amount: 0, log: ["one"] });
    expect((await app.getState(thread)).messages).toHaveLength(1);
  }
});

it("the context of a thread without messages is frozen too", async () => {
  const app = line({
    WORK: (state) => {
      expect(() => (state.context as unknown[]).push({ role: "user", content: "sneaked in" })).toThrow(
        TypeError,
      );
    },
  });
  await app.invoke({}, thread);
  expect((await app.getState(thread)).messages).toEqual([]);
});

it("what an input object becomes after invoke does not change the thread", async () => {
  const app = line({ WORK: () => undefined }, { interruptAfter: ["WORK"] });
  const log = ["one"];
  await app.invoke({ log }, thread);
  log.push("two");
  expect((await app.getState(thread)).state.log).toEqual(["one"]);
});

it("a returned state changes nothing, and a spread of it carries the fields only", async () => {
  const seen: string[][] = [];
  const app = line({
    SAME: (state) => state,
    SPREAD: (state) => {
      seen.push(Object.keys({ ...state }));
      return { ...state, amount: 3, log: [] };
    },
  });
  const result = await app.invoke({ amount: 2, log: ["one"], messages: ["hi"] }, thread);
  expect(seen).toEqual([["amount", "log"]]);
  expect(result.state).toMatchObject({ amount: 3, log: ["one"] });
  expect(result.messages).toHaveLength(1);
});

it.each([
  ["an unknown key", { amonut: 3 }, "WORK", "amonut", 'did you mean "amount"'],
  ["an unknown key beside a known one", { amount: 1, amonut: 3 }, "WORK", "amonut", "amount"],
  ["a wrong type", { amount: "three" }, "WORK", "amount", "refused by the state's schema"],
  ["what is not JSON", { amount: 3n }, "WORK", "amount", "bigint"],
  ["the context", { context: [] }, "WORK", "context", 'by the key "messages"'],
  ["a value that a reducer's field refuses", { log: [3] }, "WORK", "log", "refuses"],
  ["a reserved key", { executionMeta: {} }, "WORK", "executionMeta", "not a field"],
])("an update with %s fails the node, naming node and key", async (_what, update, node, key, why) => {
  const app = line({ WORK: () => update as never, NEXT: () => "never" });
  const error = await failure(app.invoke({ amount: 7 }, thread));
  expect(error).toMatchObject({ name: "RunError", code: "invalid_update", node });
  expect(error.message).toContain(node);
  expect(error.message).toContain(key);
  expect(error.message).toContain(why);
  const state = await app.getState(thread);
  expect(state).toMatchObject({ state: { amount: 7 }, nextNodes: ["WORK"] });
});

it.each([
  [
    "throws",
    () => {
      throw new Error("odd");
    },
  ],
  ["gives what the schema refuses", () => "text"],
])("a reducer that %s fails the node that updated its field", async (_what, reducer) => {
  const error = await failure(reduced(z.number().default(1), reducer).invoke({}, thread));
  expect(error).toMatchObject({ code: "invalid_update", node: "WORK" });
  expect(error.message).toContain("field");
});

it.each([
  ["a Map", () => new Map([["a", 1]])],
  ["undefined", () => undefined],
  ["a function", () => () => 1],
])("a reducer that gives %s, which JSON cannot carry, fails the node", async (_what, reducer) => {
  const error = await failure(reduced(z.unknown().default(1), reducer).invoke({}, thread));
  expect(error).toMatchObject({ code: "invalid_update", node: "WORK" });
  expect(error.message).toContain("field");
});

function reduced(field: z.ZodType, reducer: () => unknown) {
  return new StateGraph({ state: z.object({ field }), reducers: { field: reducer } })
    .addNode("WORK", () => ({ field: 2 }))
    .addEdge(START, "WORK")
    .addEdge("WORK", END)
    .compile();
}

it("a node may answer with a string, a message, several, an update, or nothing", async () => {
  const app = line({
    TEXT: () => "text",
    MESSAGE: () => Message.of({ role: "system", content: "message", name: "n" }),
    SEVERAL: async () => [Message.text("one", "assistant"), Message.text("two", "assistant")],
    UPDATE: () => ({ amount: 1, messages: "update" }),
    NULL: () => null,
    NOTHING: () => undefined,
  });
  const result = await app.invoke({}, thread);
  expect(result.messages.map(({ role, content }) => [role, content])).toEqual([
    ["assistant", "text"],
    ["system", "message"],
    ["assistant", "one"],
    ["assistant", "two"],
    ["assistant", "update"],
  ]);
  expect(new Set(result.messages.map(({ id }) => id)).size).toBe(5);
});

it("a message with an id that is in the context replaces it in its place", async () => {
  const app = line({
    ASK: () => [
      Message.of({ id: "draft", role: "assistant", content: "v1" }),
      Message.text("after", "assistant"),
    ],
    REWRITE: () => Message.of({ id: "draft", role: "assistant", content: "v2" }),
  });
  const result = await app.invoke({ messages: ["go"] }, thread);
  expect(result.messages.map(({ content }) => content)).toEqual(["go", "v2", "after"]);
  expect((await app.getState(thread)).messages.map(({ content }) => content)).toEqual(["go", "v2", "after"]);
});
