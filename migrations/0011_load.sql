-- A thread as it stands, in one round trip and of one moment: STABLE, so that all its statements see what the one that calls
-- it sees. A function and not a statement, because its plans are kept: planning the one statement that it replaces took
-- 0.6 ms of each 0.75, and names of prepared statements do not survive a pooler. Where there is no thread, `seq` alone:
-- its numbers begin above what a deleted one of its name has used.
--
-- The ids of the tasks that are next stand beside the position, so that SQL need not look into it. The log is read between
-- two ends: with one end alone the planner expects a third of the thread, and where that is most of the table it reads the
-- whole table.
CREATE FUNCTION holdpoint.load_v1(v_tenant text, v_thread text) RETURNS json LANGUAGE plpgsql STABLE AS $$
DECLARE
  t         holdpoint.thread%ROWTYPE;
  v_ops     json;
  v_context json;
  v_asked   json;
  v_records json;
  v_run     json;
BEGIN
  SELECT * INTO t FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
  IF NOT FOUND THEN
    RETURN json_build_object('seq', coalesce((SELECT seq FROM holdpoint.tombstone WHERE tenant = v_tenant AND thread_id = v_thread), 0));
  END IF;

  SELECT json_agg(json_build_array(l.ops, l.vals) ORDER BY l.seq) INTO v_ops FROM holdpoint.log l
    WHERE l.tenant = v_tenant AND l.thread_id = v_thread AND l.seq BETWEEN t.snapshot_seq AND t.seq AND l.ops IS NOT NULL;
  SELECT json_agg(m.body ORDER BY m.pos) INTO v_context FROM (
    SELECT DISTINCT ON (pos) pos, body FROM holdpoint.message
      WHERE tenant = v_tenant AND thread_id = v_thread ORDER BY pos, seq DESC) m;
  -- A thread that has come to its end has no tasks.
  IF cardinality(t.tasks) > 0 THEN
    SELECT json_agg(to_json(i) ORDER BY i.seq, i.id) INTO v_asked FROM (
      SELECT DISTINCT ON (task_id, ask_key) * FROM holdpoint.interrupt
        WHERE tenant = v_tenant AND thread_id = v_thread AND task_id = ANY (t.tasks) ORDER BY task_id, ask_key, seq DESC, id DESC) i;
    SELECT json_agg(json_build_object('task_id', k.task_id, 'key', k.key, 'value', k.value)) INTO v_records FROM holdpoint.task_record k
      WHERE k.tenant = v_tenant AND k.thread_id = v_thread AND k.task_id = ANY (t.tasks);
  END IF;
  IF t.run_id IS NOT NULL THEN
    SELECT to_json(r) INTO v_run FROM holdpoint.run r WHERE r.tenant = v_tenant AND r.thread_id = v_thread AND r.run_id = t.run_id;
  END IF;

  RETURN json_build_object('thread', to_json(t), 'ops', v_ops, 'context', v_context, 'asked', v_asked, 'records', v_records, 'run', v_run);
END $$;
