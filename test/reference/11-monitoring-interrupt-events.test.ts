import {
  ConsolePublisher,
  END,
  EventType,
  InMemoryCheckpointer,
  START,
  StateGraph,
  type EventPublisher,
  type RunEvent,
} from "holdpoint";
import { describe, expect, it, vi } from "vitest";
import { drained, failure, latch, settled } from "../support/latch.js";
import { line } from "./helpers.js";

const thread = { threadId: "t" };

class Recorder implements EventPublisher {
  readonly events: RunEvent[] = [];
  publish(event: RunEvent): void {
    this.events.push(event);
  }
  get types(): string[] {
    return this.events.map(({ eventType }) => eventType);
  }
}

it("the page's InterruptMonitor sees where, why and which kind, and passes the rest on", async () => {
  const said: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((text: string) => void said.push(text));
  const seen: unknown[] = [];
  class InterruptMonitor extends ConsolePublisher {
    override publish(event: RunEvent): unknown {
      if (event.eventType === EventType.INTERRUPTED)
        seen.push([event.nodeName, event.metadata.status, event.data.interrupted]);
      return super.publish(event);
    }
  }
  const app = line(
    { PREPARE: () => "ready", SENSITIVE_ACTION: () => "acted" },
    { publisher: new InterruptMonitor(), interruptBefore: ["SENSITIVE_ACTION"] },
  );
  await app.invoke({}, thread);
  await settled();
  log.mockRestore();
  expect(seen).toEqual([["SENSITIVE_ACTION", "interrupted_before", "before"]]);
  expect(said.some((text) => text.includes("interrupted") && text.includes("SENSITIVE_ACTION"))).toBe(true);
});

it("an interrupt after a node is one of kind after", async () => {
  const recorder = new Recorder();
  const app = line({ A: () => "a" }, { publisher: recorder, interruptAfter: ["A"] });
  await app.invoke({}, thread);
  await settled();
  expect(recorder.events.at(-1)).toMatchObject({
    eventType: "interrupted",
    nodeName: "A",
    metadata: { status: "interrupted_after" },
    data: {
      interrupted: "after",
      result: { status: "interrupted_after", interruptReason: "interrupt_after: A" },
    },
  });
});

it("a publisher gets every event of every run in order, those between runs too", async () => {
  const recorder = new Recorder();
  const app = line(
    { PREPARE: () => ({ amount: 1 }), EXECUTE: (_s, ctx) => (ctx.emit("paid", { n: 1 }), "done") },
    { publisher: recorder, interruptBefore: ["EXECUTE"] },
  );
  await app.invoke({ messages: ["go"] }, thread);
  await app.stop(thread);
  await app.resume({}, thread);
  await app.resume({ decision: "approve" }, { ...thread, by: "ann" });
  await settled();
  expect(recorder.types).toEqual([
    "start",
    "message",
    "progress",
    "update",
    "interrupted",
    "decision",
    "start",
    "interrupted",
    "decision",
    "start",
    "progress",
    "custom",
    "message",
    "update",
    "end",
  ]);
  const seqs = recorder.events.map(({ seq }) => seq);
  expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
});

it("a publisher and a stream hear the same", async () => {
  const recorder = new Recorder();
  const app = line(
    {
      TALK: async function* () {
        yield "a";
        yield "b";
      },
      FAIL: () => {
        throw new Error("broken");
      },
    },
    { publisher: recorder },
  );
  const { events } = await drained(app.stream({ messages: ["hi"] }, thread));
  await settled();
  expect(recorder.events).toEqual(events);
});

it("several publishers each get all", async () => {
  const [a, b] = [new Recorder(), new Recorder()];
  const app = line({ A: () => "a" }, { publisher: [a, b] });
  await app.invoke({}, thread);
  await settled();
  expect(a.types).toEqual(["start", "progress", "message", "update", "end"]);
  expect(b.events).toEqual(a.events);
});

describe("a publisher that misbehaves", () => {
  it("by throwing or rejecting does not fail the run, and gets the later events all the same", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    const thrown: string[] = [];
    const rejected: string[] = [];
    const publishers: EventPublisher[] = [
      {
        publish: (event) => {
          thrown.push(event.eventType);
          throw new Error("publisher broke");
        },
      },
      {
        publish: async (event) => {
          rejected.push(event.eventType);
          return Promise.reject(new Error("publisher broke"));
        },
      },
    ];
    const app = line({ A: () => "a" }, { publisher: publishers });
    expect((await app.invoke({}, thread)).status).toBe("completed");
    await settled();
    expect(thrown).toEqual(["start", "progress", "message", "update", "end"]);
    expect(rejected).toEqual(thrown);
    expect(warn).toHaveBeenCalled();
    warn.mockRestore();
  });

  it("by hanging delays neither the run nor the other publishers", async () => {
    const forever = latch();
    const recorder = new Recorder();
    const hanging: EventPublisher = { publish: () => forever.opened };
    const app = line({ A: () => "a", B: () => "b" }, { publisher: [hanging, recorder] });
    expect((await app.invoke({}, thread)).status).toBe("completed");
    await settled();
    expect(recorder.types.at(-1)).toBe("end");
    forever.open();
  });

  it("by changing an event changes nothing for anybody else: events are immutable all the way down", async () => {
    const failures: string[] = [];
    const vandal: EventPublisher = {
      publish: (event) => {
        const change = (what: string, by: () => void): void => {
          try {
            by();
            failures.push(`${event.eventType}: ${what}`);
          } catch (error) {
            if (!(error instanceof TypeError)) throw error;
          }
        };
        // eslint-disable-next-line @typescript-eslint/no-explicit-any
        const loose = event as any;
        change("event", () => (loose.seq = -1));
        change("data", () => (loose.data.vandal = true));
        change("metadata", () => (loose.metadata.vandal = true));
        change("path", () => loose.path.push("vandal"));
        if (event.eventType === "custom") change("value", () => (loose.data.value.n = 2));
        if (event.eventType === "interrupted") {
          change("result", () => (loose.data.result.status = "completed"));
          change("state", () => (loose.data.result.state.amount = 2));
          change("interrupts", () => loose.data.result.interrupts.push({}));
        }
      },
    };
    const app = line(
      { A: (_s, ctx) => (ctx.emit("x", { n: 1 }), { amount: 1, messages: ["m"] }), B: () => "b" },
      { publisher: vandal, interruptBefore: ["B"] },
    );
    await app.invoke({ messages: ["go"] }, thread);
    await settled();
    expect(failures).toEqual([]);
  });
});

it("the decision event says who answered what, and comes before the start of the run that it began", async () => {
  const recorder = new Recorder();
  const app = line({ A: () => "a" }, { publisher: recorder, interruptBefore: ["A"] });
  await app.invoke({}, thread);
  await app.resume({ decision: "approve", reason: "fine" }, { ...thread, by: "ann" });
  await settled();
  const at = recorder.types.indexOf("decision");
  expect(recorder.events[at]).toMatchObject({
    nodeName: "A",
    data: {
      interrupt: { node: "A", status: "resolved" },
      decision: { decision: "approve", reason: "fine", by: "ann" },
    },
  });
  expect(recorder.types[at + 1]).toBe("start");
  expect(recorder.events[at + 1]).toMatchObject({ data: { resumes: true } });
});

it("each run has exactly one terminal event, its last", async () => {
  const recorder = new Recorder();
  let fails = true;
  const app = line(
    {
      A: () => "a",
      B: () => {
        if (fails) throw new Error("broken");
      },
    },
    { publisher: recorder, interruptBefore: ["B"] },
  );
  await app.invoke({}, thread);
  await failure(app.invoke({}, thread));
  fails = false;
  await app.resume({}, thread);
  await settled();
  const runs = group(recorder.events);
  const terminal = ["interrupted", "stopped", "error", "end"];
  const ends = [...runs.values()].map((events) => {
    const found = events.filter(({ eventType }) => terminal.includes(eventType));
    expect(found).toEqual([events.at(-1)]);
    return found[0]?.eventType;
  });
  expect(ends).toEqual(["interrupted", "error", "end"]);
});

function group(events: readonly RunEvent[]): Map<string | null, RunEvent[]> {
  const runs = new Map<string | null, RunEvent[]>();
  for (const event of events) runs.set(event.runId, [...(runs.get(event.runId) ?? []), event]);
  return runs;
}

it("publishers of one graph hear nothing of another on the same checkpointer", async () => {
  const checkpointer = new InMemoryCheckpointer();
  const [a, b] = [new Recorder(), new Recorder()];
  const make = (name: string, publisher: EventPublisher) =>
    new StateGraph()
      .addNode("WORK", () => name)
      .addEdge(START, "WORK")
      .addEdge("WORK", END)
      .compile({ name, checkpointer, publisher });
  const [one, two] = [make("one", a), make("two", b)];
  await one.invoke({}, { threadId: "one" });
  await two.invoke({}, { threadId: "two" });
  await settled();
  expect(new Set(a.events.map(({ threadId }) => threadId))).toEqual(new Set(["one"]));
  expect(new Set(b.events.map(({ threadId }) => threadId))).toEqual(new Set(["two"]));
});
