/** Runs with `on_disconnect: "stop"`: they stop when nobody reads them, and not before. */
import { request } from "node:http";
import { expect, it } from "vitest";
import { onEveryStorageWith, unique } from "../support/http-server.js";
import { latch, type Latch } from "../support/latch.js";
import { until } from "../support/poll.js";
import { names, openStream } from "../support/sse.js";
import { single } from "./graphs.js";

const GRACE = 400;
const WISH = { on_disconnect: "stop" };

onEveryStorageWith(
  { options: { readerGraceMs: GRACE } },
  "a run that stops when nobody reads it",
  (server) => {
    /** A node that waits for the latch, or for its end. */
    function waiter() {
      const [begun, go] = [latch(), latch()];
      let aborted = false;
      const graph = server.add(
        single(async (_state, ctx) => {
          ctx.emit("here", 1);
          ctx.signal.addEventListener("abort", () => (aborted = true));
          begun.open();
          await Promise.race([
            go.opened,
            new Promise((resolve) => ctx.signal.addEventListener("abort", resolve)),
          ]);
          if (ctx.signal.aborted) throw new Error("cut");
          return "done";
        }),
      );
      return { begun, go, graph, thread: unique("t"), aborted: () => aborted };
    }
    const statusOf = async (thread: string): Promise<string> =>
      (await server.get(`/threads/${thread}`)).body.status;
    const stopped = (thread: string) =>
      until("it is stopped", async () => (await statusOf(thread)) === "stopped");
    const runOf = async (thread: string) => (await server.get(`/threads/${thread}/runs`)).body.items[0];
    /** Sends a request, and goes away once the node runs. */
    async function leaveAt(begun: Latch, path: string, body: unknown, headers = {}): Promise<void> {
      const sent = request(`${server.url}${path}`, { method: "POST", headers });
      sent.on("error", () => undefined);
      sent.end(JSON.stringify(body));
      await begun.opened;
      sent.destroy();
    }

    it("stops after the grace, and says why; a later resume goes on without the wish", async () => {
      const { begun, go, graph, thread } = waiter();
      const reader = await openStream(`${server.url}/threads/${thread}/stream`, { body: { graph, ...WISH } });
      const [start] = await reader.until("custom");
      expect(start?.chunk.metadata).toEqual({ on_disconnect: "stop" });
      await begun.opened;
      const left = performance.now();
      reader.leave();
      await stopped(thread);
      expect(performance.now() - left).toBeGreaterThan(GRACE - 20);
      const frames = await (await openStream(`${server.url}/threads/${thread}/stream?after=0`)).rest();
      expect(names(frames).at(-1)).toBe("stopped");
      go.open();
      const resumed = await openStream(`${server.url}/threads/${thread}/resume`, { body: {} });
      expect((await resumed.until("start"))[0]?.chunk.metadata).toEqual({});
      expect(names(await resumed.rest()).at(-1)).toBe("end");
    });

    it("goes on while it is read: by the one who began it, by another, by one who waits for its result", async () => {
      const { begun, go, graph, thread } = waiter();
      const url = `${server.url}/threads/${thread}/stream`;
      const first = await openStream(url, { body: { graph, ...WISH } });
      await begun.opened;
      const cursor = String((await first.until("custom")).at(-1)?.id);
      const second = await openStream(url, { headers: { "Last-Event-ID": cursor } });
      first.leave();
      // Several graces, of which nobody may notice one.
      const since = performance.now();
      await until("time passes", () => performance.now() - since > 3 * GRACE);
      const follower = await openStream(`${url}?follow=true`);
      second.leave();
      await until("time passes", () => performance.now() - since > 6 * GRACE);
      expect(await statusOf(thread)).toBe("running");
      go.open();
      expect(names(await follower.until("end")).at(-1)).toBe("end");
      follower.leave();
    });

    it("is not stopped where its reader comes back in the grace", async () => {
      const { begun, go, graph, thread } = waiter();
      const url = `${server.url}/threads/${thread}/stream`;
      let reader = await openStream(url, { body: { graph, ...WISH } });
      await begun.opened;
      let last = (await reader.until("custom")).at(-1)?.id;
      for (let i = 0; i < 6; i++) {
        reader.leave();
        const left = performance.now();
        await until("a part of the grace passes", () => performance.now() - left > GRACE / 2);
        reader = await openStream(url, { headers: { "Last-Event-ID": String(last) } });
      }
      go.open();
      const rest = await reader.rest();
      expect(names(rest)).toEqual(["message", "update", "end"]);
      last = rest.at(-1)?.id;
      expect((await runOf(thread)).seq).toBe(last);
    });

    it("counts who waits for the answer as JSON, and stops when he goes", async () => {
      const one = waiter();
      await leaveAt(one.begun, `/threads/${one.thread}/run`, { graph: one.graph, ...WISH });
      await stopped(one.thread);
      expect(one.aborted()).toBe(true);

      const two = waiter();
      const waiting = server.post(`/threads/${two.thread}/run`, { graph: two.graph, ...WISH });
      await two.begun.opened;
      const since = performance.now();
      await until("time passes", () => performance.now() - since > 3 * GRACE);
      two.go.open();
      expect((await waiting).body.status).toBe("completed");
    });

    it("stops where nobody waits: after respond-async, and after `wait`", async () => {
      for (const prefer of ["respond-async", "wait=1"]) {
        const { graph, thread } = waiter();
        const reply = await server.post(`/threads/${thread}/run`, { graph, ...WISH }, { Prefer: prefer });
        expect(reply.status).toBe(202);
        await stopped(thread);
      }
    });

    it("leaves alone the runs that wait behind it", async () => {
      const { begun, graph, thread } = waiter();
      const reader = await openStream(`${server.url}/threads/${thread}/stream`, { body: { graph, ...WISH } });
      await begun.opened;
      const queued = await server.post(
        `/threads/${thread}/run`,
        { graph, on_busy: "enqueue" },
        { Prefer: "respond-async" },
      );
      expect([queued.status, queued.body.status]).toEqual([202, "queued"]);
      reader.leave();
      const next = await until("the next one runs", async () => {
        const run = (await server.get(`/threads/${thread}/runs/${queued.body.run_id}`)).body;
        return run.status === "running" ? run : null;
      });
      expect(next.run_id).toBe(queued.body.run_id);
      // It has no wish: it goes on with nobody there.
      const since = performance.now();
      await until("time passes", () => performance.now() - since > 2 * GRACE);
      expect(await statusOf(thread)).toBe("running");
      await server.post(`/threads/${thread}/stop`);
    });

    it("begins the grace when it begins itself, where it had to wait", async () => {
      const { begun, go, graph, thread } = waiter();
      const first = server.post(`/threads/${thread}/run`, { graph });
      await begun.opened;
      const queued = await server.post(
        `/threads/${thread}/run`,
        { graph, on_busy: "enqueue", ...WISH },
        { Prefer: "respond-async" },
      );
      const since = performance.now();
      await until("time passes", () => performance.now() - since > 2 * GRACE);
      expect((await server.get(`/threads/${thread}/runs/${queued.body.run_id}`)).body.status).toBe("queued");
      const reader = await openStream(`${server.url}/threads/${thread}/stream?follow=true`);
      go.open();
      expect((await first).body.status).toBe("completed");
      const frames = await reader.until("end");
      expect(names(frames).at(-1)).toBe("end");
      reader.leave();
    });

    it("refuses metadata under Holdpoint's own name", async () => {
      const { graph, thread } = waiter();
      const reply = await server.post(`/threads/${thread}/run`, {
        graph,
        config: { metadata: { "\u0000on_disconnect": "stop" } },
      });
      expect([reply.status, reply.body.code]).toEqual([422, "validation_failed"]);
    });
  },
);
