-- What is done by the clock: see Upkeep in src/checkpoint/upkeep.ts. The jobs of the whole cluster are rows without a thread.
INSERT INTO holdpoint.timer (tenant, thread_id, kind, id, due_at)
  SELECT '', '', k, '', now() FROM unnest(ARRAY['sweep-keys', 'sweep-workers', 'sweep-events', 'sweep-threads']) k
  ON CONFLICT DO NOTHING;

-- Claims what is due for this process. Whole milliseconds: the claim is told again by its text.
CREATE FUNCTION holdpoint.due_timers_v1(v_kinds text[], v_graphs text[], v_limit integer, v_hold_ms bigint)
  RETURNS TABLE (tenant text, thread_id text, kind text, id text, held_until timestamptz) LANGUAGE plpgsql AS $$
DECLARE
  t holdpoint.timer%ROWTYPE;
BEGIN
  held_until := date_trunc('milliseconds', clock_timestamp()) + v_hold_ms * interval '1 ms';
  FOR t IN
    SELECT c.* FROM holdpoint.timer c
      WHERE c.due_at <= clock_timestamp() AND c.kind = ANY (v_kinds)
        AND (c.kind <> 'interrupt' OR EXISTS (
          SELECT 1 FROM holdpoint.interrupt i WHERE i.tenant = c.tenant AND i.id = c.id AND i.graph = ANY (v_graphs)))
      ORDER BY c.due_at LIMIT v_limit FOR UPDATE SKIP LOCKED
  LOOP
    UPDATE holdpoint.timer c SET due_at = held_until
      WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id AND c.kind = t.kind AND c.id = t.id;
    tenant := t.tenant; thread_id := t.thread_id; kind := t.kind; id := t.id;
    RETURN NEXT;
  END LOOP;
END $$;

-- Deletes threads that nobody has used for so long. A thread that is used in this moment is locked, or is no longer old.
CREATE FUNCTION holdpoint.sweep_threads_v1(v_quiet_ms bigint, v_limit integer)
  RETURNS TABLE (tenant text, thread_id text) LANGUAGE plpgsql AS $$
BEGIN
  FOR tenant, thread_id IN
    SELECT c.tenant, c.thread_id FROM holdpoint.thread c
      WHERE c.updated_at < clock_timestamp() - v_quiet_ms * interval '1 ms' AND c.status IN ('idle', 'completed', 'error', 'stopped')
      LIMIT v_limit FOR UPDATE SKIP LOCKED
  LOOP
    PERFORM holdpoint.remove_v2(tenant, thread_id);
    RETURN NEXT;
  END LOOP;
END $$;

-- Deletes the log of quiet threads. What is left begins with values that are stored whole, so that each checkpoint in it can
-- still be read, and has the last run from its beginning. The last row is where to go on.
CREATE FUNCTION holdpoint.sweep_events_v1(v_quiet_ms bigint, v_limit integer, v_tenant text, v_thread text)
  RETURNS TABLE (tenant text, thread_id text) LANGUAGE plpgsql AS $$
DECLARE
  t       holdpoint.thread%ROWTYPE;
  v_first bigint;
  v_base  bigint;
  v_floor bigint;
  v_count integer := 0;
BEGIN
  FOR t IN
    SELECT c.* FROM holdpoint.thread c
      WHERE (c.tenant, c.thread_id) > (v_tenant, v_thread) AND c.snapshot_seq > c.log_floor + 1
        AND c.updated_at < clock_timestamp() - v_quiet_ms * interval '1 ms' AND c.status IN ('idle', 'completed', 'error', 'stopped')
      ORDER BY c.tenant, c.thread_id LIMIT v_limit FOR UPDATE SKIP LOCKED
  LOOP
    v_count := v_count + 1;
    tenant := t.tenant; thread_id := t.thread_id;
    SELECT r.first_seq INTO v_first FROM holdpoint.run r
      WHERE r.tenant = t.tenant AND r.thread_id = t.thread_id AND r.run_id = t.run_id;
    SELECT max(l.seq) INTO v_base FROM holdpoint.log l
      WHERE l.tenant = t.tenant AND l.thread_id = t.thread_id AND l.vals IS NOT NULL
        AND l.seq <= least(t.snapshot_seq, v_first);
    SELECT max(l.seq) INTO v_floor FROM holdpoint.log l
      WHERE l.tenant = t.tenant AND l.thread_id = t.thread_id AND l.seq < v_base;
    CONTINUE WHEN v_floor IS NULL;
    DELETE FROM holdpoint.log l WHERE l.tenant = t.tenant AND l.thread_id = t.thread_id AND l.seq <= v_floor;
    UPDATE holdpoint.thread c SET log_floor = v_floor WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id;
  END LOOP;
  IF v_count = v_limit THEN RETURN NEXT; END IF;
END $$;

-- A process that was silent for so long that its row went, and woke up to start a run before it beat again, is put back as one
-- that is gone: the run must not wait for it.
CREATE FUNCTION holdpoint.sweep_workers_v1(v_silent_ms bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_count integer;
BEGIN
  DELETE FROM holdpoint.worker k
    WHERE k.beat_at < clock_timestamp() - v_silent_ms * interval '1 ms'
      AND NOT EXISTS (SELECT 1 FROM holdpoint.thread c WHERE c.status = 'running' AND c.worker = k.id);
  GET DIAGNOSTICS v_count = ROW_COUNT;
  INSERT INTO holdpoint.worker (id, lease_ms, beat_at)
    SELECT DISTINCT c.worker, 1, timestamptz '-infinity' FROM holdpoint.thread c
      WHERE c.status = 'running' AND c.worker IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM holdpoint.worker k WHERE k.id = c.worker)
    ON CONFLICT DO NOTHING;
  RETURN v_count;
END $$;
