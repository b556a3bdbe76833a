-- A group of writes, of which most are steps of runs that go on. Those are written together: one update and one insert for all of
-- them, where a call of write_v3 for each sets up both anew (a third of the time of 32 threads). The others go by write_v3.
-- In the order of the members: locks (G1), refusals, answers. It has to find every row by a key, whatever the planner knows of
-- the tables: the lock does by the thread's, and by the place where that found the row the update does, which has no other way.
CREATE FUNCTION holdpoint.write_all_v1(
  v_tenant text[], v_thread text[], v_run text[], v_from bigint[], v_epoch bigint[], v_sees text[], v_at timestamptz[], v_seq bigint[], v_limit bigint[],
  v_graph text[], v_status text[], v_step integer[], v_node text[], v_next text[], v_reason text[],
  v_events text[], v_places text[], v_bodies text[], v_position text[], v_tasks text[],
  v_id text[], v_source text[], v_path text[], v_ops text[], v_values text[], v_since bigint[], v_size bigint[], w jsonb[]
) RETURNS SETOF jsonb LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  v_steps   bigint[];
  v_rows    tid[];
  v_parents text[];
  v_count   bigint;
BEGIN
  -- All locks first: a step is not to wait for one whose lock comes later here and is held by a group that waits for the step's.
  SELECT array_agg(m.n) FILTER (WHERE m.is_step), array_agg(m.ctid) FILTER (WHERE m.is_step), array_agg(m.checkpoint_id) FILTER (WHERE m.is_step)
    INTO v_steps, v_rows, v_parents
    FROM (
      SELECT u.n, t.ctid, t.checkpoint_id,
          u.w IS NULL AND t.epoch = u.epoch AND t.seq = u.seq AND t.status = 'running' AND NOT t.heed AS is_step
        FROM unnest(v_tenant, v_thread, v_from, v_epoch, w) WITH ORDINALITY AS u (tenant, thread, seq, epoch, w, n)
        CROSS JOIN LATERAL (
          SELECT c.ctid, c.checkpoint_id, c.epoch, c.seq, c.status, c.heed FROM holdpoint.thread c
            WHERE c.tenant = u.tenant AND c.thread_id = u.thread FOR UPDATE
        ) t
    ) m;

  IF v_steps IS NOT NULL THEN
    UPDATE holdpoint.thread c SET
        graph = v_graph[k.n], step = v_step[k.n], current_node = v_node[k.n], next_nodes = v_next[k.n], interrupt_reason = v_reason[k.n],
        seq = v_seq[k.n], seq_limit = v_limit[k.n], position = v_position[k.n], tasks = v_tasks[k.n]::text[], checkpoint_id = v_id[k.n],
        since_bytes = v_since[k.n], values_size = v_size[k.n],
        snapshot_seq = CASE WHEN v_values[k.n] IS NULL THEN c.snapshot_seq ELSE v_seq[k.n] END, updated_at = v_at[k.n]
      FROM unnest(v_steps, v_rows) AS k (n, place)
      WHERE c.ctid = k.place;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    -- Not to be: whose row is locked does not move. Nothing is written then, and each member is sent alone.
    IF v_count <> cardinality(v_steps) THEN RAISE EXCEPTION '% of % steps found their threads', v_count, cardinality(v_steps); END IF;
    INSERT INTO holdpoint.log (tenant, thread_id, seq, run_id, epoch, events, messages, checkpoint_id, parent_id, step, path, status, next_nodes, source, ops, vals, position, created_at)
      SELECT v_tenant[k.n], v_thread[k.n], v_seq[k.n], v_run[k.n], v_epoch[k.n], v_events[k.n], v_places[k.n]::integer[], v_id[k.n], k.parent,
          v_step[k.n], v_path[k.n], v_status[k.n], v_next[k.n], v_source[k.n], v_ops[k.n], v_values[k.n], v_position[k.n], v_at[k.n]
        FROM unnest(v_steps, v_parents) AS k (n, parent);
    IF EXISTS (SELECT FROM unnest(v_steps) AS k (n) WHERE v_bodies[k.n] <> '{}') THEN
      INSERT INTO holdpoint.message (tenant, thread_id, pos, seq, body)
        SELECT v_tenant[k.n], v_thread[k.n], m.pos, v_seq[k.n], m.body
          FROM unnest(v_steps) AS k (n) CROSS JOIN LATERAL unnest(v_places[k.n]::integer[], v_bodies[k.n]::text[]) AS m (pos, body);
    END IF;
  END IF;

  FOR i IN 1..cardinality(v_thread) LOOP
    IF i = ANY (v_steps) THEN
      RETURN NEXT '{"outcome":"committed"}'::jsonb;
    ELSE
      RETURN NEXT holdpoint.write_v3(
        v_tenant[i], v_thread[i], v_run[i], v_from[i], v_epoch[i], v_sees[i], v_at[i], v_seq[i], v_limit[i],
        v_graph[i], v_status[i], v_step[i], v_node[i], v_next[i], v_reason[i],
        v_events[i], v_places[i]::integer[], v_bodies[i]::text[], v_position[i], v_tasks[i]::text[],
        v_id[i], v_source[i], v_path[i], v_ops[i], v_values[i], v_since[i], v_size[i], w[i]);
    END IF;
  END LOOP;
END $$;
