import type { Presence, ReadersOf, StopRequest, ThreadRef } from "../checkpointer.js";
import type { Database } from "./database.js";

/** Milliseconds after which an answer would be old news. */
const ANSWER_MS = 1500;

/** What processes tell each other of their readers, on PostgreSQL (migrations/0009). */
export class PgPresence implements Presence {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async seen(workerId: string, readers: readonly ReadersOf[]): Promise<void> {
    // Where there can be no other process, nobody would ask.
    if (this.#db.isExclusive) return;
    // Each once, as the statement demands.
    const named = readers.map(({ ref, runId }) => [ref.tenant, ref.threadId, runId ?? ""]);
    const rows = [...new Map(named.map((row) => [JSON.stringify(row), row])).values()];
    await this.#db.query(
      `INSERT INTO holdpoint.reader (tenant, thread_id, run_id, worker, seen_at)
        SELECT r.tenant, r.thread, r.run, $4, clock_timestamp() FROM unnest($1::text[], $2::text[], $3::text[]) AS r (tenant, thread, run)
        ON CONFLICT (tenant, thread_id, run_id, worker) DO UPDATE SET seen_at = excluded.seen_at`,
      [...columns(rows), workerId],
      { timeoutMs: ANSWER_MS },
    );
  }

  async unseenFor(
    runs: readonly { readonly ref: ThreadRef; readonly runId: string }[],
  ): Promise<readonly (number | null)[]> {
    if (this.#db.isExclusive) return runs.map(() => null);
    const rows = await this.#db.query<{ ms: number | null }>(
      `SELECT (SELECT extract(epoch FROM clock_timestamp() - max(c.seen_at)) * 1000 FROM holdpoint.reader c
          WHERE c.tenant = r.tenant AND c.thread_id = r.thread AND c.run_id IN ('', r.run))::float8 AS ms
        FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS r (tenant, thread, run, place) ORDER BY place`,
      columns(runs.map(({ ref, runId }) => [ref.tenant, ref.threadId, runId])),
      { timeoutMs: ANSWER_MS },
    );
    return rows.map(({ ms }) => (ms === null ? null : Math.max(0, ms)));
  }

  async stopRun(ref: ThreadRef, epoch: number, stop: StopRequest): Promise<boolean> {
    const [row] = await this.#db.query<{ ok: boolean }>(
      "SELECT holdpoint.stop_run_v1($1, $2, $3, $4, $5) AS ok",
      [ref.tenant, ref.threadId, epoch, stop.mode, JSON.stringify(stop)],
    );
    return row?.ok === true;
  }
}

const columns = (rows: readonly (readonly string[])[]): string[][] =>
  [0, 1, 2].map((i) => rows.map((row) => row[i] ?? ""));
