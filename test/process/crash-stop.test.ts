/** kill -9 right after a stop was accepted: a stop is never lost. */
import { describe, expect, test } from "vitest";
import { crash } from "../support/server.js";
import { eventsOf, get, post, send, stateOf, threadWhen } from "./client.js";
import { DATABASES, line, newScene } from "./scene.js";

/** SLOW looks at its signal, so that a stop waits for its grace; it never comes back. */
const LOOKS = `void ctx.signal.aborted;`;
/** A stop answers as soon as it is durable. */
const AT_ONCE = { HOLDPOINT_STOP_WAIT_MS: "1", HOLDPOINT_GRACE_MS: "3600000" };

describe.each(DATABASES)("on the %s database", (database) => {
  test.each(["now", "after_step"])(
    "a stop (%s) that was accepted before a kill -9 ends the run in the next process, and the node does not run again (invariant 6)",
    async (mode) => {
      const scene = await newScene(database, line({ slow: LOOKS }));
      const first = await scene.start(AT_ONCE);
      send(first, "/threads/t1/run", { input: {} });
      await scene.marked("SLOW begun");
      const stop = await post(first, "/threads/t1/stop", { mode });
      expect(stop).toMatchObject({ status: 200, body: { ok: true, running: true, status: "stopping" } });
      await crash(first);
      scene.open("slow");

      const second = await scene.start(AT_ONCE);
      const thread = await threadWhen(second, "t1", "stopped", "completed", "error");
      expect(thread).toMatchObject({ status: "stopped", run_id: stop.body.run_id, interrupts: [] });
      expect(thread.next_nodes).toEqual(["SLOW"]);
      expect(scene.count("SLOW begun")).toBe(1);
      expect(scene.count("LAST")).toBe(0);
      const events = await eventsOf(second, "t1");
      expect(events.filter(({ type }) => type === "stopped")).toHaveLength(1);
      expect(events.at(-1)?.type).toBe("stopped");

      const resumed = await post(second, "/threads/t1/resume");
      expect(resumed.body).toMatchObject({ status: "completed" });
      expect(scene.count("SLOW begun")).toBe(2);
      expect((await stateOf(second, "t1")).log).toEqual(["FIRST", "SLOW", "LAST"]);
    },
  );

  test("a stopped and killed action behind a hold point is asked about when somebody resumes", async () => {
    const scene = await newScene(database, line({ hold: true, slow: LOOKS }));
    const first = await scene.start(AT_ONCE);
    await post(first, "/threads/t1/run", { input: {} });
    send(first, "/threads/t1/resume", { decision: "approve" });
    await scene.marked("SLOW begun");
    const stop = await post(first, "/threads/t1/stop");
    expect(stop.body).toMatchObject({ ok: true, status: "stopping" });
    await crash(first);
    scene.open("slow");

    const second = await scene.start(AT_ONCE);
    const thread = await threadWhen(second, "t1", "stopped", "interrupted_before", "completed", "error");
    expect(thread).toMatchObject({ status: "stopped", interrupts: [] });
    const resumed = await post(second, "/threads/t1/resume");
    expect(resumed.body).toMatchObject({ status: "interrupted_before", interrupts: [{ kind: "crash" }] });
    expect(scene.count("SLOW begun")).toBe(1);
    const approved = await post(second, "/threads/t1/resume", { decision: "approve" });
    expect(approved.body).toMatchObject({ status: "completed" });
    expect(scene.count("SLOW begun")).toBe(2);
  });

  test("a paused thread that was stopped before a kill -9 stays stopped, and its interrupt cancelled", async () => {
    const scene = await newScene(database, line({ hold: true }));
    const first = await scene.start();
    const paused = await post(first, "/threads/t1/run", { input: {} });
    const id: string = paused.body.interrupts[0].id;
    const stop = await post(first, "/threads/t1/stop");
    expect(stop.body).toMatchObject({ ok: true, running: false, cancelled_interrupts: [id] });
    await crash(first);
    const second = await scene.start();
    expect((await get(second, "/threads/t1")).body).toMatchObject({ status: "stopped", interrupts: [] });
    const late = await post(second, "/threads/t1/resume", { decision: "approve", interrupt_id: id });
    expect(late).toMatchObject({ status: 409, body: { code: "interrupt_cancelled" } });
    expect(scene.count("SLOW begun")).toBe(0);
  });
});
