import { applyOps, type Message, type Snapshot, type Values } from "../../../engine/index.js";
import { deepFreeze } from "../../../lib/deep-freeze.js";
import type { Json } from "../../../lib/json.js";
import type { CheckpointRecord, Loaded, TaskRecord, ThreadHead, ThreadRef } from "../../checkpointer.js";
import type { Database } from "../database.js";
import type { KeptMessages, Reading } from "../kept-messages.js";
import {
  checkpointOf,
  interruptOf,
  messageOf,
  opsOf,
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
import { positionOf } from "../short-form.js";

async function threadRow(database: Database, ref: ThreadRef): Promise<ThreadRow | null> {
  // Without a name: its plan would be one of a table that has grown since.
  const [row] = await database.query<ThreadRow>(
    "SELECT * FROM holdpoint.thread WHERE tenant = $1 AND thread_id = $2",
    [ref.tenant, ref.threadId],
  );
  return row ?? null;
}

export async function thread(database: Database, ref: ThreadRef): Promise<ThreadHead | null> {
  const row = await threadRow(database, ref);
  return row === null ? null : threadOf(row);
}

// ROWS FROM: of a function, where what is read of a table must name the tenant.
const LOAD =
  "SELECT 1 AS place, l.loaded, l.messages FROM ROWS FROM (holdpoint.load_v2($1, $2, $3, $4)) AS l";
const LOAD_ALL =
  "SELECT t.place::integer, l.loaded, l.messages FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) WITH ORDINALITY AS t (tenant, thread, seq, checkpoint, place) CROSS JOIN LATERAL holdpoint.load_v2(t.tenant, t.thread, t.seq, t.checkpoint) l";

/** A part of what `load_v2` gives of a thread. */
interface LoadedRow {
  /** Of which thread of those asked for, from 1. */
  readonly place: number;
  /** In the first. */
  readonly loaded: LoadedJson | { readonly seq: number } | null;
  /** An array of messages, the last one first, all of them before those of the part in front. */
  readonly messages: string | null;
}

/** All but the messages; inside JSON a time is a string. */
interface LoadedJson {
  readonly thread: ThreadRow;
  readonly ops: readonly [string, string | null][] | null;
  readonly asked: readonly InterruptRow[] | null;
  readonly records:
    readonly { readonly task_id: string; readonly key: string; readonly value: string }[] | null;
  readonly run: RunRow | null;
  /** The thread stands where its messages are kept: none are given. */
  readonly known: boolean;
}

type Found = Loaded | { readonly head: null; readonly seq: number };

/** Threads as they stand, in the order of `refs`, in one round trip; messages that are kept are not read once more. */
export async function load(
  database: Database,
  refs: readonly ThreadRef[],
  kept: KeptMessages,
): Promise<Found[]> {
  const readings = refs.map((ref) => kept.begin(ref));
  try {
    return await read(database, readings, kept);
  } finally {
    for (const reading of readings) kept.end(reading);
  }
}

async function read(database: Database, asked: readonly Reading[], kept: KeptMessages): Promise<Found[]> {
  const [first] = asked;
  const isOne = first !== undefined && asked.length === 1;
  const rows = await database.query<LoadedRow>(
    isOne ? LOAD : LOAD_ALL,
    isOne
      ? [first.ref.tenant, first.ref.threadId, first.known?.seq ?? null, first.known?.checkpointId ?? null]
      : [
          asked.map(({ ref }) => ref.tenant),
          asked.map(({ ref }) => ref.threadId),
          asked.map(({ known }) => known?.seq ?? null),
          asked.map(({ known }) => known?.checkpointId ?? null),
        ],
    { name: isOne ? "load" : "load all" },
  );
  // An id that no text can be is no thread's.
  if (isOne && rows.length === 0) return [{ head: null, seq: 0 }];
  const parts = new Map<number, LoadedRow[]>();
  for (const row of rows) {
    const those = parts.get(row.place);
    if (those === undefined) parts.set(row.place, [row]);
    else those.push(row);
  }
  const found = [...parts].sort(([a], [b]) => a - b);
  return found.map(([place, those]) => foundOf(those, asked[place - 1], kept));
}

/** A thread's values are those of the last time they were stored whole, and the changes since. */
function foundOf(parts: readonly LoadedRow[], of: Reading | undefined, kept: KeptMessages): Found {
  const loaded = parts[0]?.loaded ?? { seq: 0 };
  if ("seq" in loaded) {
    if (of !== undefined) kept.forget(of.ref);
    return { head: null, seq: loaded.seq };
  }
  const { thread: head, ops, asked, records, run } = loaded;
  let messages = loaded.known && of?.known ? of.known.messages : messagesOf(parts);
  if (!loaded.known && of !== undefined) {
    const size = parts.reduce((sum, part) => sum + (part.messages?.length ?? 0), 0);
    messages = kept.keep(of, { seq: head.seq, checkpointId: head.checkpoint_id }, messages, size);
  }
  return {
    head: threadOf(head),
    snapshot: {
      step: head.step,
      values: foldValues((ops ?? []).map(([changes, vals]) => ({ ops: changes, vals }))),
      messages: Object.freeze(messages),
      position: positionOf(head.position),
    },
    run: run === null ? null : runOf(run),
    interrupts: (asked ?? []).map(interruptOf),
    records: (records ?? []).map((record): TaskRecord => ({
      taskId: JSON.parse(record.task_id) as string,
      key: JSON.parse(record.key) as string,
      value: JSON.parse(record.value) as Json,
    })),
    sinceValues: { bytes: head.since_bytes, size: head.values_size },
  };
}

/** All messages, the first one first. */
function messagesOf(parts: readonly LoadedRow[]): readonly Message[] {
  const backwards: Message[] = [];
  for (const { messages } of parts) {
    if (messages === null) continue;
    // Each by itself: who makes a context of them freezes that, and then it is taken as frozen all the way down.
    for (const message of JSON.parse(messages) as Message[]) backwards.push(deepFreeze(message));
  }
  return backwards.reverse();
}

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

async function messagesAt(database: Database, ref: ThreadRef, seq: number): Promise<readonly Message[]> {
  const rows = await database.query<MessageRow>(
    "SELECT DISTINCT ON (pos) pos, seq, body FROM holdpoint.message WHERE tenant = $1 AND thread_id = $2 AND seq <= $3 ORDER BY pos DESC, seq DESC",
    [ref.tenant, ref.threadId, seq],
  );
  return Object.freeze(rows.map(messageOf).reverse());
}
