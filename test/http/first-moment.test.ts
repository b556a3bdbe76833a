/** A stop that is pressed in the first millisecond of a run, before anybody has heard of it. On real sockets. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setImmediate as macrotask } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import { onEveryStorage, unique, type Body } from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { within } from "../support/poll.js";
import { openStream } from "../support/sse.js";
import { single } from "./graphs.js";

const ROUNDS = 100;

onEveryStorage("a stop in the first moment", (server) => {
  async function connected(): Promise<Socket> {
    const { hostname, port } = new URL(server.url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    socket.on("error", () => undefined);
    onTestFinished(() => void socket.destroy());
    await once(socket, "connect");
    return socket;
  }
  const said = (path: string, body: unknown, more = "Connection: close\r\n"): string => {
    const text = JSON.stringify(body);
    return `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${more}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
  };
  async function answerOf(socket: Socket): Promise<Body> {
    let text = "";
    socket.setEncoding("utf8").on("data", (more: string) => (text += more));
    await within("the answer is whole", once(socket, "close"), 20_000);
    return JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4));
  }
  /** A node that would go on for ever, and says so if it comes to its second half. */
  function endless() {
    const gate = latch();
    let wentOn = 0;
    const graph = server.add(
      single(async (_state, ctx) => {
        await Promise.race([
          gate.opened,
          new Promise((_resolve, reject) => ctx.signal.addEventListener("abort", reject)),
        ]);
        wentOn++;
        return "went on";
      }),
    );
    return { graph, gate, wentOn: () => wentOn };
  }
  /** Pieces of a request, as a network may cut it. */
  function cut(text: string): string[] {
    const at = 1 + Math.floor(Math.random() * (text.length - 1));
    return Math.random() < 0.5 ? [text] : [text.slice(0, at), text.slice(at)];
  }

  it(
    "stops the run, wherever it meets it: the server saw the start first",
    { timeout: 120_000 },
    async () => {
      const { graph, wentOn } = endless();
      for (let i = 0; i < ROUNDS; i++) {
        const thread = unique("t");
        const way = i % 2 === 0 ? "stream" : "run";
        const [starting, stopping] = await Promise.all([connected(), connected()]);
        const stopped = answerOf(stopping);
        const start = said(`/threads/${thread}/${way}`, {
          graph,
          input: { messages: ["x".repeat(i * 200)] },
        });
        // The header of the start and a part of its body, or all of it; then the stop; then what was left of the start.
        const isCut = i % 4 >= 2;
        const first = isCut ? start.slice(0, start.indexOf("\r\n\r\n") + 9) : start;
        const rest = start.slice(first.length);
        starting.write(first);
        if (isCut) await seen(thread);
        stopping.write(said(`/threads/${thread}/stop`, {}));
        if (rest !== "") {
          await macrotask();
          starting.write(rest);
        }
        const receipt = await stopped;
        expect({ i, ...receipt }).toMatchObject({ ok: true, running: true, status: "stopped" });
        expect((await server.get(`/threads/${thread}`)).body.status).toBe("stopped");
        starting.destroy();
      }
      expect(wentOn()).toBe(0);
    },
  );

  /** The server has read the header of a request of the thread: what it reads later came later. */
  async function seen(thread: string): Promise<void> {
    await server.get(`/threads/${thread}`);
    await server.get(`/threads/${thread}`);
  }

  it("says `stopped` only of a run that is, in any order of the packets", { timeout: 120_000 }, async () => {
    const { graph, wentOn } = endless();
    let met = 0;
    for (let i = 0; i < ROUNDS; i++) {
      const thread = unique("t");
      await server.post("/threads", { thread_id: thread, graph });
      const [starting, stopping] = await Promise.all([connected(), connected()]);
      const stopped = answerOf(stopping);
      const start = cut(said(`/threads/${thread}/stream`, { graph }));
      const stop = cut(said(`/threads/${thread}/stop`, {}));
      for (let left = [start, stop]; left.length > 0; left = left.filter((each) => each.length > 0)) {
        const one = left[Math.floor(Math.random() * left.length)] ?? [];
        (one === start ? starting : stopping).write(one.shift() ?? "");
        if (Math.random() < 0.5) await macrotask();
      }
      const receipt = await stopped;
      const { status } = (await server.get(`/threads/${thread}`)).body;
      if (receipt.running === true) {
        met++;
        expect({ i, receipt: receipt.status, status }).toEqual({ i, receipt: "stopped", status: "stopped" });
      } else {
        // The start came behind it.
        expect(receipt.reason).toBe("not-running");
        await server.post(`/threads/${thread}/stop`);
      }
      starting.destroy();
    }
    expect(met).toBeGreaterThan(0);
    expect(wentOn()).toBe(0);
  });

  it("takes with it a run that was about to wait for the thread", async () => {
    const { graph } = endless();
    for (let i = 0; i < 10; i++) {
      const thread = unique("t");
      const first = await openStream(`${server.url}/threads/${thread}/stream`, { body: { graph } });
      const [queueing, stopping] = await Promise.all([connected(), connected()]);
      const stopped = answerOf(stopping);
      const queue = said(
        `/threads/${thread}/run`,
        { graph, on_busy: "enqueue" },
        "Connection: close\r\nPrefer: respond-async\r\n",
      );
      const queued = answerOf(queueing);
      queueing.write(queue.slice(0, -2));
      await seen(thread);
      stopping.write(said(`/threads/${thread}/stop`, {}));
      await macrotask();
      queueing.write(queue.slice(-2));
      const [receipt, waited] = [await stopped, await queued];
      expect(receipt).toMatchObject({ running: true, status: "stopped", dropped: [waited.run_id] });
      await first.rest();
      expect((await server.get(`/threads/${thread}`)).body.status).toBe("stopped");
    }
  });

  it("waits only a moment for a start that is never sent whole", async () => {
    const { graph } = endless();
    const thread = unique("t");
    await server.post("/threads", { thread_id: thread, graph });
    const starting = await connected();
    starting.write(said(`/threads/${thread}/stream`, { graph }).slice(0, -1));
    await seen(thread);
    const since = performance.now();
    const receipt = await server.post(`/threads/${thread}/stop`);
    expect(receipt.body).toMatchObject({ running: false, reason: "not-running" });
    expect(performance.now() - since).toBeLessThan(5000);
    // One that is gone is not waited for.
    starting.destroy();
    await seen(thread);
    const again = performance.now();
    await server.post(`/threads/${thread}/stop`);
    expect(performance.now() - again).toBeLessThan(900);
  });
});
