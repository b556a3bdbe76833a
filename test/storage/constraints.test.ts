/** Promises that the database itself keeps, whatever the code does. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import pg from "pg";
import { END, START, StateGraph } from "holdpoint";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { newPostgresDatabase } from "../support/databases.js";
import { latch } from "../support/latch.js";

describe("the database refuses what must never be", () => {
  let checkpointer: PgCheckpointer;
  let client: pg.Client;

  beforeAll(async () => {
    const url = await newPostgresDatabase();
    checkpointer = new PgCheckpointer(url);
    await checkpointer.open();
    client = new pg.Client({ connectionString: url });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await checkpointer.close();
  });

  test("a second running run of a thread (invariant 2)", async () => {
    const hold = latch();
    const graph = new StateGraph()
      .addNode("WAIT", () => hold.opened)
      .addEdge(START, "WAIT")
      .addEdge("WAIT", END)
      .compile({ name: "waiting", checkpointer });
    const running = graph.invoke({}, { threadId: "busy" });
    await expect
      .poll(async () => (await client.query("SELECT 1 FROM holdpoint.run WHERE thread_id = 'busy'")).rowCount)
      .toBe(1);
    const copy = `INSERT INTO holdpoint.run (tenant, thread_id, run_id, graph, status, resumes, recursion_limit, metadata, first_seq, first_step, created_at)
      SELECT tenant, thread_id, 'another', graph, status, resumes, recursion_limit, metadata, first_seq, first_step, created_at FROM holdpoint.run WHERE thread_id = 'busy'`;
    await expect(client.query(copy)).rejects.toMatchObject({ code: "23505", constraint: "run_one_active" });
    hold.open();
    await running;
    await expect(
      client.query(copy.replace("'another', graph, status", "'later', graph, 'completed'")),
    ).resolves.toMatchObject({ rowCount: 1 });
  });

  test("a question that is open twice (invariant 5)", async () => {
    const graph = new StateGraph()
      .addNode("ACT", () => "done")
      .addEdge(START, "ACT")
      .addEdge("ACT", END)
      .compile({ name: "asking", checkpointer, interruptBefore: ["ACT"] });
    await graph.invoke({}, { threadId: "asked" });
    const copy = `INSERT INTO holdpoint.interrupt SELECT tenant, thread_id, 'another', run_id, graph, seq, task_id, ask_key, status, node, body, message, data
      FROM holdpoint.interrupt WHERE thread_id = 'asked'`;
    const columns =
      "(tenant, thread_id, id, run_id, graph, seq, task_id, ask_key, status, node, body, message, data, created_at)";
    const insert = copy
      .replace("holdpoint.interrupt SELECT", `holdpoint.interrupt ${columns} SELECT`)
      .replace("message, data\n", "message, data, created_at\n");
    await expect(client.query(insert)).rejects.toMatchObject({
      code: "23505",
      constraint: "interrupt_open_once",
    });
  });

  test.each([
    ["thread", "status", "paused", "running"],
    ["run", "status", "idle", "queued"],
    ["run", "stop_mode", "soon", "now"],
    ["log", "source", "somewhere", "fork"],
  ])("a word of %s.%s that is none: %s", async (table, column, bad, good) => {
    const graph = new StateGraph()
      .addNode("ACT", () => "done")
      .addEdge(START, "ACT")
      .addEdge("ACT", END)
      .compile({ name: "wording", checkpointer });
    await graph.invoke({}, { threadId: "worded" });
    const set = (word: string): Promise<pg.QueryResult> =>
      client.query(`UPDATE holdpoint.${table} SET ${column} = $1 WHERE thread_id = 'worded'`, [word]);
    await expect(set(bad)).rejects.toMatchObject({ code: "23514", constraint: `${table}_${column}_check` });
    await client.query("BEGIN");
    expect((await set(good)).rowCount).toBeGreaterThan(0);
    await client.query("ROLLBACK");
  });
});
