/** A browser's EventSource on the stream: it loses its connection, comes back, and misses nothing. */
import { createServer, connect, type AddressInfo, type Server, type Socket } from "node:net";
import { EventSource, type ErrorEvent } from "eventsource";
import { expect, it } from "vitest";
import { onEveryStorageWith, unique } from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { ids, openStream } from "../support/sse.js";
import { refund, single } from "./graphs.js";

const EVENTS = "start progress delta message custom update decision restart interrupted stopped failed end";

/** A line to the server that can be cut. */
class Line {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async to(url: string): Promise<Line> {
    const port = Number(new URL(url).port);
    const server = createServer();
    const line = new Line(server);
    server.on("connection", (socket) => {
      const onward = connect(port, "127.0.0.1");
      for (const each of [socket, onward]) {
        line.#sockets.add(each);
        each.on("error", () => undefined);
      }
      socket.pipe(onward).pipe(socket);
      socket.on("close", () => onward.destroy());
      onward.on("close", () => socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return line;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Every connection ends in the middle. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** What an EventSource hears, and what makes it stop. */
function listen(url: string) {
  const source = new EventSource(url);
  const heard: { name: string; id: number }[] = [];
  const errors: ErrorEvent[] = [];
  const closed = latch();
  const waiting: { name: string; met: () => void }[] = [];
  let opened = 0;
  source.onopen = () => opened++;
  for (const name of EVENTS.split(" ")) {
    source.addEventListener(name, (event) => {
      heard.push({ name, id: Number(event.lastEventId) });
      for (const each of waiting) if (each.name === name) each.met();
    });
  }
  source.onerror = (error) => {
    errors.push(error);
    if (source.readyState === EventSource.CLOSED) closed.open();
  };
  return {
    source,
    heard,
    errors,
    closed: closed.opened,
    opened: () => opened,
    hears: (name: string): Promise<void> =>
      heard.some((each) => each.name === name)
        ? Promise.resolve()
        : new Promise((met) => waiting.push({ name, met })),
  };
}

onEveryStorageWith({ http: { sseRetryMs: 1 } }, "an EventSource", (server) => {
  it("comes back by Last-Event-ID with no event missed or repeated, and stops asking at 204", async () => {
    const [began, more, spoke, end] = [latch(), latch(), latch(), latch()];
    const graph = server.add(
      single(async function* (_state, ctx) {
        yield "one ";
        ctx.emit("first", 1);
        began.open();
        await more.opened;
        yield "two ";
        yield "three";
        ctx.emit("second", 2);
        spoke.open();
        await end.opened;
      }),
    );
    const thread = unique("t");
    const witness = await openStream(`${server.url}/threads/${thread}/stream`, { body: { graph } });
    await began.opened;
    const first = ids(await witness.until("custom"));

    const line = await Line.to(server.url);
    const client = listen(`${line.url}/threads/${thread}/stream`);
    await client.hears("custom");
    line.cut();
    more.open();
    await spoke.opened;
    end.open();
    await client.closed;

    const all = [...first, ...ids(await witness.rest())];
    expect(client.heard.map(({ id }) => id)).toEqual([...new Set(client.heard.map(({ id }) => id))]);
    expect(client.opened()).toBe(2);
    expect(client.errors.at(-1)?.code).toBe(204);
    // Deltas may be folded into their message for one who comes back after the commit.
    const replay = ids(await (await openStream(`${server.url}/threads/${thread}/stream?after=0`)).rest());
    const heard = new Set(client.heard.map(({ id }) => id));
    expect(replay.filter((id) => !heard.has(id))).toEqual([]);
    expect([...heard].filter((id) => !all.includes(id))).toEqual([]);
    expect(client.heard.at(-1)?.name).toBe("end");
    await line.close();
  });

  it("that is cut while the run goes on hears exactly what a reader that was never cut hears (invariant 7)", async () => {
    const [began, more, spoke, end] = [latch(), latch(), latch(), latch()];
    const graph = server.add(
      single(async function* (_state, ctx) {
        ctx.emit("first", 1);
        began.open();
        await more.opened;
        yield "two ";
        yield "three";
        spoke.open();
        await end.opened;
      }),
    );
    const thread = unique("t");
    const witness = await openStream(`${server.url}/threads/${thread}/stream`, { body: { graph } });
    await began.opened;
    const first = ids(await witness.until("custom"));
    const line = await Line.to(server.url);
    const client = listen(`${line.url}/threads/${thread}/stream`);
    await client.hears("custom");
    line.cut();
    more.open();
    await spoke.opened;
    // It is back and has the deltas of the running step before the step is committed.
    await client.hears("delta");
    end.open();
    await client.closed;
    expect(client.heard.map(({ id }) => id)).toEqual([...first, ...ids(await witness.rest())]);
    await line.close();
  });

  it("hears how a run failed as an event, not as a broken line", async () => {
    const graph = server.add(
      single(() => {
        throw new Error("broken");
      }),
    );
    const thread = unique("t");
    await server.post(`/threads/${thread}/run`, { graph });
    const client = listen(`${server.url}/threads/${thread}/stream?after=0`);
    await client.closed;
    expect(client.heard.map(({ name }) => name)).toEqual(["start", "failed"]);
    expect(client.errors.at(-1)?.code).toBe(204);
  });

  it("that follows comes back to a paused thread and hears the answer given while it was away", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    await server.post(`/threads/${thread}/run`, { graph, input: { amount: 2 } });
    const line = await Line.to(server.url);
    const client = listen(`${line.url}/threads/${thread}/stream?follow=true`);
    await client.hears("interrupted");
    line.cut();
    await server.post(`/threads/${thread}/resume`, { decision: "approve" });
    await client.hears("end");
    client.source.close();
    const whole = await openStream(`${server.url}/threads/${thread}/stream?after=0`);
    expect(client.heard.map(({ id }) => id)).toEqual(ids(await whole.rest()));
    await line.close();
  });
});
