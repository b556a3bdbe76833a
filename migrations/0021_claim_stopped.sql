-- As claim_v2 in 0016, but that runs which are to stop are taken beside the limit: nothing of them begins, so they need no room. A
-- stop of an answered run that waits for a process with room must not wait for that, too.
CREATE FUNCTION holdpoint.claim_v3(v_worker text, v_graphs text[], v_limit integer, v_others boolean)
  RETURNS TABLE (tenant text, thread_id text, run_id text, graph text, epoch bigint, crashed boolean) LANGUAGE plpgsql AS $$
DECLARE
  v_dead  text[] := ARRAY(SELECT k.id FROM holdpoint.worker k WHERE k.id <> v_worker AND (k.beat_at = '-infinity' OR (v_others
    AND greatest(k.beat_at, pg_postmaster_start_time()) < clock_timestamp() - k.lease_ms * interval '1 ms')));
  t       holdpoint.thread%ROWTYPE;
  v_count integer := 0;
  v_stopped boolean;
BEGIN
  IF coalesce((SELECT k.form FROM holdpoint.worker k WHERE k.id = v_worker), 1) < (SELECT f.in_use FROM holdpoint.form f) THEN RETURN; END IF;
  FOREACH v_stopped IN ARRAY ARRAY[true, false] LOOP
    FOR t IN
      SELECT c.* FROM holdpoint.thread c
        WHERE c.status = 'running' AND c.graph = ANY (v_graphs) AND (c.worker IS NULL OR c.worker = ANY (v_dead))
          AND (NOT v_stopped OR (SELECT n.stop_mode FROM holdpoint.run n
            WHERE n.tenant = c.tenant AND n.thread_id = c.thread_id AND n.run_id = c.run_id) IS NOT NULL)
        ORDER BY c.updated_at LIMIT CASE WHEN v_stopped THEN 100 ELSE v_limit END FOR UPDATE SKIP LOCKED
    LOOP
      IF NOT v_stopped THEN v_count := v_count + 1; END IF;
      crashed := t.worker IS NOT NULL OR t.in_flight;
      -- Above everything that the former owner may have shown to readers (invariant 7).
      UPDATE holdpoint.thread c SET epoch = t.epoch + 1, worker = v_worker, in_flight = true, seq = t.seq_limit
        WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id;
      IF crashed THEN
        UPDATE holdpoint.run c SET lost_count = c.lost_count + 1 WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id AND c.run_id = t.run_id;
      END IF;
      tenant := t.tenant; thread_id := t.thread_id; run_id := t.run_id; graph := t.graph; epoch := t.epoch + 1;
      RETURN NEXT;
    END LOOP;
  END LOOP;
  IF v_count >= v_limit THEN RETURN; END IF;
  FOR t IN
    SELECT c.* FROM holdpoint.thread c
      WHERE c.status = 'queued' AND c.graph = ANY (v_graphs)
      ORDER BY c.ready_at LIMIT v_limit - v_count FOR UPDATE SKIP LOCKED
  LOOP
    UPDATE holdpoint.run c SET status = 'running'
      WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id AND c.run_id = (
        SELECT n.run_id FROM holdpoint.run n WHERE n.tenant = t.tenant AND n.thread_id = t.thread_id AND n.status = 'queued'
          ORDER BY n.first_seq LIMIT 1)
      RETURNING c.run_id INTO run_id;
    CONTINUE WHEN NOT FOUND;
    UPDATE holdpoint.thread c SET status = 'running', run_id = claim_v3.run_id, epoch = t.epoch + 1, worker = v_worker, in_flight = false,
        seq = t.seq_limit, queued = t.queued - 1, updated_at = clock_timestamp()
      WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id;
    tenant := t.tenant; thread_id := t.thread_id; graph := t.graph; epoch := t.epoch + 1; crashed := false;
    RETURN NEXT;
  END LOOP;
END $$;
