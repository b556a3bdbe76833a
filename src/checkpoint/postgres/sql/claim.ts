export interface ClaimRow {
  readonly tenant: string;
  readonly thread_id: string;
  readonly run_id: string;
  readonly graph: string;
  readonly epoch: number;
  readonly crashed: boolean;
}

/**
 * Takes over runs that were given up, or whose worker has retired: `holdpoint.claim_v1` without those of the silent. One
 * statement will do: the lock and the update look at the newest version of a row, and nobody beats again after retiring.
 */
export const CLAIM_GIVEN_UP = `
  WITH free AS (
    SELECT c.tenant, c.thread_id, c.worker IS NOT NULL OR c.in_flight AS in_flight FROM holdpoint.thread c
      WHERE c.status = 'running' AND c.graph = ANY ($2)
        AND (c.worker IS NULL OR c.worker IN (SELECT k.id FROM holdpoint.worker k WHERE k.id <> $1 AND k.beat_at = '-infinity'))
      ORDER BY c.updated_at LIMIT $3 FOR UPDATE SKIP LOCKED
  ), taken AS (
    UPDATE holdpoint.thread c SET epoch = c.epoch + 1, worker = $1, in_flight = true, seq = c.seq_limit
      FROM free WHERE c.tenant = free.tenant AND c.thread_id = free.thread_id
      RETURNING c.tenant, c.thread_id, c.run_id, c.graph, c.epoch, free.in_flight AS crashed
  ), lost AS (
    UPDATE holdpoint.run r SET lost_count = r.lost_count + 1
      FROM taken WHERE taken.crashed AND r.tenant = taken.tenant AND r.thread_id = taken.thread_id AND r.run_id = taken.run_id
  )
  SELECT * FROM taken`;
