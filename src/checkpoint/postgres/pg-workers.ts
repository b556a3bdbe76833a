import type { Claim, Owned, StopRequest, ThreadRef, WorkerInfo } from "../checkpointer.js";
import type { Database } from "./database.js";
import { FORM } from "./short-form.js";

const MIN_BEAT_MS = 1000;
/** Milliseconds for which a process of an older release is waited for after its last heartbeat: it may only be slow. */
const PATIENCE_MS = 60_000;

/** Processes on one database: their heartbeats, the runs that they own, and the form in which they may write. */
export class PgWorkers {
  readonly #db: Database;
  #allReadShort = false;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * Every process reads the short form. Once it is so it stays: what an older release starts is refused by the database,
   * which is newer, and so is the heartbeat of one that was silent meanwhile.
   */
  get allReadShort(): boolean {
    return this.#allReadShort;
  }

  /** Finds out whether a process that knows no short form was heard lately; where none was, the database takes no more of them. */
  async look(): Promise<void> {
    const [row] = await this.#db.query<{ ok: boolean }>("SELECT holdpoint.use_form_v1($1, $2) AS ok", [
      FORM,
      PATIENCE_MS,
    ]);
    this.#allReadShort = row?.ok === true;
  }

  async beat(worker: WorkerInfo): Promise<readonly Owned[]> {
    const rows = await this.#db.query<{
      tenant: string;
      thread_id: string;
      run_id: string;
      epoch: number;
      stop: string | null;
    }>("SELECT * FROM holdpoint.beat_v2($1, $2, $3)", [worker.id, worker.leaseMs, FORM], {
      urgent: true,
      // Time for another one within the lease, on another connection.
      timeoutMs: Math.max(MIN_BEAT_MS, worker.leaseMs / 3),
    });
    // Not awaited, and not its failure: the lease is what a heartbeat is about.
    if (!this.#allReadShort) void this.look().catch(() => undefined);
    return rows.map((row) => ({
      ref: { tenant: row.tenant, threadId: row.thread_id },
      runId: row.run_id,
      epoch: row.epoch,
      stop: row.stop === null ? null : (JSON.parse(row.stop) as StopRequest),
    }));
  }

  async claim(
    worker: WorkerInfo,
    graphs: readonly string[],
    limit: number,
    others = true,
  ): Promise<readonly Claim[]> {
    const rows = await this.#db.query<{
      tenant: string;
      thread_id: string;
      run_id: string;
      graph: string;
      epoch: number;
      crashed: boolean;
    }>("SELECT * FROM holdpoint.claim_v3($1, $2, $3, $4)", [worker.id, graphs, limit, others]);
    return rows.map((row) => ({
      ref: { tenant: row.tenant, threadId: row.thread_id },
      runId: row.run_id,
      graph: row.graph,
      epoch: row.epoch,
      crashed: row.crashed,
    }));
  }

  async retire(workerId: string): Promise<void> {
    await this.#db.query("UPDATE holdpoint.worker SET beat_at = '-infinity' WHERE id = $1", [workerId]);
  }

  /** Whether the run was the caller's to let go. */
  async release(ref: ThreadRef, epoch: number, inFlight: boolean): Promise<boolean> {
    const rows = await this.#db.query(
      "UPDATE holdpoint.thread SET worker = NULL, in_flight = $4 WHERE tenant = $1 AND thread_id = $2 AND epoch = $3 AND status = 'running' RETURNING 1 AS ok",
      [ref.tenant, ref.threadId, epoch, inFlight],
    );
    return rows.length > 0;
  }
}
