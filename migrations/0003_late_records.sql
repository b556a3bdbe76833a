-- A result that an attempt given up by a stop stores after its run has ended moves the thread's seq: a resume that was decided
-- without it is refused and reads again, instead of making the effect once more.
CREATE OR REPLACE FUNCTION holdpoint.record_v1(v_tenant text, v_thread text, v_epoch bigint, v_task text, v_key text, v_value text)
  RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_status text;
  v_count  integer;
BEGIN
  -- Results of one running run share the lock: those of parallel nodes do not wait for each other.
  PERFORM 1 FROM holdpoint.thread
    WHERE tenant = v_tenant AND thread_id = v_thread AND epoch = v_epoch AND status = 'running' FOR SHARE;
  IF FOUND THEN
    INSERT INTO holdpoint.task_record (tenant, thread_id, task_id, key, value) VALUES (v_tenant, v_thread, v_task, v_key, v_value)
      ON CONFLICT DO NOTHING;
    RETURN true;
  END IF;
  SELECT status INTO v_status FROM holdpoint.thread
    WHERE tenant = v_tenant AND thread_id = v_thread AND epoch = v_epoch FOR UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;
  INSERT INTO holdpoint.task_record (tenant, thread_id, task_id, key, value) VALUES (v_tenant, v_thread, v_task, v_key, v_value)
    ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  IF v_count > 0 AND v_status <> 'running' THEN
    UPDATE holdpoint.thread SET seq = seq + 1, seq_limit = seq_limit + 1 WHERE tenant = v_tenant AND thread_id = v_thread;
  END IF;
  RETURN true;
END $$;
