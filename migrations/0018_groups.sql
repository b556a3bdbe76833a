-- As in 0017, but for starts and ends too, and so that no two groups wait for each other in a circle: there a thread that was to be
-- made was made between locks. Members of the kinds of which there are most are written together, each table at once for all of
-- them, where a call of write_v3 for each sets up every statement anew: runs that make their threads, steps of runs that go on,
-- and ends of runs that nobody waits for. The others go by write_v3. The answers come in the order of the members.
--
-- G1: a group makes threads first, in order, and holds no thread then that was there before; behind that it locks those that are
-- there, in order, and makes none. Who finds that a thread is there which it was to make waits with the second.
--
-- It has to find every row by a key, whatever the planner knows of the tables: by LATERAL and OFFSET 0 that is the only way, and
-- the updates go by the place where the row was found.
CREATE OR REPLACE FUNCTION holdpoint.write_all_v1(
  v_tenant text[], v_thread text[], v_run text[], v_from bigint[], v_epoch bigint[], v_sees text[], v_at timestamptz[], v_seq bigint[], v_limit bigint[],
  v_graph text[], v_status text[], v_step integer[], v_node text[], v_next text[], v_reason text[],
  v_events text[], v_places text[], v_bodies text[], v_position text[], v_tasks text[],
  v_id text[], v_source text[], v_path text[], v_ops text[], v_values text[], v_since bigint[], v_size bigint[], w jsonb[]
) RETURNS SETOF jsonb LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  c_nowhere CONSTANT text := '{"tasks":[],"holds":{"before":[],"after":[]}}';
  c_done    CONSTANT jsonb := '{"outcome":"committed"}';
  v_count   CONSTANT integer := cardinality(v_thread);
  v_answers jsonb[] := array_fill(NULL::jsonb, ARRAY[v_count]);
  -- Numbers of members: to make their thread; have made it; have, and are written alone; have found theirs.
  v_makers  integer[];
  v_made    integer[] := '{}';
  v_alone   integer[] := '{}';
  v_found   integer[];
  -- Those that are written together, what they found, and what came before their checkpoints.
  v_all     integer[];
  v_rows    tid[];
  v_parents text[];
  v_ends    integer[];
  v_moved   bigint;
  i         integer;
BEGIN
  v_makers := ARRAY(SELECT k.n FROM generate_series(1, v_count) AS k (n) WHERE w[k.n] ? 'create' ORDER BY k.n);
  IF v_makers <> '{}' THEN
    WITH made AS (
      INSERT INTO holdpoint.thread (tenant, thread_id, status, metadata, epoch, seq, seq_limit, position, created_at, updated_at,
          graph, ready_at, step, current_node, next_nodes, interrupt_reason, run_id, worker, in_flight, tasks, checkpoint_id,
          since_bytes, values_size, snapshot_seq)
        SELECT v_tenant[k.n], v_thread[k.n], v_status[k.n], w[k.n]->'create'->>'metadata', 1, v_seq[k.n], v_limit[k.n], coalesce(v_position[k.n], c_nowhere), v_at[k.n], v_at[k.n],
            v_graph[k.n], CASE WHEN v_status[k.n] = 'queued' THEN clock_timestamp() END, v_step[k.n], v_node[k.n], v_next[k.n], v_reason[k.n],
            w[k.n]->'start'->>'run_id', w[k.n]->'start'->>'worker', w[k.n]->'start'->>'worker' IS NOT NULL, coalesce(v_tasks[k.n]::text[], '{}'), v_id[k.n],
            coalesce(v_since[k.n], 0), coalesce(v_size[k.n], 0), CASE WHEN v_values[k.n] IS NULL THEN 0 ELSE v_seq[k.n] END
          FROM unnest(v_makers) AS k (n)
          ORDER BY k.n
        ON CONFLICT DO NOTHING
        RETURNING tenant, thread_id
    )
    SELECT coalesce(array_agg(k.n ORDER BY k.n), '{}') INTO v_made
      FROM made m JOIN unnest(v_makers) AS k (n) ON m.tenant = v_tenant[k.n] AND m.thread_id = v_thread[k.n];
    -- Of another kind; or of an id whose numbers go on: a deletion that the insert waited for has left them by now.
    v_alone := ARRAY(SELECT k.n FROM unnest(v_made) AS k (n)
      WHERE NOT w[k.n] ? 'start' OR w[k.n] - ARRAY['create', 'start', 'key'] <> '{}' OR v_from[k.n] <> 0 OR v_seq[k.n] = v_from[k.n]
        OR (SELECT b.seq FROM holdpoint.tombstone b WHERE b.tenant = v_tenant[k.n] AND b.thread_id = v_thread[k.n]) IS NOT NULL);
    FOR i IN SELECT k.n FROM unnest(v_made) AS k (n) WHERE w[k.n] ? 'key' AND k.n <> ALL (v_alone) ORDER BY k.n LOOP
      IF holdpoint.key_used_v1(v_tenant[i], w[i]->'key') THEN
        v_alone := v_alone || i;
      ELSE
        PERFORM holdpoint.use_key_v1(v_tenant[i], v_thread[i], v_run[i], w[i]->'key');
      END IF;
    END LOOP;
    FOR i IN SELECT k.n FROM unnest(v_alone) AS k (n) ORDER BY k.n LOOP
      -- Nobody else makes it meanwhile: who would waits for this transaction.
      DELETE FROM holdpoint.thread WHERE tenant = v_tenant[i] AND thread_id = v_thread[i];
      v_answers[i] := holdpoint.write_v3(
        v_tenant[i], v_thread[i], v_run[i], v_from[i], v_epoch[i], v_sees[i], v_at[i], v_seq[i], v_limit[i],
        v_graph[i], v_status[i], v_step[i], v_node[i], v_next[i], v_reason[i],
        v_events[i], v_places[i]::integer[], v_bodies[i]::text[], v_position[i], v_tasks[i]::text[],
        v_id[i], v_source[i], v_path[i], v_ops[i], v_values[i], v_since[i], v_size[i], w[i]);
    END LOOP;
    v_made := ARRAY(SELECT k.n FROM unnest(v_made) AS k (n) WHERE k.n <> ALL (v_alone));
    FOR i IN SELECT k.n FROM unnest(v_makers) AS k (n) WHERE NOT w[k.n] ? 'start' AND v_answers[k.n] IS NULL LOOP
      v_answers[i] := '{"outcome":"moved"}';
    END LOOP;
    INSERT INTO holdpoint.run (tenant, thread_id, run_id, graph, status, resumes, recursion_limit, metadata, decision, first_seq, first_step, created_at, started_at)
      SELECT v_tenant[k.n], v_thread[k.n], s.run_id, s.graph, 'running', s.resumes, s.recursion_limit, s.metadata, s.decision, s.first_seq, s.first_step, v_at[k.n], v_at[k.n]
        FROM unnest(v_made) AS k (n) CROSS JOIN LATERAL jsonb_to_record(w[k.n]->'start')
          AS s (run_id text, graph text, resumes boolean, recursion_limit integer, metadata text, decision text, first_seq bigint, first_step integer);
  END IF;

  SELECT array_agg(m.n), array_agg(m.n) FILTER (WHERE m.is_plain), array_agg(m.ctid) FILTER (WHERE m.is_plain),
      array_agg(m.checkpoint_id) FILTER (WHERE m.is_plain), array_agg(m.n) FILTER (WHERE m.is_plain AND w[m.n] IS NOT NULL)
    INTO v_found, v_all, v_rows, v_parents, v_ends
    FROM (
      SELECT u.n, t.ctid, t.checkpoint_id,
          t.epoch = v_epoch[u.n] AND t.seq = v_from[u.n] AND t.status = 'running' AND NOT t.heed
            AND (w[u.n] IS NULL OR (w[u.n] ? 'end' AND w[u.n] - ARRAY['end', 'drop'] = '{}' AND t.queued = 0 AND v_seq[u.n] > v_from[u.n]
              AND (v_id[u.n] IS NULL OR v_position[u.n] IS NOT NULL))) AS is_plain
        FROM unnest(ARRAY(SELECT k.n FROM generate_series(1, v_count) AS k (n) WHERE v_answers[k.n] IS NULL AND k.n <> ALL (v_made) ORDER BY k.n)) AS u (n)
        CROSS JOIN LATERAL (
          SELECT c.ctid, c.checkpoint_id, c.epoch, c.seq, c.status, c.heed, c.queued FROM holdpoint.thread c
            WHERE c.tenant = v_tenant[u.n] AND c.thread_id = v_thread[u.n] FOR UPDATE
        ) t
    ) m;
  IF v_all IS NOT NULL THEN
    UPDATE holdpoint.thread c SET
        graph = v_graph[k.n], status = v_status[k.n], step = v_step[k.n], current_node = v_node[k.n], next_nodes = v_next[k.n], interrupt_reason = v_reason[k.n],
        worker = CASE WHEN w[k.n] IS NULL THEN c.worker END, in_flight = c.in_flight AND w[k.n] IS NULL,
        seq = v_seq[k.n], seq_limit = v_limit[k.n], position = coalesce(v_position[k.n], c.position), tasks = coalesce(v_tasks[k.n]::text[], c.tasks),
        checkpoint_id = coalesce(v_id[k.n], c.checkpoint_id), since_bytes = coalesce(v_since[k.n], c.since_bytes), values_size = coalesce(v_size[k.n], c.values_size),
        snapshot_seq = CASE WHEN v_values[k.n] IS NULL THEN c.snapshot_seq ELSE v_seq[k.n] END, updated_at = v_at[k.n]
      FROM unnest(v_all, v_rows) AS k (n, place)
      WHERE c.ctid = k.place;
    GET DIAGNOSTICS v_moved = ROW_COUNT;
    -- Not to be: whose row is locked does not move. Nothing is written then, and each member is sent alone.
    IF v_moved <> cardinality(v_all) THEN RAISE EXCEPTION '% of % members found their threads', v_moved, cardinality(v_all); END IF;
  END IF;
  IF v_ends IS NOT NULL THEN
    UPDATE holdpoint.run r SET
        status = w[k.n]->'end'->>'status', outcome = w[k.n]->'end'->>'outcome', last_seq = v_seq[k.n], ended_at = v_at[k.n], request = NULL,
        first_seq = CASE WHEN r.request IS NULL THEN r.first_seq ELSE v_seq[k.n] END,
        lost_count = CASE WHEN v_id[k.n] IS NULL THEN r.lost_count ELSE 0 END
      FROM (
        SELECT e.n, f.ctid AS place FROM unnest(v_ends) AS e (n)
          CROSS JOIN LATERAL (
            SELECT x.ctid FROM holdpoint.run x WHERE x.tenant = v_tenant[e.n] AND x.thread_id = v_thread[e.n] AND x.run_id = v_run[e.n] OFFSET 0
          ) f
      ) k
      WHERE r.ctid = k.place;
    GET DIAGNOSTICS v_moved = ROW_COUNT;
    IF v_moved <> cardinality(v_ends) THEN RAISE EXCEPTION '% of % members found their runs', v_moved, cardinality(v_ends); END IF;
  END IF;

  v_parents := array_fill(NULL::text, ARRAY[cardinality(v_made)]) || v_parents;
  v_all := v_made || v_all;
  IF v_all <> '{}' THEN
    INSERT INTO holdpoint.log (tenant, thread_id, seq, run_id, epoch, events, messages, checkpoint_id, parent_id, step, path, status, next_nodes, source, ops, vals, position, created_at)
      SELECT v_tenant[k.n], v_thread[k.n], v_seq[k.n], v_run[k.n], coalesce(v_epoch[k.n], 1), v_events[k.n], v_places[k.n]::integer[], v_id[k.n],
          CASE WHEN v_id[k.n] IS NOT NULL THEN k.parent END, CASE WHEN v_id[k.n] IS NOT NULL THEN v_step[k.n] END, v_path[k.n],
          CASE WHEN v_id[k.n] IS NOT NULL THEN v_status[k.n] END, CASE WHEN v_id[k.n] IS NOT NULL THEN v_next[k.n] END,
          v_source[k.n], v_ops[k.n], v_values[k.n], CASE WHEN v_id[k.n] IS NOT NULL THEN coalesce(v_position[k.n], c_nowhere) END, v_at[k.n]
        FROM unnest(v_all, v_parents) AS k (n, parent);
    IF EXISTS (SELECT FROM unnest(v_all) AS k (n) WHERE v_bodies[k.n] <> '{}') THEN
      INSERT INTO holdpoint.message (tenant, thread_id, pos, seq, body)
        SELECT v_tenant[k.n], v_thread[k.n], m.pos, v_seq[k.n], m.body
          FROM unnest(v_all) AS k (n) CROSS JOIN LATERAL unnest(v_places[k.n]::integer[], v_bodies[k.n]::text[]) AS m (pos, body);
    END IF;
  END IF;

  FOR i IN 1..v_count LOOP
    IF v_answers[i] IS NOT NULL THEN
      RETURN NEXT v_answers[i];
    ELSIF i = ANY (v_made) THEN
      RETURN NEXT jsonb_build_object('outcome', 'committed', 'epoch', 1, 'queued', v_status[i] = 'queued');
    ELSIF i = ANY (v_all) THEN
      RETURN NEXT c_done;
    ELSIF v_found IS NULL OR i <> ALL (v_found) THEN
      -- As write_v3 would say: it would look again, and make or lock what came meanwhile out of order.
      RETURN NEXT CASE WHEN v_epoch[i] IS NULL THEN '{"outcome":"moved"}'::jsonb ELSE '{"outcome":"fenced"}'::jsonb END;
    ELSE
      RETURN NEXT holdpoint.write_v3(
        v_tenant[i], v_thread[i], v_run[i], v_from[i], v_epoch[i], v_sees[i], v_at[i], v_seq[i], v_limit[i],
        v_graph[i], v_status[i], v_step[i], v_node[i], v_next[i], v_reason[i],
        v_events[i], v_places[i]::integer[], v_bodies[i]::text[], v_position[i], v_tasks[i]::text[],
        v_id[i], v_source[i], v_path[i], v_ops[i], v_values[i], v_since[i], v_size[i], w[i]);
    END IF;
  END LOOP;
END $$;
