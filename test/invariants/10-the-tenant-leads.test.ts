/** Every key of the database, and every statement that a request sends, is looked at. */
import { describe, expect, onTestFinished, test } from "vitest";
import { END, START, StateGraph } from "holdpoint";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { PgDatabase } from "../../src/checkpoint/postgres/pg-database.js";
import { everything } from "../contract/scenes.js";
import { newPostgresDatabase } from "../support/databases.js";

/** Keys that lead across tenants: of claims, takeovers, timers, sweeps and heartbeats. */
const ACROSS = ["request_key_expiry", "thread_queued", "thread_running", "timer_due", "worker_pkey"];
/** What is asked of all tenants at once: by processes, not by requests. */
const OF_PROCESSES =
  /holdpoint\.(beat|claim|due_timers|sweep_\w+)_v\d+\(|holdpoint\.(worker|migration|timer)\b|^DELETE FROM holdpoint\.(request_key k|live l) USING|^DELETE FROM holdpoint\.reader WHERE seen_at|^WITH done AS \(\s+DELETE FROM holdpoint\.live/;

/** A storage, and the statements about Holdpoint's tables that it has sent since it was opened. */
async function watched(): Promise<{ checkpointer: PgCheckpointer; database: PgDatabase; sent: Statement[] }> {
  const database = new PgDatabase({ url: await newPostgresDatabase(), waitMs: 0 });
  const checkpointer = new PgCheckpointer({ database });
  await checkpointer.open();
  onTestFinished(() => checkpointer.close());
  const sent: Statement[] = [];
  const query = database.query.bind(database);
  database.query = (sql, values, options) => {
    if (sql.includes("holdpoint.")) sent.push({ sql, values: values ?? [] });
    return query(sql, values, options);
  };
  return { checkpointer, database, sent };
}

interface Statement {
  readonly sql: string;
  readonly values: readonly unknown[];
}

/** What is wrong with a statement of a request; empty where its tenant is its first value and is asked for in each WHERE. */
function faults({ sql, values }: Statement, tenant: string): string[] {
  const [leads] = values;
  const isCall = /^SELECT holdpoint\.\w+_v\d+\(/.test(sql) || /jsonb_array_elements\(\$1/.test(sql);
  const named =
    leads === tenant || (typeof leads === "string" && isCall && leads.includes(`"tenant":"${tenant}"`));
  const wheres = isCall ? 0 : (sql.match(/\bFROM holdpoint\.\w+/g) ?? []).length;
  const asked = (sql.match(/\btenant = (\$1|\w+\.tenant)/g) ?? []).length;
  return [
    ...(named ? [] : [`the tenant is not its first value: ${sql}`]),
    ...(asked >= wheres ? [] : [`reads a table without its tenant: ${sql}`]),
  ];
}

describe("Invariant 10: the tenant leads", () => {
  test("every key of every table, but those by which processes look across tenants", async () => {
    const { database } = await watched();
    const keys = await database.query<{ name: string; leads: string }>(
      `SELECT c.relname AS name, a.attname AS leads FROM pg_index i
        JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE c.relnamespace = 'holdpoint'::regnamespace ORDER BY 1`,
    );
    expect(keys.length).toBeGreaterThan(ACROSS.length);
    const others = keys.filter(({ leads }) => leads !== "tenant").map(({ name }) => name);
    expect(others.filter((name) => !name.startsWith("migration"))).toEqual(ACROSS);
  });

  test("every statement that a run, an answer, a stop and the reads of a thread send", async () => {
    const { checkpointer, sent } = await watched();
    const graph = new StateGraph()
      .addNode("ACT", async (_state, ctx) => {
        await ctx.once("act", () => "done");
      })
      .addEdge(START, "ACT")
      .addEdge("ACT", END)
      .compile({ name: "asking", checkpointer, interruptBefore: ["ACT"] });
    await graph.invoke({ messages: ["hello"] }, { threadId: "t1" });
    await graph.resume({ decision: "approve" }, { threadId: "t1" });
    await graph.invoke({ messages: ["again"] }, { threadId: "t1" });
    await graph.stop({ threadId: "t1" });
    await everything(checkpointer, { tenant: "default", threadId: "t1" });
    await checkpointer.remove({ tenant: "default", threadId: "t1" });
    const ofRequests = sent.filter(({ sql }) => !OF_PROCESSES.test(sql));
    expect(ofRequests.length).toBeGreaterThan(15);
    expect(ofRequests.flatMap((statement) => faults(statement, "default"))).toEqual([]);
  });
});
