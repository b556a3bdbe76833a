-- Makes a thread of a checkpoint of another one; see Fork in src/checkpoint/checkpointer.ts. The source is not locked: what is
-- copied of it is never changed, and one statement sees it whole or, where it was deleted meanwhile, not at all.
CREATE FUNCTION holdpoint.fork_v1(f jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_tenant text := f->>'tenant';
  v_source text := f->>'source';
  v_parent text := f->>'checkpoint_id';
  v_thread text := f->>'thread';
  v_at     timestamptz := (f->>'at')::timestamptz;
  v_tasks  text[] := ARRAY(SELECT jsonb_array_elements_text(f->'tasks'));
  h        jsonb := f->'head';
  c        jsonb := f->'checkpoint';
  v_seq    bigint;
  v_epoch  bigint;
  v_count  integer;
BEGIN
  PERFORM 1 FROM holdpoint.log WHERE tenant = v_tenant AND thread_id = v_source AND checkpoint_id = v_parent;
  IF NOT FOUND THEN RETURN 'missing'; END IF;
  INSERT INTO holdpoint.thread (tenant, thread_id, graph, status, metadata, epoch, seq, seq_limit, step, checkpoint_id, current_node, next_nodes, interrupt_reason, position, tasks, since_bytes, values_size, created_at, updated_at)
    VALUES (v_tenant, v_thread, h->>'graph', h->>'status', '{}', 0, 0, 0, (h->>'step')::integer, c->>'id', h->>'current_node', h->>'next_nodes', h->>'interrupt_reason', f->>'position', v_tasks, (c->>'since_bytes')::bigint, (c->>'values_size')::bigint, v_at, v_at)
    ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  IF v_count = 0 THEN RETURN 'exists'; END IF;
  -- After the insert: a deletion that it waited for has left its numbers by now.
  SELECT seq, epoch INTO v_seq, v_epoch FROM holdpoint.tombstone WHERE tenant = v_tenant AND thread_id = v_thread;
  v_seq := coalesce(v_seq, 0) + 1;
  v_epoch := coalesce(v_epoch, 0);
  UPDATE holdpoint.thread SET epoch = v_epoch, seq = v_seq, seq_limit = v_seq, snapshot_seq = v_seq
    WHERE tenant = v_tenant AND thread_id = v_thread;

  WITH source AS (
    SELECT seq FROM holdpoint.log WHERE tenant = v_tenant AND thread_id = v_source AND checkpoint_id = v_parent
  ), messages AS (
    INSERT INTO holdpoint.message (tenant, thread_id, pos, seq, body)
      SELECT DISTINCT ON (m.pos) v_tenant, v_thread, m.pos, v_seq, m.body
        FROM holdpoint.message m JOIN source s ON m.seq <= s.seq
        WHERE m.tenant = v_tenant AND m.thread_id = v_source
        ORDER BY m.pos, m.seq DESC
  ), records AS (
    -- Keys are JSON: those that begin with NUL are of the source alone.
    INSERT INTO holdpoint.task_record (tenant, thread_id, task_id, key, value)
      SELECT v_tenant, v_thread, k.task_id, k.key, k.value
        FROM holdpoint.task_record k CROSS JOIN source s
        WHERE k.tenant = v_tenant AND k.thread_id = v_source AND k.task_id = ANY (v_tasks) AND left(k.key, 7) <> '"\u0000'
  )
  INSERT INTO holdpoint.log (tenant, thread_id, seq, epoch, events, messages, checkpoint_id, parent_id, step, path, status, next_nodes, source, ops, vals, position, created_at)
    SELECT v_tenant, v_thread, v_seq, v_epoch, '[]', '{}', c->>'id', v_parent, (h->>'step')::integer, c->>'path', h->>'status', h->>'next_nodes', c->>'source', c->>'ops', c->>'values', f->>'position', v_at
      FROM source;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  IF v_count = 0 THEN
    DELETE FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
    RETURN 'missing';
  END IF;
  RETURN 'forked';
END $$;
