/** Two servers on one PostgreSQL: what one leaves, the other takes over, and only then. */
import pg from "pg";
import { expect, test } from "vitest";
import { until } from "../support/poll.js";
import { crash, type Server } from "../support/server.js";
import { eventsOf, get, grows, post, send, stateOf, threadWhen } from "./client.js";
import { line, newScene } from "./scene.js";

const LEASE = 3000;
const SETTINGS = { HOLDPOINT_LEASE_MS: String(LEASE), HOLDPOINT_HEARTBEAT_MS: "500" };

test("when one of two servers is killed the other takes its run over within the lease, with no client calling (invariant 8)", async () => {
  const scene = await newScene("postgres", line());
  const [one, two] = [await scene.start(SETTINGS), await scene.start(SETTINGS)];
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun", 1, one.pid);
  await crash(one);
  const killed = Date.now();
  await scene.marked("SLOW begun", 1, two.pid);
  // The lease, a heartbeat until it is seen, and time for a busy machine to get to it.
  expect(Date.now() - killed).toBeLessThan(LEASE + 500 + 3000);
  scene.open("slow");
  await scene.marked("LAST", 1, two.pid);
  expect(await threadWhen(two, "t1", "completed")).toMatchObject({ interrupts: [] });
  expect(scene.count("FIRST")).toBe(1);
  expect((await stateOf(two, "t1")).log).toEqual(["FIRST", "SLOW", "LAST"]);
});

test("a run of a server that beats is left to it, however long it takes", async () => {
  const scene = await newScene("postgres", line());
  const [one, two] = [await scene.start(SETTINGS), await scene.start(SETTINGS)];
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun", 1, one.pid);
  await beatsPast(scene.env.DATABASE_URL ?? "", LEASE + 1000);
  scene.open("slow");
  await threadWhen(two, "t1", "completed");
  expect(scene.ledger().map(({ pid }) => pid)).toEqual([one.pid, one.pid, one.pid, one.pid]);
});

test("an action behind a hold point that the killed one of two servers was in is asked about by the other", async () => {
  const scene = await newScene("postgres", line({ hold: true }));
  const [one, two] = [await scene.start(SETTINGS), await scene.start(SETTINGS)];
  // Paused by one, approved by the other: no request needs to reach a particular process.
  await post(one, "/threads/t1/run", { input: {} });
  send(two, "/threads/t1/resume", { decision: "approve" });
  await scene.marked("SLOW begun", 1, two.pid);
  await crash(two);
  scene.open("slow");
  const thread = await threadWhen(one, "t1", "interrupted_before", "completed", "error");
  expect(thread).toMatchObject({ status: "interrupted_before", interrupts: [{ kind: "crash" }] });
  expect(scene.count("SLOW begun")).toBe(1);
  const approved = await post(one, "/threads/t1/resume", { decision: "approve" });
  expect(approved.body.status).toBe("completed");
});

test("a server that slept while its run was taken over and completed cannot write when it wakes", async () => {
  const scene = await newScene("postgres", line());
  const [one, two] = [await scene.start(SETTINGS), await scene.start(SETTINGS)];
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun", 1, one.pid);
  one.kill("SIGSTOP");
  await scene.marked("SLOW begun", 1, two.pid);
  scene.open("slow", two.pid);
  await threadWhen(two, "t1", "completed");
  const before = await eventsOf(two, "t1");

  scene.open("slow", one.pid);
  one.kill("SIGCONT");
  await scene.marked("SLOW done", 1, one.pid);
  await beatAgain(one, scene.env.DATABASE_URL ?? "");
  expect(await eventsOf(two, "t1")).toEqual(before);
  expect(await eventsOf(one, "t1")).toEqual(before);
  await expectOnce(two, two.pid);
  expect(scene.count("LAST")).toBe(1);
});

test("a server that wakes while another executes its run cannot write into it", async () => {
  const scene = await newScene("postgres", line());
  const [one, two] = [await scene.start(SETTINGS), await scene.start(SETTINGS)];
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun", 1, one.pid);
  one.kill("SIGSTOP");
  await scene.marked("SLOW begun", 1, two.pid);
  scene.open("slow", one.pid);
  one.kill("SIGCONT");
  await scene.marked("SLOW done", 1, one.pid);
  await beatAgain(one, scene.env.DATABASE_URL ?? "");
  const { body } = await get(two, "/threads/t1");
  expect(body).toMatchObject({ status: "running", step: 1 });
  scene.open("slow", two.pid);
  await threadWhen(two, "t1", "completed");
  await expectOnce(two, two.pid);
});

test("a server that never beats again loses its run, and the commit of its node is refused", async () => {
  const scene = await newScene("postgres", line());
  // Its first heartbeat is its last: it goes on working on what is no longer its own.
  const one = await scene.start({ HOLDPOINT_LEASE_MS: "1000", HOLDPOINT_HEARTBEAT_MS: "3600000" });
  const two = await scene.start(SETTINGS);
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun", 1, one.pid);
  await scene.marked("SLOW begun", 1, two.pid);
  scene.open("slow", one.pid);
  await until("the first server finds its lease lost", () =>
    one.logs().some(({ thread_id: id, msg }) => id === "t1" && /lease is lost/.test(String(msg))),
  );
  expect((await get(two, "/threads/t1")).body).toMatchObject({ status: "running", step: 1 });
  scene.open("slow", two.pid);
  await threadWhen(two, "t1", "completed");
  await expectOnce(two, two.pid);
  expect(one.ended()).toBeNull();
});

test("a once result of a server that lost its run is not stored over the other's (invariant 3)", async () => {
  const slow = `const by = await ctx.once("by", async () => { mark("once begun"); await gate("once"); return process.pid; });
    mark("once gave " + by);`;
  const scene = await newScene("postgres", line({ slow }));
  const one = await scene.start({ HOLDPOINT_LEASE_MS: "1000", HOLDPOINT_HEARTBEAT_MS: "3600000" });
  const two = await scene.start(SETTINGS);
  const url = scene.env.DATABASE_URL ?? "";
  await query(url, WATCH_RECORDS);
  scene.open("slow");
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("once begun", 1, one.pid);
  await scene.marked("once begun", 1, two.pid);
  scene.open("once", one.pid);
  await until("the first server is refused when it stores its result", async () => {
    const refused = await query(url, "SELECT 1 FROM tried WHERE NOT ok");
    return refused.length > 0;
  });
  expect(await query(url, "SELECT key FROM holdpoint.task_record")).toEqual([]);
  scene.open("once", two.pid);
  await threadWhen(two, "t1", "completed");
  expect(scene.count(`once gave ${two.pid}`, two.pid)).toBe(1);
  expect(scene.ledger().filter(({ mark }) => mark.startsWith("once gave"))).toHaveLength(1);
  await expectOnce(two, two.pid);
});

/** Each step once, by `pid`; one terminal event. */
async function expectOnce(server: Server, pid: number): Promise<void> {
  expect(await stateOf(server, "t1")).toMatchObject({ log: ["FIRST", "SLOW", "LAST"], by: pid });
  const events = await eventsOf(server, "t1");
  expect(grows(events)).toBe(true);
  expect(events.filter(({ type }) => type === "update").map(({ data }) => data.data.step)).toEqual([1, 2, 3]);
  expect(events.filter(({ type }) => ["end", "failed", "stopped"].includes(type))).toHaveLength(1);
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Every attempt to store a `once` result, and whether it was taken. */
const WATCH_RECORDS = `
  CREATE TABLE tried (ok boolean);
  ALTER FUNCTION holdpoint.record_v1 RENAME TO record_watched;
  CREATE FUNCTION holdpoint.record_v1(text, text, bigint, text, text, text) RETURNS boolean LANGUAGE plpgsql AS $$
  DECLARE
    ok boolean := holdpoint.record_watched($1, $2, $3, $4, $5, $6);
  BEGIN
    INSERT INTO public.tried VALUES (ok);
    RETURN ok;
  END $$`;

/** Waits until every server has beaten for so long after now. */
async function beatsPast(url: string, ms: number): Promise<void> {
  const [now] = await query(url, `SELECT (clock_timestamp() + interval '${ms} ms')::text AS past`);
  await until("every server has beaten past a lease", async () => {
    const late = await query(
      url,
      `SELECT id FROM holdpoint.worker WHERE beat_at < '${String(now?.past)}'::timestamptz`,
    );
    return late.length === 0;
  });
}

/** Waits until this server, which slept, works again and has beaten: what it wanted to write, it has tried. */
async function beatAgain(server: Server, url: string): Promise<void> {
  await beatsPast(url, 600);
  expect((await get(server, "/readyz")).status).toBe(200);
}
