/** Hints between two servers on one PostgreSQL. Polls, heartbeats and leases are an hour: what arrives, a hint has brought. */
import pg from "pg";
import { expect, test } from "vitest";
import { until, within } from "../support/poll.js";
import { names, openStream } from "../support/sse.js";
import { tcpProxy } from "../support/tcp-proxy.js";
import { get, post, send, threadWhen } from "./client.js";
import { line, newScene, SILENT } from "./scene.js";

/** Far more than a hint takes, on a busy machine too. */
const SOON = 5000;

test("a reader on one server sees the events of a run on the other as they are committed", async () => {
  const scene = await newScene("postgres", line());
  const [one, two] = [await scene.start(SILENT), await scene.start(SILENT)];
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun", 1, one.pid);
  const reader = await openStream(`${two.url}/threads/t1/stream`);
  const before = await within("what is committed is there", reader.until("update"), SOON);
  expect(before.at(-1)?.chunk.data.step).toBe(1);
  scene.open("slow");
  const after = await within("the rest arrives", reader.rest(), SOON);
  expect(names(after).filter((name) => name === "update")).toHaveLength(2);
  expect(names(after).at(-1)).toBe("end");
});

test("a stop that is sent to one server stops the run on the other, and is answered with its end", async () => {
  const scene = await newScene("postgres", line());
  const [one, two] = [await scene.start(SILENT), await scene.start(SILENT)];
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun", 1, one.pid);
  const receipt = await within("the stop is answered", post(two, "/threads/t1/stop"), SOON);
  expect(receipt).toMatchObject({ status: 200, body: { running: true, status: "stopped" } });
  expect((await get(one, "/threads/t1")).body).toMatchObject({ status: "stopped" });
  expect(scene.count("LAST")).toBe(0);
});

test("a run that a server gives up when it shuts down goes on at once in the other (invariants 7, 8)", async () => {
  const scene = await newScene("postgres", line());
  const [one, two] = [await scene.start(SILENT), await scene.start(SILENT)];
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun", 1, one.pid);
  const reader = await openStream(`${two.url}/threads/t1/stream`);
  one.kill("SIGTERM");
  await until("it shuts down", () => one.logs().some(({ msg }) => /shutting down/.test(String(msg))));
  scene.open("slow", one.pid);
  const events = await within("the run ends for the reader", reader.rest(), SOON);
  expect(await one.exit).toBe(0);
  expect(scene.count("SLOW begun", one.pid)).toBe(1);
  expect(scene.count("LAST", two.pid)).toBe(1);
  // What the first one committed last comes before what the second one does (invariant 7).
  const updates = events.filter(({ name }) => name === "update");
  expect(updates.map(({ chunk }) => chunk.data.step)).toEqual([1, 2, 3]);
  expect(names(events).at(-1)).toBe("end");
});

test("a server whose listening connection was killed connects again, and finds what happened meanwhile", async () => {
  const scene = await newScene("postgres", line());
  const proxy = await tcpProxy(scene.env.DATABASE_URL ?? "");
  const one = await scene.start(SILENT);
  const two = await scene.start({ ...SILENT, DATABASE_DIRECT_URL: proxy.url, LOG_LEVEL: "debug" });
  const said = (event: string): number => two.logs().filter((entry) => entry.event === event).length;
  await until("it hears", () => said("hearing") === 1);
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun", 1, one.pid);
  const reader = await openStream(`${two.url}/threads/t1/stream`);
  await within("what is committed is there", reader.until("update"), SOON);

  proxy.refuse();
  await killListeners(scene.env.DATABASE_URL ?? "");
  await until("it is deaf, and tries again", () => said("deaf") === 1 && proxy.connections() > 2);
  scene.open("slow");
  await threadWhen(one, "t1", "completed");
  proxy.accept();
  const after = await within("what happened meanwhile is found", reader.rest(), 15_000);
  expect(names(after).at(-1)).toBe("end");
  expect([said("deaf"), said("hearing")]).toEqual([1, 2]);
});

test("a server that can never listen starts, says so, and looks by itself", async () => {
  const scene = await newScene("postgres", line());
  const one = await scene.start(SILENT);
  const two = await scene.start({
    ...SILENT,
    HOLDPOINT_POLL_MS: "50",
    DATABASE_DIRECT_URL: "postgres://nobody@127.0.0.1:1/nothing",
  });
  await until("it says so", () => two.logs().some(({ event }) => event === "deaf"));
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun", 1, one.pid);
  const reader = await openStream(`${two.url}/threads/t1/stream`);
  scene.open("slow");
  expect(names(await within("the run ends for the reader", reader.rest(), SOON)).at(-1)).toBe("end");
  expect((await get(two, "/readyz")).status).toBe(200);
});

async function killListeners(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query(
    "SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'",
  );
  await client.end();
  expect(rows).toEqual([{ ended: true }, { ended: true }]);
}
