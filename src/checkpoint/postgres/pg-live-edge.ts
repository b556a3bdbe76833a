import { deepFreeze } from "../../lib/deep-freeze.js";
import type { RunEvent } from "../../engine/index.js";
import type { LiveBatch, LiveEdge, LiveTail, ThreadRef, Wake } from "../checkpointer.js";
import type { Database } from "./database.js";

/** Milliseconds after which nobody needs to be told any more. */
const WRITE_MS = 1000;
/** Batches that are read at once. */
const PAGE = 50;

/** Live events on their way to other processes, on PostgreSQL (migrations/0008). */
export class PgLiveEdge implements LiveEdge {
  readonly #db: Database;
  readonly #tell: (wake: Wake) => void;

  constructor(db: Database, tell: (wake: Wake) => void) {
    this.#db = db;
    this.#tell = tell;
  }

  async isShared(): Promise<boolean> {
    const [row] = await this.#db.query<{ shared: boolean }>(
      "SELECT count(*) > 1 AS shared FROM holdpoint.worker WHERE beat_at > clock_timestamp() - lease_ms * interval '1 ms'",
      [],
      { timeoutMs: WRITE_MS },
    );
    return row?.shared === true;
  }

  async write(batches: readonly LiveBatch[], done: readonly Omit<LiveBatch, "events">[]): Promise<void> {
    await this.#db.query(
      `WITH done AS (
          DELETE FROM holdpoint.live l USING unnest($1::text[], $2::text[], $3::bigint[]) AS d (tenant, thread_id, seq)
            WHERE l.tenant = d.tenant AND l.thread_id = d.thread_id AND l.seq <= d.seq)
        INSERT INTO holdpoint.live (tenant, thread_id, seq, events)
          SELECT * FROM unnest($4::text[], $5::text[], $6::bigint[], $7::text[]) ON CONFLICT DO NOTHING`,
      [...columns(done), ...columns(batches), batches.map(({ events }) => `[${events.join(",")}]`)],
      { timeoutMs: WRITE_MS },
    );
    for (const { ref } of batches) this.#tell({ kind: "live", ref });
  }

  async read(ref: ThreadRef, after: number): Promise<LiveTail | null> {
    // One statement: what is given is above a seq of the same moment.
    const rows = await this.#db.query<{ seq: number; events: string | null }>(
      `SELECT t.seq, l.events FROM holdpoint.thread t
        LEFT JOIN LATERAL (
          SELECT c.seq, c.events FROM holdpoint.live c
            WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id AND c.seq > greatest(t.seq, $3)
            ORDER BY c.seq LIMIT ${PAGE}) l ON true
        WHERE t.tenant = $1 AND t.thread_id = $2 ORDER BY l.seq`,
      [ref.tenant, ref.threadId, after],
    );
    const [head] = rows;
    if (head === undefined) return null;
    const above = Math.max(head.seq, after);
    const events = rows
      .flatMap((row) => (row.events === null ? [] : (JSON.parse(row.events) as RunEvent[])))
      .filter((event) => event.seq > above)
      .map(deepFreeze);
    return { seq: head.seq, events, more: rows.length === PAGE };
  }

  async sweep(limit: number): Promise<number> {
    const rows = await this.#db.query(
      `DELETE FROM holdpoint.live l USING (
          SELECT c.tenant, c.thread_id, c.seq FROM holdpoint.live c
            WHERE NOT EXISTS (
              SELECT 1 FROM holdpoint.thread t
                WHERE t.tenant = c.tenant AND t.thread_id = c.thread_id AND t.seq < c.seq)
            LIMIT $1 FOR UPDATE SKIP LOCKED) old
        WHERE l.tenant = old.tenant AND l.thread_id = old.thread_id AND l.seq = old.seq RETURNING 1 AS ok`,
      [limit],
    );
    return rows.length;
  }
}

const columns = (of: readonly Omit<LiveBatch, "events">[]): unknown[] => [
  of.map(({ ref }) => ref.tenant),
  of.map(({ ref }) => ref.threadId),
  of.map(({ seq }) => seq),
];
