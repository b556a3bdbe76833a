import type { Interrupt, Message } from "../../../engine/index.js";
import {
  decodeCursor,
  encodeCursor,
  type CheckpointRecord,
  type Checkpointer,
  type DecisionRecord,
  type Page,
  type PageRequest,
  type RunRecord,
  type ThreadHead,
  type ThreadRef,
} from "../../checkpointer.js";
import type { Database } from "../database.js";
import {
  checkpointOf,
  interruptOf,
  messageOf,
  runOf,
  threadOf,
  type CheckpointRow,
  type InterruptRow,
  type MessageRow,
  type RunRow,
  type ThreadRow,
} from "../rows.js";

/** One row more than the page is read: that tells whether there is a next one. */
function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  item: (row: Row) => Item,
  key: (row: Row) => (string | number)[],
): Page<Item> {
  const taken = rows.slice(0, limit);
  const last = taken.at(-1);
  return {
    items: taken.map(item),
    next: rows.length > limit && last !== undefined ? encodeCursor(key(last)) : null,
  };
}

const iso = (at: Date): string => at.toISOString();

export async function threads(
  database: Database,
  tenant: string,
  filter: Parameters<Checkpointer["threads"]>[1],
  page: PageRequest,
): Promise<Page<ThreadHead>> {
  const [at = null, id = null] = decodeCursor(page.cursor, ["time", "string"]) ?? [];
  const rows = await database.query<ThreadRow>(
    `SELECT * FROM holdpoint.thread
      WHERE tenant = $1 AND NOT hidden AND ($2::text[] IS NULL OR status = ANY ($2)) AND ($3::text IS NULL OR graph = $3)
        AND ($4::timestamptz IS NULL OR (created_at, thread_id) < ($4::timestamptz, $5::text))
      ORDER BY created_at DESC, thread_id DESC LIMIT $6`,
    [tenant, filter.statuses, filter.graph, at, id, page.limit + 1],
  );
  return pageOf(rows, page.limit, threadOf, (row) => [iso(row.created_at), row.thread_id]);
}

export async function runs(database: Database, ref: ThreadRef, page: PageRequest): Promise<Page<RunRecord>> {
  const [seq = null, id = null] = decodeCursor(page.cursor, ["integer", "string"]) ?? [];
  // Runs that were dropped together have one number.
  const rows = await database.query<RunRow>(
    `SELECT * FROM holdpoint.run
      WHERE tenant = $1 AND thread_id = $2 AND first_seq >= 0 AND ($3::bigint IS NULL OR (first_seq, run_id) < ($3, $4::text))
      ORDER BY first_seq DESC, run_id DESC LIMIT $5`,
    [ref.tenant, ref.threadId, seq, id, page.limit + 1],
  );
  return pageOf(rows, page.limit, runOf, (row) => [row.first_seq, row.run_id]);
}

export async function messages(
  database: Database,
  ref: ThreadRef,
  page: PageRequest,
): Promise<Page<Message>> {
  const [pos = null] = decodeCursor(page.cursor, ["integer"]) ?? [];
  const rows = await database.query<MessageRow>(
    `SELECT DISTINCT ON (pos) pos, seq, body FROM holdpoint.message
      WHERE tenant = $1 AND thread_id = $2 AND ($3::bigint IS NULL OR pos > $3) ORDER BY pos, seq DESC LIMIT $4`,
    [ref.tenant, ref.threadId, pos, page.limit + 1],
  );
  return pageOf(rows, page.limit, messageOf, (row) => [row.pos]);
}

export async function interrupts(
  database: Database,
  tenant: string,
  filter: Parameters<Checkpointer["interrupts"]>[1],
  page: PageRequest,
): Promise<Page<Interrupt>> {
  const [at = null, id = null] = decodeCursor(page.cursor, ["time", "string"]) ?? [];
  const rows = await database.query<InterruptRow>(
    `SELECT * FROM holdpoint.interrupt
      WHERE tenant = $1 AND status = $2 AND ($3::text IS NULL OR graph = $3) AND ($4::text IS NULL OR thread_id = $4)
        AND ($5::timestamptz IS NULL OR (created_at, id) < ($5::timestamptz, $6::text))
      ORDER BY created_at DESC, id DESC LIMIT $7`,
    [tenant, filter.status, filter.graph, filter.threadId, at, id, page.limit + 1],
  );
  return pageOf(rows, page.limit, interruptOf, (row) => [iso(row.created_at), row.id]);
}

export async function checkpoints(
  database: Database,
  ref: ThreadRef,
  page: PageRequest,
): Promise<Page<CheckpointRecord>> {
  const [seq = null] = decodeCursor(page.cursor, ["integer"]) ?? [];
  const rows = await database.query<CheckpointRow>(
    `SELECT seq, run_id, checkpoint_id, parent_id, step, path, status, next_nodes, source, created_at FROM holdpoint.log
      WHERE tenant = $1 AND thread_id = $2 AND checkpoint_id IS NOT NULL AND ($3::bigint IS NULL OR seq < $3) ORDER BY seq DESC LIMIT $4`,
    [ref.tenant, ref.threadId, seq, page.limit + 1],
  );
  return pageOf(rows, page.limit, checkpointOf, (row) => [row.seq]);
}

export async function decisionRecords(database: Database, ref: ThreadRef): Promise<DecisionRecord[]> {
  const rows = await database.query<{
    interrupt_id: string;
    thread_id: string;
    node: string;
    decision: DecisionRecord["decision"];
    by: string;
    at: Date;
    digest: string;
  }>(
    "SELECT * FROM holdpoint.decision_record WHERE tenant = $1 AND thread_id = $2 ORDER BY at, interrupt_id",
    [ref.tenant, ref.threadId],
  );
  return rows.map(({ interrupt_id: interruptId, thread_id: threadId, node, decision, by, at, digest }) => ({
    interruptId,
    threadId,
    node: JSON.parse(node) as string,
    decision,
    by: JSON.parse(by) as string,
    at: iso(at),
    digest,
  }));
}
