import type { ThreadRef, Timer, TimerClaim, TimerKind, Upkeep } from "../checkpointer.js";
import type { Database } from "./database.js";

interface TimerRow {
  tenant: string;
  thread_id: string;
  kind: TimerKind;
  id: string;
  held_until: Date;
}

interface RefRow {
  tenant: string;
  thread_id: string;
}

const refOf = (row: RefRow): ThreadRef => ({ tenant: row.tenant, threadId: row.thread_id });
const keyOf = ({ ref, kind, id, heldUntil }: Timer): string[] => [
  ref.tenant,
  ref.threadId,
  kind,
  id,
  heldUntil,
];

/** Milliseconds for what a probe asks: the next one asks anew. */
const PROBE_MS = 1500;

/** What is done by the clock, on PostgreSQL (migrations/0006). */
export class PgUpkeep implements Upkeep {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  async dueTimers({
    kinds,
    graphs,
    limit,
    holdMs,
  }: TimerClaim): Promise<{ due: Timer[]; nextMs: number | null }> {
    const rows = await this.#db.query<TimerRow>("SELECT * FROM holdpoint.due_timers_v1($1, $2, $3, $4)", [
      kinds,
      graphs,
      limit,
      holdMs,
    ]);
    const due = rows.map((row) => ({
      ref: refOf(row),
      kind: row.kind,
      id: row.id,
      heldUntil: row.held_until.toISOString(),
    }));
    const [next] = await this.#db.query<{ ms: number }>(
      `SELECT (extract(epoch FROM c.due_at - clock_timestamp()) * 1000)::float8 AS ms FROM holdpoint.timer c
        WHERE c.kind = ANY ($1) AND (c.kind <> 'interrupt' OR EXISTS (
          SELECT 1 FROM holdpoint.interrupt i WHERE i.tenant = c.tenant AND i.id = c.id AND i.graph = ANY ($2)))
        ORDER BY c.due_at LIMIT 1`,
      [kinds, graphs],
    );
    return { due, nextMs: next === undefined ? null : Math.max(0, Math.ceil(next.ms)) };
  }

  async endTimer(timer: Timer): Promise<boolean> {
    const rows = await this.#db.query(
      "DELETE FROM holdpoint.timer WHERE tenant = $1 AND thread_id = $2 AND kind = $3 AND id = $4 AND due_at = $5 RETURNING 1 AS ok",
      keyOf(timer),
    );
    return rows.length > 0;
  }

  async moveTimer(timer: Timer, ms: number): Promise<Timer | null> {
    const [row] = await this.#db.query<{ held_until: Date }>(
      `UPDATE holdpoint.timer SET due_at = date_trunc('milliseconds', clock_timestamp()) + $6 * interval '1 ms'
        WHERE tenant = $1 AND thread_id = $2 AND kind = $3 AND id = $4 AND due_at = $5 RETURNING due_at AS held_until`,
      [...keyOf(timer), ms],
    );
    return row === undefined ? null : { ...timer, heldUntil: row.held_until.toISOString() };
  }

  async unclaimed(graphs: readonly string[], ms: number): Promise<readonly string[]> {
    const rows = await this.#db.query<{ graph: string }>(
      `SELECT c.graph FROM holdpoint.thread c
          WHERE c.status = 'queued' AND c.graph <> ALL ($1) AND c.ready_at < clock_timestamp() - $2 * interval '1 ms'
        UNION
        SELECT c.graph FROM holdpoint.thread c LEFT JOIN holdpoint.worker k ON k.id = c.worker
          WHERE c.status = 'running' AND c.graph <> ALL ($1)
            AND coalesce(k.beat_at, c.updated_at) < clock_timestamp() - $2 * interval '1 ms'
        ORDER BY 1`,
      [graphs, ms],
      { timeoutMs: PROBE_MS },
    );
    return rows.map(({ graph }) => graph);
  }

  async sweepKeys(limit: number): Promise<number> {
    const rows = await this.#db.query(
      `DELETE FROM holdpoint.request_key k USING (
          SELECT tenant, key FROM holdpoint.request_key WHERE expires_at <= clock_timestamp()
            ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED) old
        WHERE k.tenant = old.tenant AND k.key = old.key RETURNING 1 AS ok`,
      [limit],
    );
    return rows.length;
  }

  async sweepWorkers(silentMs: number): Promise<number> {
    await this.#db.query(
      "DELETE FROM holdpoint.reader WHERE seen_at < clock_timestamp() - $1 * interval '1 ms'",
      [silentMs],
    );
    const [row] = await this.#db.query<{ count: number }>("SELECT holdpoint.sweep_workers_v1($1) AS count", [
      silentMs,
    ]);
    return row?.count ?? 0;
  }

  async sweepThreads(quietMs: number, limit: number): Promise<ThreadRef[]> {
    const rows = await this.#db.query<RefRow>("SELECT * FROM holdpoint.sweep_threads_v1($1, $2)", [
      quietMs,
      limit,
    ]);
    return rows.map(refOf);
  }

  async sweepEvents(quietMs: number, limit: number, after: ThreadRef | null): Promise<ThreadRef | null> {
    const [row] = await this.#db.query<RefRow>("SELECT * FROM holdpoint.sweep_events_v1($1, $2, $3, $4)", [
      quietMs,
      limit,
      after?.tenant ?? "",
      after?.threadId ?? "",
    ]);
    return row === undefined ? null : refOf(row);
  }

  async sweepInbox(oldMs: number | null, limit: number): Promise<boolean> {
    const [row] = await this.#db.query<{ more: boolean }>("SELECT holdpoint.sweep_inbox_v1($1, $2) AS more", [
      oldMs,
      limit,
    ]);
    return row?.more === true;
  }
}
