-- Plans are made once a session, often while the tables are empty or small, and kept until these are analysed. To the planner the
-- whole of a small table is as near as one thread of it, and then it stays so while the table grows: each load of a thread that
-- waits read all interrupts of its tenant (1.1 of 8 ms of a hold and its resume, at 3 000 of them). What is about one thread goes
-- by its key now, whatever is known of the tables.
ALTER FUNCTION holdpoint.enqueue_v1(jsonb) SET enable_seqscan = off SET enable_bitmapscan = off;
ALTER FUNCTION holdpoint.fork_v1(jsonb) SET enable_seqscan = off SET enable_bitmapscan = off;
ALTER FUNCTION holdpoint.record_v1(text, text, bigint, text, text, text) SET enable_seqscan = off SET enable_bitmapscan = off;
ALTER FUNCTION holdpoint.request_stop_v2(text, text, text, text, timestamptz, jsonb) SET enable_seqscan = off SET enable_bitmapscan = off;
ALTER FUNCTION holdpoint.stop_run_v1(text, text, bigint, text, text) SET enable_seqscan = off SET enable_bitmapscan = off;

-- As in 0012, but that the interrupts come in the order of an index that begins with their thread.
CREATE OR REPLACE FUNCTION holdpoint.load_v2(v_tenant text, v_thread text, v_seq bigint, v_checkpoint text, OUT loaded json, OUT messages text)
RETURNS SETOF record LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_bitmapscan = off AS $$
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
      SELECT DISTINCT ON (task_id, ask_key) * FROM (
        SELECT * FROM holdpoint.interrupt WHERE tenant = v_tenant AND thread_id = v_thread ORDER BY seq OFFSET 0) o
        WHERE task_id = ANY (t.tasks) ORDER BY task_id, ask_key, seq DESC, id DESC) i;
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

-- As in 0015, but that interrupts are found by their ids. Between an id and itself, in order: to the planner an index that has them
-- in another order is never as near as the key then, also of a table with no rows, where all ways cost the same.
CREATE OR REPLACE FUNCTION holdpoint.write_v3(
  v_tenant text, v_thread text, v_run text, v_from bigint, v_epoch bigint, v_sees text, v_at timestamptz, v_seq bigint, v_limit bigint,
  v_graph text, v_status text, v_step integer, v_node text, v_next text, v_reason text,
  v_events text, v_places integer[], v_bodies text[], v_position text, v_tasks text[],
  v_id text, v_source text, v_path text, v_ops text, v_values text, v_since bigint, v_size bigint, w jsonb
) RETURNS jsonb LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  c_nowhere CONSTANT text := '{"tasks":[],"holds":{"before":[],"after":[]}}';
  s         jsonb;
  e         jsonb;
  t         holdpoint.thread%ROWTYPE;
  v_stop    text;
  v_mode    text;
  v_lost    integer := 0;
  v_made    boolean := false;
  v_whole   boolean := false;
  v_base    bigint;
  v_parent  text;
  v_owner   bigint := v_epoch;
  v_count   integer;
  v_queued  integer;
  v_dropped jsonb := '[]';
BEGIN
  IF w IS NULL THEN
    -- The row as it was, for the parent. Where it is stale, because this waited for another write, its seq says so.
    UPDATE holdpoint.thread c SET
        graph = v_graph, step = v_step, current_node = v_node, next_nodes = v_next, interrupt_reason = v_reason,
        seq = v_seq, seq_limit = v_limit, position = v_position, tasks = v_tasks, checkpoint_id = v_id, since_bytes = v_since,
        values_size = v_size, snapshot_seq = CASE WHEN v_values IS NULL THEN c.snapshot_seq ELSE v_seq END, updated_at = v_at
      FROM holdpoint.thread o
      WHERE c.tenant = v_tenant AND c.thread_id = v_thread AND c.epoch = v_epoch AND c.seq = v_from AND c.status = 'running' AND NOT c.heed
        AND o.tenant = v_tenant AND o.thread_id = v_thread AND o.seq = v_from
      RETURNING o.checkpoint_id INTO v_parent;
    IF FOUND THEN
      INSERT INTO holdpoint.log (tenant, thread_id, seq, run_id, epoch, events, messages, checkpoint_id, parent_id, step, path, status, next_nodes, source, ops, vals, position, created_at)
        VALUES (v_tenant, v_thread, v_seq, v_run, v_epoch, v_events, v_places, v_id, v_parent, v_step, v_path, v_status, v_next, v_source, v_ops, v_values, v_position, v_at);
      IF v_bodies <> '{}' THEN
        INSERT INTO holdpoint.message (tenant, thread_id, pos, seq, body)
          SELECT v_tenant, v_thread, m.pos, v_seq, m.body FROM unnest(v_places, v_bodies) m (pos, body);
      END IF;
      RETURN '{"outcome":"committed"}'::jsonb;
    END IF;
    w := '{}';
  END IF;

  s := w->'start';
  e := w->'end';
  IF w ? 'create' THEN
    IF w ? 'decide' THEN RETURN '{"outcome":"moved"}'::jsonb; END IF;
    IF s IS NULL THEN
      INSERT INTO holdpoint.thread (tenant, thread_id, status, metadata, epoch, seq, seq_limit, position, created_at, updated_at)
        VALUES (v_tenant, v_thread, 'idle', w->'create'->>'metadata', 0, v_from, v_from, c_nowhere, v_at, v_at)
        ON CONFLICT DO NOTHING RETURNING * INTO t;
    ELSE
      INSERT INTO holdpoint.thread (tenant, thread_id, status, metadata, epoch, seq, seq_limit, position, created_at, updated_at,
          graph, ready_at, step, current_node, next_nodes, interrupt_reason, run_id, worker, in_flight, tasks, checkpoint_id,
          since_bytes, values_size, snapshot_seq)
        VALUES (v_tenant, v_thread, v_status, w->'create'->>'metadata', 1, v_seq, v_limit, coalesce(v_position, c_nowhere), v_at, v_at,
          v_graph, CASE WHEN v_status = 'queued' THEN clock_timestamp() END, v_step, v_node, v_next, v_reason, s->>'run_id', s->>'worker',
          s->>'worker' IS NOT NULL, coalesce(v_tasks, '{}'), v_id, coalesce(v_since, 0), coalesce(v_size, 0),
          CASE WHEN v_values IS NULL THEN 0 ELSE v_seq END)
        ON CONFLICT DO NOTHING;
    END IF;
    v_made := FOUND;
    IF NOT v_made AND s IS NULL THEN RETURN '{"outcome":"moved"}'::jsonb; END IF;
    IF v_made THEN
      -- After the insert: a deletion that it waited for has left its numbers by now.
      SELECT seq, epoch INTO v_base, v_owner FROM holdpoint.tombstone WHERE tenant = v_tenant AND thread_id = v_thread;
      IF coalesce(v_base, 0) <> v_from THEN
        DELETE FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
        RETURN '{"outcome":"moved"}'::jsonb;
      END IF;
      -- A deleted thread is not made again by a request that was accepted on it.
      IF w ? 'key' AND holdpoint.key_used_v1(v_tenant, w->'key') THEN
        DELETE FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
        RETURN '{"outcome":"repeated"}'::jsonb;
      END IF;
      IF s IS NOT NULL THEN
        v_whole := true;
        t.epoch := coalesce(v_owner, 0);
        t.seq := v_from;
        t.position := c_nowhere;
        t.queued := 0;
      ELSIF v_owner <> 0 THEN
        UPDATE holdpoint.thread SET epoch = v_owner WHERE tenant = v_tenant AND thread_id = v_thread RETURNING * INTO t;
      END IF;
    END IF;
  END IF;

  IF NOT v_made THEN
    SELECT * INTO t FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread FOR UPDATE;
    IF NOT FOUND THEN
      RETURN CASE WHEN v_epoch IS NULL THEN '{"outcome":"moved"}'::jsonb ELSE '{"outcome":"fenced"}'::jsonb END;
    END IF;
  END IF;

  IF v_epoch IS NULL THEN
    IF t.seq <> v_from OR t.status IN ('running', 'queued') OR (w ? 'create' AND NOT v_made) THEN
      IF s IS NOT NULL THEN
        SELECT epoch INTO v_owner FROM holdpoint.log WHERE tenant = v_tenant AND thread_id = v_thread AND seq = v_seq AND run_id = v_run;
        IF FOUND THEN RETURN jsonb_build_object('outcome', 'committed', 'epoch', v_owner); END IF;
      END IF;
      RETURN '{"outcome":"moved"}'::jsonb;
    END IF;
    IF NOT v_made AND w ? 'key' AND holdpoint.key_used_v1(v_tenant, w->'key') THEN RETURN '{"outcome":"repeated"}'::jsonb; END IF;
  ELSE
    IF t.epoch <> v_epoch OR t.status <> 'running' OR t.seq <> v_from THEN
      -- The answer to this very write may have been lost: then it is its own, and done.
      PERFORM 1 FROM holdpoint.log WHERE tenant = v_tenant AND thread_id = v_thread AND seq = v_seq AND epoch = v_epoch AND run_id = v_run;
      IF FOUND THEN RETURN jsonb_build_object('outcome', 'committed', 'queued', t.status = 'queued'); END IF;
      RETURN '{"outcome":"fenced"}'::jsonb;
    END IF;
    IF t.heed THEN
      SELECT stop_mode, stop, lost_count INTO v_mode, v_stop, v_lost FROM holdpoint.run WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = v_run;
      IF v_mode IS NOT NULL AND coalesce(v_sees, '') NOT IN ('now', v_mode) THEN
        RETURN jsonb_build_object('outcome', 'stopping', 'stop', v_stop);
      END IF;
    END IF;
  END IF;

  -- Interrupts change under the lock of their thread only, so counting first is safe (invariant 5).
  IF w ? 'decide' THEN
    SELECT count(DISTINCT f.id) INTO v_count
      FROM jsonb_array_elements(w->'decide') AS d (one)
      CROSS JOIN LATERAL (
        SELECT x.id, x.thread_id, x.status FROM holdpoint.interrupt x
          WHERE x.tenant = v_tenant AND x.id BETWEEN d.one->>'id' AND d.one->>'id' ORDER BY x.id OFFSET 0
      ) f
      WHERE f.thread_id = v_thread AND f.status = 'open';
    IF v_count <> jsonb_array_length(w->'decide') THEN RETURN '{"outcome":"moved"}'::jsonb; END IF;
    UPDATE holdpoint.interrupt i
      SET status = k.one->>'status', decision = k.one->>'answer', decided = k.one->>'decided', decided_by = k.one->>'decided_by', resumed_by = k.one->>'resumed_by', decided_at = (k.one->>'at')::timestamptz
      FROM (
        SELECT d.one, f.ctid AS place FROM jsonb_array_elements(w->'decide') AS d (one)
          CROSS JOIN LATERAL (
            SELECT x.ctid FROM holdpoint.interrupt x
              WHERE x.tenant = v_tenant AND x.id BETWEEN d.one->>'id' AND d.one->>'id' ORDER BY x.id OFFSET 0
          ) f
      ) k
      WHERE i.ctid = k.place;
    DELETE FROM holdpoint.timer WHERE tenant = v_tenant AND thread_id = v_thread AND kind = 'interrupt'
      AND id IN (SELECT d->>'id' FROM jsonb_array_elements(w->'decide') d);
  END IF;
  IF w ? 'retext' THEN
    UPDATE holdpoint.interrupt i SET message = k.one->>'message', data = k.one->>'data'
      FROM (
        SELECT d.one, f.ctid AS place FROM jsonb_array_elements(w->'retext') AS d (one)
          CROSS JOIN LATERAL (
            SELECT x.ctid, x.thread_id, x.status FROM holdpoint.interrupt x
              WHERE x.tenant = v_tenant AND x.id BETWEEN d.one->>'id' AND d.one->>'id' ORDER BY x.id OFFSET 0
          ) f
          WHERE f.thread_id = v_thread AND f.status = 'open'
      ) k
      WHERE i.ctid = k.place;
  END IF;

  v_owner := t.epoch;
  IF s IS NOT NULL AND v_epoch IS NULL THEN
    v_owner := t.epoch + 1;
    INSERT INTO holdpoint.run (tenant, thread_id, run_id, graph, status, resumes, recursion_limit, metadata, decision, first_seq, first_step, created_at, started_at)
      VALUES (v_tenant, v_thread, s->>'run_id', s->>'graph', 'running', (s->>'resumes')::boolean, (s->>'recursion_limit')::integer, s->>'metadata', s->>'decision', (s->>'first_seq')::bigint, (s->>'first_step')::integer, v_at, v_at);
  ELSIF s IS NOT NULL THEN
    UPDATE holdpoint.run SET first_seq = (s->>'first_seq')::bigint, first_step = (s->>'first_step')::integer, lost_count = 0, request = NULL, started_at = v_at
      WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = v_run;
  ELSIF e IS NOT NULL THEN
    UPDATE holdpoint.run SET status = e->>'status', outcome = e->>'outcome', last_seq = v_seq, ended_at = v_at, request = NULL,
        first_seq = CASE WHEN request IS NULL THEN first_seq ELSE v_seq END,
        lost_count = CASE WHEN v_id IS NULL THEN lost_count ELSE 0 END
      WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = v_run;
  ELSIF v_id IS NOT NULL AND v_lost > 0 THEN
    UPDATE holdpoint.run SET lost_count = 0 WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = v_run;
  END IF;

  IF v_seq > t.seq THEN
    INSERT INTO holdpoint.log (tenant, thread_id, seq, run_id, epoch, events, messages, checkpoint_id, parent_id, step, path, status, next_nodes, source, ops, vals, position, created_at)
      VALUES (v_tenant, v_thread, v_seq, v_run, v_owner, v_events, v_places, v_id,
        CASE WHEN v_id IS NOT NULL THEN t.checkpoint_id END, CASE WHEN v_id IS NOT NULL THEN v_step END, v_path,
        CASE WHEN v_id IS NOT NULL THEN v_status END, CASE WHEN v_id IS NOT NULL THEN v_next END,
        v_source, v_ops, v_values, CASE WHEN v_id IS NOT NULL THEN coalesce(v_position, t.position) END, v_at);
  END IF;
  IF v_bodies <> '{}' THEN
    INSERT INTO holdpoint.message (tenant, thread_id, pos, seq, body)
      SELECT v_tenant, v_thread, m.pos, v_seq, m.body FROM unnest(v_places, v_bodies) m (pos, body);
  END IF;
  IF w ? 'open' THEN
    INSERT INTO holdpoint.interrupt (tenant, thread_id, id, run_id, graph, seq, task_id, ask_key, status, node, body, message, data, created_at, expires_at)
      SELECT v_tenant, v_thread, o->>'id', o->>'run_id', o->>'graph', v_seq, o->>'task_id', o->>'key', 'open', o->>'node', o->>'body', o->>'message', o->>'data', (o->>'created_at')::timestamptz, (o->>'expires_at')::timestamptz
        FROM jsonb_array_elements(w->'open') o;
    INSERT INTO holdpoint.timer (tenant, thread_id, kind, id, due_at)
      SELECT v_tenant, v_thread, 'interrupt', o->>'id', (o->>'expires_at')::timestamptz
        FROM jsonb_array_elements(w->'open') o WHERE o->>'expires_at' IS NOT NULL;
  END IF;

  v_queued := t.queued;
  IF w ? 'drop' AND t.queued > 0 THEN
    v_dropped := holdpoint.drop_queue_v1(v_tenant, v_thread, v_step, v_seq, v_at);
    v_queued := 0;
  END IF;
  -- A run that waits starts when the thread is neither running nor interrupted.
  IF v_queued > 0 AND v_status NOT IN ('running', 'interrupted_before', 'interrupted_after') THEN v_status := 'queued'; END IF;

  IF v_whole AND v_owner <> 1 THEN
    UPDATE holdpoint.thread SET epoch = v_owner WHERE tenant = v_tenant AND thread_id = v_thread;
  ELSIF NOT v_whole THEN
    UPDATE holdpoint.thread SET
        graph = v_graph,
        status = v_status,
        ready_at = CASE WHEN v_status = 'queued' THEN clock_timestamp() ELSE t.ready_at END,
        step = v_step,
        current_node = v_node,
        next_nodes = v_next,
        interrupt_reason = v_reason,
        run_id = coalesce(s->>'run_id', t.run_id),
        worker = CASE WHEN s IS NOT NULL AND v_epoch IS NULL THEN s->>'worker' WHEN e IS NOT NULL THEN NULL ELSE t.worker END,
        in_flight = CASE WHEN s IS NOT NULL THEN s->>'worker' IS NOT NULL WHEN e IS NOT NULL THEN false ELSE t.in_flight END,
        epoch = v_owner,
        seq = v_seq,
        seq_limit = v_limit,
        position = coalesce(v_position, t.position),
        tasks = coalesce(v_tasks, t.tasks),
        checkpoint_id = coalesce(v_id, t.checkpoint_id),
        since_bytes = coalesce(v_since, t.since_bytes),
        values_size = coalesce(v_size, t.values_size),
        snapshot_seq = CASE WHEN v_values IS NULL THEN t.snapshot_seq ELSE v_seq END,
        updated_at = v_at
      WHERE tenant = v_tenant AND thread_id = v_thread;
  END IF;
  IF w ? 'key' THEN PERFORM holdpoint.use_key_v1(v_tenant, v_thread, v_run, w->'key'); END IF;
  RETURN jsonb_build_object('outcome', 'committed', 'epoch', v_owner, 'queued', v_status = 'queued', 'dropped', v_dropped);
END $$;

-- As in 0005, but that the interrupts are found in the order of an index that begins with their thread.
CREATE OR REPLACE FUNCTION holdpoint.remove_v2(v_tenant text, v_thread text) RETURNS text LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  t      holdpoint.thread%ROWTYPE;
  v_rows tid[];
BEGIN
  SELECT * INTO t FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread FOR UPDATE;
  IF NOT FOUND THEN RETURN 'missing'; END IF;
  IF t.status IN ('running', 'queued') THEN RETURN 'busy'; END IF;
  INSERT INTO holdpoint.tombstone AS b (tenant, thread_id, seq, epoch) VALUES (v_tenant, v_thread, t.seq_limit, t.epoch)
    ON CONFLICT (tenant, thread_id) DO UPDATE SET seq = excluded.seq, epoch = excluded.epoch;
  -- They change under the lock of their thread only.
  v_rows := ARRAY(SELECT i.ctid FROM holdpoint.interrupt i WHERE i.tenant = v_tenant AND i.thread_id = v_thread ORDER BY i.seq);
  INSERT INTO holdpoint.decision_record (tenant, thread_id, interrupt_id, node, decision, by, at, digest)
    SELECT v_tenant, v_thread, i.id, i.node, i.decided, i.decided_by, i.decided_at,
        encode(sha256(convert_to(i.decision, 'UTF8')), 'hex')
      FROM holdpoint.interrupt i WHERE i.ctid = ANY (v_rows) AND i.decision IS NOT NULL;
  DELETE FROM holdpoint.timer WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.task_record WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.interrupt i WHERE i.ctid = ANY (v_rows);
  DELETE FROM holdpoint.message WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.log WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.run WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
  RETURN 'removed';
END $$;
