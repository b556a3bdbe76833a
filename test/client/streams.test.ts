/** Streams of `holdpoint/client`: one run or a thread, over as many connections as it takes, each event once. */
import { HoldpointClient, ConnectionError, type ClientOptions, type ThreadEvent } from "holdpoint/client";
import { describe, expect, expectTypeOf, test } from "vitest";
import { refund, single } from "../http/graphs.js";
import { served, unique } from "../support/http-server.js";
import { failure, latch } from "../support/latch.js";
import { until, within } from "../support/poll.js";
import { startProxy } from "../support/proxy.js";
import { tcpProxy } from "../support/tcp-proxy.js";

const server = served({ refund: refund(), echo: single(() => "echo") }, () => ({
  http: { sseRetryMs: 20, sseHeartbeatMs: 100 },
}));

const client = (more: Partial<ClientOptions> = {}): HoldpointClient =>
  new HoldpointClient({ baseUrl: server.url, retry: { firstMs: 10 }, ...more });

const types = (events: readonly ThreadEvent[]): string[] => events.map(({ event_type: type }) => type);
const numbers = (events: readonly ThreadEvent[]): number[] =>
  events.flatMap((event) => (event.event_type === "gap" ? [] : [event.seq]));
const all = async (stream: AsyncIterable<ThreadEvent>): Promise<ThreadEvent[]> => {
  const events: ThreadEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
};

/** Says "one ", waits for `more`, says "two", waits for `end`. */
function talker() {
  const [more, end] = [latch(), latch()];
  const graph = server.add(
    single(async function* () {
      yield "one ";
      await more.opened;
      yield "two";
      await end.opened;
    }),
  );
  return { more, end, graph };
}

/** Reads up to the first event of this type. */
async function upTo(stream: AsyncIterator<ThreadEvent>, type: string): Promise<ThreadEvent[]> {
  const events: ThreadEvent[] = [];
  for (;;) {
    const next = await within(`the stream comes to "${type}"`, stream.next());
    if (next.done === true) throw new Error(`it ended before: ${types(events).join()}`);
    events.push(next.value);
    if (next.value.event_type === type) return events;
  }
}

describe("the stream of a run", () => {
  test("has typed events to the terminal one, and gives the result", async () => {
    const thread = client().thread(unique("t"));
    const stream = thread.stream({ graph: "refund", input: { messages: ["x"], amount: 3 } });
    const events = await all(stream);
    expect(types(events)).toEqual(["start", "message", "progress", "message", "update", "interrupted"]);
    const last = events.at(-1);
    if (last?.event_type !== "interrupted") throw new Error("it was to be interrupted");
    expectTypeOf(last.data.interrupted).toEqualTypeOf<"before" | "after">();
    expect(last.data.result.interrupts).toHaveLength(1);
    expect(stream.runId).toBe(last.run_id);

    const resumed = thread.resumeStream({ decision: "approve" });
    expect((await all(resumed)).map(({ event_type: type }) => type)[0]).toBe("decision");
    expect((await resumed.result()).status).toBe("completed");
  });

  test("of a failed run ends with `error`, which the wire calls failed", async () => {
    const graph = server.add(single(() => Promise.reject(new Error("broken"))));
    const events = await all(client().thread(unique("t")).stream({ graph }));
    expect(types(events).at(-1)).toBe("error");
  });

  test("cut in the middle goes on behind what came, each event once", async () => {
    const wire = await startProxy(server.url);
    const { graph, more, end } = talker();
    const thread = client({ baseUrl: wire.url }).thread(unique("t"));
    const stream = thread.stream({ graph, input: { messages: ["go"] } });
    const first = await upTo(stream, "delta");
    wire.cut();
    more.open();
    wire.mend();
    const second = await upTo(stream, "delta");
    wire.cut();
    end.open();
    wire.mend();
    const events = [...first, ...second, ...(await within("it ends", all(stream)))];
    expect(types(events).at(-1)).toBe("end");
    expect(numbers(events)).toEqual([...new Set(numbers(events))].sort((a, b) => a - b));
    const logged = await all(client().thread(thread.id).attach({ after: 0 }));
    expect(numbers(events)).toEqual(expect.arrayContaining(numbers(logged)));
    expect((await thread.runs()).items).toHaveLength(1);
  });

  test("cut before its first event is begun once all the same", async () => {
    const wire = await startProxy(server.url);
    const thread = client({ baseUrl: wire.url }).thread(unique("t"));
    const lost = wire.loseAnswerTo(/POST \/threads\/[^ ]+\/stream/);
    const events = all(thread.stream({ graph: "echo", input: { messages: ["go"] } }));
    await within("the answer is lost", lost);
    expect(types(await within("it ends", events))).toEqual([
      "start",
      "message",
      "progress",
      "message",
      "update",
      "end",
    ]);
    expect((await thread.runs()).items).toHaveLength(1);
  });

  test("of a queued run goes past the end of the one before it", async () => {
    const { graph, more, end } = talker();
    const thread = client().thread(unique("t"));
    const first = thread.stream({ graph });
    await upTo(first, "delta");
    const queued = thread.stream({ graph, on_busy: "enqueue" });
    const events = all(queued);
    more.open();
    end.open();
    const seen = await within("the queued one ends", events);
    expect(types(seen).filter((type) => type === "end").length).toBeGreaterThanOrEqual(1);
    const last = seen.at(-1);
    expect(last).toMatchObject({ event_type: "end", run_id: queued.runId });
    expect(queued.runId).not.toBe(first.runId);
    first.close();
  });

  test("of a queued run that a stop drops ends with what is in no log", async () => {
    const { graph, more, end } = talker();
    const thread = client().thread(unique("t"));
    await upTo(thread.stream({ graph }), "delta");
    const queued = thread.stream({ graph, on_busy: "enqueue" });
    const result = queued.result();
    await until("it waits", async () => (await thread.runs()).items.length === 2);
    const receipt = await thread.stop();
    expect((await within("it ends", result)).status).toBe("stopped");
    expect(receipt.dropped).toEqual([queued.runId]);
    more.open();
    end.open();
  });

  test("of an answer that is not the last has no events, and the thread as it stands", async () => {
    const waiting = { type: "application/json" };
    const result = { status: "interrupted_before" };
    const stream = client({
      fetch: async () =>
        new Response(JSON.stringify(result), { status: 202, headers: { "Content-Type": waiting.type } }),
    })
      .thread("t")
      .resumeStream({ decision: "approve" });
    expect(await all(stream)).toEqual([]);
    expect(await stream.result()).toEqual(result);
  });
});

describe("a thread's stream", () => {
  test("ends when the server has no more, and at once where there is nothing newer", async () => {
    const thread = client().thread(unique("t"));
    const { seq } = await thread.run({ graph: "echo", input: { messages: ["go"] } });
    expect(types(await all(thread.attach())).at(-1)).toBe("end");
    expect(await all(thread.attach({ after: seq }))).toEqual([]);
  });

  test("lives from one queued run to the next", async () => {
    const { graph, more, end } = talker();
    const thread = client().thread(unique("t"));
    await upTo(thread.stream({ graph }), "delta");
    const events = all(thread.attach());
    await thread.run({ graph, on_busy: "enqueue" }, { prefer: "respond-async" });
    more.open();
    end.open();
    expect(types(await within("it ends", events)).filter((type) => type === "end")).toHaveLength(2);
  });

  test("that follows stays between runs, and over a wire that breaks", async () => {
    const wire = await startProxy(server.url);
    const thread = client().thread(unique("t"));
    await thread.run({ graph: "refund", input: { amount: 1 } });
    const stream = client({ baseUrl: wire.url }).thread(thread.id).attach({ after: 0, follow: true });
    const first = await upTo(stream, "interrupted");
    wire.cut();
    await thread.resume({ decision: "approve" });
    wire.mend();
    const second = await upTo(stream, "end");
    await thread.run({ graph: "refund", input: { amount: 2 } });
    const third = await upTo(stream, "interrupted");
    const seen = numbers([...first, ...second, ...third]);
    expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
    stream.close();
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  test("whose old events are gone says so, once", async () => {
    let opened = 0;
    const gap = 'event: gap\ndata: {"from":1,"to":40}\n\n';
    const asked: string[] = [];
    const stream = client({
      fetch: async (url) => {
        asked.push(new URL(url).search);
        if (opened++ > 0) return new Response(null, { status: 204 });
        return new Response(gap, { headers: { "Content-Type": "text/event-stream" } });
      },
    })
      .thread("t")
      .attach({ after: 0 });
    expect(await all(stream)).toEqual([{ event_type: "gap", data: { from: 1, to: 40 } }]);
    expect(asked).toEqual(["?after=0", "?after=40"]);
  });
});

describe("whoever leaves closes the connection", () => {
  /** Requests of streams that the server still answers. */
  const watched = () => {
    const open = new Set<AbortSignal>();
    const holdpoint = client({
      fetch: (url, init) => {
        const { signal } = init;
        if (signal != null) {
          open.add(signal);
          signal.addEventListener("abort", () => open.delete(signal));
        }
        return fetch(url, init);
      },
    });
    return { open, holdpoint };
  };

  test("by break, by close while it waits, and by the signal, whose reason is thrown", async () => {
    const { graph, more, end } = talker();
    const { open, holdpoint } = watched();
    const thread = holdpoint.thread(unique("t"));
    for await (const event of thread.stream({ graph })) if (event.event_type === "delta") break;
    expect(open.size).toBe(0);

    const closed = thread.attach({ after: 0 });
    await upTo(closed, "delta");
    const waiting = closed.next();
    closed.close();
    expect(await within("it ends", waiting, 2000)).toEqual({ done: true, value: undefined });
    expect(open.size).toBe(0);

    const gone = new AbortController();
    const left = thread.attach({ after: 0, signal: gone.signal });
    await upTo(left, "delta");
    const thrown = failure(left.next());
    gone.abort(new Error("I left"));
    expect(await within("it ends", thrown, 2000)).toEqual(new Error("I left"));
    expect(open.size).toBe(0);
    more.open();
    end.open();
  });
});

describe("patience", () => {
  test("a connection that stalls is cut, and the stream taken up again", async () => {
    const way = await tcpProxy(server.url);
    const { graph, more, end } = talker();
    const stream = client({ baseUrl: way.url, stallMs: 400 }).thread(unique("t")).stream({ graph });
    const first = await upTo(stream, "delta");
    way.freeze();
    more.open();
    end.open();
    const rest = await within("it ends", all(stream), 10_000);
    expect(types(rest).at(-1)).toBe("end");
    const seen = numbers([...first, ...rest]);
    expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
    expect(way.connections()).toBeGreaterThan(1);
  });

  test("a stream that is only quiet is not", async () => {
    const way = await tcpProxy(server.url);
    const { graph, more, end } = talker();
    const stream = client({ baseUrl: way.url, stallMs: 400 }).thread(unique("t")).stream({ graph });
    await upTo(stream, "delta");
    const next = stream.next();
    // Twice as long as a stall may be: heartbeats come meanwhile.
    await expect(within("silence", next, 900)).rejects.toThrow("silence");
    expect(way.connections()).toBe(1);
    more.open();
    end.open();
    await next;
    expect(types(await all(stream)).at(-1)).toBe("end");
  });

  test("a server that stays away is given up, with what was last heard of it", async () => {
    const way = await startProxy(server.url);
    const { graph, more, end } = talker();
    const patient = client({ baseUrl: way.url, retry: { forMs: 300, firstMs: 10 } });
    const stream = patient.thread(unique("t")).stream({ graph });
    await upTo(stream, "delta");
    way.cut();
    const error = await within("it gives up", failure(all(stream)), 5000);
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error.message).toMatch(/did not come back within 300 ms/);
    more.open();
    end.open();
  });

  test("a gateway that says 503 in the middle is waited for", async () => {
    let refused = 0;
    const wire = await startProxy(server.url);
    const { graph, more, end } = talker();
    const holdpoint = client({
      baseUrl: wire.url,
      fetch: async (url, init) => {
        if (init.method === "GET" && refused++ < 2) return new Response("away", { status: 503 });
        return fetch(url, init);
      },
    });
    const stream = holdpoint.thread(unique("t")).stream({ graph });
    await upTo(stream, "delta");
    wire.cut();
    wire.mend();
    more.open();
    end.open();
    expect(types(await within("it ends", all(stream))).at(-1)).toBe("end");
    expect(refused).toBe(3);
  });
});

test("the inbox tells of each change once, over connections that break", async () => {
  const wire = await startProxy(server.url);
  const inbox = client({ baseUrl: wire.url }).interrupts.stream();
  const changes: [type: string, thread: string | null][] = [];
  const upToChange = async (type: string, of: string | null): Promise<void> => {
    for (;;) {
      const { value, done } = await within(`the inbox tells of ${type}`, inbox.next());
      if (done === true || value.event_type === "gap") throw new Error("it has a gap, or an end");
      changes.push([value.event_type, value.thread_id]);
      if (value.event_type === type && value.thread_id === of) return;
    }
  };
  await upToChange("current", null);
  const [one, two] = [client().thread(unique("t")), client().thread(unique("t"))];
  const body = { graph: "refund", input: { messages: ["x"], amount: 3 } };
  await one.run(body);
  await upToChange("opened", one.id);
  wire.cut();
  await one.resume({ decision: "approve" });
  await two.run(body);
  wire.mend();
  await upToChange("opened", two.id);
  wire.cut();
  await two.stop();
  wire.mend();
  await upToChange("cancelled", two.id);
  inbox.close();
  const theirs = changes.filter(([, thread]) => thread === one.id || thread === two.id);
  expect(theirs).toEqual([
    ["opened", one.id],
    ["decided", one.id],
    ["opened", two.id],
    ["cancelled", two.id],
  ]);
});
