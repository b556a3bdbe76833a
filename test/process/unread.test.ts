/** Runs with `on_disconnect: "stop"` whose readers are on another server than they, and one that is stopped at its first byte. */
import { performance } from "node:perf_hooks";
import { expect, test } from "vitest";
import { until } from "../support/poll.js";
import { names, openStream, type SseReader } from "../support/sse.js";
import { tcpProxy } from "../support/tcp-proxy.js";
import type { Server } from "../support/server.js";
import { get, post, threadWhen } from "./client.js";
import { line, newScene } from "./scene.js";

/** The contract's. */
const GRACE = 2000;
const WISH = { input: {}, on_disconnect: "stop" };

const stream = (
  server: Server,
  thread: string,
  of: Parameters<typeof openStream>[1] = {},
): Promise<SseReader> => openStream(`${server.url}/threads/${thread}/stream`, of);
const passes = async (ms: number): Promise<void> => {
  const since = performance.now();
  await until("time passes", () => performance.now() - since > ms);
};
const statusOf = async (server: Server, thread: string): Promise<string> =>
  (await get(server, `/threads/${thread}`)).body.status as string;

test("a reader on another server keeps the run, and takes it with him after the grace", async () => {
  const scene = await newScene("postgres", line());
  const [one, two] = [await scene.start(), await scene.start()];
  const first = await stream(one, "t1", { body: WISH });
  await scene.marked("SLOW begun", 1, one.pid);
  const cursor = String((await first.until("update")).at(-1)?.id);
  const second = await stream(two, "t1", { headers: { "Last-Event-ID": cursor } });
  first.leave();
  await passes(2 * GRACE);
  expect(await statusOf(one, "t1")).toBe("running");
  const left = performance.now();
  second.leave();
  await threadWhen(two, "t1", "stopped");
  expect(performance.now() - left).toBeGreaterThan(GRACE - 100);
  expect(scene.count("LAST")).toBe(0);
});

test("readers find the run again when its server dies or shuts down: neither is a reason to stop it", async () => {
  const scene = await newScene("postgres", line());
  const [one, two] = [await scene.start(), await scene.start()];
  const reader = await stream(one, "t1", { body: WISH });
  const follower = await stream(two, "t1", { headers: { "Last-Event-ID": "0" } });
  await scene.marked("SLOW begun", 1, one.pid);
  const cursor = String((await reader.until("update")).at(-1)?.id);
  one.kill("SIGKILL");
  await scene.marked("SLOW begun", 1, two.pid);
  follower.leave();
  const back = await stream(two, "t1", { headers: { "Last-Event-ID": cursor } });
  await passes(1.5 * GRACE);
  const three = await scene.start();
  two.kill("SIGTERM");
  await until("it shuts down", () => two.logs().some(({ msg }) => /shutting down/.test(String(msg))));
  scene.open("slow", two.pid);
  const seen = await back.rest();
  expect(await two.exit).toBe(0);
  const last = await stream(three, "t1", {
    headers: { "Last-Event-ID": String(seen.at(-1)?.id ?? cursor) },
  });
  scene.open("slow");
  expect(names(await last.rest()).at(-1)).toBe("end");
});

test("one that is taken over with nobody there is stopped by its new server", async () => {
  const scene = await newScene("postgres", line());
  const [one, two] = [await scene.start(), await scene.start()];
  const reader = await stream(one, "t1", { body: WISH });
  await scene.marked("SLOW begun", 1, one.pid);
  one.kill("SIGKILL");
  reader.leave();
  await scene.marked("SLOW begun", 1, two.pid);
  await threadWhen(two, "t1", "stopped");
  expect(scene.count("LAST")).toBe(0);
});

test("a database that is away says nothing about who reads", async () => {
  const scene = await newScene("postgres", line());
  const proxy = await tcpProxy(scene.env.DATABASE_URL ?? "");
  const env = { DATABASE_URL: proxy.url, HOLDPOINT_LEASE_MS: "60000" };
  const [one, two] = [await scene.start(env), await scene.start(env)];
  const first = await stream(one, "t1", { body: WISH });
  await scene.marked("SLOW begun", 1, one.pid);
  const cursor = String((await first.until("update")).at(-1)?.id);
  const second = await stream(two, "t1", { headers: { "Last-Event-ID": cursor } });
  first.leave();
  await passes(GRACE / 2);
  proxy.refuse();
  await passes(2 * GRACE);
  proxy.accept();
  await passes(2 * GRACE);
  expect(await statusOf(one, "t1")).toBe("running");
  scene.open("slow");
  expect(names(await second.rest()).at(-1)).toBe("end");
});

test("who waits for the answer of a run that waits counts, also where another server runs it", async () => {
  const scene = await newScene("postgres", line());
  const one = await scene.start({ HOLDPOINT_CONCURRENCY: "1" });
  const busy = await stream(one, "busy", { body: { input: {} } });
  await scene.marked("SLOW begun", 1, one.pid);
  const waiting = post(one, "/threads/t1/run", WISH);
  await threadWhen(one, "t1", "queued");
  const two = await scene.start();
  await scene.marked("SLOW begun", 1, two.pid);
  await passes(1.5 * GRACE);
  scene.open("slow");
  expect((await waiting).body.status).toBe("completed");
  await busy.rest();
});

test("a stop on another server, sent when the header of the stream is here, meets its run", async () => {
  const scene = await newScene("postgres", line());
  const [one, two] = [await scene.start(), await scene.start()];
  for (let i = 0; i < 40; i++) {
    const thread = `t${i}`;
    const [from, at] = i % 2 === 0 ? [one, two] : [two, one];
    const reader = await stream(from, thread, { body: { input: {} } });
    const receipt = await post(at, `/threads/${thread}/stop`);
    expect(receipt.body).toMatchObject({ running: true, status: "stopped" });
    expect(names(await reader.rest()).at(-1)).toBe("stopped");
  }
  expect(scene.count("SLOW done") + scene.count("LAST")).toBe(0);
});
