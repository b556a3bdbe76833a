/** PostgreSQL has done it, and the connection breaks before it can say so. What is sent again is done once. */
import { describe, expect, test } from "vitest";
import { newPostgresDatabase } from "../support/databases.js";
import { until, within } from "../support/poll.js";
import { startProxy, type Proxy } from "../support/proxy.js";
import type { Server } from "../support/server.js";
import { eventsOf, get, grows, post, send, threadWhen } from "./client.js";
import { expectWhole, query } from "./own-postgres.js";
import { line, newScene, type Scene } from "./scene.js";

const LINE_ONCE = ["FIRST", "SLOW begun", "SLOW done", "LAST"];
const PATIENT = { HOLDPOINT_LEASE_MS: "120000", HOLDPOINT_HEARTBEAT_MS: "300" };

interface Wired {
  readonly scene: Scene;
  readonly proxy: Proxy;
  readonly url: string;
  /** A server behind the wire. */
  readonly server: Server;
}

async function wired(module: string, env: Record<string, string> = {}): Promise<Wired> {
  const scene = await newScene("postgres", module);
  const url = await newPostgresDatabase();
  const proxy = await startProxy(url);
  const server = await scene.start({ ...PATIENT, ...env, DATABASE_URL: proxy.url });
  return { scene, proxy, url, server };
}

async function expectOnce(server: Server, url: string): Promise<void> {
  const events = await eventsOf(server, "t1");
  expect(grows(events)).toBe(true);
  expect(events.filter(({ type }) => type === "start")).toHaveLength(1);
  expect(events.filter(({ type }) => type === "update").map(({ data }) => data.data.step)).toEqual([1, 2, 3]);
  expect(events.map(({ type }) => type)).not.toContain("restart");
  expect(events.filter(({ type }) => ["end", "error", "stopped"].includes(type))).toHaveLength(1);
  expect(await query(url, "SELECT run_id FROM holdpoint.run")).toHaveLength(1);
  await expectWhole(url);
}

test("of a start: the client gets its run all the same, and there is one", async () => {
  const { scene, proxy, url, server } = await wired(line());
  const lost = proxy.loseAnswerTo(/holdpoint\.write_v\d/);
  const waiting = post(server, "/threads/t1/run", { input: {} });
  await within("the answer is lost", lost);
  scene.open("slow");
  expect(await within("the run ends", waiting)).toMatchObject({ status: 200, body: { status: "completed" } });
  expect(scene.ledger().map(({ mark }) => mark)).toEqual(LINE_ONCE);
  await expectOnce(server, url);
});

test("of an approval: it is given once, and the client hears what came of it", async () => {
  const { scene, proxy, url, server } = await wired(line({ hold: true }));
  await post(server, "/threads/t1/run", { input: {} });
  const lost = proxy.loseAnswerTo(/holdpoint\.write_v\d/);
  const waiting = post(server, "/threads/t1/resume", { decision: "approve" });
  await within("the answer is lost", lost);
  scene.open("slow");
  expect(await within("the run ends", waiting)).toMatchObject({ status: 200, body: { status: "completed" } });
  expect(scene.ledger().map(({ mark }) => mark)).toEqual(LINE_ONCE);
  const decisions = (await eventsOf(server, "t1")).filter(({ type }) => type === "decision");
  expect(decisions).toHaveLength(1);
  await expectWhole(url);
});

test("of a start that cannot be sent again in time: 503 names the run, which then goes on without having lost an attempt", async () => {
  // FIRST may not be repeated unasked: an attempt that was lost would be asked about.
  const compile = `interruptBefore: [{ node: "FIRST", when: () => false }],`;
  const { scene, proxy, url, server } = await wired(line({ compile }));
  const lost = proxy.loseAnswerTo(/holdpoint\.write_v\d/);
  const waiting = post(server, "/threads/t1/run", { input: {} });
  await within("the answer is lost", lost);
  proxy.cut();
  const reply = await within("the client is let go", waiting, 20_000);
  expect(reply).toMatchObject({ status: 503, body: { code: "database_unavailable", thread_id: "t1" } });
  expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(scene.ledger()).toEqual([]);
  proxy.mend();
  scene.open("slow");
  const thread = await threadWhen(server, "t1", "completed", "interrupted_before");
  expect(thread).toMatchObject({ status: "completed", run_id: reply.body.run_id });
  expect((await get(server, String(reply.body.location))).body).toMatchObject({ status: "completed" });
  expect(scene.ledger().map(({ mark }) => mark)).toEqual(LINE_ONCE);
  await expectOnce(server, url);
});

describe("of a commit", () => {
  test.each([
    ["in the middle", /holdpoint\.write_v\d.*\0\x04step\0/s],
    ["at the end", /holdpoint\.write_v\d.*"end":/s],
  ])("%s of a run: it is there once, and no node runs again", async (_where, statement) => {
    const { scene, proxy, url, server } = await wired(line());
    const lost = proxy.loseAnswerTo(statement);
    const waiting = post(server, "/threads/t1/run", { input: {} });
    scene.open("slow");
    await within("the answer is lost", lost);
    expect(await within("the run ends", waiting)).toMatchObject({ status: 200 });
    expect(scene.ledger().map(({ mark }) => mark)).toEqual(LINE_ONCE);
    await expectOnce(server, url);
  });
});

test("of a once result: its node gets it, and makes its effect once", async () => {
  const slow = `const paid = await ctx.once("pay", () => { mark("paid"); return "once"; }); mark("got " + paid);`;
  const { scene, proxy, url, server } = await wired(line({ slow }));
  const lost = proxy.loseAnswerTo(/holdpoint\.record_v\d/);
  const waiting = post(server, "/threads/t1/run", { input: {} });
  await within("the answer is lost", lost);
  scene.open("slow");
  expect(await within("the run ends", waiting)).toMatchObject({ status: 200 });
  expect(scene.count("paid")).toBe(1);
  expect(scene.count("got once")).toBe(1);
  expect(scene.count("SLOW begun")).toBe(1);
  await expectOnce(server, url);
});

test("of a heartbeat: no run is lost for it", async () => {
  const { scene, proxy, url, server } = await wired(line());
  send(server, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun");
  await within("an answer is lost", proxy.loseAnswerTo(/holdpoint\.beat_v\d/));
  await within("and another one", proxy.loseAnswerTo(/holdpoint\.beat_v\d/));
  scene.open("slow");
  await threadWhen(server, "t1", "completed");
  expect(scene.ledger().map(({ mark }) => mark)).toEqual(LINE_ONCE);
  await expectOnce(server, url);
});

test("of a hand-over: the run goes on elsewhere, and nobody is asked about a node that had not begun", async () => {
  const compile = `interruptBefore: [{ node: "LAST", when: () => false }],`;
  const { scene, proxy, url, server } = await wired(line({ compile }), { HOLDPOINT_DRAIN_MS: "3600000" });
  send(server, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun");
  const lost = proxy.loseAnswerTo(/UPDATE holdpoint\.thread SET worker = NULL/);
  server.kill("SIGTERM");
  await until("it shuts down", () => server.logs().some(({ signal }) => signal === "SIGTERM"));
  scene.open("slow");
  await within("the answer is lost", lost);
  expect(await within("it ends", server.exit)).toBe(0);
  const next = await scene.start({ ...PATIENT, DATABASE_URL: url });
  const thread = await threadWhen(next, "t1", "completed", "interrupted_before");
  expect(thread).toMatchObject({ status: "completed" });
  expect(scene.ledger().map(({ mark }) => mark)).toEqual(LINE_ONCE);
  await expectOnce(next, url);
});
