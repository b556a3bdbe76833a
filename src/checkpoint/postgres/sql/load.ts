import { applyOps, type Message, type Snapshot, type Values } from "../../../engine/index.js";
import type { Json } from "../../../lib/json.js";
import type {
  Checkpointer,
  CheckpointRecord,
  TaskRecord,
  ThreadHead,
  ThreadRef,
} from "../../checkpointer.js";
import type { Database } from "../database.js";
import {
  checkpointOf,
  interruptOf,
  messageOf,
  opsOf,
  positionOf,
  runOf,
  threadOf,
  valuesOf,
  type CheckpointRow,
  type InterruptRow,
  type MessageRow,
  type OpsRow,
  type RunRow,
  type ThreadRow,
} from "../rows.js";

async function threadRow(database: Database, ref: ThreadRef): Promise<ThreadRow | null> {
  const [row] = await database.query<ThreadRow>(
    "SELECT * FROM holdpoint.thread WHERE tenant = $1 AND thread_id = $2",
    [ref.tenant, ref.threadId],
    { name: "thread" },
  );
  return row ?? null;
}

export async function thread(database: Database, ref: ThreadRef): Promise<ThreadHead | null> {
  const row = await threadRow(database, ref);
  return row === null ? null : threadOf(row);
}

interface LoadedRow extends ThreadRow {
  /** What a deleted thread of this name has used: one that does not exist begins above it. */
  buried: number | null;
  ops: [string, string | null][] | null;
  context: string[] | null;
  asked: InterruptRow[] | null;
  records: { task_id: string; key: string; value: string }[] | null;
  run: RunRow | null;
}

/**
 * A thread as it stands: its values from the last time they were stored whole, and the changes since. One statement, so
 * that all of it is of one moment, and one round trip. The ids of the tasks that
 * are next stand beside the position, so that SQL need not look into it. The log is read between two ends: with one end
 * alone the planner expects a third of the thread, and where that is most of the table it reads the whole table.
 */
const LOAD = `
  SELECT t.*,
    (SELECT json_agg(json_build_array(l.ops, l.vals) ORDER BY l.seq) FROM holdpoint.log l
      WHERE l.tenant = t.tenant AND l.thread_id = t.thread_id AND l.seq BETWEEN t.snapshot_seq AND t.seq AND l.ops IS NOT NULL) AS ops,
    (SELECT json_agg(m.body ORDER BY m.pos) FROM (
      SELECT DISTINCT ON (pos) pos, body FROM holdpoint.message
        WHERE tenant = t.tenant AND thread_id = t.thread_id ORDER BY pos, seq DESC) m) AS context,
    (SELECT json_agg(to_json(i) ORDER BY i.seq, i.id) FROM (
      SELECT DISTINCT ON (task_id, ask_key) * FROM holdpoint.interrupt
        WHERE tenant = t.tenant AND thread_id = t.thread_id AND task_id = ANY (t.tasks) ORDER BY task_id, ask_key, seq DESC, id DESC) i) AS asked,
    (SELECT json_agg(json_build_object('task_id', k.task_id, 'key', k.key, 'value', k.value)) FROM holdpoint.task_record k
      WHERE k.tenant = t.tenant AND k.thread_id = t.thread_id AND k.task_id = ANY (t.tasks)) AS records,
    (SELECT to_json(r) FROM holdpoint.run r WHERE r.tenant = t.tenant AND r.thread_id = t.thread_id AND r.run_id = t.run_id) AS run,
    CASE WHEN t.tenant IS NULL THEN (SELECT b.seq FROM holdpoint.tombstone b WHERE b.tenant = $1 AND b.thread_id = $2) END AS buried
  FROM (SELECT) one LEFT JOIN holdpoint.thread t ON t.tenant = $1 AND t.thread_id = $2`;

export async function load(database: Database, ref: ThreadRef): ReturnType<Checkpointer["load"]> {
  const [row] = await database.query<LoadedRow>(LOAD, [ref.tenant, ref.threadId], { name: "load" });
  if (row === undefined || !isThere(row)) return { head: null, seq: row?.buried ?? 0 };
  return {
    head: threadOf(row),
    snapshot: {
      step: row.step,
      values: foldValues((row.ops ?? []).map(([ops, vals]) => ({ ops, vals }))),
      messages: (row.context ?? []).map((body) => messageOf({ body })),
      position: positionOf(row.position),
    },
    run: row.run === null ? null : runOf(row.run),
    interrupts: (row.asked ?? []).map(interruptOf),
    records: (row.records ?? []).map((record): TaskRecord => ({
      taskId: JSON.parse(record.task_id) as string,
      key: JSON.parse(record.key) as string,
      value: JSON.parse(record.value) as Json,
    })),
    sinceValues: { bytes: row.since_bytes, size: row.values_size },
  };
}

/** An outer join has a row of nothing where there is no thread. */
const isThere = (row: { readonly tenant: string | null }): boolean => row.tenant !== null;

export async function loadAt(
  database: Database,
  ref: ThreadRef,
  at: { id: string } | { seq: number },
): Promise<{ record: CheckpointRecord; snapshot: Snapshot } | null> {
  const where =
    "id" in at ? "checkpoint_id = $3" : "checkpoint_id IS NOT NULL AND seq <= $3 ORDER BY seq DESC LIMIT 1";
  const [row] = await database.query<CheckpointRow & { position: string }>(
    `SELECT * FROM holdpoint.log WHERE tenant = $1 AND thread_id = $2 AND ${where}`,
    [ref.tenant, ref.threadId, "id" in at ? at.id : at.seq],
  );
  if (row === undefined) return null;
  const [whole] = await database.query<{ seq: number }>(
    "SELECT seq FROM holdpoint.log WHERE tenant = $1 AND thread_id = $2 AND seq <= $3 AND vals IS NOT NULL ORDER BY seq DESC LIMIT 1",
    [ref.tenant, ref.threadId, row.seq],
  );
  const [values, messages] = await Promise.all([
    valuesAt(database, ref, whole?.seq ?? 0, row.seq),
    messagesAt(database, ref, row.seq),
  ]);
  return {
    record: checkpointOf(row),
    snapshot: { step: row.step, values, messages, position: positionOf(row.position) },
  };
}

async function valuesAt(database: Database, ref: ThreadRef, from: number, to: number): Promise<Values> {
  const rows = await database.query<OpsRow>(
    "SELECT ops, vals FROM holdpoint.log WHERE tenant = $1 AND thread_id = $2 AND seq BETWEEN $3 AND $4 AND ops IS NOT NULL ORDER BY seq",
    [ref.tenant, ref.threadId, from, to],
  );
  return foldValues(rows);
}

const foldValues = (rows: readonly OpsRow[]): Values =>
  rows.reduce<Values>(
    (values, row) => (row.vals === null ? applyOps(values, opsOf(row)) : valuesOf(row.vals)),
    {},
  );

async function messagesAt(database: Database, ref: ThreadRef, seq: number): Promise<Message[]> {
  const rows = await database.query<MessageRow>(
    "SELECT DISTINCT ON (pos) pos, seq, body FROM holdpoint.message WHERE tenant = $1 AND thread_id = $2 AND seq <= $3 ORDER BY pos, seq DESC",
    [ref.tenant, ref.threadId, seq],
  );
  return rows.map(messageOf);
}
