-- Which form (0013) is in use. A process that does not read it was silent for long, as one that was frozen, and has come back:
-- its heartbeat is refused, so that its lease passes, and it takes nothing over. It would fail the runs that it cannot read.
CREATE TABLE holdpoint.form (in_use integer NOT NULL);
INSERT INTO holdpoint.form VALUES (1);

-- Takes the form into use where everybody reads it who was heard lately; whether it is in use. While the database was away or
-- was being migrated nobody could be heard: silence counts from then. Who has said goodbye (-infinity) will not come back.
CREATE FUNCTION holdpoint.use_form_v1(v_form integer, v_patience_ms integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_turn integer;
BEGIN
  -- Then again behind the lock: a heartbeat that was under way is seen now, and one that comes later is refused.
  FOR v_turn IN 1..2 LOOP
    IF EXISTS (SELECT FROM holdpoint.form WHERE in_use >= v_form) THEN RETURN true; END IF;
    IF EXISTS (SELECT FROM holdpoint.worker k WHERE k.form < v_form AND k.beat_at > '-infinity'
      AND greatest(k.beat_at, pg_postmaster_start_time(), (SELECT max(m.applied_at) FROM holdpoint.migration m))
        > clock_timestamp() - greatest(k.lease_ms, v_patience_ms) * interval '1 ms') THEN RETURN false; END IF;
    IF v_turn = 1 THEN PERFORM FROM holdpoint.form FOR UPDATE; END IF;
  END LOOP;
  UPDATE holdpoint.form SET in_use = v_form;
  RETURN true;
END $$;

-- The heartbeat of releases which read the first form.
CREATE OR REPLACE FUNCTION holdpoint.beat_v1(v_worker text, v_lease_ms integer)
  RETURNS TABLE (tenant text, thread_id text, run_id text, epoch bigint, stop text) LANGUAGE plpgsql AS $$
DECLARE
  v_in_use integer;
BEGIN
  SELECT in_use INTO v_in_use FROM holdpoint.form FOR SHARE;
  IF v_in_use > 1 THEN
    RAISE EXCEPTION 'this process is of a former release and was not heard for long: the others write what it does not read; stop it';
  END IF;
  INSERT INTO holdpoint.worker AS k (id, lease_ms, beat_at) VALUES (v_worker, v_lease_ms, clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET beat_at = clock_timestamp(), lease_ms = excluded.lease_ms;
  RETURN QUERY SELECT t.tenant, t.thread_id, t.run_id, t.epoch, r.stop
    FROM holdpoint.thread t JOIN holdpoint.run r ON r.tenant = t.tenant AND r.thread_id = t.thread_id AND r.run_id = t.run_id
    WHERE t.status = 'running' AND t.worker = v_worker;
END $$;

-- As in 0005, but for processes that read what is in use. Who has no heartbeat is of no release that could be asked.
CREATE OR REPLACE FUNCTION holdpoint.claim_v2(v_worker text, v_graphs text[], v_limit integer, v_others boolean)
  RETURNS TABLE (tenant text, thread_id text, run_id text, graph text, epoch bigint, crashed boolean) LANGUAGE plpgsql AS $$
DECLARE
  v_dead  text[] := ARRAY(SELECT k.id FROM holdpoint.worker k WHERE k.id <> v_worker AND (k.beat_at = '-infinity' OR (v_others
    AND greatest(k.beat_at, pg_postmaster_start_time()) < clock_timestamp() - k.lease_ms * interval '1 ms')));
  t       holdpoint.thread%ROWTYPE;
  v_count integer := 0;
BEGIN
  IF coalesce((SELECT k.form FROM holdpoint.worker k WHERE k.id = v_worker), 1) < (SELECT f.in_use FROM holdpoint.form f) THEN RETURN; END IF;
  FOR t IN
    SELECT c.* FROM holdpoint.thread c
      WHERE c.status = 'running' AND c.graph = ANY (v_graphs) AND (c.worker IS NULL OR c.worker = ANY (v_dead))
      ORDER BY c.updated_at LIMIT v_limit FOR UPDATE SKIP LOCKED
  LOOP
    v_count := v_count + 1;
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
    UPDATE holdpoint.thread c SET status = 'running', run_id = claim_v2.run_id, epoch = t.epoch + 1, worker = v_worker, in_flight = false,
        seq = t.seq_limit, queued = t.queued - 1, updated_at = clock_timestamp()
      WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id;
    tenant := t.tenant; thread_id := t.thread_id; graph := t.graph; epoch := t.epoch + 1; crashed := false;
    RETURN NEXT;
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION holdpoint.claim_v1(v_worker text, v_graphs text[], v_limit integer)
  RETURNS TABLE (tenant text, thread_id text, run_id text, graph text, epoch bigint, crashed boolean) LANGUAGE plpgsql AS $$
DECLARE
  v_dead text[] := ARRAY(SELECT k.id FROM holdpoint.worker k WHERE k.id <> v_worker AND k.beat_at < clock_timestamp() - k.lease_ms * interval '1 ms');
  t      holdpoint.thread%ROWTYPE;
BEGIN
  IF (SELECT f.in_use FROM holdpoint.form f) > 1 THEN RETURN; END IF;
  FOR t IN
    SELECT c.* FROM holdpoint.thread c
      WHERE c.status = 'running' AND c.graph = ANY (v_graphs) AND (c.worker IS NULL OR c.worker = ANY (v_dead))
        AND NOT EXISTS (SELECT 1 FROM holdpoint.run n WHERE n.tenant = c.tenant AND n.thread_id = c.thread_id AND n.run_id = c.run_id AND n.request IS NOT NULL)
      ORDER BY c.updated_at LIMIT v_limit FOR UPDATE SKIP LOCKED
  LOOP
    crashed := t.worker IS NOT NULL OR t.in_flight;
    UPDATE holdpoint.thread c SET epoch = t.epoch + 1, worker = v_worker, in_flight = true, seq = t.seq_limit
      WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id;
    IF crashed THEN
      UPDATE holdpoint.run c SET lost_count = c.lost_count + 1 WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id AND c.run_id = t.run_id;
    END IF;
    tenant := t.tenant; thread_id := t.thread_id; run_id := t.run_id; graph := t.graph; epoch := t.epoch + 1;
    RETURN NEXT;
  END LOOP;
END $$;
