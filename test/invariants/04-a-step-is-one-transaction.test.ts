/** A step that opens an interrupt is caught in the middle of its transaction, and whatever can be killed is killed there. */
import { describe, expect, test } from "vitest";
import { eventsOf, get, post, send, stateOf, threadWhen } from "../process/client.js";
import { line, newScene, type Scene } from "../process/scene.js";
import { until } from "../support/poll.js";
import { crash, type Server } from "../support/server.js";
import { connected, LEASED, query } from "./stage.js";

const WAITS =
  "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%write_v%'";

/**
 * The step of FIRST, with the question whether SLOW may begin: the function has written log and run when it comes to the
 * interrupts, and waits there.
 */
async function caughtInTheMiddle(scene: Scene, server: Server): Promise<{ release(): Promise<void> }> {
  const client = await connected(scene);
  // Made by the first server's migrations, read by everybody: only who writes an interrupt waits.
  await client.query("BEGIN; LOCK TABLE holdpoint.interrupt IN SHARE MODE");
  send(server, "/threads/t1/run", { input: {} });
  await until("a write waits in the middle", async () => (await query(scene, WAITS)).length === 1);
  return {
    release: async () => {
      await client.query("COMMIT");
    },
  };
}

async function expectNothingOfIt(scene: Scene, server: Server): Promise<void> {
  expect((await get(server, "/threads/t1")).body).toMatchObject({
    status: "running",
    step: 0,
    interrupts: [],
  });
  expect((await stateOf(server, "t1")).log).toEqual([]);
  expect(await query(scene, "SELECT 1 FROM holdpoint.log WHERE source = 'step'")).toEqual([]);
  expect(await query(scene, "SELECT 1 FROM holdpoint.interrupt")).toEqual([]);
}

/** The whole step, once, and a thread that goes on from it. */
async function expectAllOfIt(scene: Scene, server: Server): Promise<void> {
  const thread = await threadWhen(server, "t1", "interrupted_before", "completed", "error", "stopped");
  expect(thread).toMatchObject({ status: "interrupted_before", step: 1, next_nodes: ["SLOW"] });
  expect(thread.interrupts).toMatchObject([{ status: "open", node: "SLOW" }]);
  expect((await stateOf(server, "t1")).log).toEqual(["FIRST"]);
  expect(await query(scene, "SELECT 1 FROM holdpoint.log WHERE source = 'step'")).toHaveLength(1);
  scene.open("slow");
  const approved = await post(server, "/threads/t1/resume", { decision: "approve" });
  expect(approved.body).toMatchObject({ status: "completed" });
  const events = await eventsOf(server, "t1");
  expect(events.filter(({ type }) => type === "update").map(({ data }) => data.data.step)).toEqual([1, 2, 3]);
  expect(events.filter(({ type }) => type === "interrupted")).toHaveLength(1);
}

describe("Invariant 4: a step is one transaction", () => {
  test("that lost its connection in the middle is not there at all, and then there whole", async () => {
    const scene = await newScene("postgres", line({ hold: true }));
    const one = await scene.start(LEASED);
    const caught = await caughtInTheMiddle(scene, one);
    await expectNothingOfIt(scene, one);
    const [backend] = await query(scene, WAITS);
    await query(scene, `SELECT pg_terminate_backend(${Number(backend?.pid)})`);
    await until("it comes again", async () => {
      const [again] = await query(scene, WAITS);
      return again !== undefined && again.pid !== backend?.pid;
    });
    await expectNothingOfIt(scene, one);
    await caught.release();
    await expectAllOfIt(scene, one);
    expect(scene.count("FIRST")).toBe(1);
  });

  test("whose process was killed in the middle is there whole or not at all, and the other server goes on from that", async () => {
    const scene = await newScene("postgres", line({ hold: true }));
    const [one, two] = [await scene.start(LEASED), await scene.start(LEASED)];
    const caught = await caughtInTheMiddle(scene, one);
    await crash(one);
    await expectNothingOfIt(scene, two);
    await caught.release();
    await expectAllOfIt(scene, two);
  });

  test("whose process and connection were killed in the middle is done anew by the other server", async () => {
    const scene = await newScene("postgres", line({ hold: true }));
    const [one, two] = [await scene.start(LEASED), await scene.start(LEASED)];
    const caught = await caughtInTheMiddle(scene, one);
    await crash(one);
    const [backend] = await query(scene, WAITS);
    await query(scene, `SELECT pg_terminate_backend(${Number(backend?.pid)})`);
    await scene.marked("FIRST", 1, two.pid);
    await expectNothingOfIt(scene, two);
    await caught.release();
    await expectAllOfIt(scene, two);
    expect([scene.count("FIRST", one.pid), scene.count("FIRST", two.pid)]).toEqual([1, 1]);
  });
});
