/** nginx in front, told nothing but where the server is: events pass at once, and a quiet stream stays open. */
import { describe, expect, test } from "vitest";
import { eventsOf, get, send, threadWhen } from "../process/client.js";
import { line, newScene, type Scene } from "../process/scene.js";
import { freePort } from "../support/free-port.js";
import { until, within } from "../support/poll.js";
import { crash, type Env, type Server } from "../support/server.js";
import { ids, names, openStream } from "../support/sse.js";
import { startNginx, type Nginx } from "./nginx.js";
import { read } from "./reader.js";

/**
 * How long a stream is quiet. Given, everything has its default: nginx cuts what is silent for 60 seconds, and the server
 * speaks every 15. Otherwise all of it is shorter.
 */
const GIVEN = process.env.QUIET_MS;
const QUIET_MS = Number(GIVEN ?? 6000);
const BEAT_MS = GIVEN === undefined ? 500 : 15_000;
const CUT_MS = GIVEN === undefined ? 2000 : 60_000;
const LIMIT = GIVEN === undefined ? `proxy_read_timeout ${CUT_MS}ms;` : "";
const TIMEOUT = 120_000 + 2 * QUIET_MS;

interface Stage {
  readonly scene: Scene;
  readonly server: Server;
  readonly nginx: Nginx;
  /** The server by way of nginx. */
  readonly url: string;
  readonly restart: () => Promise<Server>;
}

/** A run that waits at the gate "slow", on a server behind nginx; `location` is what nginx is told beside `proxy_pass`. */
async function newStage(location: string, env: Env = {}): Promise<Stage> {
  const scene = await newScene("embedded", line());
  const [port, front] = [await freePort(), await freePort()];
  const start = (): Promise<Server> =>
    scene.start({ PORT: String(port), HOLDPOINT_SSE_RETRY_MS: "100", ...env });
  const server = await start();
  const url = `http://127.0.0.1:${front}`;
  const nginx = await startNginx(
    `server { listen 127.0.0.1:${front}; location / { proxy_pass http://127.0.0.1:${port}; ${location} } }`,
    async () => (await fetch(`${url}/healthz`)).ok,
  );
  return { scene, server, nginx, url, restart: start };
}

const logOf = async (server: Server): Promise<number[]> => (await eventsOf(server, "t1")).map(({ id }) => id);

describe.each([
  ["HTTP/1.0, its default", ""],
  ["HTTP/1.1", 'proxy_http_version 1.1; proxy_set_header Connection "";'],
])("behind nginx that speaks %s", (_name, version) => {
  test("events arrive before the run ends, and the stream ends with it", async () => {
    const { scene, server, url } = await newStage(version);
    const stream = await within(
      "the stream begins",
      openStream(`${url}/threads/t1/stream`, { body: { graph: "line", input: {} } }),
    );
    const before = await within("what is committed is there", stream.until("update"));
    await scene.marked("SLOW begun");
    expect((await get(server, "/threads/t1")).body.status).toBe("running");
    scene.open("slow");
    const all = [...before, ...(await within("the stream ends", stream.rest()))];
    expect(names(all).at(-1)).toBe("end");
    expect(ids(all)).toEqual(await logOf(server));
  });

  test("a quiet stream stays open, by the comments of the server", { timeout: TIMEOUT }, async () => {
    const { scene, server, url } = await newStage(version + LIMIT, {
      HOLDPOINT_SSE_HEARTBEAT_MS: String(BEAT_MS),
    });
    const body = { graph: "line", input: {} };
    const stream = await openStream(`${url}/threads/t1/stream`, { body });
    const before = await stream.until("update");
    await scene.marked("SLOW begun");
    const since = Date.now();
    // The first comment opens the stream.
    await within(
      "it is kept open",
      stream.commented(1 + Math.ceil(QUIET_MS / BEAT_MS)),
      QUIET_MS * 2 + 40_000,
    );
    expect(Date.now() - since).toBeGreaterThan(2 * CUT_MS);
    scene.open("slow");
    const all = [...before, ...(await within("the stream ends", stream.rest()))];
    expect(ids(all)).toEqual(await logOf(server));
  });

  test(
    "one that says nothing is cut, and its reader comes back for the rest",
    { timeout: TIMEOUT },
    async () => {
      const { scene, server, nginx, url } = await newStage(version + LIMIT, {
        HOLDPOINT_SSE_HEARTBEAT_MS: "3600000",
      });
      send(server, "/threads/t1/run", { graph: "line", input: {} });
      await scene.marked("SLOW begun");
      const reader = read(`${url}/threads/t1/stream`);
      await reader.hears("update");
      await until("it is cut twice", () => reader.opened() >= 3, CUT_MS * 3 + 40_000);
      expect(nginx.errors()).toMatch(/upstream timed out/);
      scene.open("slow");
      expect(await reader.closed()).toBe(204);
      expect(reader.ids).toEqual(await logOf(server));
    },
  );

  test("a server that is killed and started again is found by a new EventSource with its cursor", async () => {
    const { scene, server, url, restart } = await newStage(version);
    send(server, "/threads/t1/run", { graph: "line", input: {} });
    await scene.marked("SLOW begun");
    const reader = read(`${url}/threads/t1/stream`);
    await reader.hears("update");
    await crash(server);
    // nginx answers where a closed port would not, and that is the end for an EventSource.
    expect(await reader.closed()).toBe(502);
    const again = await restart();
    await scene.marked("SLOW begun", 1, again.pid);
    const second = read(`${url}/threads/t1/stream?after=${reader.ids.at(-1)}`);
    await second.hears("progress");
    scene.open("slow");
    expect(await second.closed()).toBe(204);
    const heard = [...reader.ids, ...second.ids];
    expect(heard).toEqual([...new Set(heard)].sort((a, b) => a - b));
    expect((await logOf(again)).filter((id) => !heard.includes(id))).toEqual([]);
    expect(second.names.at(-1)).toBe("end");
  });
});

test("a request that waits for its run says nothing meanwhile: nginx gives it up, and the run goes on", async () => {
  const { scene, server, url } = await newStage("proxy_read_timeout 500ms;", {
    HOLDPOINT_SSE_HEARTBEAT_MS: "100",
  });
  const answer = await fetch(`${url}/threads/t1/run`, {
    method: "POST",
    body: JSON.stringify({ graph: "line", input: {} }),
  });
  expect(answer.status).toBe(504);
  await scene.marked("SLOW begun");
  scene.open("slow");
  await threadWhen(server, "t1", "completed");
  // It was not sent twice.
  expect(scene.count("FIRST")).toBe(1);
});

test("without the server's X-Accel-Buffering nginx that speaks HTTP/1.0 would hold everything back", async () => {
  const { scene, server, url } = await newStage("proxy_ignore_headers X-Accel-Buffering;", {
    HOLDPOINT_SSE_HEARTBEAT_MS: "100",
  });
  send(server, "/threads/t1/run", { graph: "line", input: {} });
  await scene.marked("SLOW begun");
  let began = false;
  const held = openStream(`${url}/threads/t1/stream`).finally(() => (began = true));
  const direct = await openStream(`${server.url}/threads/t1/stream`);
  await direct.until("update");
  await direct.commented(10);
  expect(began).toBe(false);
  scene.open("slow");
  await threadWhen(server, "t1", "completed");
  expect(ids(await (await held).rest())).toEqual(await logOf(server));
});
