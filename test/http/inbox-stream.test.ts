/** The inbox as a live stream, from outside. */
import { afterEach, describe, expect, it } from "vitest";
import { InMemoryCheckpointer, type Checkpointer } from "holdpoint";
import {
  expectProblem,
  onEveryStorage,
  serve,
  unique,
  type Body,
  type TestServer,
} from "../support/http-server.js";
import { until } from "../support/poll.js";
import { ids, names, openStream, type Frame, type SseReader } from "../support/sse.js";
import { refund } from "./graphs.js";

const open: SseReader[] = [];
afterEach(() => {
  for (const reader of open.splice(0)) reader.leave();
});

async function follow(server: TestServer, of = "", headers: Record<string, string> = {}): Promise<SseReader> {
  const reader = await openStream(`${server.url}/interrupts/stream${of}`, { headers });
  open.push(reader);
  return reader;
}

/** A reader of one graph that has all that was open. */
async function current(server: TestServer, graph: string) {
  const reader = await follow(server, `?graph=${graph}`);
  const first = await reader.until("current");
  return { reader, first: first.slice(0, -1), edge: first.at(-1)?.id ?? -1 };
}

const holding = (server: TestServer, of: Body = {}): string =>
  server.add(refund(() => undefined, { interruptBefore: [{ node: "PAY", onDeny: "REFUSE", ...of }] }));

/** A thread of the graph that waits; its interrupt. */
async function held(server: TestServer, graph: string): Promise<Body> {
  const { body } = await server.post(`/threads/${unique("t")}/run`, { graph, input: { amount: 7 } });
  expect(body.status).toBe("interrupted_before");
  return body.interrupts[0];
}

async function take(reader: SseReader, count: number): Promise<Frame[]> {
  const frames: Frame[] = [];
  while (frames.length < count) {
    const frame = await reader.next();
    if (frame === null) throw new Error(`the stream ended after ${names(frames).join(", ")}`);
    frames.push(frame);
  }
  return frames;
}
const told = (frames: readonly Frame[]) => frames.map(({ name, chunk }) => [name, chunk.interrupt_id]);

onEveryStorage("the inbox as a stream", (server) => {
  it("tells what opens and what is decided, with the interrupt as it then is", async () => {
    const graph = holding(server);
    const { reader, first } = await current(server, graph);
    expect(first).toEqual([]);
    expect(reader.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const interrupt = await held(server, graph);
    const [opened] = await take(reader, 1);
    expect(opened?.chunk).toEqual({
      event: "inbox",
      event_type: "opened",
      interrupt_id: interrupt.id,
      thread_id: interrupt.thread_id,
      graph,
      interrupt,
      decision: null,
      seq: opened?.id,
      timestamp: interrupt.created_at,
    });
    await server.post(`/interrupts/${interrupt.id}/decision`, { decision: "approve", reason: "fine" });
    const [decided] = await take(reader, 1);
    const now = (await server.get(`/interrupts/${interrupt.id}`)).body;
    expect(decided?.chunk).toMatchObject({
      event_type: "decided",
      interrupt: now,
      decision: now.decision,
      timestamp: now.decided_at,
    });
    expect(now.decision).toMatchObject({ decision: "approve", reason: "fine" });
    expect(decided?.id).toBeGreaterThan(opened?.id ?? Infinity);
  });

  it("begins with what is open now, the oldest first, and goes on without a hole", async () => {
    const graph = holding(server);
    const [one, two, three] = [
      await held(server, graph),
      await held(server, graph),
      await held(server, graph),
    ];
    await server.post(`/interrupts/${two.id}/decision`, { decision: "approve" });
    const { reader, first, edge } = await current(server, graph);
    expect(told(first)).toEqual([
      ["opened", one.id],
      ["opened", three.id],
    ]);
    expect(first.map(({ chunk }) => chunk.interrupt)).toEqual([one, three]);
    await server.post(`/interrupts/${one.id}/decision`, { decision: "approve" });
    const [decided] = await take(reader, 1);
    expect(told([decided as Frame])).toEqual([["decided", one.id]]);
    expect(decided?.id).toBeGreaterThan(edge);
  });

  it("says of a stop, of a deadline and of a deleted thread that the question is gone", async () => {
    const graph = holding(server);
    const hurried = holding(server, { expiresIn: "30ms", onExpiry: "deny" });
    const reader = await follow(server);
    await reader.until("current");
    const mine = async (...named: [string, string][]) => {
      const frames: Frame[] = [];
      const isDone = () =>
        named.every(([, id]) => frames.filter((each) => each.chunk.interrupt_id === id).length === 2);
      while (!isDone()) frames.push(...(await take(reader, 1)));
      for (const [name, id] of named)
        expect(names(frames.filter(({ chunk }) => chunk.interrupt_id === id))).toEqual(["opened", name]);
      return frames;
    };
    const stopped = await held(server, graph);
    await server.post(`/threads/${stopped.thread_id}/stop`);
    const [, cancelled] = await mine(["cancelled", stopped.id as string]);
    expect(cancelled?.chunk).toMatchObject({ decision: null, interrupt: { status: "cancelled" } });

    const late = await held(server, hurried);
    const [, expired] = await mine(["expired", late.id as string]);
    expect(expired?.chunk).toMatchObject({ decision: { by: "expiry" }, interrupt: { status: "expired" } });

    const deleted = await held(server, graph);
    expect((await server.call("DELETE", `/threads/${deleted.thread_id}`)).status).toBe(204);
    const gone = (await mine(["cancelled", deleted.id as string])).at(-1);
    expect(gone?.chunk).toMatchObject({ interrupt: null, thread_id: deleted.thread_id, graph });
  });

  it("goes on behind a cursor, by header or query, and repeats nothing and loses nothing at any of them", async () => {
    const graph = holding(server);
    const { reader, edge } = await current(server, graph);
    const held1 = await held(server, graph);
    await server.post(`/interrupts/${held1.id}/decision`, { decision: "deny" });
    const held2 = await held(server, graph);
    const all = await take(reader, 3);
    expect(told(all)).toEqual([
      ["opened", held1.id],
      ["decided", held1.id],
      ["opened", held2.id],
    ]);
    expect(all[0]?.chunk.interrupt).toEqual(held1);
    for (const [i, from] of [edge, ...ids(all.slice(0, 2))].entries()) {
      const again = await take(await follow(server, `?graph=${graph}&after=${from}`), all.length - i);
      expect(again).toEqual(all.slice(i));
      const headers = { "Last-Event-ID": String(from) };
      const byHeader = await follow(server, `?graph=${graph}&after=0`, headers);
      expect(await take(byHeader, all.length - i)).toEqual(all.slice(i));
    }
    const last = await follow(server, `?graph=${graph}&after=${all.at(-1)?.id}`);
    await server.post(`/interrupts/${held2.id}/decision`, { decision: "deny" });
    expect(told(await take(last, 1))).toEqual([["decided", held2.id]]);
  });

  it("refuses a cursor that is none, and one that is ahead", async () => {
    for (const cursor of ["x", "-1", "1.5", "1e3", "9".repeat(16)])
      expectProblem(await server.get(`/interrupts/stream?after=${cursor}`), 400, "bad_cursor");
    const ahead = await server.get("/interrupts/stream", { "Last-Event-ID": "999999999999" });
    expect(expectProblem(ahead, 409, "cursor_ahead").seq).toBeGreaterThanOrEqual(0);
    expectProblem(await server.get("/interrupts/stream?status=open"), 422, "validation_failed");
    // It would wait for the end of a stream that has none.
    expect((await fetch(`${server.url}/interrupts/stream`, { method: "HEAD" })).status).toBe(404);
  });

  it("gives many readers the same, and costs one read a change", async () => {
    const graph = holding(server);
    const readers = await Promise.all(Array.from({ length: 40 }, () => current(server, graph)));
    const { inbox } = server.runtime.checkpointer;
    let reads = 0;
    const [read, edge] = [inbox.read.bind(inbox), inbox.edge.bind(inbox)];
    Object.assign(inbox, {
      read: (...of: Parameters<typeof read>) => (reads++, read(...of)),
      edge: (...of: Parameters<typeof edge>) => (reads++, edge(...of)),
    });
    try {
      const interrupt = await held(server, graph);
      const got = await Promise.all(readers.map(({ reader }) => take(reader, 1)));
      for (const frames of got) expect(told(frames)).toEqual([["opened", interrupt.id]]);
      // What the numbers have come to, and a page; once more where another hint came in the middle.
      expect(reads).toBeLessThan(10);
    } finally {
      for (const name of ["read", "edge"]) Reflect.deleteProperty(inbox, name);
    }
  });
});

describe("the stream of the inbox", () => {
  /** A server of the test's own. */
  const own = async (checkpointer: Checkpointer = new InMemoryCheckpointer(), http = {}) => {
    const server = await serve({}, { checkpointer, http });
    return { server, graph: holding(server) };
  };

  it("says its first number also where nothing ever opened, and a cursor of 0 is all there is", async () => {
    const { server, graph } = await own();
    const reader = await follow(server);
    expect(await take(reader, 1)).toMatchObject([{ name: "current", id: 0, chunk: { interrupt: null } }]);
    const interrupt = await held(server, graph);
    const again = await follow(server, "", { "Last-Event-ID": "0" });
    expect(told(await take(again, 1))).toEqual([["opened", interrupt.id]]);
    await server.close();
  });

  it("tells a reader whose cursor is too old once that something is missing, then what is left", async () => {
    const { server, graph } = await own();
    await server.post(`/threads/${(await held(server, graph)).thread_id}/stop`);
    const { seq: edge } = await server.runtime.checkpointer.inbox.edge("default");
    const [decided, waiting] = [await held(server, graph), await held(server, graph)];
    await server.post(`/interrupts/${decided.id}/decision`, { decision: "deny" });
    const { inbox, upkeep } = server.runtime.checkpointer;
    const floor = await until("it is old", async () => {
      while (await upkeep.sweepInbox(1, 100));
      const { seq, floor } = await inbox.edge("default");
      return floor >= seq && floor;
    });
    const reader = await follow(server, `?graph=${graph}&after=${edge}`);
    const frames = await take(reader, 2);
    expect(frames[0]).toMatchObject({ name: "gap", chunk: { from: edge + 1, to: floor } });
    expect(told(frames.slice(1))).toEqual([["opened", waiting.id]]);
    await server.post(`/interrupts/${waiting.id}/decision`, { decision: "deny" });
    expect(told(await take(reader, 1))).toEqual([["decided", waiting.id]]);
    const exact = await follow(server, `?graph=${graph}&after=${floor}`);
    expect(told(await take(exact, 1))).toEqual([["decided", waiting.id]]);
    await server.close();
  });

  it("keeps quiet readers with heartbeats, says when to come back, and ends when the server goes", async () => {
    const checkpointer = new InMemoryCheckpointer();
    const { server, graph } = await own(checkpointer, { sseHeartbeatMs: 20, sseRetryMs: 777 });
    const { reader, edge } = await current(server, graph);
    await reader.commented(3);
    expect(reader.comments).toContain("heartbeat");
    expect(reader.retry()).toBe(777);
    const interrupt = await held(server, graph);
    const before = await take(reader, 1);
    const closing = server.close();
    expect(await reader.rest()).toEqual([]);
    await closing;

    const next = await own(checkpointer);
    await next.server.post(`/threads/${interrupt.thread_id}/stop`);
    const back = await follow(next.server, "", { "Last-Event-ID": String(before[0]?.id) });
    expect(told(await take(back, 1))).toEqual([["cancelled", interrupt.id]]);
    expect(before[0]?.id).toBeGreaterThan(edge);
    await next.server.close();
  });

  it("is complete and in order for readers that come, go and fall behind while questions open and are answered", async () => {
    const { server, graph } = await own();
    const first = (await current(server, graph)).reader;
    const work = Array.from({ length: 8 }, async () => {
      for (let i = 0; i < 30; i++) {
        const { id } = await held(server, graph);
        await server.post(`/interrupts/${id}/decision`, { decision: "deny" });
      }
    });
    // It comes back after every few frames, each time by what it had last.
    const hopping = (async () => {
      const frames: Frame[] = [];
      while (frames.length < 480) {
        const reader = await follow(server, `?after=${frames.at(-1)?.id ?? 0}`);
        frames.push(...(await take(reader, Math.min(20 + (frames.length % 97), 480 - frames.length))));
        reader.leave();
      }
      return frames;
    })();
    await Promise.all(work);
    const whole = await take(first, 480);
    expect(ids(whole)).toEqual(Array.from({ length: 480 }, (_, i) => i + 1));
    // What was opened is told as it opened; what was decided as it was when somebody read it.
    expect(told(await hopping)).toEqual(told(whole));
    expect(told(await take(await follow(server, "?after=0"), 480))).toEqual(told(whole));
    const seen = new Set<string>();
    for (const { name, chunk } of whole) {
      expect(seen.has(chunk.interrupt_id as string)).toBe(name === "decided");
      seen.add(chunk.interrupt_id as string);
    }
    await server.close();
  });
});
