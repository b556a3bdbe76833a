/** Reads the tables as they are, past everything that serves them. */
import pg from "pg";
import { eventsOf } from "../../src/checkpoint/postgres/short-form.js";
import type { Message } from "../../src/engine/index.js";
import type { InterruptRow, LoggedEvent, LogRow, RecordRow, RunRow, Tables, ThreadRow } from "./evidence.js";

const INT8 = 20;

/** What the events of a commit are read with. */
interface Logged {
  readonly events: string;
  readonly checkpoint_id: string | null;
  readonly step: number | null;
  readonly next_nodes: string | null;
  readonly created_at: Date;
  readonly messages: readonly number[];
  readonly bodies: readonly (readonly [number, string])[];
}

/** The one thing that is read by the code under test: the form is its own affair, and has tests of its own. */
function eventsIn(seq: number, row: Logged): readonly LoggedEvent[] {
  const bodies = new Map(row.bodies);
  return eventsOf(row.events, {
    seq,
    at: row.created_at.toISOString(),
    checkpointId: row.checkpoint_id,
    step: row.step,
    nextNodes: JSON.parse(row.next_nodes ?? "[]") as string[],
    messages: row.messages.map((pos) => ({ pos, message: JSON.parse(bodies.get(pos) ?? "{}") as Message })),
  });
}

/** A connection of the test's own, which knows nothing of restarts: one for each look. */
export async function inDatabase<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const types = new pg.TypeOverrides();
  types.setTypeParser(INT8, Number);
  const client = new pg.Client({ connectionString: url, types, connectionTimeoutMillis: 5000 });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

export function readTables(url: string): Promise<Tables> {
  return inDatabase(url, async (client) => {
    const all = async <Row extends pg.QueryResultRow>(sql: string): Promise<Row[]> =>
      (await client.query<Row>(sql)).rows;
    const log = await all<Omit<LogRow, "events"> & Logged>(
      `SELECT thread_id, seq, run_id, source, events, checkpoint_id, step, next_nodes, created_at,
          (SELECT coalesce(json_agg(json_build_array(m.pos, m.body)), '[]') FROM holdpoint.message m
            WHERE m.tenant = l.tenant AND m.thread_id = l.thread_id AND m.seq = l.seq) AS bodies, messages
        FROM holdpoint.log l ORDER BY thread_id, seq`,
    );
    const interrupts = await all<{ task_id: string; body: string; decision: string | null } & InterruptRow>(
      "SELECT thread_id, id, task_id, body, status, decision, decided_at FROM holdpoint.interrupt ORDER BY seq, id",
    );
    const runs = await all<Omit<RunRow, "metadata"> & { metadata: string }>(
      "SELECT thread_id, run_id, graph, status, resumes, first_seq, last_seq, metadata, started_at, ended_at FROM holdpoint.run ORDER BY thread_id, first_seq",
    );
    const records = await all<Record<"thread_id" | "task_id" | "key" | "value", string>>(
      "SELECT thread_id, task_id, key, value FROM holdpoint.task_record",
    );
    return {
      threads: await all<ThreadRow>(
        "SELECT thread_id, graph, status, step, seq, run_id FROM holdpoint.thread",
      ),
      runs: runs.map((row) => ({ ...row, metadata: JSON.parse(row.metadata) as RunRow["metadata"] })),
      log: log.map(({ thread_id, seq, run_id, source, ...row }) => ({
        thread_id,
        seq,
        run_id,
        source,
        events: eventsIn(seq, row),
      })),
      interrupts: interrupts.map((row) => ({
        ...row,
        task: JSON.parse(row.task_id) as string,
        kind: (JSON.parse(row.body) as { kind: string }).kind,
        decision:
          row.decision === null
            ? null
            : (JSON.parse(row.decision as unknown as string) as InterruptRow["decision"]),
      })),
      records: records.map((row): RecordRow => ({
        thread_id: row.thread_id,
        task: JSON.parse(row.task_id) as string,
        key: JSON.parse(row.key) as string,
        value: JSON.parse(row.value) as unknown,
      })),
    };
  });
}

/** Threads that somebody should be busy with, or soon will be. */
export function activeThreads(url: string): Promise<string[]> {
  return inDatabase(url, async (client) => {
    const { rows } = await client.query<{ thread_id: string; status: string }>(
      "SELECT thread_id, status FROM holdpoint.thread WHERE status IN ('running', 'queued')",
    );
    return rows.map(({ thread_id, status }) => `${thread_id} (${status})`);
  });
}
