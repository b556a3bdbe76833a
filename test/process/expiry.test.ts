/** Deadlines and sweeps with several servers on one PostgreSQL: each is done once, also when its process is gone. */
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { until } from "../support/poll.js";
import { crash } from "../support/server.js";
import { get, post, send, threadWhen } from "./client.js";
import { line, newScene } from "./scene.js";

/** SLOW is held, and approved when nobody answers for so long. */
const expiring = (expiresIn: string): string =>
  line({
    compile: `interruptBefore: [{ node: "SLOW", expiresIn: "${expiresIn}", onExpiry: "approve" }]`,
  });
const SETTINGS = { HOLDPOINT_LEASE_MS: "1000", HOLDPOINT_HEARTBEAT_MS: "200" };

async function connect(url: string | undefined): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

test("each of many deadlines on two servers is acted on once", async () => {
  const scene = await newScene("postgres", expiring("300ms"));
  const [one, two] = [await scene.start(SETTINGS), await scene.start(SETTINGS)];
  scene.open("slow");
  const threads = Array.from({ length: 20 }, (_each, i) => `t${i}`);
  await Promise.all(
    threads.map((thread, i) => post(i % 2 === 0 ? one : two, `/threads/${thread}/run`, { input: {} })),
  );
  for (const thread of threads) {
    await threadWhen(one, thread, "completed");
    const { items } = (await get(one, `/threads/${thread}/runs`)).body;
    expect(items).toHaveLength(2);
    expect(items[0].decision).toMatchObject({ decision: "approve", by: "expiry" });
  }
  expect(scene.count("SLOW done")).toBe(threads.length);
});

test("a deadline of a server that was killed is acted on by the other", async () => {
  const scene = await newScene("postgres", expiring("2s"));
  const [one, two] = [await scene.start(SETTINGS), await scene.start(SETTINGS)];
  scene.open("slow");
  expect((await post(one, "/threads/t1/run", { input: {} })).body.status).toBe("interrupted_before");
  await crash(one);
  await threadWhen(two, "t1", "completed");
  expect(scene.count("SLOW done", two.pid)).toBe(1);
  expect(scene.count("SLOW done")).toBe(1);
});

test("a deadline that passed while no server was there is acted on by the next one", async () => {
  const scene = await newScene("postgres", expiring("50ms"));
  const database = await connect(scene.env.DATABASE_URL);
  const one = await scene.start(SETTINGS);
  // Claimed, and the process dies with it: it comes back when that claim has run out.
  await database.query(
    "CREATE FUNCTION claimed_before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.due_at := clock_timestamp() + interval '3 s'; RETURN NEW; END $$",
  );
  await database.query(
    "CREATE TRIGGER claimed_before BEFORE INSERT ON holdpoint.timer FOR EACH ROW EXECUTE FUNCTION claimed_before()",
  );
  await post(one, "/threads/t1/run", { input: {} });
  await crash(one);
  scene.open("slow");
  const two = await scene.start(SETTINGS);
  await threadWhen(two, "t1", "completed");
  expect(scene.count("SLOW done")).toBe(1);
});

test("a deadline is left to a server that has loaded the graph", async () => {
  const [scene, other] = [
    await newScene("postgres", expiring("50ms")),
    await newScene("postgres", line().replaceAll('"line"', '"other"')),
  ];
  const one = await scene.start({ ...SETTINGS, HOLDPOINT_HEARTBEAT_MS: "1000" });
  scene.open("slow");
  const stranger = await other.start({ ...SETTINGS, DATABASE_URL: scene.env.DATABASE_URL ?? "" });
  await post(one, "/threads/t1/run", { input: {} });
  await threadWhen(stranger, "t1", "completed");
  expect(scene.count("SLOW done", one.pid)).toBe(1);
});

test("a sweep deletes threads that are old, and none that runs or waits; what was decided stays on record", async () => {
  const scene = await newScene("postgres", line({ hold: true }));
  const settings = { ...SETTINGS, HOLDPOINT_RETENTION: "1s", HOLDPOINT_SWEEP_MS: "300" };
  const plain = await scene.start(SETTINGS);
  const keep = { held: "interrupted_before", running: "running" };
  const gone = ["stopped", "completed", "idle"];
  for (const thread of ["held", "running", "stopped", "completed"])
    await post(plain, `/threads/${thread}/run`, { input: {} });
  await post(plain, "/threads", { thread_id: "idle" });
  await post(plain, "/threads/stopped/stop", {});
  await post(plain, "/threads/completed/resume", { decision: "deny" });
  send(plain, "/threads/running/resume", { decision: "approve" });
  await scene.marked("SLOW begun");

  await scene.start(settings);
  const two = await scene.start(settings);
  for (const thread of gone)
    await until(`${thread} is gone`, async () => (await get(two, `/threads/${thread}`)).status === 404);
  for (const [thread, status] of Object.entries(keep))
    expect((await get(two, `/threads/${thread}`)).body).toMatchObject({ status });
  const database = await connect(scene.env.DATABASE_URL);
  const { rows } = await database.query<{ node: string; by: string }>(
    "SELECT node, by FROM holdpoint.decision_record",
  );
  expect(rows).toEqual([{ node: '"SLOW"', by: '"anonymous"' }]);
  scene.open("slow");
  await until(
    "the run's thread is gone, too, once it is old",
    async () => (await get(two, "/threads/running")).status === 404,
  );
});
