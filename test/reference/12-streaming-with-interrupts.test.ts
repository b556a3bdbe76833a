import { END, Message, START, StateGraph, type RunEvent } from "holdpoint";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { drained, failure, latch, settled } from "../support/latch.js";
import { line, type Node } from "./helpers.js";

const thread = { threadId: "stream-interrupt-demo" };
const types = (events: readonly RunEvent[]) => events.map(({ eventType }) => eventType);
const generator = (of: (...args: Parameters<Node>) => unknown): Node => of as Node;

function retried(node: () => unknown) {
  return new StateGraph()
    .addNode("TALK", node as () => undefined, { retry: { attempts: 2 } })
    .addEdge(START, "TALK")
    .addEdge("TALK", END)
    .compile();
}

// Retries are warned of; that is tested with error handling.
beforeEach(() => void vi.spyOn(console, "warn").mockImplementation(() => undefined));

it("the page's pattern: stream to the pause, ask, stream on", async () => {
  const app = line(
    { ANALYZE: () => "analysed", EXECUTE_ACTION: () => "executed" },
    { interruptBefore: ["EXECUTE_ACTION"] },
  );
  const resumed: string[] = [];
  for await (const chunk of app.stream({ messages: [Message.text("Process sensitive request")] }, thread)) {
    if (chunk.eventType !== "interrupted") continue;
    expect(chunk.content).toContain("EXECUTE_ACTION");
    for await (const resume of app.stream({ messages: [Message.text("Human approved")] }, thread))
      if (resume.eventType === "message") resumed.push(resume.content);
  }
  expect(resumed).toEqual(["Human approved", "executed"]);
});

it("the page's other branch: the person says no, and the stream is cancelled by stop", async () => {
  const app = line({ ANALYZE: () => "a", EXECUTE: () => "e" }, { interruptBefore: ["EXECUTE"] });
  for await (const chunk of app.stream({}, thread)) {
    if (chunk.eventType !== "interrupted") continue;
    await app.stop(thread);
    break;
  }
  expect(await app.getState(thread)).toMatchObject({ status: "stopped", interrupts: [] });
});

it("a stream has start first, growing seq, one terminal event last, and names thread and run", async () => {
  const app = line({ A: () => ({ amount: 1 }), B: () => "b" });
  const { events, error } = await drained(app.stream({ messages: ["go"], amount: 5 }, thread));
  expect(error).toBeNull();
  expect(types(events)).toEqual([
    "start",
    "message",
    "progress",
    "update",
    "progress",
    "message",
    "update",
    "end",
  ]);
  for (let i = 1; i < events.length; i++) {
    expect(events[i]?.seq).toBeGreaterThan(events[i - 1]?.seq ?? Infinity);
  }
  expect(new Set(events.map(({ runId }) => runId)).size).toBe(1);
  expect(new Set(events.map(({ threadId }) => threadId))).toEqual(new Set([thread.threadId]));
  expect(events[0]).toMatchObject({
    event: "graph_execution",
    data: { input: { amount: 5, messages: [{ content: "go" }] }, resumes: false },
  });
  for (const event of events) expect(Date.parse(event.timestamp)).not.toBeNaN();
});

it("progress and update say node, step, changed fields and what is next", async () => {
  const app = line({ A: () => ({ amount: 1 }), B: () => "b" });
  const { events } = await drained(app.stream({}, thread));
  expect(events.filter(({ eventType }) => eventType === "progress")).toMatchObject([
    { nodeName: "A", path: ["A"], data: { step: 0, attempt: 1 } },
    { nodeName: "B", path: ["B"], data: { step: 1, attempt: 1 } },
  ]);
  expect(events.filter(({ eventType }) => eventType === "update")).toMatchObject([
    { data: { step: 1, changed: ["amount"], nextNodes: ["B"] } },
    { data: { step: 2, changed: [], nextNodes: [] } },
  ]);
});

describe("an async generator node", () => {
  it("streams deltas and becomes one assistant message under their id", async () => {
    const app = line({
      TALK: generator(async function* () {
        yield "Hel";
        yield "";
        yield "lo";
      }),
    });
    const { events } = await drained(app.stream({}, thread));
    const deltas = events.flatMap((event) => (event.eventType === "delta" ? [event] : []));
    expect(deltas.map(({ content }) => content)).toEqual(["Hel", "lo"]);
    const messages = events.flatMap((event) => (event.eventType === "message" ? [event.data.message] : []));
    expect(messages).toMatchObject([{ role: "assistant", content: "Hello" }]);
    expect(deltas.map(({ data }) => data)).toEqual([
      { messageId: messages[0]?.id, part: "text" },
      { messageId: messages[0]?.id, part: "text" },
    ]);
    expect((await app.getState(thread)).messages).toEqual(messages);
  });

  it("the first message that it returns without an id takes the id of its deltas", async () => {
    const app = line({
      TALK: generator(async function* () {
        yield "Hello";
        return {
          amount: 1,
          messages: [
            Message.of({ id: "own", role: "assistant", content: "mine" }),
            Message.text("Hello!", "assistant"),
            Message.text("Bye", "assistant"),
          ],
        };
      }),
    });
    const { events } = await drained(app.stream({}, thread));
    const delta = events.find((event) => event.eventType === "delta");
    const { messages, state } = await app.getState(thread);
    expect(state.amount).toBe(1);
    expect(messages.map(({ content }) => content)).toEqual(["mine", "Hello!", "Bye"]);
    expect(messages[1]?.id).toBe(delta?.eventType === "delta" ? delta.data.messageId : "");
    expect(messages[0]?.id).toBe("own");
  });

  it("deltas arrive while the node runs, before anything is committed", async () => {
    const held = latch();
    const app = line({
      TALK: generator(async function* () {
        yield "first";
        await held.opened;
        yield "second";
      }),
    });
    for await (const event of app.stream({}, thread)) {
      if (event.eventType !== "delta") continue;
      if (event.content === "first") {
        expect((await app.getState(thread)).messages).toEqual([]);
        held.open();
      }
    }
    expect((await app.getState(thread)).messages.map(({ content }) => content)).toEqual(["firstsecond"]);
  });

  it("that fails and is retried says restart before it streams again", async () => {
    let attempts = 0;
    const app = retried(async function* () {
      yield `try ${++attempts}`;
      if (attempts === 1) throw new Error("connection lost");
    });
    const { events } = await drained(app.stream({}, thread));
    expect(types(events)).toEqual([
      "start",
      "progress",
      "delta",
      "restart",
      "progress",
      "delta",
      "message",
      "update",
      "end",
    ]);
    expect(events.find(({ eventType }) => eventType === "restart")).toMatchObject({
      data: { step: 0, node: "TALK", path: ["TALK"], attempt: 2 },
    });
    expect((await app.getState(thread)).messages.map(({ content }) => content)).toEqual(["try 2"]);
  });

  it("that pauses after it streamed says restart when it is answered", async () => {
    const app = line({
      TALK: generator(async function* (_state, ctx) {
        yield "thinking";
        const { data } = await ctx.interrupt({ message: "?" });
        yield data as string;
      }),
    });
    const first = await drained(app.stream({}, thread));
    expect(types(first.events)).toEqual(["start", "progress", "delta", "interrupted"]);
    await app.resume({ decision: "respond", data: "!" }, thread);
    expect((await app.getState(thread)).messages.map(({ content }) => content)).toEqual(["thinking!"]);
  });

  it("that yields what is no text fails by name", async () => {
    const app = line({
      TALK: generator(async function* () {
        yield 3;
      }),
    });
    const error = await failure(app.invoke({}, thread));
    expect(error.node).toBe("TALK");
    expect(error.message).toContain("number");
  });

  it("a synchronous generator streams too", async () => {
    const app = line({
      TALK: generator(function* () {
        yield "a";
        yield "b";
      }),
    });
    const result = await app.invoke({}, thread);
    expect(result.messages.map(({ content }) => content)).toEqual(["ab"]);
  });
});

it("emit sends a custom event at once; a value that is not JSON is refused in the node", async () => {
  const held = latch();
  const app = line({
    WORK: async (_state, ctx) => {
      expect(() => ctx.emit("bad", { at: new Date(0) })).toThrow(TypeError);
      ctx.emit("half", { done: 0.5 });
      await held.opened;
    },
  });
  for await (const event of app.stream({}, thread)) {
    if (event.eventType !== "custom") continue;
    expect(event).toMatchObject({
      event: "node_execution",
      nodeName: "WORK",
      data: { name: "half", value: { done: 0.5 } },
    });
    held.open();
  }
});

it("stream throws the RunError after its terminal chunk", async () => {
  const app = line({
    WORK: () => {
      throw new Error("broken");
    },
  });
  const { events, error } = await drained(app.stream({}, thread));
  expect(events.at(-1)).toMatchObject({
    eventType: "error",
    nodeName: "WORK",
    data: { result: { status: "error", error: { code: "node_failed", node: "WORK" } } },
  });
  expect(error).toMatchObject({ name: "RunError", code: "node_failed", node: "WORK" });
});

it("the events of a second run come without those of the first", async () => {
  const app = line({ A: () => "a" });
  const first = await drained(app.stream({}, thread));
  const second = await drained(app.stream({}, thread));
  expect(types(second.events)).toEqual(types(first.events));
  expect(second.events[0]?.seq).toBeGreaterThan(first.events.at(-1)?.seq ?? Infinity);
});

it("a stream that falls far behind still gets every event that lasts, in order", async () => {
  const count = 3000;
  const began = latch();
  const app = line({
    A: async (_state, ctx) => {
      began.open();
      for (let i = 0; i < count; i++) {
        ctx.emit("n", i);
        if (i % 500 === 0) await settled();
      }
    },
  });
  const stream = app.stream({}, thread);
  const events: RunEvent[] = [];
  const first = await stream.next();
  if (first.done !== true) events.push(first.value);
  await began.opened;
  while ((await app.getState(thread)).status === "running") await settled();
  for await (const event of stream) events.push(event);
  const values = events.flatMap((event) => (event.eventType === "custom" ? [event.data.value] : []));
  expect(values).toEqual(Array.from({ length: count }, (_, i) => i));
  expect(events.at(-1)?.eventType).toBe("end");
});
