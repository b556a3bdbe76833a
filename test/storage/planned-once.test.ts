/** A statement inside a function of the database is planned once a session, not at each call: PostgreSQL counts both. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { END, START, StateGraph } from "holdpoint";
import { startOwnPostgres } from "../support/start-postgres.js";

/** The first plans of a session are made for their arguments; what is planned so for ever is what is looked for. */
const FIRST = 6;

test("what every run does is planned once a session, alone and in groups", { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "holdpoint-planned-"));
  const postgres = await startOwnPostgres(folder, {
    shared_preload_libraries: "pg_stat_statements",
    "pg_stat_statements.track": "all",
    "pg_stat_statements.track_planning": "on",
  });
  const client = new pg.Client(postgres.url);
  onTestFinished(async () => {
    await client.end();
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await client.connect();
  await client.query("CREATE EXTENSION pg_stat_statements");

  const checkpointer = new PgCheckpointer({ url: postgres.url, poolSize: 4 });
  const chain = () =>
    new StateGraph()
      .addNode("A", () => ({ messages: "A has been." }))
      .addNode("B", () => ({ messages: "B has been." }))
      .addEdge(START, "A")
      .addEdge("A", "B")
      .addEdge("B", END);
  const held = chain().compile({ name: "held", checkpointer, interruptBefore: ["B"] });
  const plain = chain().compile({ name: "plain", checkpointer });
  try {
    for (let i = 0; i < 60; i++) {
      const threadId = `alone-${i}`;
      await held.invoke({ messages: ["please"] }, { threadId });
      await held.resume({ decision: "approve" }, { threadId });
      await Promise.all(
        Array.from({ length: 16 }, (_, j) =>
          plain.invoke({ messages: ["please"] }, { threadId: `one-of-${i}-${j}` }),
        ),
      );
    }
  } finally {
    await checkpointer.close();
  }

  const { rows } = await client.query<{ query: string; calls: number; plans: number }>(
    `SELECT s.query, s.calls::integer, s.plans::integer FROM pg_stat_statements s WHERE NOT s.toplevel AND s.calls > 40 ORDER BY s.calls DESC`,
  );
  const inGroups = rows.filter(({ query }) => query.includes("c.ctid = k.place"));
  expect(inGroups).not.toEqual([]);
  const again = rows.filter(({ calls, plans }) => plans > Math.max(4 * FIRST, calls / 4));
  expect(again.map(({ query, calls, plans }) => `${plans} plans of ${calls} calls: ${query}`)).toEqual([]);
});
