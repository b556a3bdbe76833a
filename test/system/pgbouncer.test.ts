/** Two servers that share a PostgreSQL by way of a PgBouncer in transaction mode. */
import pg from "pg";
import { describe, expect, test } from "vitest";
import { eventsOf, get, grows, post, send, stateOf, threadWhen } from "../process/client.js";
import { HOUR, line, newScene, SILENT, type Scene } from "../process/scene.js";
import { until, within } from "../support/poll.js";
import { crash, type Env, type Server } from "../support/server.js";
import { ids, names, openStream } from "../support/sse.js";
import { CONNECTIONS, startPgBouncer } from "./pgbouncer.js";

const LEASE = 3000;
const LEASED = { HOLDPOINT_LEASE_MS: String(LEASE), HOLDPOINT_HEARTBEAT_MS: "500" };

interface Stage {
  readonly scene: Scene;
  /** The database without a pooler. */
  readonly direct: string;
  readonly pooled: Env;
}

async function newStage(module = line()): Promise<Stage> {
  const scene = await newScene("postgres", module);
  const direct = scene.env.DATABASE_URL ?? "";
  return { scene, direct, pooled: { DATABASE_URL: await startPgBouncer(direct) } };
}

const said = (server: Server, event: string): number =>
  server.logs().filter((entry) => entry.event === event).length;

/** Two servers that hear each other. */
async function startTwo({ scene, direct, pooled }: Stage, env: Env): Promise<[Server, Server]> {
  const all = { ...pooled, DATABASE_DIRECT_URL: direct, LOG_LEVEL: "debug", ...env };
  const servers: [Server, Server] = [await scene.start(all), await scene.start(all)];
  for (const server of servers) await until("it hears", () => said(server, "hearing") === 1);
  return servers;
}

describe("with DATABASE_DIRECT_URL", () => {
  test("many runs at once, held by one server and approved at the other, share a few connections", async () => {
    const stage = await newStage(line({ hold: true }));
    const [one, two] = await startTwo(stage, {});
    stage.scene.open("slow");
    const threads = Array.from({ length: 20 }, (_each, i) => `t${i}`);
    const held = await Promise.all(threads.map((each) => post(one, `/threads/${each}/run`, { input: {} })));
    expect(new Set(held.map(({ body }) => body.status))).toEqual(new Set(["interrupted_before"]));
    const done = await Promise.all(
      threads.map((each) => post(two, `/threads/${each}/resume`, { decision: "approve" })),
    );
    expect(new Set(done.map(({ body }) => body.status))).toEqual(new Set(["completed"]));
    for (const each of threads) expect((await stateOf(one, each)).log).toEqual(["FIRST", "SLOW", "LAST"]);
    expect(stage.scene.count("SLOW done", two.pid)).toBe(20);
    // Besides the pooler's, one of each server, to listen.
    expect(await connections(stage.direct)).toBeLessThanOrEqual(CONNECTIONS + 2);
    expect([one, two].map((each) => said(each, "deaf"))).toEqual([0, 0]);
  });

  test("a reader at one server sees a run of the other as it is committed", async () => {
    const stage = await newStage();
    const [one, two] = await startTwo(stage, SILENT);
    send(one, "/threads/t1/run", { input: {} });
    await stage.scene.marked("SLOW begun", 1, one.pid);
    const reader = await openStream(`${two.url}/threads/t1/stream`);
    const before = await within("what is committed is there", reader.until("update"));
    stage.scene.open("slow");
    const after = await within("the rest arrives", reader.rest());
    expect(ids([...before, ...after])).toEqual((await eventsOf(one, "t1")).map(({ id }) => id));
    expect(names(after).at(-1)).toBe("end");
  });

  test("a stop that is sent to one server stops the run of the other", async () => {
    const stage = await newStage();
    const [one, two] = await startTwo(stage, SILENT);
    send(one, "/threads/t1/run", { input: {} });
    await stage.scene.marked("SLOW begun", 1, one.pid);
    const receipt = await within("the stop is answered", post(two, "/threads/t1/stop"));
    expect(receipt).toMatchObject({ status: 200, body: { running: true, status: "stopped" } });
    expect((await get(one, "/threads/t1")).body.status).toBe("stopped");
    expect(stage.scene.count("LAST")).toBe(0);
  });

  test("when one server is killed the other takes its run over within the lease, and it is done once", async () => {
    const stage = await newStage();
    const [one, two] = await startTwo(stage, LEASED);
    send(one, "/threads/t1/run", { input: {} });
    await stage.scene.marked("SLOW begun", 1, one.pid);
    await crash(one);
    const killed = Date.now();
    await stage.scene.marked("SLOW begun", 1, two.pid);
    // The lease, a heartbeat until it is seen, and time for a busy machine to get to it.
    expect(Date.now() - killed).toBeLessThan(LEASE + 500 + 3000);
    stage.scene.open("slow");
    await threadWhen(two, "t1", "completed");
    expect(await stateOf(two, "t1")).toMatchObject({ log: ["FIRST", "SLOW", "LAST"], by: two.pid });
    const events = await eventsOf(two, "t1");
    expect(grows(events)).toBe(true);
    expect(events.filter(({ type }) => type === "update").map(({ data }) => data.data.step)).toEqual([
      1, 2, 3,
    ]);
  });
});

describe("without it", () => {
  test("a server says that it is deaf and what to set, and finds what the other does by looking", async () => {
    const { scene, pooled } = await newStage();
    // A reader looks at each poll, and a process for stops at each heartbeat.
    const env = { ...pooled, ...LEASED, HOLDPOINT_POLL_MS: "50", HOLDPOINT_SLOW_POLL_MS: HOUR };
    const [one, two] = [await scene.start(env), await scene.start(env)];
    for (const server of [one, two]) await until("it says so", () => said(server, "deaf") === 1);
    expect(one.logs().find(({ event }) => event === "deaf")).toMatchObject({
      poll_ms: 50,
      msg: expect.stringContaining("DATABASE_DIRECT_URL") as string,
    });
    send(one, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    const reader = await openStream(`${two.url}/threads/t1/stream`);
    await within("what is committed is there", reader.until("update"));
    const receipt = await within("the stop is answered", post(two, "/threads/t1/stop"));
    expect(receipt.body).toMatchObject({ running: true, status: "stopped" });
    expect(names(await within("the stream ends", reader.rest())).at(-1)).toBe("stopped");
    expect(scene.count("LAST")).toBe(0);
    expect((await get(two, "/readyz")).status).toBe(200);
  });
});

/** How many the database has from others than this test. */
async function connections(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ many: number }>(
    "SELECT count(*)::int AS many FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
  );
  await client.end();
  return rows[0]?.many ?? 0;
}
