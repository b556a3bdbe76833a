/** Thousands of readers of one real process. What they cost is printed; that each hears everything is asserted. */
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { post } from "../process/client.js";
import { newScene, type Scene } from "../process/scene.js";
import type { Server } from "../support/server.js";
import { logOf } from "./cut-reader.js";
import { quantile, RawReader } from "./raw-reader.js";

const TIMEOUT = 300_000;
const ASYNC = { Prefer: "respond-async" };

/**
 * "talk" waits at its gate, then says some 60 events a round. "flood" says 10 MB, all of it in the log. "weigh" says
 * what the process holds once it has cleaned up.
 */
const GRAPHS = `
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");
const field = () => z.object({ round: z.number().default(0), rounds: z.number().default(4) });
export const talk = new StateGraph({ state: field() })
  .addNode("TALK", async function* ({ round }, ctx) {
    if (round === 0) { mark("begun"); await gate("talk"); }
    for (let i = 0; i < 30; i++) {
      yield "größer " + i + " ";
      ctx.emit("said", { at: Date.now(), i });
      await sleep(1);
    }
    return { round: round + 1, messages: ["round " + round] };
  })
  .addEdge(START, "TALK")
  .addConditionalEdges("TALK", ({ round, rounds }) => (round < rounds ? "TALK" : END))
  .compile({ name: "talk" });
export const flood = new StateGraph({ state: field() })
  .addNode("FLOOD", async ({ round }, ctx) => {
    if (round === 0) { mark("flood"); await gate("flood"); }
    for (let i = 0; i < 25; i++) {
      ctx.emit("said", { at: Date.now(), i, text: "x".repeat(40_000) });
      await sleep(2);
    }
    return { round: round + 1 };
  })
  .addEdge(START, "FLOOD")
  .addConditionalEdges("FLOOD", ({ round }) => (round < 10 ? "FLOOD" : END))
  .compile({ name: "flood" });
export const weigh = new StateGraph({ state: z.object({ heap: z.number().default(0), rss: z.number().default(0) }) })
  .addNode("WEIGH", () => {
    gc();
    const { heapUsed, external, rss } = process.memoryUsage();
    return { heap: heapUsed + external, rss };
  })
  .addEdge(START, "WEIGH")
  .addEdge("WEIGH", END)
  .compile({ name: "weigh" });
`;

async function begun(): Promise<{ scene: Scene; server: Server }> {
  const scene = await newScene("postgres", GRAPHS);
  // A machine that is busy for a second is no reason to hand runs over.
  const server = await scene.start({ HOLDPOINT_LEASE_MS: "60000", HOLDPOINT_SSE_HEARTBEAT_MS: "5000" });
  return { scene, server };
}

/** Bytes that the server holds, cleaned up, and those that the system has given it. */
async function weight(server: Server): Promise<{ heap: number; rss: number }> {
  const { body } = await post(server, `/threads/weigh/run`, { graph: "weigh" });
  return body.state;
}

async function run(server: Server, graph: string, thread: string, input = {}): Promise<string> {
  const path = `/threads/${thread}`;
  expect((await post(server, `${path}/run`, { graph, input }, ASYNC)).status).toBe(202);
  return `${path}/stream?after=0`;
}

/** Readers that are there before anything is said: each of them is to hear the same bytes. */
async function readersOf(server: Server, paths: readonly string[], each: number) {
  const readers: RawReader[] = [];
  const ended: Promise<void>[] = [];
  // Not more at once than a server lets wait at its door.
  for (let i = 0; i < each; i += 5) {
    const some = paths.flatMap((path) =>
      Array.from({ length: Math.min(5, each - i) }, () => new RawReader(server.url, path)),
    );
    const opened = some.map((reader) => reader.open());
    await Promise.all(opened.map(({ attached }) => attached));
    readers.push(...some);
    ended.push(...opened.map((connection) => connection.ended));
  }
  return { readers, ended: Promise.all(ended) };
}

/** All of them have heard all of it, and the same. */
async function expectAll(server: Server, readers: readonly RawReader[]): Promise<void> {
  for (const path of new Set(readers.map((reader) => reader.path))) {
    const here = readers.filter((reader) => reader.path === path);
    const log = (await logOf(server.url + path.replace("?after=0", ""))).map(({ id }) => id);
    for (const reader of here) {
      expect(reader.isOver).toBe(true);
      expect(reader.logged).toEqual(log);
      expect(reader.ids).toEqual(here[0]?.ids);
      expect(reader.digest()).toBe(here[0]?.digest());
    }
  }
}

function print(what: string, readers: readonly RawReader[], ms: number): void {
  const events = readers.reduce((sum, { ids }) => sum + ids.length, 0);
  const latencies = readers.flatMap((reader) => reader.latencies);
  console.log(
    `${what}: ${events} events in ${Math.round(ms)} ms, ${Math.round((events / ms) * 1000)} a second; ` +
      `latency ${quantile(latencies, 0.5)} ms (median), ${quantile(latencies, 0.99)} ms (99 %)`,
  );
}

/** How many connections a process may have here, some kept for itself. */
function connections(wanted: number): number {
  const limit = Number(execFileSync("sh", ["-c", "ulimit -Hn"]).toString());
  return Number.isNaN(limit) ? wanted : Math.min(wanted, limit - 500);
}

test("200 readers of one thread hear all of it", { timeout: TIMEOUT }, async () => {
  const { scene, server } = await begun();
  const path = await run(server, "talk", "t1");
  await scene.marked("begun");
  const { readers, ended } = await readersOf(server, [path], 200);
  const since = performance.now();
  scene.open("talk");
  await ended;
  print("200 readers of one thread", readers, performance.now() - since);
  expect(readers[0]?.ids.length).toBeGreaterThan(240);
  await expectAll(server, readers);
});

test("2 000 readers of one process hear all that its runs say", { timeout: TIMEOUT }, async () => {
  const { scene, server } = await begun();
  const threads = Array.from({ length: 40 }, (_each, i) => `t${i}`);
  const each = Math.floor(connections(2000) / threads.length);
  const paths = await Promise.all(threads.map((thread) => run(server, "talk", thread, { rounds: 1 })));
  await scene.marked("begun", threads.length);
  const before = await weight(server);
  const { readers, ended } = await readersOf(server, paths, each);
  const idle = await weight(server);
  const kilobytes = (now: number, then: number): number => Math.round((now - then) / readers.length / 1000);
  console.log(
    `${readers.length} idle readers: ${kilobytes(idle.heap, before.heap)} kB of heap each, ` +
      `${kilobytes(idle.rss, before.rss)} kB of memory; ${Math.round(idle.rss / 1e6)} MB in all`,
  );
  const since = performance.now();
  scene.open("talk");
  await ended;
  print(`${readers.length} readers of ${threads.length} threads`, readers, performance.now() - since);
  await expectAll(server, readers);
});

test("readers that never read keep nobody waiting, and have lost nothing", { timeout: TIMEOUT }, async () => {
  for (const stalled of [0, 10]) {
    const { scene, server } = await begun();
    const path = await run(server, "flood", "t1");
    await scene.marked("flood");
    const { readers, ended } = await readersOf(server, [path], 10);
    const silent = Array.from({ length: stalled }, () => new RawReader(server.url, path));
    const held = silent.map((reader) => reader.open(false));
    const since = performance.now();
    scene.open("flood");
    await ended;
    print(`10 readers beside ${stalled} that never read`, readers, performance.now() - since);
    await expectAll(server, readers);
    expect(silent.flatMap(({ ids }) => ids)).toEqual([]);
    for (const connection of held) connection.read();
    await Promise.all(held.map((connection) => connection.ended));
    await Promise.all(silent.map((reader) => reader.readOn()));
    await expectAll(server, [...readers, ...silent]);
  }
});
