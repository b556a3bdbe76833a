/** The same stop sent again with its Idempotency-Key: it stops once, and its receipt is the same. */
import { describe, expect, it, vi } from "vitest";
import type { Checkpointer } from "../../src/checkpoint/checkpointer.js";
import { newId } from "../../src/runs/ids.js";
import {
  expectJson,
  onEveryStorage,
  onEveryStorageWith,
  unique,
  type Reply,
  type TestServer,
} from "../support/http-server.js";
import { latch, settled } from "../support/latch.js";
import { refund, single } from "./graphs.js";

const KEY = { "Idempotency-Key": "k" };

/** A run whose node looks at its signal and comes back when `held` opens; `visits` counts. */
function running(server: TestServer) {
  const [began, aborted, held] = [latch(), latch(), latch()];
  const counted = { visits: 0 };
  const graph = server.add(
    single(async (_state, ctx) => {
      if (++counted.visits > 1) return;
      ctx.signal.addEventListener("abort", () => aborted.open());
      began.open();
      await held.opened;
    }),
  );
  const thread = unique("t");
  const run = server.post(`/threads/${thread}/run`, { graph });
  const stop = (body = {}): Promise<Reply> => server.post(`/threads/${thread}/stop`, body, KEY);
  return { graph, thread, run, stop, began, aborted, held, counted };
}

/** What a process leaves that dies between what it did and keeping its answer. */
async function withLostAnswer<T>(cp: Checkpointer, work: () => Promise<T>): Promise<T> {
  const lost = vi.spyOn(cp, "answerKey").mockResolvedValue(undefined);
  try {
    return await work();
  } finally {
    lost.mockRestore();
  }
}

onEveryStorage("a stop with an idempotency key", (server) => {
  describe.each([
    ["kept", <T>(work: () => Promise<T>) => work()],
    ["lost", <T>(work: () => Promise<T>) => withLostAnswer(server.runtime.checkpointer, work)],
  ])("whose answer was %s", (_kept, first) => {
    it("of a running run gets the same receipt, and leaves what runs later alone", async () => {
      const { thread, graph, run, stop, began, aborted, held } = running(server);
      await began.opened;
      const stopped = first(() => stop());
      await aborted.opened;
      held.open();
      const receipt = expectJson(await stopped, 200, "receipt");
      expect(receipt).toMatchObject({ running: true, status: "stopped" });
      expect((await run).body).toMatchObject({ status: "stopped", run_id: receipt.run_id });
      expect((await stop()).body).toEqual(receipt);

      await server.post(`/threads/${thread}/run`, { graph });
      expect((await stop()).body).toEqual(receipt);
      expect((await server.get(`/threads/${thread}`)).body.status).toBe("completed");
    });

    it("of a paused thread gets the same receipt, and does not cancel what is asked later", async () => {
      const graph = server.add(refund());
      const thread = unique("t");
      const run = await server.post(`/threads/${thread}/run`, { graph });
      const stop = (): Promise<Reply> => server.post(`/threads/${thread}/stop`, { reason: "no" }, KEY);
      const receipt = expectJson(await first(stop), 200, "receipt");
      expect(receipt.cancelled_interrupts).toEqual([run.body.interrupts[0].id]);
      expect((await stop()).body).toEqual(receipt);
      await server.post(`/threads/${thread}/resume`);
      const again = expectJson(await stop(), 200, "receipt");
      expect(again).toMatchObject({ status: "stopped", cancelled_interrupts: receipt.cancelled_interrupts });
      expect((await server.get(`/threads/${thread}`)).body.interrupts).toHaveLength(1);
    });

    it("with nothing to stop gets the same receipt, and does not stop a later run", async () => {
      const work = { now: (): Promise<void> => Promise.resolve() };
      const graph = server.add(single(() => work.now()));
      const thread = unique("t");
      await server.post(`/threads/${thread}/run`, { graph });
      const stop = (): Promise<Reply> => server.post(`/threads/${thread}/stop`, {}, KEY);
      const receipt = expectJson(await first(stop), 200, "receipt");
      expect(receipt).toMatchObject({ running: false, reason: "not-running" });
      expect((await stop()).body).toEqual(receipt);
      const [runs, mayEnd] = [latch(), latch()];
      work.now = () => {
        runs.open();
        return mayEnd.opened;
      };
      const later = server.post(`/threads/${thread}/run`, {});
      await runs.opened;
      expect(expectJson(await stop(), 200, "receipt")).toMatchObject({
        running: false,
        reason: "not-running",
      });
      mayEnd.open();
      expect((await later).body.status).toBe("completed");
    });

    it("names the runs that it dropped", async () => {
      const { thread, graph, run, stop, began, aborted, held } = running(server);
      await began.opened;
      const waiting = [newId(), newId()];
      for (const runId of waiting) {
        const enqueued = await server.runtime.checkpointer.enqueue({
          ref: { tenant: "default", threadId: thread },
          runId,
          graph,
          recursionLimit: 25,
          metadata: {},
          request: { input: { messages: [], fields: {} }, holds: {} },
          at: new Date().toISOString(),
          free: false,
          stop: null,
        });
        expect(enqueued.outcome).toBe("queued");
      }
      const stopped = first(() => stop());
      await aborted.opened;
      held.open();
      const receipt = expectJson(await stopped, 200, "receipt");
      expect(receipt.dropped).toEqual(waiting);
      expect((await stop()).body).toEqual(receipt);
      await run;
    });
  });

  it("waits for the same end while the first one waits", async () => {
    const { run, stop, began, aborted, held } = running(server);
    await began.opened;
    const first = stop();
    await aborted.opened;
    const others = [stop(), stop()];
    await settled();
    held.open();
    const receipt = expectJson(await first, 200, "receipt");
    expect(receipt.status).toBe("stopped");
    for (const other of others) expect((await other).body).toEqual(receipt);
    await run;
  });

  it("says what it abandoned to all who sent it", async () => {
    const [began, held] = [latch(), latch()];
    const graph = server.add(
      single(async () => {
        began.open();
        await held.opened;
      }),
    );
    const thread = unique("t");
    const run = server.post(`/threads/${thread}/run`, { graph });
    await began.opened;
    const stops = await Promise.all(
      Array.from({ length: 20 }, () => server.post(`/threads/${thread}/stop`, {}, KEY)),
    );
    const receipt = expectJson(stops[0] as Reply, 200, "receipt");
    expect(receipt.abandoned).toEqual([["WORK"]]);
    for (const stop of stops) expect(stop.body).toEqual(receipt);
    held.open();
    await run;
  });
});

onEveryStorageWith({ options: { stopWaitMs: 20 } }, "a stop that answers before the end", (server) => {
  it("is no end: sent again with its key it waits again, and says so when the run has ended", async () => {
    const graceful = latch();
    const began = latch();
    const graph = server.add(
      single(async (_state, ctx) => {
        ctx.signal.addEventListener("abort", () => undefined);
        began.open();
        await graceful.opened;
      }),
    );
    const thread = unique("t");
    const run = server.post(`/threads/${thread}/run`, { graph });
    await began.opened;
    const stop = () => server.post(`/threads/${thread}/stop`, { mode: "after_step" }, KEY);
    expect(expectJson(await stop(), 200, "receipt").status).toBe("stopping");
    expect(expectJson(await stop(), 200, "receipt").status).toBe("stopping");
    graceful.open();
    const result = expectJson(await run, 200, "result");
    const receipt = expectJson(await stop(), 200, "receipt");
    expect(receipt).toMatchObject({ running: true, run_id: result.run_id, seq: result.seq });
    expect(receipt.status).toBe(result.status === "stopped" ? "stopped" : "stopping");
    expect((await stop()).body).toEqual(receipt);
  });
});
