-- A thread that a person is asked about at every turn has as many past interrupts and runs as it has had turns: 4 000 of them made
-- a hold and its resume cost half as much again. A load looked at all interrupts of its thread for those of the tasks that it stands
-- at, and to a plan that was made while the tables were small the list of a thread's runs was as near as the key of the one run.
CREATE INDEX interrupt_of_task ON holdpoint.interrupt (tenant, thread_id, task_id, ask_key, seq DESC, id DESC);

-- Only for lists, which say so: a run that is looked for by its id has one way now.
DROP INDEX holdpoint.run_list;
CREATE INDEX run_list ON holdpoint.run (tenant, thread_id, first_seq DESC) WHERE first_seq >= 0;

-- As in 0020, but that the interrupts are found by their tasks, and that the plans are made once a session, however many tasks there are.
CREATE OR REPLACE FUNCTION holdpoint.load_v2(v_tenant text, v_thread text, v_seq bigint, v_checkpoint text, OUT loaded json, OUT messages text)
RETURNS SETOF record LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  t         holdpoint.thread%ROWTYPE;
  v_ops     json;
  v_asked   json;
  v_records json;
  v_run     json;
  -- The next part is of the places from here to before there; the first is of the last ones, wherever they are.
  v_from    integer := 0;
  v_before  integer := 2147483647;
  v_least   integer;
  v_known   boolean;
BEGIN
  SELECT * INTO t FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
  IF NOT FOUND THEN
    loaded := json_build_object('seq', coalesce((SELECT seq FROM holdpoint.tombstone WHERE tenant = v_tenant AND thread_id = v_thread), 0));
    RETURN NEXT;
    RETURN;
  END IF;

  SELECT json_agg(json_build_array(l.ops, l.vals) ORDER BY l.seq) INTO v_ops FROM holdpoint.log l
    WHERE l.tenant = v_tenant AND l.thread_id = v_thread AND l.seq BETWEEN t.snapshot_seq AND t.seq AND l.ops IS NOT NULL;
  -- A thread that has come to its end has no tasks.
  IF cardinality(t.tasks) > 0 THEN
    SELECT json_agg(to_json(i) ORDER BY i.seq, i.id) INTO v_asked FROM unnest(t.tasks) AS k (task_id)
      CROSS JOIN LATERAL (
        SELECT DISTINCT ON (x.ask_key) x.* FROM holdpoint.interrupt x
          WHERE x.tenant = v_tenant AND x.thread_id = v_thread AND x.task_id = k.task_id
          ORDER BY x.ask_key, x.seq DESC, x.id DESC) i;
    SELECT json_agg(json_build_object('task_id', k.task_id, 'key', k.key, 'value', k.value)) INTO v_records FROM holdpoint.task_record k
      WHERE k.tenant = v_tenant AND k.thread_id = v_thread AND k.task_id = ANY (t.tasks);
  END IF;
  IF t.run_id IS NOT NULL THEN
    SELECT to_json(r) INTO v_run FROM holdpoint.run r WHERE r.tenant = v_tenant AND r.thread_id = v_thread AND r.run_id = t.run_id;
  END IF;
  v_known := coalesce(t.seq = v_seq AND t.checkpoint_id = v_checkpoint, false);
  loaded := json_build_object('thread', to_json(t), 'ops', v_ops, 'asked', v_asked, 'records', v_records, 'run', v_run, 'known', v_known);
  IF v_known THEN
    RETURN NEXT;
    RETURN;
  END IF;

  LOOP
    SELECT '[' || string_agg(m.body, ',') || ']', min(m.pos) INTO messages, v_least FROM (
      SELECT DISTINCT ON (pos) pos, body FROM holdpoint.message
        WHERE tenant = v_tenant AND thread_id = v_thread AND pos >= v_from AND pos < v_before
        ORDER BY pos DESC, seq DESC LIMIT 512) m;
    IF messages IS NOT NULL OR loaded IS NOT NULL THEN
      RETURN NEXT;
    END IF;
    loaded := NULL;
    v_before := CASE v_from WHEN 0 THEN coalesce(v_least, 0) ELSE v_from END;
    EXIT WHEN v_before = 0;
    v_from := greatest(v_before - 512, 0);
  END LOOP;
END $$;
