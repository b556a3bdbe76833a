-- Who reads, for runs that stop when nobody does: see Presence in src/checkpoint/presence.ts. A row is what a process last said
-- of its readers: of a thread, or ('run_id') of one run alone. Unlogged: what a crash of the database loses was old news.
CREATE UNLOGGED TABLE holdpoint.reader (
  tenant    text NOT NULL,
  thread_id text NOT NULL,
  run_id    text NOT NULL DEFAULT '',
  worker    text NOT NULL,
  seen_at   timestamptz NOT NULL,
  PRIMARY KEY (tenant, thread_id, run_id, worker)
);

-- Asks one run to stop, and leaves those be that wait for its thread. False where the run is no longer this epoch's.
CREATE FUNCTION holdpoint.stop_run_v1(v_tenant text, v_thread text, v_epoch bigint, v_mode text, v_stop text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  t holdpoint.thread%ROWTYPE;
BEGIN
  SELECT * INTO t FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread FOR UPDATE;
  IF NOT FOUND OR t.status <> 'running' OR t.epoch <> v_epoch THEN RETURN false; END IF;
  UPDATE holdpoint.run SET stop_mode = v_mode, stop = v_stop
    WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = t.run_id
      AND (stop_mode IS NULL OR (stop_mode = 'after_step' AND v_mode = 'now'));
  RETURN true;
END $$;
