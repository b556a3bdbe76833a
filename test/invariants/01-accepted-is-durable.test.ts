/** A server is killed in the moment in which it has said that it accepted a run. */
import { describe, expect, test } from "vitest";
import { post, send, threadWhen } from "../process/client.js";
import { line, newScene } from "../process/scene.js";
import { crash } from "../support/server.js";
import { ASYNC, expectLineOnce, LEASED } from "./stage.js";

describe("Invariant 1: what was accepted is durable", () => {
  test("runs that were answered with 202 before a kill -9 are executed by the other server", async () => {
    const scene = await newScene("postgres", line());
    const [one, two] = [await scene.start(LEASED), await scene.start(LEASED)];
    scene.open("slow", two.pid);
    const accepted: string[] = [];
    const requests = Array.from({ length: 20 }, async (_each, i) => {
      const reply = await post(one, `/threads/t${i}/run`, { input: {} }, ASYNC);
      expect(reply.status).toBe(202);
      accepted.push(`t${i}`);
      // In the middle of the others: their answers, or their runs, may be lost, but not these.
      if (accepted.length === 5) one.kill("SIGKILL");
    });
    const answers = await Promise.allSettled(requests);
    await crash(one);
    expect(answers.filter(({ status }) => status === "fulfilled")).toHaveLength(accepted.length);
    expect(accepted.length).toBeGreaterThanOrEqual(5);
    for (const thread of accepted) {
      await threadWhen(two, thread, "completed", "error", "stopped");
      await expectLineOnce(two, thread, two.pid);
    }
    expect(scene.count("LAST", one.pid)).toBe(0);
  });

  test("a run whose first byte of the stream has come before a kill -9 is executed by the other server", async () => {
    const scene = await newScene("postgres", line());
    const [one, two] = [await scene.start(LEASED), await scene.start(LEASED)];
    scene.open("slow", two.pid);
    const answer = await fetch(`${one.url}/threads/t1/stream`, {
      method: "POST",
      body: JSON.stringify({ input: {} }),
    });
    await answer.body?.getReader().read();
    await crash(one);
    await threadWhen(two, "t1", "completed", "error", "stopped");
    await expectLineOnce(two, "t1", two.pid);
  });

  test("runs that were queued, for their thread and for a place, begin once after a kill -9, in the next server", async () => {
    const scene = await newScene("postgres", line());
    const one = await scene.start({ ...LEASED, HOLDPOINT_CONCURRENCY: "1" });
    send(one, "/threads/busy/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    const behind = await post(one, "/threads/busy/run", { input: {}, on_busy: "enqueue" }, ASYNC);
    const beside = await post(one, "/threads/beside/run", { input: {} }, ASYNC);
    one.kill("SIGKILL");
    expect([behind, beside]).toMatchObject([
      { status: 202, body: { status: "queued" } },
      { status: 202, body: { status: "queued" } },
    ]);
    await crash(one);

    const two = await scene.start(LEASED);
    scene.open("slow", two.pid);
    await threadWhen(two, "beside", "completed", "error", "stopped");
    await expectLineOnce(two, "beside", two.pid);
    const busy = await threadWhen(two, "busy", "completed", "error", "stopped");
    expect(busy).toMatchObject({ status: "completed", run_id: behind.body.run_id });
    // FIRST of the run that was killed in SLOW is committed: it is not done again.
    expect([scene.count("FIRST", one.pid), scene.count("FIRST", two.pid)]).toEqual([1, 2]);
    expect([scene.count("SLOW begun", two.pid), scene.count("LAST", two.pid)]).toEqual([3, 3]);
  });
});
