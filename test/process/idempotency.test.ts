/** The same request with the same Idempotency-Key, to a process that is not the one that accepted it. */
import pg from "pg";
import { describe, expect, test } from "vitest";
import { until } from "../support/poll.js";
import { crash, type Server } from "../support/server.js";
import { eventsOf, get, stateOf, threadWhen, type Reply } from "./client.js";
import { DATABASES, line, newScene } from "./scene.js";

type Answer = Pick<Reply, "status" | "body">;

/** SLOW looks at its signal, so that a stop waits for its grace; it never comes back. */
const LOOKS = `void ctx.signal.aborted;`;

/** Status and body; headers differ in their dates. */
async function keyed(server: Server, path: string, body: unknown = {}): Promise<Answer> {
  const answer = await fetch(server.url + path, {
    method: "POST",
    headers: { "Idempotency-Key": "k" },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
}

/** A request whose server dies before it answers. */
const cutOff = (server: Server, path: string, body: unknown = {}): void => {
  keyed(server, path, body).catch(() => undefined);
};

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query(sql);
  await client.end();
  return rows;
}

const runsOf = async (server: Server): Promise<unknown[]> =>
  (await get(server, "/threads/t1/runs")).body.items as unknown[];

describe("two servers on one PostgreSQL", () => {
  test("the same run sent to the other one while the first executes it waits for the same end", async () => {
    const scene = await newScene("postgres", line());
    const [one, two] = [await scene.start(), await scene.start()];
    const first = keyed(one, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    const second = keyed(two, "/threads/t1/run", { input: {} });
    scene.open("slow");
    const result = await first;
    expect(result).toMatchObject({ status: 200, body: { status: "completed" } });
    expect(await second).toEqual(result);
    expect(scene.ledger().map(({ mark }) => mark)).toEqual(["FIRST", "SLOW begun", "SLOW done", "LAST"]);
    expect(await runsOf(two)).toHaveLength(1);
  });

  test("a run whose server was killed in the middle is waited for by the same request to the other one", async () => {
    const scene = await newScene("postgres", line());
    const [one, two] = [await scene.start(), await scene.start()];
    cutOff(one, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    await crash(one);
    const again = keyed(two, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, two.pid);
    scene.open("slow");
    const { status, body } = await again;
    expect(status).toBe(200);
    expect(body.status).toBe("completed");
    expect(await keyed(two, "/threads/t1/run", { input: {} })).toEqual({ status, body });
    expect(await runsOf(two)).toMatchObject([{ run_id: body.run_id }]);
    expect(scene.count("FIRST")).toBe(1);
    expect(scene.count("SLOW done")).toBe(1);
    expect((await stateOf(two, "t1")).log).toEqual(["FIRST", "SLOW", "LAST"]);
  });

  test("20 of the same run, half to each, are one run", async () => {
    const scene = await newScene("postgres", line());
    const servers = [await scene.start(), await scene.start()];
    scene.open("slow");
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) => keyed(servers[i % 2] as Server, "/threads/t1/run", { input: {} })),
    );
    for (const reply of all) expect(reply).toEqual(all[0]);
    expect(all[0]?.status).toBe(200);
    expect(scene.ledger().map(({ mark }) => mark)).toEqual(["FIRST", "SLOW begun", "SLOW done", "LAST"]);
  });

  test("a stop whose server was killed is waited for by the same stop to the other one", async () => {
    const scene = await newScene("postgres", line({ slow: LOOKS }));
    const [one, two] = [
      await scene.start({ HOLDPOINT_GRACE_MS: "3600000" }),
      await scene.start({ HOLDPOINT_GRACE_MS: "1" }),
    ];
    cutOff(one, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun", 1, one.pid);
    cutOff(one, "/threads/t1/stop", { reason: "enough" });
    await until("the run is told to stop", async () => {
      const rows = await query(
        scene.env.DATABASE_URL ?? "",
        "SELECT 1 FROM holdpoint.run WHERE stop IS NOT NULL",
      );
      return rows.length > 0;
    });
    await crash(one);
    const stopped = await keyed(two, "/threads/t1/stop", { reason: "enough" });
    const thread = await threadWhen(two, "t1", "stopped", "completed", "error");
    expect(stopped).toMatchObject({
      status: 200,
      body: { running: true, status: "stopped", run_id: thread.run_id, seq: thread.seq },
    });
    expect(await keyed(two, "/threads/t1/stop", { reason: "enough" })).toEqual(stopped);
    expect(await keyed(two, "/threads/t1/run", { input: {} })).toMatchObject({
      status: 200,
      body: { status: "stopped", run_id: thread.run_id },
    });
    expect((await eventsOf(two, "t1")).filter(({ type }) => type === "stopped")).toHaveLength(1);
    expect(scene.count("SLOW begun")).toBe(1);
  });
});

describe.each(DATABASES)("on the %s database", (database) => {
  test("a run, an answer and a stop are known by their keys after a restart", async () => {
    const scene = await newScene(database, line({ hold: true }));
    scene.open("slow");
    const first = await scene.start();
    const asked: [string, object][] = [
      ["/threads/t1/run", { input: {} }],
      ["/threads/t1/resume", { decision: "approve" }],
      ["/threads/t1/stop", {}],
    ];
    const answers: Answer[] = [];
    for (const [path, body] of asked) answers.push(await keyed(first, path, body));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    await crash(first);
    const second = await scene.start();
    for (const [i, [path, body]] of asked.entries()) {
      expect(await keyed(second, path, body), path).toEqual(answers[i]);
      expect(await keyed(second, path, { ...body, config: {} }), path).toMatchObject({ status: 422 });
    }
    expect(await runsOf(second)).toHaveLength(2);
    expect(scene.count("SLOW begun")).toBe(1);
  });
});
