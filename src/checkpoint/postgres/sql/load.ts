import { applyOps, type Message, type Snapshot, type Values } from "../../../engine/index.js";
import type { Json } from "../../../lib/json.js";
import type { CheckpointRecord, Loaded, TaskRecord, ThreadHead, ThreadRef } from "../../checkpointer.js";
import type { Database } from "../database.js";
import { checkpointOf, interruptOf, messageOf, opsOf, positionOf, runOf, threadOf, valuesOf, type CheckpointRow, type InterruptRow, type MessageRow, type OpsRow, type RunRow, type ThreadRow } from "../rows.js";

export async function threadRow(database: Database, ref: ThreadRef): Promise<ThreadRow | null> {
  const [row] = await database.query<ThreadRow>("SELECT * FROM holdpoint.thread WHERE tenant = $1 AND thread_id = $2", [ref.tenant, ref.threadId]);
  return row ?? null;
}

export async function thread(database: Database, ref: ThreadRef): Promise<ThreadHead | null> {
  const row = await threadRow(database, ref);
  return row === null ? null : threadOf(row);
}

/** A thread that does not exist begins above what a deleted one of its name has used. */
export async function tombstoneSeq(database: Database, ref: ThreadRef): Promise<number> {
  const [row] = await database.query<{ seq: number }>("SELECT seq FROM holdpoint.tombstone WHERE tenant = $1 AND thread_id = $2", [ref.tenant, ref.threadId]);
  return row?.seq ?? 0;
}

/**
 * A thread as it stands: its values from the last time they were stored whole, and the changes since. Several statements,
 * each bounded by the head's seq: what another process commits in between is not seen, and a write built on it is refused.
 */
export async function load(database: Database, ref: ThreadRef): Promise<Loaded | null> {
  const row = await threadRow(database, ref);
  if (row === null) return null;
  const position = positionOf(row.position);
  const tasks = position.tasks.map((task) => JSON.stringify(task.id));
  const key = [ref.tenant, ref.threadId];
  const [values, messages, interrupts, records, runs] = await Promise.all([
    valuesAt(database, ref, row.snapshot_seq, row.seq),
    messagesAt(database, ref, row.seq),
    database.query<InterruptRow>("SELECT * FROM (SELECT DISTINCT ON (task_id, ask_key) * FROM holdpoint.interrupt WHERE tenant = $1 AND thread_id = $2 AND task_id = ANY ($3) ORDER BY task_id, ask_key, seq DESC, id DESC) newest ORDER BY seq, id", [...key, tasks]),
    tasks.length === 0
      ? []
      : database.query<{ task_id: string; key: string; value: string }>("SELECT task_id, key, value FROM holdpoint.task_record WHERE tenant = $1 AND thread_id = $2 AND task_id = ANY ($3)", [...key, tasks]),
    row.run_id === null ? [] : database.query<RunRow>("SELECT * FROM holdpoint.run WHERE tenant = $1 AND thread_id = $2 AND run_id = $3", [...key, row.run_id]),
  ]);
  const run = runs[0];
  return {
    head: threadOf(row),
    snapshot: { step: row.step, values, messages, position },
    run: run === undefined ? null : runOf(run),
    interrupts: interrupts.map(interruptOf),
    records: records.map((record): TaskRecord => ({ taskId: JSON.parse(record.task_id) as string, key: JSON.parse(record.key) as string, value: JSON.parse(record.value) as Json })),
    sinceValues: { bytes: row.since_bytes, size: row.values_size },
  };
}

export async function loadAt(database: Database, ref: ThreadRef, at: { id: string } | { seq: number }): Promise<{ record: CheckpointRecord; snapshot: Snapshot } | null> {
  const where = "id" in at ? "checkpoint_id = $3" : "checkpoint_id IS NOT NULL AND seq <= $3 ORDER BY seq DESC LIMIT 1";
  const [row] = await database.query<CheckpointRow & { position: string }>(`SELECT * FROM holdpoint.log WHERE tenant = $1 AND thread_id = $2 AND ${where}`, [ref.tenant, ref.threadId, "id" in at ? at.id : at.seq]);
  if (row === undefined) return null;
  const [whole] = await database.query<{ seq: number }>(
    "SELECT seq FROM holdpoint.log WHERE tenant = $1 AND thread_id = $2 AND seq <= $3 AND vals IS NOT NULL ORDER BY seq DESC LIMIT 1",
    [ref.tenant, ref.threadId, row.seq],
  );
  const [values, messages] = await Promise.all([valuesAt(database, ref, whole?.seq ?? 0, row.seq), messagesAt(database, ref, row.seq)]);
  return { record: checkpointOf(row), snapshot: { step: row.step, values, messages, position: positionOf(row.position) } };
}

async function valuesAt(database: Database, ref: ThreadRef, from: number, to: number): Promise<Values> {
  const rows = await database.query<OpsRow>(
    "SELECT ops, vals FROM holdpoint.log WHERE tenant = $1 AND thread_id = $2 AND seq BETWEEN $3 AND $4 AND ops IS NOT NULL ORDER BY seq",
    [ref.tenant, ref.threadId, from, to],
  );
  return rows.reduce<Values>((values, row) => (row.vals === null ? applyOps(values, opsOf(row)) : valuesOf(row.vals)), {});
}

async function messagesAt(database: Database, ref: ThreadRef, seq: number): Promise<Message[]> {
  const rows = await database.query<MessageRow>(
    "SELECT DISTINCT ON (pos) pos, seq, body FROM holdpoint.message WHERE tenant = $1 AND thread_id = $2 AND seq <= $3 ORDER BY pos, seq DESC",
    [ref.tenant, ref.threadId, seq],
  );
  return rows.map(messageOf);
}
