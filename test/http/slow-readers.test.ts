/** Readers that do not read: what they cost, how they are let go, and that they lose nothing. On real sockets. */
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import type { HttpOptions } from "../../src/http/index.js";
import { Writer } from "../../src/http/sse/writer.js";
import { weightOf } from "../../src/events/index.js";
import { serve, unique, type TestServer } from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { until, within } from "../support/poll.js";
import { ids, names, openStream } from "../support/sse.js";
import { single } from "./graphs.js";

const MB = 1_048_576;
const sockets = new Set<Socket>();
let server: TestServer | undefined;

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await server?.close();
  server = undefined;
});

/** A GET whose client reads the header of the answer, and then nothing more. */
async function stuckReader(url: string, path: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  sockets.add(socket);
  socket.on("error", () => undefined);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\nAccept: text/event-stream\r\n\r\n`);
  await once(socket, "readable");
  expect(String(socket.read(12))).toBe("HTTP/1.1 200");
  return socket;
}

async function started(http: Partial<HttpOptions>): Promise<TestServer> {
  server = await serve({}, { http, options: { readerBufferBytes: 256 * 1024 } });
  return server;
}

/** A node that says `count` times `bytes` bytes, live, with a commit at its end. */
function chatter(of: TestServer, count: number, bytes: number) {
  const [go, said] = [latch(), latch()];
  const graph = of.add(
    single(async (_state, ctx) => {
      await go.opened;
      for (let i = 0; i < count; i++) {
        ctx.emit("chunk", "x".repeat(bytes));
        // As a node does that waits for a model between two pieces.
        await new Promise((resolve) => setImmediate(resolve));
      }
      said.open();
      return "said";
    }, z.object({})),
  );
  return { go, said, graph, thread: unique("t") };
}

test("a reader that takes nothing is let go after the stall time, and finds all of it when it comes back", async () => {
  const server = await started({ sseStallMs: 300 });
  const { go, graph, thread } = chatter(server, 24, MB);
  const running = server.post(`/threads/${thread}/run`, { graph });
  await until("the thread is there", async () => (await server.get(`/threads/${thread}`)).status === 200);
  const url = `/threads/${thread}/stream`;
  const good = await openStream(`${server.url}${url}?after=0`);
  const stuck = await stuckReader(server.url, `${url}?after=0`);
  const closed = once(stuck, "close");
  go.open();
  const all = await good.rest();
  expect((await running).body.status).toBe("completed");
  // Not before: who takes something again is not let go.
  await until("nobody reads any more", () => server.runtime.readers === 0);
  // What the kernel has taken is still his; behind it comes the end of the connection.
  const taken = await within("the socket is closed", readOut(stuck, closed), 20_000);
  const seen = [...taken.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
  const whole = taken.split("\n\n").slice(0, -1).join("\n\n");
  const last = Number([...whole.matchAll(/^id: (\d+)$/gm)].at(-1)?.[1] ?? 0);
  expect(seen.length).toBeLessThan(all.length);
  const again = await (await openStream(`${server.url}${url}?after=${last}`)).rest();
  // Of the message's deltas there are none here: every event is in the log.
  const before = ids(all).filter((id) => id <= last);
  expect([...before, ...ids(again)]).toEqual(ids(all));
  expect(names(again).at(-1)).toBe("end");
});

/** What still comes, to the end of the connection. */
async function readOut(socket: Socket, closed: Promise<unknown>): Promise<string> {
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (more: string) => (text += more));
  socket.resume();
  await closed;
  // Without the marks of the chunked encoding.
  return text.replace(/\r\n[0-9a-f]+\r\n/g, "");
}

test("readers that take nothing cost a bounded memory each, and hold up neither the run nor other readers", async () => {
  const server = await started({ sseStallMs: 60_000 });
  const [count, bytes] = [60, MB];
  const { go, said, graph, thread } = chatter(server, count, bytes);
  const running = server.post(`/threads/${thread}/run`, { graph });
  await until("the thread is there", async () => (await server.get(`/threads/${thread}`)).status === 200);
  const url = `/threads/${thread}/stream?after=0`;
  const stuck = await Promise.all(Array.from({ length: 20 }, () => stuckReader(server.url, url)));
  const good = await openStream(`${server.url}${url}`);
  globalThis.gc?.();
  go.open();
  const since = performance.now();
  const all = await good.rest();
  await said.opened;
  expect((await running).body.status).toBe("completed");
  const tookMs = performance.now() - since;
  // Twenty times sixty megabytes were not put aside: what waits is the buffer and a slice, and the events are shared.
  const { arrayBuffers, external } = process.memoryUsage();
  console.log(
    `60 events of 1 MB past 20 readers that take nothing: ${Math.round(tookMs)} ms, ${Math.round(arrayBuffers / MB)} MB in buffers`,
  );
  expect(arrayBuffers).toBeLessThan(200 * MB);
  expect(external).toBeLessThan(300 * MB);
  expect(names(all).filter((name) => name === "custom")).toHaveLength(count);
  for (const socket of stuck) expect(socket.destroyed).toBe(false);
});

test("a slow reader that takes what it can is not let go, however large an event is", async () => {
  const server = await started({ sseStallMs: 1000 });
  const { go, graph, thread } = chatter(server, 1, 24 * MB);
  const running = server.post(`/threads/${thread}/run`, { graph });
  await until("the thread is there", async () => (await server.get(`/threads/${thread}`)).status === 200);
  const socket = await stuckReader(server.url, `/threads/${thread}/stream?after=0`);
  go.open();
  await running;
  // Some four seconds for an event that is to be taken, with a stall time of one.
  let bytes = 0;
  let ended = false;
  socket.on("end", () => (ended = true));
  const since = performance.now();
  socket.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    const due = (bytes / (24 * MB)) * 4000;
    const early = due - (performance.now() - since);
    if (early > 5) {
      socket.pause();
      setTimeout(() => socket.resume(), early);
    }
  });
  await until("the stream ends", () => ended || bytes > 24 * MB, 30_000);
  expect(bytes).toBeGreaterThan(24 * MB);
  expect(performance.now() - since).toBeGreaterThan(2000);
});

/** One answer of a plain server, as a Writer has it. */
async function answering(stallMs: number) {
  const got = latch();
  let response: ServerResponse | undefined;
  const plain = createServer((_request, answer) => {
    response = answer;
    got.open();
  });
  plain.listen(0, "127.0.0.1");
  await once(plain, "listening");
  const { port } = plain.address() as { port: number };
  const socket = connect({ host: "127.0.0.1", port });
  sockets.add(socket);
  socket.on("error", () => undefined);
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await got.opened;
  if (response === undefined) throw new Error("no request");
  const writer = new Writer(response, { heartbeatMs: 60_000, stallMs });
  return {
    socket,
    response,
    writer,
    close: () => {
      plain.closeAllConnections();
      plain.close();
    },
  };
}

const HOUR = 3_600_000;

test.each([
  ["its reader leaves", (socket: Socket) => socket.destroy(), HOUR],
  ["its reader resets the connection", (socket: Socket) => socket.resetAndDestroy(), HOUR],
  ["the socket takes nothing for too long", () => undefined, 200],
] as const)("a write that waits for the socket ends when %s", async (_what, act, stallMs) => {
  const { socket, writer, response, close } = await answering(stallMs);
  const written = writer.write("x".repeat(64 * MB));
  await until("it waits", () => response.writableNeedDrain);
  // No more than a slice and what the stream itself keeps.
  expect(response.writableLength).toBeLessThan(256 * 1024);
  act(socket);
  expect(await within("the write ends", written, 10_000)).toBe(false);
  expect(writer.gone.aborted).toBe(true);
  expect(response.destroyed).toBe(true);
  expect(await writer.write("more")).toBe(false);
  writer.end();
  close();
});

test("a reader is not let go for what its server was busy with", async () => {
  const { socket, writer, close } = await answering(200);
  const written = writer.write("x".repeat(8 * MB));
  await new Promise((resolve) => setImmediate(resolve));
  socket.resume();
  // Nothing can be read or heard meanwhile.
  const until = performance.now() + 600;
  while (performance.now() < until);
  expect(await within("the write ends", written, 10_000)).toBe(true);
  writer.end();
  close();
});

test("a write that waits for the socket ends when the socket fails", async () => {
  const { writer, response, close } = await answering(HOUR);
  const written = writer.write("x".repeat(64 * MB));
  await until("it waits", () => response.writableNeedDrain);
  response.socket?.destroy(new Error("the cable"));
  expect(await within("the write ends", written, 10_000)).toBe(false);
  writer.end();
  close();
});

test("a writer whose reader left before it was made says so at once", async () => {
  const { socket, response, close } = await answering(HOUR);
  socket.destroy();
  await until("the server knows", () => response.destroyed || response.closed);
  const writer = new Writer(response, { heartbeatMs: 60_000, stallMs: HOUR });
  expect(writer.gone.aborted).toBe(true);
  expect(await within("it does not wait", writer.write("x"), 5000)).toBe(false);
  writer.end();
  close();
});

test("readers that leave in the middle of waiting leave nothing behind", async () => {
  const server = await started({ sseStallMs: HOUR });
  const { go, said, graph, thread } = chatter(server, 16, MB);
  const running = server.post(`/threads/${thread}/run`, { graph });
  await until("the thread is there", async () => (await server.get(`/threads/${thread}`)).status === 200);
  const stuck = await Promise.all(
    Array.from({ length: 10 }, () => stuckReader(server.url, `/threads/${thread}/stream?follow=true`)),
  );
  await until("they read", () => server.runtime.readers >= 10);
  go.open();
  await said.opened;
  await running;
  expect(server.runtime.readers).toBeGreaterThanOrEqual(10);
  for (const socket of stuck) socket.destroy();
  await until("nobody reads any more", () => server.runtime.readers === 0, 10_000);
});

// Its timers can be read on Linux alone.
if (process.platform === "linux")
  test("the kernel watches the connections of streams", async () => {
    const server = await started({});
    const { graph, thread, go } = chatter(server, 1, 1);
    const running = server.post(`/threads/${thread}/run`, { graph });
    await until("the thread is there", async () => (await server.get(`/threads/${thread}`)).status === 200);
    const socket = await stuckReader(server.url, `/threads/${thread}/stream`);
    // The server's end, named by both ports: another connection may have the same one at one end.
    const ends = [socket.remotePort, socket.localPort].map(
      (port = 0) => `:${port.toString(16).toUpperCase().padStart(4, "0")}`,
    );
    const connections = readFileSync("/proc/net/tcp", "utf8").split("\n");
    const [, , , , , timer] =
      connections
        .map((line) => line.trim().split(/\s+/))
        .find(([, local, remote]) => local?.endsWith(ends[0] ?? "") && remote?.endsWith(ends[1] ?? "")) ?? [];
    // Its timer is that of the keep-alive.
    expect(timer).toMatch(/^02:/);
    go.open();
    await running;
  });

test("what waits for a reader is weighed by its texts", () => {
  const event = (value: unknown) =>
    ({ content: "", data: { name: "x", value } }) as unknown as Parameters<typeof weightOf>[0];
  expect(weightOf(event("x".repeat(MB)))).toBeGreaterThan(MB);
  expect(weightOf(event({ deep: ["x".repeat(500), { y: "x".repeat(500) }] }))).toBeGreaterThan(1000);
  expect(weightOf(event(1))).toBeLessThan(1000);
});

test("an opening that its socket does not take yet is out before what follows it, and stalls nothing", async () => {
  const { socket, response, writer, close } = await answering(300);
  const filling = "x".repeat(8 * MB);
  response.write(filling);
  writer.open("opening;");
  // By itself: nothing else is there in time.
  await new Promise((resolve) => setTimeout(resolve, 20));
  const written = writer.write("first;");
  let taken = "";
  socket.on("data", (chunk) => (taken += String(chunk)));
  expect(await within("the write ends", written, 10_000)).toBe(true);
  // Longer than a socket may take nothing.
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(writer.gone.aborted).toBe(false);
  expect(await writer.write("second;")).toBe(true);
  writer.end();
  await until("all is there", () => taken.includes("second;"));
  expect(taken.match(/(opening|first|second);/g)).toEqual(["opening;", "first;", "second;"]);
  close();
});

test("an opening goes out once, in front of what is there in time, or with the end", async () => {
  for (const way of ["with the first", "by itself", "with the end", "the reader is gone"]) {
    const { socket, response, writer, close } = await answering(HOUR);
    let taken = "";
    socket.on("data", (chunk) => (taken += String(chunk)));
    const chunks: string[] = [];
    const write = response.write.bind(response);
    response.write = (chunk: Uint8Array) => {
      chunks.push(Buffer.from(chunk).toString());
      return write(chunk);
    };
    writer.open("opening;");
    if (way === "the reader is gone") response.destroy();
    if (way === "by itself") await until("it is there", () => taken.includes("opening;"));
    if (way !== "with the end") await writer.write("first;");
    writer.end();
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (way === "the reader is gone") expect(taken).toBe("");
    else await until("it is there", () => taken.includes(way === "with the end" ? "opening;" : "first;"));
    const wanted = { "with the end": ["opening;"], "the reader is gone": [] }[way] ?? ["opening;", "first;"];
    expect(
      [...taken.matchAll(/(opening|first);/g)].map(([text]) => text),
      way,
    ).toEqual(wanted);
    if (way === "with the first") expect(chunks).toEqual(["opening;first;"]);
    if (way === "by itself") expect(chunks).toEqual(["opening;", "first;"]);
    close();
  }
});
