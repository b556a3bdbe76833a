/** kill -9 while a thread waits for a person. */
import { describe, expect, test } from "vitest";
import { crash } from "../support/server.js";
import { eventsOf, get, grows, post, stateOf } from "./client.js";
import { DATABASES, line, newScene } from "./scene.js";

describe.each(DATABASES)("on the %s database", (database) => {
  test("a thread that was paused when its process was killed is approved in the next one, and the action runs once", async () => {
    const scene = await newScene(database, line({ hold: true }));
    scene.open("slow");
    const first = await scene.start();
    const paused = await post(first, "/threads/t1/run", { input: {} });
    expect(paused.body).toMatchObject({ status: "interrupted_before", current_node: "SLOW" });
    const before = await eventsOf(first, "t1");
    expect(before.at(-1)?.type).toBe("interrupted");
    await crash(first);

    const second = await scene.start();
    const thread = await get(second, "/threads/t1");
    expect(thread.body).toMatchObject({ status: "interrupted_before", run_id: paused.body.run_id });
    expect(thread.body.interrupts).toEqual(paused.body.interrupts);
    expect(await eventsOf(second, "t1")).toEqual(before);
    const approved = await post(second, "/threads/t1/resume", { decision: "approve" });
    expect(approved.body).toMatchObject({ status: "completed" });

    expect(scene.ledger().map(({ mark }) => mark)).toEqual(["FIRST", "SLOW begun", "SLOW done", "LAST"]);
    expect(scene.count("SLOW begun", second.pid)).toBe(1);
    expect((await stateOf(second, "t1")).log).toEqual(["FIRST", "SLOW", "LAST"]);
    const after = await eventsOf(second, "t1");
    expect(after.slice(0, before.length)).toEqual(before);
    expect(grows(after)).toBe(true);
    expect(after.map(({ type }) => type)).not.toContain("gap");
    expect(after.filter(({ type }) => type === "update").map(({ data }) => data.data.step)).toEqual([
      1, 2, 3,
    ]);
    expect(after.at(-1)?.type).toBe("end");
  });

  test("a decision that was answered with success outlives a kill -9 that follows at once (invariant 1)", async () => {
    const scene = await newScene(database, line({ hold: true }));
    const first = await scene.start();
    await post(first, "/threads/t1/run", { input: {} });
    const denied = await post(first, "/threads/t1/resume", { decision: "deny", reason: "certainly not" });
    expect(denied.body).toMatchObject({ status: "completed", decision: { decision: "deny" } });
    await crash(first);

    const second = await scene.start();
    const { body } = await get(second, "/threads/t1");
    expect(body).toMatchObject({ status: "completed", interrupts: [] });
    const [interrupt] = (await get(second, "/interrupts?status=resolved")).body.items;
    expect(interrupt).toMatchObject({
      thread_id: "t1",
      decision: { decision: "deny", reason: "certainly not" },
    });
    expect(scene.count("SLOW begun")).toBe(0);
    const again = await post(second, "/threads/t1/resume", {
      decision: "approve",
      interrupt_id: interrupt.id,
    });
    expect(again).toMatchObject({ status: 409, body: { code: "already_decided" } });
  });
});
