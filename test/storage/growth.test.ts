/**
 * Invariant 9 of design: storage, on a thread of 10 000 messages: what a step writes, as the write-ahead log has it, and what
 * reading back reads, in rows. Counted, not timed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { END, START, StateGraph } from "holdpoint";
import { z } from "zod";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { PgDatabase } from "../../src/checkpoint/postgres/pg-database.js";
import { startPostgres, type StartedPostgres } from "../support/start-postgres.js";

const MESSAGES = 10_000;
/** Steps that are measured, after those that find each page for the first time after a CHECKPOINT. */
const [MEASURED, WARMING, WINDOW] = [200, 50, 20];
const REF = { tenant: "default", threadId: "long" };

interface Cost {
  /** Bytes of write-ahead log a step: the median of windows of 20, so that a vacuum does not count. */
  readonly wal: number;
  readonly rows: number;
}

describe("a thread of 10 000 messages", { timeout: 300_000 }, () => {
  let folder: string;
  let postgres: StartedPostgres;
  let client: pg.Client;
  let checkpointer: PgCheckpointer;
  /** One that only reads: no run was ever started with it, so that no heartbeat is among what it sends. */
  let reader: PgCheckpointer;
  let early: Cost;
  let late: Cost;
  /** Statements that the reader has sent, with their values. */
  let sent: (readonly [sql: string, values: readonly unknown[]])[] = [];

  beforeAll(async () => {
    // A server of its own: the write-ahead log is the whole server's, and other tests write too.
    folder = mkdtempSync(join(tmpdir(), "holdpoint-growth-"));
    postgres = await startPostgres(folder);
    const url = new URL(postgres.url);
    client = new pg.Client({ connectionString: url.href });
    await client.connect();
    const name = `growth_${process.pid}_${Date.now()}`;
    await client.query(`CREATE DATABASE ${name}`);
    await client.end();
    url.pathname = `/${name}`;
    client = new pg.Client({ connectionString: url.href });
    await client.connect();
    checkpointer = new PgCheckpointer({ database: new PgDatabase({ url: url.href, waitMs: 0 }) });
    [early, late] = await grow();
    const database = new PgDatabase({ url: url.href, waitMs: 0 });
    const query = database.query.bind(database);
    database.query = (sql, values) => {
      sent.push([sql, values ?? []]);
      return query(sql, values);
    };
    reader = new PgCheckpointer({ database });
    await reader.open();
  }, 300_000);
  afterAll(async () => {
    await client.end();
    await checkpointer.close();
    await reader.close();
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs the thread up to its last message, one a step; gives what its first steps and its last ones cost. */
  async function grow(): Promise<[Cost, Cost]> {
    const first = meter(10);
    const last = meter(MESSAGES - MEASURED - WARMING - 1);
    const graph = new StateGraph({ state: z.object({ turns: z.number().default(0) }) })
      .addNode("SAY", async ({ turns }) => {
        // In a node: the steps before it are committed, and nothing is under way.
        await first.at(turns);
        await last.at(turns);
        return { turns: turns + 1, messages: `${turns} `.padEnd(200, "m") };
      })
      .addEdge(START, "SAY")
      .addConditionalEdges("SAY", ({ turns }) => turns < MESSAGES, { true: "SAY", false: END })
      .compile({ name: "growing", checkpointer });
    await graph.invoke({}, { threadId: REF.threadId, recursionLimit: MESSAGES + 1 });
    return [first.cost(), last.cost()];
  }

  /** Measures the steps from `begin` on, once those of warming are over. */
  function meter(begin: number): { at(turn: number): Promise<void>; cost(): Cost } {
    const wal: number[] = [];
    const rows: number[] = [];
    return {
      async at(turn) {
        const step = turn - begin - WARMING;
        if (turn === begin) await client.query("CHECKPOINT");
        if (step < 0 || step > MEASURED || step % WINDOW !== 0) return;
        if (step === 0 || step === MEASURED) rows.push(await count());
        const { rows: found } = await client.query<{ at: string }>(
          "SELECT pg_current_wal_insert_lsn() - '0/0' AS at",
        );
        wal.push(Number(found[0]?.at));
      },
      cost() {
        const windows = wal.slice(1).map((at, i) => (at - (wal[i] ?? 0)) / WINDOW);
        expect(windows).toHaveLength(MEASURED / WINDOW);
        const median = windows.sort((a, b) => a - b)[Math.floor(windows.length / 2)] ?? 0;
        return { wal: Math.round(median), rows: ((rows[1] ?? 0) - (rows[0] ?? 0)) / MEASURED };
      },
    };
  }

  /** Rows of all tables. */
  async function count(): Promise<number> {
    const tables = await client.query<{ name: string }>(
      "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'holdpoint'",
    );
    const counts = tables.rows.map(({ name }) => `(SELECT count(*) FROM ${name})`);
    const { rows } = await client.query<{ rows: string }>(`SELECT ${counts.join(" + ")} AS rows`);
    return Number(rows[0]?.rows);
  }

  /** How many rows of each table the statements of `work` read, as the database itself counts them. */
  async function rowsRead(work: () => Promise<unknown>): Promise<Record<string, number>> {
    sent = [];
    await work();
    // In functions too; with what this session has read before and the database has not counted yet.
    const counted = async (): Promise<Map<string, number>> => {
      const { rows } = await client.query<{ relname: string; read: string }>(
        "SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS read FROM pg_stat_xact_user_tables WHERE schemaname = 'holdpoint'",
      );
      return new Map(rows.map(({ relname, read }) => [relname, Number(read)]));
    };
    await client.query("BEGIN");
    const before = await counted();
    for (const [sql, values] of sent) await client.query(sql, [...values]);
    const after = await counted();
    await client.query("COMMIT");
    return Object.fromEntries([...after].map(([table, read]) => [table, read - (before.get(table) ?? 0)]));
  }

  test("a step at message 10 and one at message 10 000 write as many bytes and rows, by less than 20 % (invariant 9)", () => {
    console.log(`a step at message 10: ${early.wal} B of WAL, ${early.rows} rows`);
    console.log(`a step at message ${MESSAGES}: ${late.wal} B of WAL, ${late.rows} rows`);
    expect(early.wal).toBeGreaterThan(500);
    expect(Math.abs(late.wal / early.wal - 1)).toBeLessThan(0.2);
    expect(early.rows).toBeGreaterThanOrEqual(2);
    expect(Math.abs(late.rows / early.rows - 1)).toBeLessThan(0.2);
  });

  test("loading it reads each message once, and of the log the last whole state and the changes since", async () => {
    await client.query("ANALYZE");
    const { rows } = await client.query<{ since: string; bytes: string; size: string }>(
      `SELECT (SELECT count(*) FROM holdpoint.log l WHERE l.thread_id = t.thread_id AND l.seq >= t.snapshot_seq) AS since,
          since_bytes AS bytes, values_size AS size
        FROM holdpoint.thread t WHERE thread_id = $1`,
      [REF.threadId],
    );
    const read = await rowsRead(() => reader.load(REF));
    console.log(`loading reads ${read.log} of ${MESSAGES} log rows, ${read.message} messages`);
    expect(read.log).toBe(Number(rows[0]?.since));
    expect(read.log).toBeLessThan(MESSAGES / 20);
    expect(read.message).toBe(MESSAGES);
    expect(read.thread).toBe(1);
    expect(read.run).toBe(1);
  });

  test("a thread whose steps only speak is read back from a whole state near its end too", async () => {
    const steps = 500;
    const graph = new StateGraph()
      .addNode("SAY", () => ({ messages: "said" }))
      .addEdge(START, "SAY")
      .addConditionalEdges("SAY", ({ context }) => context.length < steps, { true: "SAY", false: END })
      .compile({ name: "speaking", checkpointer });
    await graph.invoke({}, { threadId: "speaks", recursionLimit: steps + 1 });
    const read = await rowsRead(() => reader.load({ ...REF, threadId: "speaks" }));
    expect(read.message).toBe(steps);
    expect(read.log).toBeLessThan(100);
  });

  test("an early checkpoint, a page of history and the tail of the log read what they give, not the thread", async () => {
    const page = { limit: 50, cursor: null };
    const { items } = await reader.checkpoints(REF, page);
    expect(items).toHaveLength(50);
    const { seq = 0 } = items[0] ?? {};
    const tenth = await client.query<{ seq: string }>(
      "SELECT seq FROM holdpoint.log WHERE thread_id = $1 AND step = 10 AND source = 'step'",
      [REF.threadId],
    );
    const at = await rowsRead(() => reader.loadAt(REF, { seq: Number(tenth.rows[0]?.seq) }));
    expect(at.message).toBe(10);
    expect(at.log).toBeLessThan(100);
    for (const work of [
      () => reader.checkpoints(REF, page),
      () => reader.messages(REF, page),
      () => reader.log(REF, seq - 100, 50),
    ]) {
      const read = await rowsRead(work);
      expect(Object.values(read).reduce((sum, rows) => sum + rows, 0)).toBeLessThan(250);
    }
  });
});
