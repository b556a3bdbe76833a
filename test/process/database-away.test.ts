/** The database goes away and comes back: runs wait and go on, requests are told to come later, nothing is half done. */
import pg from "pg";
import { describe, expect, test } from "vitest";
import { until, within } from "../support/poll.js";
import type { Server } from "../support/server.js";
import { openStream } from "../support/sse.js";
import { eventsOf, get, grows, post, send, stateOf, threadWhen, type Reply } from "./client.js";
import { connected, expectWhole, ownPostgres, query, terminateBackends } from "./own-postgres.js";
import { line, newScene } from "./scene.js";

const postgres = ownPostgres({ max_connections: 30 });

/** Leases that no outage of a test outlives, unless it is about that. */
const PATIENT = { HOLDPOINT_LEASE_MS: "120000", HOLDPOINT_SSE_HEARTBEAT_MS: "100" };

/** Said in a bounded time, and so that a client knows to come back. */
function expectAway(reply: Reply): void {
  expect(reply).toMatchObject({ status: 503, body: { status: 503, code: "database_unavailable" } });
  expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
}

async function readiness(server: Server): Promise<{ reply: Reply; ms: number }> {
  const asked = Date.now();
  const reply = await get(server, "/readyz");
  return { reply, ms: Date.now() - asked };
}

/** Every node once, every event once and in order, every row whole. */
async function expectOnce(server: Server, url: string, thread = "t1"): Promise<void> {
  const events = await eventsOf(server, thread);
  expect(grows(events)).toBe(true);
  expect(events.filter(({ type }) => type === "update").map(({ data }) => data.data.step)).toEqual([1, 2, 3]);
  expect(events.map(({ type }) => type)).not.toContain("restart");
  expect(events.filter(({ type }) => ["end", "error", "stopped"].includes(type))).toHaveLength(1);
  await expectWhole(url);
}

const LINE_ONCE = ["FIRST", "SLOW begun", "SLOW done", "LAST"];

describe.each(["fast", "immediate"] as const)(
  "PostgreSQL is restarted (%s) in the middle of a run",
  (mode) => {
    test("the run, its waiting client and its readers wait and go on; what a node has done once is stored when it is back", async () => {
      const slow = `const paid = await ctx.once("pay", async () => { mark("paying"); await gate("pay"); mark("paid"); return "once"; });
      mark("got " + paid);`;
      const scene = await newScene("postgres", line({ slow }), postgres().url);
      const url = scene.env.DATABASE_URL ?? "";
      const [one, two] = [await scene.start(PATIENT), await scene.start(PATIENT)];
      const waiting = post(one, "/threads/t1/run", { input: {} });
      await scene.marked("paying");
      const [near, far] = [
        await openStream(`${one.url}/threads/t1/stream`),
        await openStream(`${two.url}/threads/t1/stream`),
      ];
      await far.next();

      await postgres().stop(mode);
      for (const server of [one, two]) {
        const { reply, ms } = await readiness(server);
        expectAway(reply);
        expect(ms).toBeLessThan(3000);
        expect((await get(server, "/healthz")).status).toBe(200);
        expectAway(await post(server, "/threads/t2/run", { input: {} }));
        expectAway(await get(server, "/threads/t1"));
        expectAway(await post(server, "/threads/t1/stop"));
      }
      // The effect is made while nothing can be stored.
      scene.open("pay");
      await scene.marked("paid");
      const [nearSaid, farSaid] = [near.comments.length, far.comments.length];
      await near.commented(nearSaid + 5);
      await far.commented(farSaid + 5);
      expect(scene.count("got once")).toBe(0);

      await postgres().start();
      await scene.marked("got once");
      scene.open("slow");
      expect(await within("the client gets its result", waiting)).toMatchObject({
        status: 200,
        body: { status: "completed" },
      });
      for (const reader of [near, far]) {
        const frames = await within("the reader gets the rest", reader.rest());
        expect(frames.at(-1)?.name).toBe("end");
      }
      await until("both are ready again", async () => {
        const all = await Promise.all([one, two].map(readiness));
        return all.every(({ reply }) => reply.status === 200);
      });
      expect(scene.ledger().map(({ mark }) => mark)).toEqual([
        "FIRST",
        "SLOW begun",
        "paying",
        "paid",
        "got once",
        "SLOW done",
        "LAST",
      ]);
      await expectOnce(two, url);
      expect((await get(two, "/threads/t2")).status).toBe(404);
    });
  },
);

test("a node that ends while PostgreSQL is away is committed when it is back, and not run again", async () => {
  const scene = await newScene("postgres", line(), postgres().url);
  const server = await scene.start(PATIENT);
  send(server, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun");
  await postgres().stop("immediate");
  scene.open("slow");
  await scene.marked("SLOW done");
  await logged(server, /a commit did not reach the database/);
  await postgres().start();
  await threadWhen(server, "t1", "completed");
  expect(scene.ledger().map(({ mark }) => mark)).toEqual(LINE_ONCE);
  await expectOnce(server, scene.env.DATABASE_URL ?? "");
});

test("connections that break again and again cost no accepted run, and repeat no node", async () => {
  const scene = await newScene("postgres", MANY, postgres().url);
  const url = scene.env.DATABASE_URL ?? "";
  const server = await scene.start(PATIENT);
  const by = await connected(url);
  let isOver = false;
  const breaking = (async () => {
    while (!isOver) {
      await terminateBackends(by);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
  })();
  const threads = Array.from({ length: 40 }, (_, i) => `t${i}`);
  const replies = await Promise.all(threads.map((id) => post(server, `/threads/${id}/run`, { input: {} })));
  isOver = true;
  await breaking;
  for (const reply of replies) {
    if (reply.status === 200) expect(reply.body.status).toBe("completed");
    else expectAway(reply);
  }
  expect(replies.filter(({ status }) => status === 200).length).toBeGreaterThan(0);
  // Whatever was accepted ends, its client told or not; the others left nothing.
  await until("no run is active", async () => {
    const active = await query(url, "SELECT 1 FROM holdpoint.thread WHERE status = 'running'");
    return active.length === 0;
  });
  const there = await query(url, "SELECT thread_id, status FROM holdpoint.thread");
  for (const { thread_id: id, status } of there) {
    expect(status, String(id)).toBe("completed");
    for (const node of ["A", "B", "C"])
      expect(scene.count(`${String(id)} ${node}`), `${String(id)} ${node}`).toBe(1);
  }
  const accepted = new Set(there.map(({ thread_id: id }) => id));
  threads.forEach((id, i) => {
    if (replies[i]?.status === 200) expect(accepted).toContain(id);
    if (!accepted.has(id)) expect(scene.count(`${id} A`)).toBe(0);
  });
  await expectWhole(url);
});

test("with no connection left a run waits, requests are told to come later, and all goes on when there are some", async () => {
  const scene = await newScene("postgres", line(), postgres().url);
  const url = scene.env.DATABASE_URL ?? "";
  const server = await scene.start(PATIENT);
  send(server, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun");
  const taken = await takeAll(url);
  scene.open("slow");
  await scene.marked("SLOW done");
  const refused = await post(server, "/threads/t2/run", { input: {} });
  expectAway(refused);
  expectAway((await readiness(server)).reply);
  expect(scene.count("LAST")).toBe(0);
  await Promise.all(taken.map((client) => client.end()));
  await threadWhen(server, "t1", "completed");
  expect(scene.ledger().map(({ mark }) => mark)).toEqual(LINE_ONCE);
  await expectOnce(server, url);
});

describe.each([
  ["statement_timeout", "57014"],
  ["lock_timeout", "55P03"],
])("a %s of the database", (setting) => {
  test("makes a commit come again, not a node", async () => {
    const scene = await newScene("postgres", line(), postgres().url);
    const url = scene.env.DATABASE_URL ?? "";
    const by = await connected(url);
    const server = await scene.start(PATIENT);
    send(server, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun");
    await by.query(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET ${setting} = '150ms'`);
    await terminateBackends(by);
    await by.query("BEGIN");
    await by.query("SELECT 1 FROM holdpoint.thread WHERE thread_id = 't1' FOR UPDATE");
    scene.open("slow");
    await logged(server, /a commit did not reach the database/, 2);
    await by.query("COMMIT");
    await threadWhen(server, "t1", "completed");
    expect(scene.ledger().map(({ mark }) => mark)).toEqual(LINE_ONCE);
    await expectOnce(server, url);
  });
});

test("a database that only reads, as a standby after a failover, is not ready; runs wait until it writes", async () => {
  const scene = await newScene("postgres", line(), postgres().url);
  const url = scene.env.DATABASE_URL ?? "";
  const by = await connected(url);
  const server = await scene.start(PATIENT);
  send(server, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun");
  const name = new URL(url).pathname.slice(1);
  await by.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
  await terminateBackends(by);
  scene.open("slow");
  await logged(server, /a commit did not reach the database/);
  expectAway((await readiness(server)).reply);
  expectAway(await post(server, "/threads/t2/run", { input: {} }));
  // What it can read, it shows.
  expect((await get(server, "/threads/t1")).body).toMatchObject({ status: "running" });
  await by.query("SET default_transaction_read_only = off");
  await by.query(`ALTER DATABASE ${name} SET default_transaction_read_only = off`);
  await threadWhen(server, "t1", "completed");
  await until("it is ready", async () => (await readiness(server)).reply.status === 200);
  expect(scene.ledger().map(({ mark }) => mark)).toEqual(LINE_ONCE);
  await expectOnce(server, url);
  expect((await get(server, "/threads/t2")).status).toBe(404);
});

test("a database that neither answers nor refuses is found out: not ready within moments, requests let go, runs go on", async () => {
  const scene = await newScene("postgres", line(), postgres().url);
  const url = scene.env.DATABASE_URL ?? "";
  const server = await scene.start({ ...PATIENT, HOLDPOINT_QUERY_TIMEOUT_MS: "700" });
  send(server, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun");
  await postgres().freeze();
  try {
    const { reply, ms } = await readiness(server);
    expectAway(reply);
    expect(ms).toBeLessThan(3000);
    expectAway(await within("the request is let go", post(server, "/threads/t2/run", { input: {} }), 15_000));
    scene.open("slow");
    await logged(server, /a commit did not reach the database/, 2);
  } finally {
    postgres().thaw();
  }
  await threadWhen(server, "t1", "completed");
  expect(scene.ledger().map(({ mark }) => mark)).toEqual(LINE_ONCE);
  await expectOnce(server, url);
});

test("a full pool lets requests go and keeps the lease: the heartbeat has a connection of its own", async () => {
  const scene = await newScene("postgres", line(), postgres().url);
  const url = scene.env.DATABASE_URL ?? "";
  const lease = { ...PATIENT, HOLDPOINT_LEASE_MS: "1500", HOLDPOINT_HEARTBEAT_MS: "300" };
  const one = await scene.start({ ...lease, HOLDPOINT_POOL_SIZE: "1" });
  const two = await scene.start(lease);
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun", 1, one.pid);
  const by = await connected(url);
  await by.query("BEGIN");
  await by.query("SELECT 1 FROM holdpoint.thread WHERE thread_id = 't1' FOR UPDATE");
  scene.open("slow");
  await scene.marked("SLOW done");
  // The commit has the one connection, and waits.
  expectAway(await post(one, "/threads/t2/run", { input: {} }));
  const { reply, ms } = await readiness(one);
  expectAway(reply);
  expect(ms).toBeLessThan(3000);
  await by.query("COMMIT");
  await threadWhen(two, "t1", "completed");
  expect(scene.ledger().map(({ mark, pid }) => [mark, pid])).toEqual(
    LINE_ONCE.map((mark) => [mark, one.pid]),
  );
  await expectOnce(two, url);
});

test("where the threads cannot be read, readiness says so in time, and that it is over", async () => {
  const scene = await newScene("postgres", line(), postgres().url);
  const server = await scene.start(PATIENT);
  const by = await connected(scene.env.DATABASE_URL ?? "");
  await by.query("BEGIN");
  await by.query("LOCK TABLE holdpoint.thread");
  const { reply, ms } = await readiness(server);
  expectAway(reply);
  expect(ms).toBeLessThan(3000);
  await by.query("COMMIT");
  await until("it is ready again", async () => (await readiness(server)).reply.status === 200);
});

test("when it was away for longer than a lease, nobody's runs are taken before they had time to renew (invariant 8)", async () => {
  const scene = await newScene("postgres", line(), postgres().url);
  const url = scene.env.DATABASE_URL ?? "";
  const lease = { HOLDPOINT_LEASE_MS: "1000", HOLDPOINT_HEARTBEAT_MS: "900" };
  const servers = [await scene.start(lease), await scene.start(lease), await scene.start(lease)];
  for (const [i, server] of servers.entries()) {
    send(server, `/threads/t${i}/run`, { input: {} });
    await scene.marked("SLOW begun", 1, server.pid);
  }
  await postgres().stop("fast");
  await Promise.all(servers.map((server) => logged(server, /the heartbeat failed/, 3)));
  await postgres().start();
  await Promise.all(servers.map((server) => logged(server, /the heartbeat was late/)));
  scene.open("slow");
  for (const [i, server] of servers.entries()) {
    await threadWhen(server, `t${i}`, "completed");
    expect((await stateOf(server, `t${i}`)).by).toBe(server.pid);
    await expectOnce(server, url, `t${i}`);
  }
  for (const { pid } of servers) expect(scene.count("SLOW begun", pid)).toBe(1);
});

/** The graph "many": A, B, C, each of which marks its thread. */
const MANY = `
const state = z.object({ log: z.array(z.string()).default([]) });
const node = (name: string) => async (_state: unknown, ctx: NodeContext) => { mark(ctx.threadId + " " + name); await sleep(20); return {}; };
export const many = new StateGraph({ state })
  .addNode("A", node("A")).addNode("B", node("B")).addNode("C", node("C"))
  .addEdge(START, "A").addEdge("A", "B").addEdge("B", "C").addEdge("C", END)
  .compile({ name: "many" });
`;

/** Waits until the server has logged this so often. */
async function logged(server: Server, message: RegExp, times = 1): Promise<void> {
  await until(
    `the server logs ${String(message)} ${times} times`,
    () => server.logs().filter(({ msg }) => message.test(String(msg))).length >= times,
  );
}

/**
 * Takes every connection that PostgreSQL has, those of the server too: they break, and ours are there first. Ours are
 * counted: a connection of the server that is only beginning has no database yet, and one that ends keeps its place
 * for a moment behind its row, so that neither is seen and the next to come gets the place.
 */
async function takeAll(url: string): Promise<pg.Client[]> {
  const own = new URL(url);
  own.searchParams.set("application_name", "own");
  const first = await connected(own.href);
  const taken = [first];
  const { rows } = await first.query<{ all: number }>(
    "SELECT current_setting('max_connections')::int AS all",
  );
  await until("the test has all connections", async () => {
    await first.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL AND application_name <> 'own'",
    );
    const refused = await connected(own.href).then(
      (client) => void taken.push(client),
      (error: unknown) => (error as Error).message,
    );
    if (refused !== undefined) expect(refused).toMatch(/too many clients|remaining connection slots/);
    return taken.length === rows[0]?.all;
  });
  return taken;
}
