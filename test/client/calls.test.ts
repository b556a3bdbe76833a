/** `holdpoint/client` against a real server: every route, errors as classes, lists, and what is done once. */
import { readFileSync } from "node:fs";
import * as library from "holdpoint/client";
import { HoldpointClient, type ClientOptions } from "holdpoint/client";
import { describe, expect, expectTypeOf, test } from "vitest";
import { parse } from "yaml";
import { ERRORS } from "../../src/errors.js";
import { refund, single } from "../http/graphs.js";
import { expectShape, serve, served, unique } from "../support/http-server.js";
import { failure, latch } from "../support/latch.js";
import { within } from "../support/poll.js";
import { startProxy } from "../support/proxy.js";
import { tcpProxy } from "../support/tcp-proxy.js";

const paid: number[] = [];
const server = served({ refund: refund((amount) => paid.push(amount)), echo: single(() => "echo") });

const client = (more: Partial<ClientOptions> = {}): HoldpointClient =>
  new HoldpointClient({ baseUrl: server.url, ...more });

const input = { messages: ["back"], amount: 12 };

/** Runs to the hold before PAY. */
async function held(): Promise<{ thread: library.ThreadClient; interrupt: library.Interrupt }> {
  const thread = client().thread(unique("t"));
  const { interrupts } = await thread.run({ graph: "refund", input });
  const [interrupt] = interrupts;
  if (interrupt === undefined) throw new Error("nothing is open");
  return { thread, interrupt };
}

describe("every route", () => {
  test("has a method, which gives what the contract says", async () => {
    const asked: { method: string; path: string }[] = [];
    const holdpoint = client({
      fetch: (url, init) => {
        asked.push({ method: init.method ?? "", path: new URL(url).pathname });
        return fetch(url, init);
      },
    });
    const id = unique("t");
    const thread = holdpoint.thread(id);
    expectShape("thread", await holdpoint.threads.create({ thread_id: id, graph: "refund" }));
    expect((await holdpoint.threads.list({ graph: "refund" })).items.map((each) => each.thread_id)).toContain(
      id,
    );
    const first = expectShape("result", await thread.run({ input }));
    expectShape("thread", await thread.get());
    expectShape("state", await thread.state());
    expectShape("state", await thread.patchState({ state: { order: "1042" } }));
    const [checkpoint] = (await thread.checkpoints()).items;
    if (checkpoint === undefined) throw new Error("there is no history");
    expectShape("checkpoint", checkpoint);
    expect((await thread.state({ checkpoint: checkpoint.checkpoint_id })).checkpoint_id).toBe(
      checkpoint.checkpoint_id,
    );
    expectShape("run", await thread.getRun(first.run_id));
    expect((await thread.runs()).items.map((run) => run.run_id)).toEqual([first.run_id]);
    const [open] = (await holdpoint.interrupts.list({ graph: "refund" })).items.filter(
      (each) => each.thread_id === id,
    );
    expectShape("interrupt", open);
    expectShape("interrupt", await holdpoint.interrupts.get(open?.id ?? ""));
    const now: string[] = [];
    for await (const change of holdpoint.interrupts.stream({ graph: "refund" })) {
      expectShape("inboxEvent", change);
      now.push(change.event_type);
      if (change.event_type === "current") break;
    }
    expect(now).toContain("opened");
    const fork = await thread.fork({ checkpoint_id: checkpoint.checkpoint_id });
    expectShape("thread", fork);
    const done = await holdpoint.interrupts.decide(open?.id ?? "", { decision: "approve" });
    expect(expectShape("result", done).state).toMatchObject({ order: "1042", paid: [12] });
    expect((await holdpoint.thread(fork.thread_id).resumeStream().result()).status).toBe(
      "interrupted_before",
    );
    expect((await holdpoint.thread(fork.thread_id).resume({ decision: "deny" })).status).toBe("completed");
    expect((await thread.messages()).items.map((message) => message.content)).toEqual([
      "back",
      "You want 12.",
      "Paid 12.",
    ]);
    const again = await thread.stream({ input }).result();
    const second = again.interrupts[0]?.id ?? "";
    expect((await holdpoint.interrupts.decideStream(second, { decision: "deny" }).result()).status).toBe(
      "completed",
    );
    const seen: string[] = [];
    for await (const event of thread.attach()) seen.push(event.event_type);
    expect([seen[0], seen.at(-1)]).toEqual(["start", "end"]);
    expectShape("receipt", await thread.stop());
    await thread.delete();
    expect((await holdpoint.graphs.list()).items.map((graph) => graph.name)).toEqual(["refund", "echo"]);
    expectShape("graph", await holdpoint.graphs.get("refund"));
    expect((await holdpoint.links()).links).toMatchObject({ threads: "/threads" });
    expect(await holdpoint.health()).toEqual({ status: "ok" });
    expect((await holdpoint.ready()).graphs).toEqual(["refund", "echo"]);
    const description = parse(await holdpoint.description()) as { paths: Record<string, object> };

    const called = new Set(
      asked.map(({ method, path }) => `${method} ${templateOf(path, description.paths)}`),
    );
    const described = Object.entries(description.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect([...called].sort()).toEqual(described.sort());
  });

  const templateOf = (path: string, templates: Record<string, object>): string | undefined =>
    path in templates
      ? path
      : Object.keys(templates).find((each) =>
          new RegExp(`^${each.replace(/\{\w+\}/g, "[^/]+")}$`).test(path),
        );
});

test("a list is its first page, and every item of all pages", async () => {
  const thread = client().thread(unique("t"));
  for (let i = 0; i < 3; i++) await thread.run({ graph: "echo" });
  const page = await thread.runs({ limit: 2 });
  expect(page.items).toHaveLength(2);
  expect(page.next_cursor).not.toBeNull();
  const all: string[] = [];
  for await (const run of thread.runs({ limit: 2 })) all.push(run.run_id);
  expect(new Set(all).size).toBe(3);
  expect(all.slice(0, 2)).toEqual(page.items.map((run) => run.run_id));
});

describe("a refusal is an error of its code's class", () => {
  test("every code that an answer can have has one, and no other", () => {
    const answered = Object.entries(ERRORS).filter(([, { category }]) => category !== "run");
    expect(Object.keys(library.ERROR_CLASSES).sort()).toEqual(answered.map(([code]) => code).sort());
    expect(new Set(Object.values(library.ERROR_CLASSES)).size).toBe(answered.length);
    for (const [code, made] of Object.entries(library.ERROR_CLASSES)) {
      const words = code.split("_").map((word) => word.slice(0, 1).toUpperCase() + word.slice(1));
      expect(made.name.replace(/Error$/, ""), code).toBe(words.join("").replace(/Error$/, ""));
    }
  });

  test("with what helps to go on", async () => {
    const { thread, interrupt } = await held();
    const refused = await failure(thread.run({ input }));
    if (!(refused instanceof library.ThreadInterruptedError)) throw refused;
    expect(refused.interrupts.map(({ id }) => id)).toEqual([interrupt.id]);
    expectTypeOf(refused.code).toEqualTypeOf<"thread_interrupted">();
    expect(refused).toMatchObject({ status: 409, code: "thread_interrupted" });
    expect(refused.detail).toBe(refused.problem.detail);

    await thread.resume({ interrupt_id: interrupt.id, decision: "approve" });
    const late = await failure(thread.resume({ interrupt_id: interrupt.id, decision: "deny" }));
    expect(late).toBeInstanceOf(library.AlreadyDecidedError);
    expect(late.decision).toMatchObject({ decision: "approve", by: "anonymous" });
    expect(await failure(client().thread("nobody-knows").get())).toBeInstanceOf(library.NotFoundError);
    expect(await failure(client().thread("no id").get())).toBeInstanceOf(library.InvalidThreadIdError);
  });

  test("also from a stream, at its first event", async () => {
    const { thread } = await held();
    const refused = await failure(thread.stream({ input }).next());
    expect(refused).toBeInstanceOf(library.ThreadInterruptedError);
    expect(await failure(thread.attach({ after: 1_000_000 }).next())).toBeInstanceOf(
      library.CursorAheadError,
    );
  });

  test("a code of a newer server is the base class, and so are a gateway's own words", async () => {
    const answering = (body: string): HoldpointClient =>
      client({ retry: false, fetch: async () => new Response(body, { status: 418 }) });
    const problem = { type: "urn:x", title: "x", status: 418, detail: "no coffee", code: "teapot" };
    const newer = await failure(answering(JSON.stringify(problem)).threads.create());
    expect(newer.constructor).toBe(library.HoldpointError);
    expect(newer).toMatchObject({ code: "teapot", detail: "no coffee", problem });
    const gateway = await failure(answering("<h1>Tea</h1>").threads.create());
    expect(gateway.constructor).toBe(library.HoldpointError);
    expect(gateway).toMatchObject({ status: 418, code: "no_problem_details" });
  });
});

describe("what is sent again is done once", () => {
  test("a run whose answer was cut", async () => {
    const wire = await startProxy(server.url);
    const thread = client({ baseUrl: wire.url }).thread(unique("t"));
    const lost = wire.loseAnswerTo(/POST \/threads\/[^ ]+\/run/);
    const running = thread.run({ graph: "echo" });
    await within("the answer is lost", lost);
    const result = await running;
    expect(result.status).toBe("completed");
    expect((await thread.runs()).items.map((run) => run.run_id)).toEqual([result.run_id]);
  });

  test("an answer and a stop whose answers were cut", async () => {
    const { thread, interrupt } = await held();
    const wire = await startProxy(server.url);
    const holdpoint = client({ baseUrl: wire.url });
    const before = paid.length;
    const lost = wire.loseAnswerTo(/POST \/interrupts/);
    const deciding = holdpoint.interrupts.decide(interrupt.id, { decision: "approve" });
    await within("the answer is lost", lost);
    expect((await deciding).status).toBe("completed");
    expect(paid.length - before).toBe(1);

    const waiting = await held();
    const lostToo = wire.loseAnswerTo(/POST \/threads\/[^ ]+\/stop/);
    const stopping = holdpoint.thread(waiting.thread.id).stop();
    await within("the answer is lost", lostToo);
    // The first one's receipt: the second found nothing to stop.
    expect((await stopping).cancelled_interrupts).toEqual([waiting.interrupt.id]);
    expect((await thread.get()).status).toBe("completed");
  });

  test("one's own key is kept, and refuses another body", async () => {
    const thread = client().thread(unique("t"));
    const first = await thread.run({ graph: "echo" }, { idempotencyKey: "mine" });
    const again = await thread.run({ graph: "echo" }, { idempotencyKey: "mine" });
    expect(again.run_id).toBe(first.run_id);
    const other = thread.run({ graph: "echo", input: { messages: ["x"] } }, { idempotencyKey: "mine" });
    expect(await failure(other)).toBeInstanceOf(library.IdempotencyKeyReusedError);
  });

  test("what has no key is sent once: nobody knows whether it was done", async () => {
    const wire = await startProxy(server.url);
    const lost = wire.loseAnswerTo(/POST \/threads /);
    const creating = failure(client({ baseUrl: wire.url }).threads.create({ graph: "echo" }));
    await within("the answer is lost", lost);
    expect(await creating).toBeInstanceOf(library.ConnectionError);
  });
});

describe("patience", () => {
  test("503 is asked again, not before the server wants it", async () => {
    const times: number[] = [];
    const holdpoint = client({
      fetch: async (url, init) => {
        times.push(Date.now());
        const away = { type: "x", title: "x", status: 503, detail: "away", code: "shutting_down" };
        if (times.length === 1)
          return new Response(JSON.stringify(away), { status: 503, headers: { "Retry-After": "1" } });
        return fetch(url, init);
      },
    });
    expect(await holdpoint.thread(unique("t")).run({ graph: "echo" })).toMatchObject({ status: "completed" });
    expect(times).toHaveLength(2);
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(990);
  });

  test("is over after its time, and `retry: false` has none", async () => {
    const way = await tcpProxy(server.url);
    way.refuse();
    const patient = client({ baseUrl: way.url, retry: { forMs: 400, firstMs: 20 } });
    expect(await failure(patient.graphs.list().then())).toBeInstanceOf(library.ConnectionError);
    const tried = way.connections();
    expect(tried).toBeGreaterThan(3);
    expect(tried).toBeLessThan(12);
    expect(await failure(client({ baseUrl: way.url, retry: false }).health())).toBeInstanceOf(
      library.ConnectionError,
    );
    expect(way.connections()).toBe(tried + 1);
  });

  test("a call ends with its signal, its time, or the client's signal; the run goes on", async () => {
    const gate = latch();
    const graph = server.add(single(() => gate.opened));
    const thread = client().thread(unique("t"));
    const gone = new AbortController();
    const left = failure(thread.run({ graph }, { signal: gone.signal }));
    await thread.run({ graph, on_busy: "enqueue" }, { prefer: "respond-async" });
    gone.abort(new Error("I left"));
    expect(await left).toEqual(new Error("I left"));
    const late = await failure(thread.run({ graph, on_busy: "enqueue" }, { timeoutMs: 50 }));
    expect(late).toBeInstanceOf(library.TimeoutError);
    const closed = AbortSignal.abort(new Error("closed"));
    expect(await failure(client({ signal: closed }).health())).toEqual(new Error("closed"));
    gate.open();
    await thread.run({ graph, on_busy: "enqueue" });
    expect((await thread.get()).status).toBe("completed");
  });

  test("who does not want to wait gets the run as it stands", async () => {
    const gate = latch();
    const graph = server.add(single(() => gate.opened));
    const thread = client().thread(unique("t"));
    const accepted = await thread.run({ graph }, { prefer: "respond-async" });
    expect(["queued", "running"]).toContain(accepted.status);
    gate.open();
    const waited = await thread.run({ graph, on_busy: "enqueue" }, { prefer: { wait: 20 } });
    expect(waited.status).toBe("completed");
  });
});

test("headers are the client's, asked for at each attempt, and the call's above them", async () => {
  const seen: (string | null)[] = [];
  let token = 0;
  const holdpoint = client({
    headers: async () => ({ authorization: `Bearer ${++token}` }),
    fetch: async (url, init) => {
      seen.push(new Headers(init.headers).get("Authorization"));
      return fetch(url, init);
    },
  });
  await holdpoint.health();
  await holdpoint.health({ headers: { Authorization: "Bearer mine" } });
  await holdpoint.health();
  expect(seen).toEqual(["Bearer 1", "Bearer mine", "Bearer 3"]);
});

test("a base URL may have a path, and one that is none is refused at once", async () => {
  const urls: string[] = [];
  const behind = client({
    baseUrl: `${server.url}/api/`,
    fetch: (url, init) => {
      urls.push(url);
      return fetch(url.replace("/api/", "/"), init);
    },
  });
  await behind.graphs.get("echo");
  expect(urls).toEqual([`${server.url}/api/graphs/echo`]);
  for (const baseUrl of ["localhost:3000", "nowhere", "file:///tmp"])
    expect(() => new HoldpointClient({ baseUrl }), baseUrl).toThrow(TypeError);
});

test("a server whose database is away is not ready, and is asked once", async () => {
  const away = await serve({});
  await away.close();
  const tried = failure(new HoldpointClient({ baseUrl: away.url }).ready());
  expect(await within("it gives up at once", tried, 2000)).toBeInstanceOf(library.ConnectionError);
});

test("the package's map leads here", () => {
  const { exports } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  expect(exports["./client"]).toEqual({
    types: "./dist/client/index.d.ts",
    default: "./dist/client/index.js",
  });
});
