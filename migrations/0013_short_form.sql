-- What a step logs is written in a short form (src/checkpoint/postgres/short-form.ts) once no process is left that does not
-- read it. Those of former releases beat by beat_v1, which leaves the default.
ALTER TABLE holdpoint.worker ADD COLUMN form integer NOT NULL DEFAULT 1;

-- As beat_v1, with the version of the form that the process reads.
CREATE FUNCTION holdpoint.beat_v2(v_worker text, v_lease_ms integer, v_form integer)
  RETURNS TABLE (tenant text, thread_id text, run_id text, epoch bigint, stop text) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO holdpoint.worker AS k (id, lease_ms, beat_at, form) VALUES (v_worker, v_lease_ms, clock_timestamp(), v_form)
    ON CONFLICT (id) DO UPDATE SET beat_at = clock_timestamp(), lease_ms = excluded.lease_ms, form = excluded.form;
  RETURN QUERY SELECT t.tenant, t.thread_id, t.run_id, t.epoch, r.stop
    FROM holdpoint.thread t JOIN holdpoint.run r ON r.tenant = t.tenant AND r.thread_id = t.thread_id AND r.run_id = t.run_id
    WHERE t.status = 'running' AND t.worker = v_worker;
END $$;
