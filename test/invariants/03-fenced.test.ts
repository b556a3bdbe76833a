/** A server is frozen for longer than its lease, loses its run to another one, and is let go on. */
import { describe, expect, test } from "vitest";
import { eventsOf, get, send, threadWhen } from "../process/client.js";
import { line, newScene, type Scene } from "../process/scene.js";
import { until } from "../support/poll.js";
import { beatsPast, expectLineOnce, LEASED, query, writesOf } from "./stage.js";

/** What the node says and gives has the process id in it, and so can be looked for everywhere. */
const TELLS = `
    ctx.signal.addEventListener("abort", () => mark("SLOW aborted"));
    await gate("late");
    ctx.emit("late", "written late by " + process.pid + ".");
    await ctx.once("late", () => "written late by " + process.pid + ".");`;

const logOf = (scene: Scene): Promise<unknown[]> =>
  query(scene, "SELECT seq, epoch, events FROM holdpoint.log ORDER BY seq");

/** Every row of every table, as text. */
async function everything(scene: Scene): Promise<string> {
  const tables = await query(
    scene,
    "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'holdpoint'",
  );
  const rows = await Promise.all(
    tables.map(({ name }) => query(scene, `SELECT t::text AS row FROM ${String(name)} t`)),
  );
  return rows
    .flat()
    .map(({ row }) => String(row))
    .join("\n");
}

describe("Invariant 3: a process that lost its lease cannot write a byte", () => {
  test("a run frozen for longer than its lease and taken over: its signal fires, its write is refused, the log has no byte of it", async () => {
    const scene = await newScene("postgres", line({ slow: TELLS }));
    const [one, two] = [await scene.start(LEASED), await scene.start(LEASED)];
    send(one, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    one.kill("SIGSTOP");
    await scene.marked("SLOW begun", 1, two.pid);
    const before = await logOf(scene);

    one.kill("SIGCONT");
    await scene.marked("SLOW aborted", 1, one.pid);
    scene.open("late", one.pid);
    scene.open("slow", one.pid);
    // Whatever it still wanted to write, it has tried by then.
    await beatsPast(scene, 1000);
    expect(one.ended()).toBeNull();
    expect(await logOf(scene)).toEqual(before);
    expect((await get(one, "/threads/t1")).body).toMatchObject({ status: "running", step: 1 });
    expect(scene.count("SLOW aborted", two.pid)).toBe(0);

    scene.open("late", two.pid);
    scene.open("slow", two.pid);
    await threadWhen(two, "t1", "completed");
    await expectLineOnce(two, "t1", two.pid);
    expect(await eventsOf(one, "t1")).toEqual(await eventsOf(two, "t1"));
    const stored = await everything(scene);
    expect(stored).toContain(`written late by ${two.pid}.`);
    expect(stored).not.toContain(`written late by ${one.pid}.`);
    expect(scene.count("LAST")).toBe(1);
  });

  test("a commit that was on its way when its process was frozen is refused by the database, by its epoch", async () => {
    const scene = await newScene("postgres", line());
    // It never beats again: nothing but the database tells it that it is no longer the owner.
    const one = await scene.start({ HOLDPOINT_LEASE_MS: "1000", HOLDPOINT_HEARTBEAT_MS: "3600000" });
    const two = await scene.start(LEASED);
    const writes = await writesOf(scene);
    send(one, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    one.kill("SIGSTOP");
    await scene.marked("SLOW begun", 1, two.pid);
    scene.open("slow", one.pid);
    one.kill("SIGCONT");
    await until("the database answers it", async () => (await writes.answered(1)).at(-1) === "fenced");
    await until("its process knows", () =>
      one.logs().some(({ thread_id: id, msg }) => id === "t1" && /lease is lost/.test(String(msg))),
    );
    expect(await writes.answered(2)).toEqual([]);
    scene.open("slow", two.pid);
    await threadWhen(two, "t1", "completed");
    await expectLineOnce(two, "t1", two.pid);
  });
});
