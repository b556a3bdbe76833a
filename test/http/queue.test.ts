/** Runs that wait: for their thread, for a free place, and for nobody (design: http-api, Bodies). */
import { expect, it } from "vitest";
import { END, START, StateGraph } from "holdpoint";
import { z } from "zod";
import {
  expectJson,
  expectProblem,
  onEveryStorage,
  serve,
  STORAGES,
  unique,
  type Body,
  type TestServer,
} from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { until } from "../support/poll.js";
import { names, openStream } from "../support/sse.js";
import { refund, single } from "./graphs.js";

/** A graph whose node says what it was given, and waits where it is told to. */
function saying(server: TestServer) {
  const said: string[] = [];
  const gates = new Map<string, ReturnType<typeof latch>>();
  const began = new Map<string, ReturnType<typeof latch>>();
  const graph = server.add(
    single(async (state, ctx) => {
      const words = state.context.at(-1)?.content as string;
      said.push(words);
      began.get(words)?.open();
      await Promise.race([
        gates.get(words)?.opened,
        gates.has(words)
          ? new Promise((resolve) => ctx.signal.addEventListener("abort", resolve))
          : undefined,
      ]);
      return `did ${words}`;
    }),
  );
  /** The run that says this waits in its node until the gate opens. */
  const gate = (words: string) => {
    const [open, reached] = [latch(), latch()];
    gates.set(words, open);
    began.set(words, reached);
    return { open: () => open.open(), reached: reached.opened };
  };
  const send = (thread: string, words: string, more: Record<string, unknown> = {}) =>
    server.post(`/threads/${thread}/run`, { graph, input: { messages: [words] }, ...more });
  return { said, gate, send, graph };
}

const ASYNC = { Prefer: "respond-async" };
const finished = (server: TestServer, thread: string, runId: string): Promise<Body> =>
  until("the run ends", async () => {
    const run = await server.get(`/threads/${thread}/runs/${runId}`);
    return run.body.ended_at === null ? undefined : run.body;
  });

onEveryStorage("a caller that does not wait", (server) => {
  it("gets 202 and where to ask; the run goes on without it", async () => {
    const thread = unique("t");
    const { gate, graph } = saying(server);
    const hold = gate("one");
    const reply = await server.post(`/threads/${thread}/run`, { graph, input: { messages: ["one"] } }, ASYNC);
    const run = expectJson(reply, 202, "result");
    expect(reply.headers.get("Location")).toBe(`/threads/${thread}/runs/${run.run_id}`);
    expect(reply.headers.get("Preference-Applied")).toBe("respond-async");
    expect(run).toMatchObject({ thread_id: thread, graph, status: "running" });
    expect(run.messages.map(({ content }: { content: string }) => content)).toEqual(["one"]);
    await hold.reached;
    hold.open();
    expect(await finished(server, thread, run.run_id)).toMatchObject({ status: "completed" });
  });

  it("waits as long as it says, and no longer", async () => {
    const thread = unique("t");
    const { gate, graph, send } = saying(server);
    const hold = gate("one");
    const late = await server.post(
      `/threads/${thread}/run`,
      { graph, input: { messages: ["one"] } },
      { Prefer: "wait=1" },
    );
    expect(late.status).toBe(202);
    hold.open();
    await finished(server, thread, late.body.run_id);
    const other = unique("t");
    const soon = await server.post(
      `/threads/${other}/run`,
      { graph, input: { messages: ["two"] } },
      { Prefer: "respond-async, wait=20" },
    );
    expect(soon).toMatchObject({ status: 200, body: { status: "completed" } });
    expect((await send(unique("t"), "three")).status).toBe(200);
  });

  it("is refused, and nothing begins, where its wish is no number", async () => {
    const thread = unique("t");
    const { said, graph } = saying(server);
    const reply = await server.post(`/threads/${thread}/run`, { graph }, { Prefer: "wait=soon" });
    expectProblem(reply, 422, "validation_failed");
    expect((await server.get(`/threads/${thread}`)).status).toBe(404);
    expect(said).toEqual([]);
  });

  it("may answer an interrupt without waiting for what follows", async () => {
    const thread = unique("t");
    const [began, held] = [latch(), latch()];
    const graph = server.add(
      refund(async () => {
        began.open();
        await held.opened;
      }),
    );
    await server.post(`/threads/${thread}/run`, { graph, input: { amount: 5 } });
    const answered = await server.post(`/threads/${thread}/resume`, { decision: "approve" }, ASYNC);
    expect(answered).toMatchObject({ status: 202, body: { status: "running" } });
    expect(answered.headers.get("Location")).toBe(`/threads/${thread}/runs/${answered.body.run_id}`);
    await began.opened;
    held.open();
    expect(await finished(server, thread, answered.body.run_id)).toMatchObject({ state: { paid: [5] } });
  });
});

onEveryStorage("a run on a busy thread", (server) => {
  it("is refused by default, naming the run that is in its way", async () => {
    const thread = unique("t");
    const { gate, send } = saying(server);
    const hold = gate("one");
    const first = send(thread, "one");
    await hold.reached;
    expectProblem(await send(thread, "two"), 409, "thread_busy");
    hold.open();
    expect((await first).status).toBe(200);
  });

  it("waits where it says so, and runs start in the order in which they came", async () => {
    const thread = unique("t");
    const { said, gate, send } = saying(server);
    const hold = gate("one");
    const first = send(thread, "one");
    await hold.reached;
    const words = ["two", "three", "four"];
    const rest = [];
    for (const word of words) {
      const before = (await server.get(`/threads/${thread}/runs`)).body.items.length;
      rest.push(send(thread, word, { on_busy: "enqueue" }));
      await until("it is listed", async () => {
        const { items } = (await server.get(`/threads/${thread}/runs`)).body;
        return items.length > before ? true : undefined;
      });
    }
    const listed = (await server.get(`/threads/${thread}/runs`)).body.items;
    expect(listed.map(({ status }: { status: string }) => status)).toEqual([
      "queued",
      "queued",
      "queued",
      "running",
    ]);
    expect(listed.map((run: { messages: { content: string }[] }) => run.messages[0]?.content)).toEqual([
      ...words.toReversed(),
      "one",
    ]);
    expect(listed[0]).toMatchObject({ started_at: null, current_node: null, next_nodes: [] });
    hold.open();
    const ended = [await first, ...(await Promise.all(rest))];
    expect(ended.map(({ status, body }) => [status, body.status])).toEqual(
      ended.map(() => [200, "completed"]),
    );
    expect(said).toEqual(["one", ...words]);
    const { items } = (await server.get(`/threads/${thread}/messages`)).body;
    expect(items.map(({ content }: { content: string }) => content)).toEqual(
      ["one", ...words].flatMap((word) => [word, `did ${word}`]),
    );
    expect((await server.get(`/threads/${thread}`)).body.status).toBe("completed");
  });

  it("takes the other's place where it says so: that one is stopped first, and those that waited are dropped", async () => {
    const thread = unique("t");
    const { said, gate, send } = saying(server);
    const hold = gate("one");
    const first = send(thread, "one");
    await hold.reached;
    const waiting = send(thread, "two", { on_busy: "enqueue" });
    await until("it comes to that", async () =>
      (await server.get(`/threads/${thread}/runs`)).body.items.length === 2 ? true : undefined,
    );
    const third = expectJson(await send(thread, "three", { on_busy: "stop" }), 200, "result");
    expect(third.status).toBe("completed");
    expect((await first).body).toMatchObject({ status: "stopped" });
    expect((await waiting).body).toMatchObject({ status: "stopped", messages: [] });
    expect(said).toEqual(["one", "three"]);
  });

  it("starts at once on a free thread, whatever it says", async () => {
    const { send } = saying(server);
    for (const onBusy of ["enqueue", "stop"]) {
      const { body } = await send(unique("t"), "one", { on_busy: onBusy });
      expect(body).toMatchObject({ status: "completed" });
    }
  });

  it("that is streamed sends its own events, and ends with its own end", async () => {
    const thread = unique("t");
    const { gate, graph, send } = saying(server);
    const hold = gate("one");
    const first = send(thread, "one");
    await hold.reached;
    const reader = await openStream(`${server.url}/threads/${thread}/stream`, {
      body: { graph, input: { messages: ["two"] }, on_busy: "enqueue" },
    });
    const runId = reader.headers.get("content-location")?.split("/").at(-1);
    hold.open();
    const one = expectJson(await first, 200, "result");
    const frames = await reader.rest();
    expect(names(frames)).toEqual(["start", "message", "progress", "message", "update", "end"]);
    expect(frames.map(({ chunk }) => chunk.run_id)).toEqual(frames.map(() => runId));
    expect(frames[0]?.id).toBeGreaterThan(one.seq as number);
  });

  it("is refused on a thread that waits for a person, however patient it is", async () => {
    const thread = unique("t");
    const graph = server.add(refund());
    await server.post(`/threads/${thread}/run`, { graph, input: { amount: 5 } });
    for (const onBusy of ["enqueue", "stop"]) {
      const reply = await server.post(`/threads/${thread}/run`, { graph, on_busy: onBusy });
      expectProblem(reply, 409, "thread_interrupted");
    }
  });

  it("that waits when its thread pauses goes on waiting; the answer goes before it", async () => {
    const thread = unique("t");
    const [began, held] = [latch(), latch()];
    const order: string[] = [];
    const graph = server.add(
      new StateGraph({ state: z.object({ who: z.string().default("") }) })
        .addNode("FIRST", async ({ who }) => {
          order.push(`first ${who}`);
          began.open();
          await held.opened;
        })
        .addNode("PAY", ({ who }) => void order.push(`pay ${who}`))
        .addEdge(START, "FIRST")
        .addEdge("FIRST", "PAY")
        .addEdge("PAY", END)
        .compile({ interruptBefore: ["PAY"] }),
    );
    const a = server.post(`/threads/${thread}/run`, { graph, input: { who: "a" } });
    await began.opened;
    const b = await server.post(
      `/threads/${thread}/run`,
      { graph, input: { who: "b" }, on_busy: "enqueue" },
      ASYNC,
    );
    expect(b).toMatchObject({ status: 202, body: { status: "queued" } });
    held.open();
    expect((await a).body.status).toBe("interrupted_before");
    expect((await server.get(`/threads/${thread}`)).body.status).toBe("interrupted_before");
    expect((await server.post(`/threads/${thread}/resume`, { decision: "approve" })).body.status).toBe(
      "completed",
    );
    const ended = await finished(server, thread, b.body.run_id);
    expect(ended).toMatchObject({ status: "interrupted_before", state: { who: "b" } });
    expect(order).toEqual(["first a", "pay a", "first b"]);
  });

  it("whose message clashes with one that came meanwhile fails by itself, and lets the next one go", async () => {
    const thread = unique("t");
    const { gate, graph, send } = saying(server);
    const hold = gate("one");
    const first = send(thread, "one");
    await hold.reached;
    const body = (content: string) => ({
      graph,
      input: { messages: [{ id: "m1", role: "user", content }] },
      on_busy: "enqueue",
    });
    const two = await server.post(`/threads/${thread}/run`, body("two"), ASYNC);
    const three = await server.post(`/threads/${thread}/run`, body("three"), ASYNC);
    const four = await server.post(`/threads/${thread}/run`, body("two"), ASYNC);
    hold.open();
    await first;
    expect(await finished(server, thread, two.body.run_id)).toMatchObject({ status: "completed" });
    const failed = await finished(server, thread, three.body.run_id);
    expect(failed).toMatchObject({ status: "error", error: { code: "invalid_update" } });
    expect(failed.error.message).toContain('"m1"');
    expect(await finished(server, thread, four.body.run_id)).toMatchObject({ status: "completed" });
  });
});

onEveryStorage("a stop of a queue", (server) => {
  it("takes the runs that wait with the one that runs, and says so; none of them ever begins", async () => {
    const thread = unique("t");
    const { said, gate, graph, send } = saying(server);
    const hold = gate("one");
    const first = send(thread, "one");
    await hold.reached;
    const enqueue = (word: string) =>
      server.post(
        `/threads/${thread}/run`,
        { graph, input: { messages: [word] }, on_busy: "enqueue" },
        ASYNC,
      );
    const two = (await enqueue("two")).body.run_id;
    const three = (await enqueue("three")).body.run_id;
    const reader = await openStream(`${server.url}/threads/${thread}/stream`, {
      body: { graph, input: { messages: ["four"] }, on_busy: "enqueue" },
    });
    const dropped = await until("it is listed", async () => {
      const { items } = (await server.get(`/threads/${thread}/runs`)).body;
      return items.length === 4 ? items[0].run_id : undefined;
    });
    const receipt = expectJson(await server.post(`/threads/${thread}/stop`), 200, "receipt");
    expect(receipt).toMatchObject({ running: true, status: "stopped", dropped: [two, three, dropped] });
    expect((await first).body.status).toBe("stopped");
    const frames = await reader.rest();
    expect(names(frames).at(-1)).toBe("stopped");
    expect(frames.at(-1)?.chunk).toMatchObject({ run_id: dropped, data: { result: { status: "stopped" } } });
    expect(said).toEqual(["one"]);
    const { items } = (await server.get(`/threads/${thread}/runs`)).body;
    expect(items.map(({ status }: { status: string }) => status)).toEqual(items.map(() => "stopped"));
    expect((await send(thread, "five")).body.status).toBe("completed");
  });

  it("on a thread that waits for a person cancels the question and drops what waits behind it", async () => {
    const thread = unique("t");
    const [began, held] = [latch(), latch()];
    const graph = server.add(
      new StateGraph({ state: z.object({}) })
        .addNode("FIRST", async () => {
          began.open();
          await held.opened;
        })
        .addNode("PAY", () => undefined)
        .addEdge(START, "FIRST")
        .addEdge("FIRST", "PAY")
        .addEdge("PAY", END)
        .compile({ interruptBefore: ["PAY"] }),
    );
    const a = server.post(`/threads/${thread}/run`, { graph });
    await began.opened;
    const b = await server.post(`/threads/${thread}/run`, { graph, on_busy: "enqueue" }, ASYNC);
    held.open();
    const [interrupt] = (await a).body.interrupts;
    expect((await server.post(`/threads/${thread}/stop`)).body).toMatchObject({
      running: false,
      status: "stopped",
      cancelled_interrupts: [interrupt.id],
      dropped: [b.body.run_id],
    });
    expect((await server.get(`/threads/${thread}`)).body.status).toBe("stopped");
  });
});

for (const [storage, make] of STORAGES) {
  it(`a process that is full takes no more than it may, oldest threads first (${storage})`, async () => {
    const checkpointer = await make();
    const server = await serve({}, { checkpointer, options: { concurrency: 2, pollMs: 20 } });
    const order: string[] = [];
    const gates = new Map<string, ReturnType<typeof latch>>();
    let now = 0;
    let most = 0;
    const graph = server.add(
      single(async (_state, ctx) => {
        order.push(ctx.threadId);
        most = Math.max(most, ++now);
        const gate = latch();
        gates.set(ctx.threadId, gate);
        await gate.opened;
        now--;
      }),
    );
    const start = (thread: string, onBusy = "reject") =>
      server.post(`/threads/${thread}/run`, { graph, on_busy: onBusy }, ASYNC);
    const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => unique(name)) as [string, string, string, string];
    for (const thread of [a, b]) expect((await start(thread)).body.status).toBe("running");
    await until("the next begins", () => (order.length === 2 ? true : undefined));
    // Three more runs of `a` before the first of `c` and `d`: neither waits behind all of them.
    for (let i = 0; i < 3; i++) expect((await start(a, "enqueue")).body.status).toBe("queued");
    for (const thread of [c, d]) expect((await start(thread)).body.status).toBe("queued");
    const { items } = (await server.get(`/threads/${c}/runs`)).body;
    for (const refused of [
      await start(c),
      await server.post(`/threads/${c}/resume`, { decision: "approve" }),
      await server.call("PATCH", `/threads/${c}/state`, { state: {} }),
      await server.call("DELETE", `/threads/${c}`),
    ])
      expect(expectProblem(refused, 409, "thread_busy")).toMatchObject({ run_id: items[0].run_id });
    const next = (await server.get(`/threads/${a}/runs`)).body.items;
    expect(next.map(({ status }: { status: string }) => status)).toEqual([
      "queued",
      "queued",
      "queued",
      "running",
    ]);
    expect(expectProblem(await start(a), 409, "thread_busy")).toMatchObject({ run_id: next[3].run_id });
    expect((await server.get(`/threads/${c}`)).body.status).toBe("queued");
    expect(order).toEqual([a, b]);
    gates.get(a)?.open();
    await until("the next begins", () => (order.length === 3 ? true : undefined));
    gates.get(b)?.open();
    await until("the next begins", () => (order.length === 4 ? true : undefined));
    expect(order.slice(2).toSorted()).toEqual([c, d].toSorted());
    gates.get(c)?.open();
    gates.get(d)?.open();
    for (let n = 5; n <= 7; n++) {
      await until("the next begins", () => (order.length >= n ? true : undefined));
      gates.get(a)?.open();
    }
    await until("it comes to that", async () =>
      (await server.get(`/threads/${a}`)).body.status === "completed" ? true : undefined,
    );
    expect(order.slice(4)).toEqual([a, a, a]);
    expect(most).toBe(2);
    await server.close();
  });

  it(`a stop ends an answered run that waits for room, at once and before anything of it begins (${storage})`, async () => {
    const checkpointer = await make();
    // Nothing happens by itself in an hour.
    const options = { concurrency: 1, pollMs: 3_600_000, heartbeatMs: 3_600_000, leaseMs: 9_000_000 };
    const server = await serve({}, { checkpointer, options });
    const paid: string[] = [];
    const graph = server.add(refund((_state, ctx) => void paid.push(ctx.threadId)));
    for (const mode of ["now", "after_step"]) {
      const [began, gate] = [latch(), latch()];
      const hog = server.add(
        single(async () => {
          began.open();
          await gate.opened;
        }),
      );
      const thread = unique("t");
      await server.post(`/threads/${thread}/run`, { graph, input: { amount: 5 } });
      const busy = server.post(`/threads/${unique("t")}/run`, { graph: hog });
      await began.opened;
      const answered = await server.post(`/threads/${thread}/resume`, { decision: "approve" }, ASYNC);
      expect(answered).toMatchObject({ status: 202, body: { status: "running" } });
      const receipt = expectJson(await server.post(`/threads/${thread}/stop`, { mode }), 200, "receipt");
      expect(receipt).toMatchObject({ running: true, status: "stopped", run_id: answered.body.run_id });
      expect((await server.get(`/threads/${thread}`)).body.status).toBe("stopped");
      expect(paid).toEqual([]);
      // What was answered stays answered.
      gate.open();
      await busy;
      expect((await server.post(`/threads/${thread}/resume`)).body).toMatchObject({ status: "completed" });
      expect(paid.splice(0)).toEqual([thread]);
    }
    await server.close();
  });
}
