/** Stops that meet a run while its process dies, while it waits, and between its claim and its first write. */
import { describe, expect, test } from "vitest";
import { eventsOf, get, post, send, threadWhen } from "../process/client.js";
import { line, newScene } from "../process/scene.js";
import { crash, type Server } from "../support/server.js";
import { ASYNC, LEASED, query, writesOf } from "./stage.js";

const SETTINGS = { ...LEASED, HOLDPOINT_STOP_WAIT_MS: "1" };
const ONE_PLACE = { ...SETTINGS, HOLDPOINT_CONCURRENCY: "1" };

async function expectStopped(server: Server, thread: string, runId: string): Promise<void> {
  const now = await threadWhen(server, thread, "stopped", "completed", "error");
  expect(now).toMatchObject({ status: "stopped", interrupts: [] });
  const run = await get(server, `/threads/${thread}/runs/${runId}`);
  expect(run.body).toMatchObject({ status: "stopped" });
}

describe("Invariant 6: a stop is never lost", () => {
  test("sent to one server in the moment in which the other, which executes the run, is killed", async () => {
    const scene = await newScene("postgres", line());
    const [one, two] = [await scene.start(SETTINGS), await scene.start(SETTINGS)];
    const threads = ["a", "b", "c", "d", "e", "f"];
    for (const thread of threads) send(one, `/threads/${thread}/run`, { input: {} });
    await scene.marked("SLOW begun", threads.length, one.pid);
    scene.open("slow", two.pid);
    const stops = threads.map(async (thread, i) => {
      const stop = post(two, `/threads/${thread}/stop`, { mode: i % 2 === 0 ? "now" : "after_step" });
      // Half of the stops are on their way.
      if (i === threads.length / 2) one.kill("SIGKILL");
      return stop;
    });
    for (const [i, receipt] of (await Promise.all(stops)).entries()) {
      expect(receipt).toMatchObject({ status: 200, body: { ok: true, running: true } });
      await expectStopped(two, threads[i] ?? "", receipt.body.run_id as string);
      const events = await eventsOf(two, threads[i] ?? "");
      expect(events.filter(({ type }) => type === "stopped")).toHaveLength(1);
    }
    await crash(one);
    expect([scene.count("SLOW begun", two.pid), scene.count("LAST")]).toEqual([0, 0]);
  });

  test("of runs that wait for a place and for their thread, sent to another server, and the first one is killed", async () => {
    const scene = await newScene("postgres", line());
    const [one, two] = [await scene.start(ONE_PLACE), await scene.start(ONE_PLACE)];
    send(one, "/threads/a/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    send(two, "/threads/b/run", { input: {} });
    await scene.marked("SLOW begun", 1, two.pid);
    const place = await post(one, "/threads/c/run", { input: {} }, ASYNC);
    const behind = await post(one, "/threads/a/run", { input: {}, on_busy: "enqueue" }, ASYNC);
    expect([place.body.status, behind.body.status]).toEqual(["queued", "queued"]);

    const stops = [post(two, "/threads/c/stop"), post(two, "/threads/a/stop")];
    one.kill("SIGKILL");
    const [waiting, busy] = await Promise.all(stops);
    expect(waiting?.body).toMatchObject({ ok: true, running: false, dropped: [place.body.run_id] });
    expect(busy?.body).toMatchObject({ ok: true, running: true, dropped: [behind.body.run_id] });
    scene.open("slow", two.pid);
    await threadWhen(two, "b", "completed");
    await expectStopped(two, "a", busy?.body.run_id as string);
    await expectStopped(two, "a", behind.body.run_id as string);
    await expectStopped(two, "c", place.body.run_id as string);
    expect(scene.count("FIRST")).toBe(2);
    expect(scene.count("LAST")).toBe(1);
  });

  test.each(["lives", "is killed there"])(
    "between the claim of a run and its first write, by a server that %s",
    async (what) => {
      const scene = await newScene("postgres", line());
      const one = await scene.start(ONE_PLACE);
      send(one, "/threads/busy/run", { input: {} });
      await scene.marked("SLOW begun", 1, one.pid);
      const two = await scene.start(SETTINGS);
      const writes = await writesOf(scene);
      await writes.hold();
      const queued = await post(one, "/threads/t1/run", { input: {} }, ASYNC);
      expect(queued.body.status).toBe("queued");
      await writes.waiting(1);
      const [claimed] = await query(
        scene,
        "SELECT status, step FROM holdpoint.thread WHERE thread_id = 't1'",
      );
      expect(claimed).toEqual({ status: "running", step: 0 });
      const stop = await post(one, "/threads/t1/stop");
      expect(stop.body).toMatchObject({ ok: true, running: true, run_id: queued.body.run_id });
      if (what === "is killed there") await crash(two);
      await writes.release();
      if (what === "is killed there") scene.open("slow", one.pid);

      await expectStopped(one, "t1", queued.body.run_id as string);
      scene.open("slow");
      await threadWhen(one, "busy", "completed");
      expect(scene.ledger().map(({ mark }) => mark)).toEqual(["FIRST", "SLOW begun", "SLOW done", "LAST"]);
    },
  );
});
