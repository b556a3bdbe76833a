/** kill -9 while a node runs that may not be repeated unasked: a gated action is never silently repeated. */
import { describe, expect, test } from "vitest";
import { crash, type Server } from "../support/server.js";
import { get, post, send, stateOf, threadWhen } from "./client.js";
import { DATABASES, line, newScene, type DatabaseKind, type Scene } from "./scene.js";

const CHARGE = `await ctx.once("charge", () => { mark("charged"); return "receipt"; }); mark("SLOW charged");`;

describe.each(DATABASES)("on the %s database", (database) => {
  test("an approved action that was in flight at a kill -9 is asked about, and does not run by itself", async () => {
    const { scene, second, thread } = await crashedInAction(database);
    expect(thread.interrupts).toHaveLength(1);
    const [interrupt] = thread.interrupts;
    expect(interrupt).toMatchObject({
      kind: "crash",
      node: "SLOW",
      status: "open",
      decisions: ["approve", "edit", "deny"],
    });
    expect(interrupt.data).toMatchObject({ node: "SLOW", attempt: 1, cause: "crash", once: ["charge"] });
    expect(new Date(interrupt.data.began_at).getTime()).toBeLessThanOrEqual(
      new Date(interrupt.created_at).getTime(),
    );
    expect(scene.count("SLOW begun")).toBe(1);
    expect((await get(second, "/interrupts")).body.items).toEqual([interrupt]);
    const bare = await post(second, "/threads/t1/resume", {});
    expect(bare).toMatchObject({ status: 422, body: { code: "decision_required" } });
  });

  test("approving a crash runs the action again, and its once results are kept", async () => {
    const { scene, second } = await crashedInAction(database);
    scene.open("slow");
    const answer = await post(second, "/threads/t1/resume", { decision: "approve" });
    expect(answer.body).toMatchObject({ status: "completed", interrupts: [] });
    expect(scene.count("SLOW begun")).toBe(2);
    expect(scene.count("charged")).toBe(1);
    expect((await stateOf(second, "t1")).log).toEqual(["FIRST", "SLOW", "LAST"]);
  });

  test("editing a crash takes the patch as the action's output and goes on behind it", async () => {
    const { scene, second } = await crashedInAction(database);
    const answer = await post(second, "/threads/t1/resume", {
      decision: "edit",
      state: { paid: "by hand" },
    });
    expect(answer.body).toMatchObject({ status: "completed", interrupts: [] });
    expect(scene.count("SLOW begun")).toBe(1);
    expect(scene.count("SLOW done")).toBe(0);
    expect(await stateOf(second, "t1")).toMatchObject({ paid: "by hand", log: ["FIRST", "LAST"] });
  });

  test("denying a crash does not run the action, and nothing behind it", async () => {
    const { scene, second } = await crashedInAction(database);
    const answer = await post(second, "/threads/t1/resume", { decision: "deny" });
    expect(answer.body).toMatchObject({ status: "completed", decision: { decision: "deny" } });
    expect(scene.count("SLOW begun")).toBe(1);
    expect(scene.count("LAST")).toBe(0);
    expect(await stateOf(second, "t1")).toMatchObject({ paid: "", log: ["FIRST"] });
  });

  test("a crash that was asked about and crashes again is asked about again, as the next attempt", async () => {
    const { scene, second } = await crashedInAction(database);
    send(second, "/threads/t1/resume", { decision: "approve" });
    await scene.marked("SLOW begun", 2);
    await crash(second);
    const third = await scene.start();
    const thread = await threadWhen(third, "t1", "interrupted_before");
    expect(thread.interrupts).toHaveLength(1);
    expect(thread.interrupts[0]).toMatchObject({ kind: "crash", data: { attempt: 2, once: ["charge"] } });
    expect(scene.count("SLOW begun")).toBe(2);
  });

  test('a held node with onCrash "rerun" runs again by itself', async () => {
    const scene = await newScene(database, line({ hold: true, options: `{ onCrash: "rerun" }` }));
    const first = await scene.start();
    await approved(scene, first);
    await crash(first);
    scene.open("slow");
    const second = await scene.start();
    await scene.marked("LAST", 1, second.pid);
    expect(await threadWhen(second, "t1", "completed")).toMatchObject({ interrupts: [] });
    expect(scene.count("SLOW begun")).toBe(2);
  });

  test('a plain node with onCrash "hold" is asked about', async () => {
    const scene = await newScene(database, line({ options: `{ onCrash: "hold" }` }));
    const first = await scene.start();
    send(first, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun");
    await crash(first);
    scene.open("slow");
    const second = await scene.start();
    const thread = await threadWhen(second, "t1", "interrupted_before", "completed");
    expect(thread).toMatchObject({ status: "interrupted_before", interrupts: [{ kind: "crash" }] });
    expect(scene.count("SLOW begun")).toBe(1);
  });

  test("a node that goes on from an answer given inside it is asked about", async () => {
    const scene = await newScene(
      database,
      line({ slow: `await ctx.interrupt({ message: "Really?" }); mark("answered");` }),
    );
    const first = await scene.start();
    const asked = await post(first, "/threads/t1/run", { input: {} });
    expect(asked.body).toMatchObject({ status: "interrupted_before", interrupts: [{ kind: "request" }] });
    send(first, "/threads/t1/resume", { decision: "approve" });
    await scene.marked("answered");
    await crash(first);
    scene.open("slow");
    const second = await scene.start();
    const thread = await threadWhen(second, "t1", "interrupted_before", "completed");
    expect(thread).toMatchObject({ status: "interrupted_before", interrupts: [{ kind: "crash" }] });
    expect(scene.count("answered")).toBe(1);
    const answer = await post(second, "/threads/t1/resume", { decision: "approve" });
    expect(answer.body).toMatchObject({ status: "completed" });
    expect(scene.count("answered")).toBe(2);
  });
});

/** A thread whose approved SLOW was in flight when its process was killed, in the next process. */
async function crashedInAction(database: DatabaseKind) {
  const scene = await newScene(database, line({ hold: true, slow: CHARGE }));
  const first = await scene.start();
  await approved(scene, first);
  await scene.marked("SLOW charged");
  await crash(first);
  const second = await scene.start();
  const thread = await threadWhen(second, "t1", "interrupted_before", "completed", "error");
  expect(thread.status).toBe("interrupted_before");
  return { scene, second, thread };
}

/** SLOW is held, approved, and has begun. */
async function approved(scene: Scene, server: Server): Promise<void> {
  const paused = await post(server, "/threads/t1/run", { input: {} });
  expect(paused.body.status).toBe("interrupted_before");
  send(server, "/threads/t1/resume", { decision: "approve" });
  await scene.marked("SLOW begun");
}
