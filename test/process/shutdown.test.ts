/** SIGTERM and SIGINT: steps finish, runs are handed over, readers are let go. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { EventSource } from "eventsource";
import { describe, expect, onTestFinished, test } from "vitest";
import { freePort } from "../support/free-port.js";
import { until, within } from "../support/poll.js";
import { spawnHoldpoint, type Server } from "../support/server.js";
import { openStream } from "../support/sse.js";
import { eventsOf, get, post, send, stateOf, threadWhen } from "./client.js";
import { connected, ownPostgres, query } from "./own-postgres.js";
import { DATABASES, line, newScene } from "./scene.js";

/** So long that only a hand-over explains that the process ends. */
const PATIENT = { HOLDPOINT_DRAIN_MS: "3600000" };

describe.each(DATABASES)("on the %s database", (database) => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s lets the running step finish and hands the run over, which then goes on without asking",
    async (signal) => {
      const scene = await newScene(database, line());
      const first = await scene.start(PATIENT);
      send(first, "/threads/t1/run", { input: {} });
      await scene.marked("SLOW begun");
      await shutDown(first, signal);
      expect(first.ended()).toBeNull();
      scene.open("slow");
      expect(await within("the server ends", first.exit)).toBe(0);
      expect(scene.ledger().map(({ mark }) => mark)).toEqual(["FIRST", "SLOW begun", "SLOW done"]);

      const second = await scene.start();
      await scene.marked("LAST", 1, second.pid);
      expect(await threadWhen(second, "t1", "completed")).toMatchObject({ interrupts: [] });
      expect(scene.count("SLOW begun")).toBe(1);
      expect((await stateOf(second, "t1")).log).toEqual(["FIRST", "SLOW", "LAST"]);
      const types = (await eventsOf(second, "t1")).map(({ type }) => type);
      expect(types).not.toContain("restart");
    },
  );

  test("an approved action that finishes during a shutdown is committed, and nobody is asked about it", async () => {
    const scene = await newScene(database, line({ hold: true }));
    const first = await scene.start(PATIENT);
    await post(first, "/threads/t1/run", { input: {} });
    send(first, "/threads/t1/resume", { decision: "approve" });
    await scene.marked("SLOW begun");
    await shutDown(first, "SIGTERM");
    scene.open("slow");
    expect(await within("the server ends", first.exit)).toBe(0);
    const second = await scene.start();
    expect(await threadWhen(second, "t1", "completed", "interrupted_before")).toMatchObject({
      status: "completed",
    });
    expect(scene.count("SLOW begun")).toBe(1);
    expect(scene.count("LAST", second.pid)).toBe(1);
  });

  test("a hand-over in front of a node that had not begun is no lost attempt of it", async () => {
    // LAST may not be repeated unasked, and had not begun.
    const scene = await newScene(
      database,
      line({ compile: `interruptBefore: [{ node: "LAST", when: () => false }],` }),
    );
    const first = await scene.start(PATIENT);
    send(first, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun");
    await shutDown(first, "SIGTERM");
    scene.open("slow");
    expect(await within("the server ends", first.exit)).toBe(0);
    expect(scene.count("LAST")).toBe(0);
    const second = await scene.start();
    const thread = await threadWhen(second, "t1", "completed", "interrupted_before");
    expect(thread).toMatchObject({ status: "completed", interrupts: [] });
  });

  test("an action that does not finish in the time of a shutdown is asked about, for it may have acted", async () => {
    const scene = await newScene(database, line({ hold: true }));
    const first = await scene.start({ HOLDPOINT_DRAIN_MS: "100" });
    await post(first, "/threads/t1/run", { input: {} });
    send(first, "/threads/t1/resume", { decision: "approve" });
    await scene.marked("SLOW begun");
    await shutDown(first, "SIGTERM");
    expect(await within("the server ends", first.exit)).toBe(0);
    scene.open("slow");
    const second = await scene.start();
    const thread = await threadWhen(second, "t1", "interrupted_before", "completed");
    expect(thread).toMatchObject({ status: "interrupted_before", interrupts: [{ kind: "crash" }] });
    expect(scene.count("SLOW begun")).toBe(1);
  });
});

/** Leases and polls that no test outlives: only a hand-over explains that another server goes on. */
const FAR = { HOLDPOINT_LEASE_MS: "3600000", HOLDPOINT_HEARTBEAT_MS: "300" };

describe("of two servers on one PostgreSQL", () => {
  test("the other goes on at once with a run that was handed over between two nodes, and asks nobody", async () => {
    const scene = await newScene("postgres", line({ compile: GATED_LAST }));
    const [one, two] = [await scene.start({ ...FAR, ...PATIENT }), await scene.start(FAR)];
    send(one, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    await shutDown(one, "SIGTERM");
    scene.open("slow");
    await scene.marked("LAST", 1, two.pid);
    expect(await within("the first server ends", one.exit)).toBe(0);
    expect(await threadWhen(two, "t1", "completed", "interrupted_before")).toMatchObject({
      status: "completed",
    });
    expect(scene.count("SLOW begun")).toBe(1);
    expect(scene.count("LAST")).toBe(1);
  });

  test("the other takes a run over at once whose node did not finish in time", async () => {
    const scene = await newScene("postgres", line());
    const [one, two] = [await scene.start({ ...FAR, HOLDPOINT_DRAIN_MS: "100" }), await scene.start(FAR)];
    send(one, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    await shutDown(one, "SIGTERM");
    expect(await within("the first server ends", one.exit)).toBe(0);
    await scene.marked("SLOW begun", 1, two.pid);
    scene.open("slow");
    await threadWhen(two, "t1", "completed");
    expect(scene.count("FIRST")).toBe(1);
    expect((await eventsOf(two, "t1")).map(({ type }) => type)).toContain("restart");
  });

  test("runs that wait for a place in the first are handed over without having begun", async () => {
    const scene = await newScene("postgres", line({ compile: GATED_FIRST }));
    const one = await scene.start({ ...FAR, ...PATIENT, HOLDPOINT_CONCURRENCY: "1" });
    send(one, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    for (const id of ["t2", "t3"]) send(one, `/threads/${id}/run`, { input: {} });
    await threadWhen(one, "t2", "running");
    await threadWhen(one, "t3", "running");
    const two = await scene.start(FAR);
    await shutDown(one, "SIGTERM");
    await scene.marked("SLOW begun", 2, two.pid);
    expect(one.ended()).toBeNull();
    scene.open("slow");
    for (const id of ["t1", "t2", "t3"]) {
      const thread = await threadWhen(two, id, "completed", "interrupted_before");
      expect(thread, id).toMatchObject({ status: "completed" });
    }
    expect(await within("the first server ends", one.exit)).toBe(0);
    expect(scene.count("FIRST", one.pid)).toBe(1);
    expect(scene.count("FIRST", two.pid)).toBe(2);
  });

  test("a lease does not pass during a shutdown that takes its time", async () => {
    const scene = await newScene("postgres", line());
    const short = { HOLDPOINT_LEASE_MS: "1000", HOLDPOINT_HEARTBEAT_MS: "300" };
    const [one, two] = [await scene.start({ ...short, ...PATIENT }), await scene.start(short)];
    send(one, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    await shutDown(one, "SIGTERM");
    const url = scene.env.DATABASE_URL ?? "";
    const beats = new Set<string>();
    await until("it beats for three leases more", async () => {
      const [row] = await query(url, OWNERS_BEAT);
      beats.add(String(row?.beat));
      return beats.size > 12;
    });
    expect(scene.count("SLOW begun")).toBe(1);
    scene.open("slow");
    await threadWhen(two, "t1", "completed");
    expect(scene.count("SLOW begun")).toBe(1);
    expect(scene.count("LAST", two.pid)).toBe(1);
  });

  test("a client that waits for a run that is handed over is told where it goes on, and a stop what it did", async () => {
    const scene = await newScene("postgres", line());
    const [one, two] = [await scene.start({ ...FAR, HOLDPOINT_DRAIN_MS: "300" }), await scene.start(FAR)];
    const waiting = post(one, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    await shutDown(one, "SIGTERM");
    const reply = await within("the client is answered", waiting);
    expect(reply).toMatchObject({ status: 503, body: { code: "shutting_down", thread_id: "t1" } });
    expect(reply.headers.get("retry-after")).toBe("1");
    expect(reply.headers.get("connection")).toBe("close");
    scene.open("slow");
    await threadWhen(two, "t1", "completed");
    const run = await get(two, String(reply.body.location));
    expect(run).toMatchObject({ status: 200, body: { run_id: reply.body.run_id, status: "completed" } });
  });

  test("a client that waits on the first for what the second executes is told the same", async () => {
    const scene = await newScene("postgres", line({ hold: true }));
    const [one, two] = [await scene.start(FAR), await scene.start(FAR)];
    const paused = await post(two, "/threads/t1/run", { input: {} });
    const answer = { decision: "approve", interrupt_id: paused.body.interrupts[0].id as string };
    send(two, "/threads/t1/resume", answer);
    await scene.marked("SLOW begun", 1, two.pid);
    // The same answer once more waits for the same run.
    const waiting = post(one, "/threads/t1/resume", answer);
    const stream = await fetch(`${one.url}/threads/t1/stream`);
    await shutDown(one, "SIGTERM");
    expect(await within("the client is answered", waiting)).toMatchObject({
      status: 503,
      body: { code: "shutting_down", thread_id: "t1" },
    });
    expect(await within("its reader is let go", stream.text())).not.toMatch(/^event: end$/m);
    expect(await within("the first server ends", one.exit)).toBe(0);
    scene.open("slow");
    await threadWhen(two, "t1", "completed");
    expect(scene.count("SLOW begun")).toBe(1);
  });

  test("a stop that waits on a server that shuts down says that the run is stopping, which is true", async () => {
    const slow = `await gate("never");`;
    const scene = await newScene("postgres", line({ slow, options: "{ graceMs: 3600000 }" }));
    const [one, two] = [
      await scene.start({ ...FAR, HOLDPOINT_STOP_WAIT_MS: "3600000" }),
      await scene.start({ ...FAR, HOLDPOINT_STOP_WAIT_MS: "3600000", HOLDPOINT_DRAIN_MS: "300" }),
    ];
    send(one, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    const stopping = post(two, "/threads/t1/stop", { mode: "after_step" });
    await until("the stop is accepted", async () => {
      const rows = await query(
        scene.env.DATABASE_URL ?? "",
        "SELECT 1 FROM holdpoint.run WHERE stop IS NOT NULL",
      );
      return rows.length > 0;
    });
    await shutDown(two, "SIGTERM");
    expect(await within("the stop is answered", stopping)).toMatchObject({
      status: 200,
      body: { running: true, status: "stopping" },
    });
    expect(await within("the second server ends", two.exit)).toBe(0);
  });
});

test("a reader of a run that ends during a shutdown gets all of it, and its end", async () => {
  const scene = await newScene("embedded", SHORT);
  const server = await scene.start(PATIENT);
  // Of a graph whose last node runs, nothing is left to hand over.
  const run = await openStream(`${server.url}/threads/t1/stream`, { body: { graph: "short", input: {} } });
  await scene.marked("SHORT begun");
  const other = await openStream(`${server.url}/threads/t1/stream`);
  const waiting = post(server, "/threads/t2/run", { graph: "short", input: {} });
  await scene.marked("SHORT begun", 2);
  await shutDown(server, "SIGTERM");
  scene.open("short");
  for (const reader of [run, other]) {
    const frames = await within("the reader gets the rest", reader.rest());
    expect(frames.at(-1)?.name).toBe("end");
  }
  expect(await within("the client is answered", waiting)).toMatchObject({
    status: 200,
    body: { status: "completed" },
  });
  expect(await within("the server ends", server.exit)).toBe(0);
});

test("a browser's reader comes back by itself, and reads on where it was", async () => {
  const scene = await newScene("postgres", line());
  const port = String(await freePort());
  const retry = { HOLDPOINT_SSE_RETRY_MS: "100" };
  const one = await scene.start({ ...FAR, ...PATIENT, ...retry, PORT: port });
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun", 1, one.pid);
  const seen: { id: number; type: string }[] = [];
  const source = new EventSource(`${one.url}/threads/t1/stream`);
  onTestFinished(() => source.close());
  const ended = new Promise<void>((resolve) => {
    for (const type of ["start", "progress", "update", "message", "end"]) {
      source.addEventListener(type, (event) => {
        seen.push({ id: Number(event.lastEventId), type });
        if (type === "end") resolve();
      });
    }
  });
  await until("it reads", () => seen.some(({ type }) => type === "progress"));
  await shutDown(one, "SIGTERM");
  scene.open("slow");
  expect(await within("the first server ends", one.exit)).toBe(0);
  const two = await scene.start({ ...FAR, ...retry, PORT: port });
  await within("the reader gets the end", ended);
  source.close();
  expect(seen.map(({ id }) => id)).toEqual([...new Set(seen.map(({ id }) => id))].sort((a, b) => a - b));
  const all = await eventsOf(two, "t1");
  expect(seen).toEqual(all.map(({ id, type }) => ({ id, type })));
});

test("an idle server ends at once, and lets the readers of its streams go", async () => {
  const scene = await newScene("embedded", line({ hold: true }));
  const server = await scene.start(PATIENT);
  await post(server, "/threads/t1/run", { input: {} });
  const stream = await fetch(`${server.url}/threads/t1/stream?follow=true`);
  const read = stream.text().then(
    () => "ended",
    () => "broken off",
  );
  await shutDown(server, "SIGTERM");
  expect(await within("the server ends", server.exit, 15_000)).toBe(0);
  expect(await within("the reader is let go", read)).toBe("ended");
});

test("a shutdown closes the streams of a run that it hands over, without a terminal event", async () => {
  const scene = await newScene("embedded", line());
  const server = await scene.start(PATIENT);
  const run = await fetch(`${server.url}/threads/t1/stream`, { method: "POST", body: `{"input":{}}` });
  await scene.marked("SLOW begun");
  let seen = "";
  const read = (async () => {
    for await (const chunk of run.body ?? []) seen += Buffer.from(chunk as Uint8Array).toString();
  })();
  await shutDown(server, "SIGTERM");
  scene.open("slow");
  expect(await within("the server ends", server.exit)).toBe(0);
  await within("the stream ends", read);
  expect(seen).toContain("event: progress");
  expect(seen).not.toMatch(/^event: (end|stopped|failed)$/m);
});

test("a server that shuts down takes no more runs and says so, while the step that it waits for runs on", async () => {
  const scene = await newScene("embedded", line());
  const server = await scene.start(PATIENT);
  send(server, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun");
  await shutDown(server, "SIGTERM");
  const refused = await post(server, "/threads/t2/run", { input: {} });
  expect(refused).toMatchObject({ status: 503, body: { code: "shutting_down" } });
  expect(refused.headers.get("retry-after")).toBe("1");
  expect(refused.headers.get("connection")).toBe("close");
  expect(await get(server, "/readyz")).toMatchObject({ status: 503, body: { code: "shutting_down" } });
  // What is there can still be looked at.
  expect((await get(server, "/threads/t1")).body).toMatchObject({ status: "running" });
  scene.open("slow");
  expect(await within("the server ends", server.exit)).toBe(0);
  const next = await scene.start();
  expect((await get(next, "/threads/t2")).status).toBe(404);
});

test("a second signal ends the process at once, and the run goes on in the next one", async () => {
  const scene = await newScene("embedded", line());
  const first = await scene.start(PATIENT);
  send(first, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun");
  await shutDown(first, "SIGTERM");
  expect(first.ended()).toBeNull();
  first.kill("SIGTERM");
  expect(await within("the server ends", first.exit, 5000)).toBe(1);
  scene.open("slow");
  const second = await scene.start();
  await threadWhen(second, "t1", "completed");
  expect(scene.count("SLOW begun")).toBe(2);
});

describe("while the database is away", () => {
  const postgres = ownPostgres();

  test.each(["stopped", "frozen"] as const)(
    "(%s) a shutdown is bounded all the same, its clients are answered, and the run is there afterwards",
    async (how) => {
      const scene = await newScene("postgres", line(), postgres().url);
      const server = await scene.start({ HOLDPOINT_DRAIN_MS: "200", HOLDPOINT_LEASE_MS: "1000" });
      const waiting = post(server, "/threads/t1/run", { input: {} });
      await scene.marked("SLOW begun");
      if (how === "stopped") await postgres().stop("immediate");
      else await postgres().freeze();
      try {
        scene.open("slow");
        await scene.marked("SLOW done");
        server.kill("SIGTERM");
        expect(await within("the client is answered", waiting, 15_000)).toMatchObject({
          status: 503,
          body: { code: "shutting_down" },
        });
        expect(await within("the server ends", server.exit, 20_000)).toBe(0);
      } finally {
        if (how === "stopped") await postgres().start();
        else postgres().thaw();
      }
      const next = await scene.start();
      await threadWhen(next, "t1", "completed");
      expect(scene.count("FIRST")).toBe(1);
      expect(scene.count("LAST")).toBe(1);
    },
  );

  test("a second signal ends the process at once", async () => {
    const scene = await newScene("postgres", line(), postgres().url);
    const server = await scene.start({ ...PATIENT, HOLDPOINT_LEASE_MS: "1000" });
    send(server, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun");
    await postgres().freeze();
    try {
      await shutDown(server, "SIGTERM");
      server.kill("SIGINT");
      expect(await within("the server ends", server.exit, 5000)).toBe(1);
    } finally {
      postgres().thaw();
    }
  });

  test("a start that waits for it ends when it is told to, with 0", async () => {
    const scene = await newScene("postgres", line(), postgres().url);
    const nowhere = `postgres://postgres@127.0.0.1:${await freePort()}/none`;
    const starting = spawnHoldpoint(["serve"], { env: { ...scene.env, PORT: "0", DATABASE_URL: nowhere } });
    await until("it waits", () => starting.logs().some(({ event }) => event === "waiting"));
    starting.kill("SIGTERM");
    expect(await within("it ends", starting.exit, 5000)).toBe(0);
  });

  test("a start that waits for another's migrations ends with 0, and leaves no lock and no half of them", async () => {
    const scene = await newScene("postgres", line(), postgres().url);
    const url = scene.env.DATABASE_URL ?? "";
    const by = await connected(url);
    await by.query("BEGIN");
    await by.query("SELECT pg_advisory_xact_lock(7265301)");
    const starting = spawnHoldpoint(["serve"], { env: { PORT: "0", ...scene.env } });
    await until("it waits for the lock", async () => {
      const rows = await query(url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
      return rows.length > 0;
    });
    starting.kill("SIGTERM");
    expect(await within("it ends", starting.exit, 15_000)).toBe(0);
    await by.query("COMMIT");
    await until("its lock is gone", async () => {
      const rows = await query(url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'");
      return rows.length === 0;
    });
    const next = await scene.start();
    expect((await get(next, "/readyz")).status).toBe(200);
  });
});

describe("a signal in the middle of a start", () => {
  test("while the embedded database is made ends it with 0, and the next start has the folder", async () => {
    const scene = await newScene("embedded", line());
    const env = { ...scene.env, PORT: "0", HOLDPOINT_DATA_DIR: join(scene.folder, "new") };
    const starting = spawnHoldpoint(["serve"], { env });
    await until("the database is made", () => starting.logs().some(({ event }) => event === "preparing"));
    starting.kill("SIGTERM");
    expect(await within("it ends", starting.exit, 20_000)).toBe(0);
    expect(readdirSync(env.HOLDPOINT_DATA_DIR).filter((name) => name.startsWith("lock"))).toEqual([]);
    const next = await scene.start(env);
    expect((await get(next, "/readyz")).status).toBe(200);
  });

  test("while a graph module does not come to its end ends it with 0 all the same", async () => {
    const scene = await newScene("embedded", `mark("loading");\nawait gate("load");\n${line()}`);
    const starting = spawnHoldpoint(["serve"], { env: { PORT: "0", ...scene.env } });
    await scene.marked("loading");
    starting.kill("SIGTERM");
    expect(await within("it ends", starting.exit, 20_000)).toBe(0);
  });
});

/** The graph "short": one node, which waits at the gate "short". */
const SHORT = `
export const short = new StateGraph({ state: z.object({}) })
  .addNode("ONLY", async () => { mark("SHORT begun"); await gate("short"); return {}; })
  .addEdge(START, "ONLY").addEdge("ONLY", END).compile({ name: "short" });
`;

/** LAST may not be repeated unasked, so that a lost attempt of it would be asked about. */
const GATED_LAST = `interruptBefore: [{ node: "LAST", when: () => false }],`;
const GATED_FIRST = `interruptBefore: [{ node: "FIRST", when: () => false }],`;

/** When the owner of t1 beat. */
const OWNERS_BEAT =
  "SELECT k.beat_at::text AS beat FROM holdpoint.thread t JOIN holdpoint.worker k ON k.id = t.worker WHERE t.thread_id = 't1'";

async function shutDown(server: Server, signal: NodeJS.Signals): Promise<void> {
  server.kill(signal);
  await until("the server shuts down", () => server.logs().some((entry) => entry.signal === signal));
}
