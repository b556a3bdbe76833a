/** kill -9 while a plain node runs: what was in flight runs again, what was committed does not. */
import { describe, expect, test } from "vitest";
import { crash } from "../support/server.js";
import { eventsOf, get, grows, send, stateOf, threadWhen } from "./client.js";
import { DATABASES, line, newScene } from "./scene.js";

describe.each(DATABASES)("on the %s database", (database) => {
  test("a run whose process was killed in a plain node goes on by itself and completes", async () => {
    const scene = await newScene(database, line());
    const first = await scene.start();
    send(first, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, first.pid);
    const { run_id: runId } = (await get(first, "/threads/t1")).body;
    await crash(first);

    // Nobody calls: only the ledger is watched.
    const second = await scene.start();
    await scene.marked("SLOW begun", 1, second.pid);
    scene.open("slow");
    await scene.marked("LAST");

    const thread = await threadWhen(second, "t1", "completed");
    expect(thread).toMatchObject({ run_id: runId, interrupts: [], next_nodes: [] });
    expect(scene.count("FIRST")).toBe(1);
    expect(scene.count("SLOW begun")).toBe(2);
    expect(scene.count("LAST")).toBe(1);
    expect(await stateOf(second, "t1")).toMatchObject({ log: ["FIRST", "SLOW", "LAST"], by: second.pid });
  });

  test("the stream of a run that was taken over says restart, and loses and repeats nothing that was committed", async () => {
    const scene = await newScene(database, line());
    const first = await scene.start();
    send(first, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun");
    await crash(first);
    scene.open("slow");

    const second = await scene.start();
    await threadWhen(second, "t1", "completed");
    const events = await eventsOf(second, "t1");
    expect(grows(events)).toBe(true);
    const types = events.map(({ type }) => type);
    expect(types.filter((type) => type === "start")).toHaveLength(1);
    expect(types.filter((type) => type === "end")).toHaveLength(1);
    expect(types.at(-1)).toBe("end");
    const updates = events.filter(({ type }) => type === "update");
    expect(updates.map(({ data }) => data.data.step)).toEqual([1, 2, 3]);
    const restarts = events.filter(({ type }) => type === "restart");
    expect(restarts.map(({ data }) => data.data)).toEqual([
      { step: 1, node: "SLOW", path: ["SLOW"], attempt: 2 },
    ]);
    // Above everything that a reader of the first process may have seen.
    const committed = events.filter(({ data }) => data.data.step === 1 && data.event_type === "update");
    expect(restarts[0]?.id).toBeGreaterThan(committed[0]?.id ?? Infinity);
  });

  test("several runs of a killed process all go on", async () => {
    const scene = await newScene(database, line());
    const first = await scene.start();
    const threads = ["a", "b", "c", "d", "e"];
    for (const thread of threads) send(first, `/threads/${thread}/run`, { input: {} });
    await scene.marked("SLOW begun", threads.length);
    await crash(first);
    scene.open("slow");

    const second = await scene.start();
    await scene.marked("LAST", threads.length, second.pid);
    for (const thread of threads) await threadWhen(second, thread, "completed");
    expect(scene.count("FIRST")).toBe(threads.length);
  });

  test("a client that reads the stream of a killed process finds the rest at the next one by its cursor", async () => {
    const scene = await newScene(database, line());
    const first = await scene.start();
    send(first, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun");
    const seen = await committedNow(first.url, "t1");
    await crash(first);

    const second = await scene.start();
    await scene.marked("SLOW begun", 2);
    scene.open("slow");
    await threadWhen(second, "t1", "completed");
    const whole = await eventsOf(second, "t1");
    const rest = await eventsOf(second, "t1", seen);
    expect(rest).toEqual(whole.filter(({ id }) => id > seen));
    expect(rest.at(-1)?.type).toBe("end");
  });
});

/** The cursor of a client that has read all that there is: the thread's last committed seq. */
async function committedNow(url: string, thread: string): Promise<number> {
  const response = await fetch(`${url}/threads/${thread}`);
  return ((await response.json()) as { seq: number }).seq;
}
