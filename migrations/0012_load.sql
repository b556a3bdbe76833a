-- A thread as it stands, once more: still of one moment, since it is STABLE. Its messages were texts inside JSON: escaped,
-- copied whole five times, and parsed twice. Now they come beside it, in parts that are arrays of JSON. Of 10 000 messages of
-- 200 characters that takes a third of the database's time, and a thread may be longer than one value can be.
--
-- The first row has all that is not messages. Each has messages, from the last of them to the first; NULL where there are none.
-- Of a place that was replaced, the last version. Backwards, because so the primary key has them, with the last version of a
-- place first: nothing is sorted. All parts but the first are between two ends: with one end alone the planner takes a long
-- thread for a part of the table, and may read and sort all of it for each. A part of 512 is long enough that a garbage
-- collector does not move its text, and short enough that the database finds its memory without asking for it.
--
-- Who asks may have the messages already, as they were at a commit: of a thread that stands there still, none are given.
-- A number alone does not name a commit: on a standby that had not heard of it, another may have taken its place.
CREATE FUNCTION holdpoint.load_v2(v_tenant text, v_thread text, v_seq bigint, v_checkpoint text, OUT loaded json, OUT messages text)
RETURNS SETOF record LANGUAGE plpgsql STABLE AS $$
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
    SELECT json_agg(to_json(i) ORDER BY i.seq, i.id) INTO v_asked FROM (
      SELECT DISTINCT ON (task_id, ask_key) * FROM holdpoint.interrupt
        WHERE tenant = v_tenant AND thread_id = v_thread AND task_id = ANY (t.tasks) ORDER BY task_id, ask_key, seq DESC, id DESC) i;
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
