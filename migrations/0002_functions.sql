-- The writes, each one round trip. Functions and not single statements, because in a function every statement sees what
-- was committed before it began: "SELECT … FOR UPDATE, then act" in one statement acts on the state before the lock.
-- Versioned by name, so that old and new servers run side by side.

-- One atomic change of a thread; see Write in src/checkpoint/checkpointer.ts. Strings of users come JSON-encoded.
CREATE FUNCTION holdpoint.write_v1(w jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_tenant  text := w->>'tenant';
  v_thread  text := w->>'thread';
  v_run     text := w->>'run';
  v_by      text := w->'guard'->>'by';
  v_from    bigint := (w->'guard'->>'from')::bigint;
  v_seq     bigint := (w->>'seq')::bigint;
  v_at      timestamptz := (w->>'at')::timestamptz;
  h         jsonb := w->'head';
  c         jsonb := w->'checkpoint';
  s         jsonb := w->'start';
  e         jsonb := w->'end';
  t         holdpoint.thread%ROWTYPE;
  r         holdpoint.run%ROWTYPE;
  v_base    bigint;
  v_epoch   bigint;
  v_count   integer;
BEGIN
  IF w ? 'create' THEN
    IF jsonb_array_length(w->'decide') > 0 THEN RETURN '{"outcome":"moved"}'; END IF;
    INSERT INTO holdpoint.thread (tenant, thread_id, status, metadata, epoch, seq, seq_limit, position, created_at, updated_at)
      VALUES (v_tenant, v_thread, 'idle', w->'create'->>'metadata', 0, v_from, v_from, '{"tasks":[],"holds":{"before":[],"after":[]}}', v_at, v_at)
      ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count = 0 THEN RETURN '{"outcome":"moved"}'; END IF;
    -- After the insert: a deletion that it waited for has left its numbers by now.
    SELECT seq, epoch INTO v_base, v_epoch FROM holdpoint.tombstone WHERE tenant = v_tenant AND thread_id = v_thread;
    IF coalesce(v_base, 0) <> v_from THEN
      DELETE FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
      RETURN '{"outcome":"moved"}';
    END IF;
    UPDATE holdpoint.thread SET epoch = coalesce(v_epoch, 0) WHERE tenant = v_tenant AND thread_id = v_thread;
  END IF;

  SELECT * INTO t FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread FOR UPDATE;
  IF NOT FOUND THEN
    RETURN CASE WHEN v_by = 'seq' THEN '{"outcome":"moved"}'::jsonb ELSE '{"outcome":"fenced"}'::jsonb END;
  END IF;

  IF v_by = 'seq' THEN
    IF t.seq <> v_from OR t.status IN ('running', 'queued') THEN RETURN '{"outcome":"moved"}'; END IF;
  ELSE
    v_epoch := (w->'guard'->>'epoch')::bigint;
    IF t.epoch <> v_epoch OR t.status <> 'running' OR t.seq <> v_from THEN
      -- The answer to this very write may have been lost: then it is its own, and done.
      PERFORM 1 FROM holdpoint.log WHERE tenant = v_tenant AND thread_id = v_thread AND seq = v_seq AND epoch = v_epoch AND run_id = v_run;
      IF FOUND THEN RETURN jsonb_build_object('outcome', 'committed', 'epoch', v_epoch); END IF;
      RETURN '{"outcome":"fenced"}';
    END IF;
    SELECT * INTO r FROM holdpoint.run WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = v_run;
    IF r.stop_mode IS NOT NULL AND coalesce(w->'guard'->>'sees', '') NOT IN ('now', r.stop_mode) THEN
      RETURN jsonb_build_object('outcome', 'stopping', 'stop', r.stop);
    END IF;
  END IF;

  -- Interrupts change under the lock of their thread only, so counting first is safe (invariant 5).
  IF jsonb_array_length(w->'decide') > 0 THEN
    SELECT count(*) INTO v_count FROM holdpoint.interrupt
      WHERE tenant = v_tenant AND status = 'open' AND thread_id = v_thread AND id IN (SELECT d->>'id' FROM jsonb_array_elements(w->'decide') d);
    IF v_count <> jsonb_array_length(w->'decide') THEN RETURN '{"outcome":"moved"}'; END IF;
    UPDATE holdpoint.interrupt i
      SET status = d->>'status', decision = d->>'answer', decided = d->>'decided', decided_by = d->>'decided_by', resumed_by = d->>'resumed_by', decided_at = (d->>'at')::timestamptz
      FROM jsonb_array_elements(w->'decide') d
      WHERE i.tenant = v_tenant AND i.id = d->>'id';
  END IF;
  IF jsonb_array_length(w->'retext') > 0 THEN
    UPDATE holdpoint.interrupt i SET message = d->>'message', data = d->>'data'
      FROM jsonb_array_elements(w->'retext') d
      WHERE i.tenant = v_tenant AND i.id = d->>'id' AND i.status = 'open';
  END IF;

  v_epoch := t.epoch;
  IF s IS NOT NULL THEN
    v_epoch := t.epoch + 1;
    INSERT INTO holdpoint.run (tenant, thread_id, run_id, graph, status, resumes, recursion_limit, metadata, decision, first_seq, first_step, created_at, started_at)
      VALUES (v_tenant, v_thread, s->>'run_id', s->>'graph', 'running', (s->>'resumes')::boolean, (s->>'recursion_limit')::integer, s->>'metadata', s->>'decision', (s->>'first_seq')::bigint, (s->>'first_step')::integer, v_at, v_at);
  ELSIF e IS NOT NULL THEN
    UPDATE holdpoint.run SET status = e->>'status', outcome = e->>'outcome', last_seq = v_seq, ended_at = v_at,
        lost_count = CASE WHEN c IS NULL THEN lost_count ELSE 0 END
      WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = v_run;
  ELSIF c IS NOT NULL AND r.lost_count > 0 THEN
    UPDATE holdpoint.run SET lost_count = 0 WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = v_run;
  END IF;

  IF v_seq > t.seq THEN
    INSERT INTO holdpoint.log (tenant, thread_id, seq, run_id, epoch, events, messages, checkpoint_id, parent_id, step, path, status, next_nodes, source, ops, vals, position, created_at)
      VALUES (v_tenant, v_thread, v_seq, v_run, v_epoch, w->>'events',
        ARRAY(SELECT (m->>0)::integer FROM jsonb_array_elements(w->'messages') m),
        c->>'id', CASE WHEN c IS NULL THEN NULL ELSE t.checkpoint_id END, CASE WHEN c IS NULL THEN NULL ELSE (h->>'step')::integer END, c->>'path',
        CASE WHEN c IS NULL THEN NULL ELSE h->>'status' END, CASE WHEN c IS NULL THEN NULL ELSE h->>'next_nodes' END,
        c->>'source', c->>'ops', c->>'values', CASE WHEN c IS NULL THEN NULL ELSE coalesce(w->>'position', t.position) END, v_at);
  END IF;
  INSERT INTO holdpoint.message (tenant, thread_id, pos, seq, body)
    SELECT v_tenant, v_thread, (m->>0)::integer, v_seq, m->>1 FROM jsonb_array_elements(w->'messages') m;
  INSERT INTO holdpoint.interrupt (tenant, thread_id, id, run_id, graph, seq, task_id, ask_key, status, node, body, message, data, created_at)
    SELECT v_tenant, v_thread, o->>'id', o->>'run_id', o->>'graph', v_seq, o->>'task_id', o->>'key', 'open', o->>'node', o->>'body', o->>'message', o->>'data', (o->>'created_at')::timestamptz
      FROM jsonb_array_elements(w->'open') o;

  UPDATE holdpoint.thread SET
      graph = h->>'graph',
      status = h->>'status',
      step = (h->>'step')::integer,
      current_node = h->>'current_node',
      next_nodes = h->>'next_nodes',
      interrupt_reason = h->>'interrupt_reason',
      run_id = coalesce(s->>'run_id', t.run_id),
      worker = CASE WHEN s IS NOT NULL THEN s->>'worker' WHEN e IS NOT NULL THEN NULL ELSE t.worker END,
      in_flight = CASE WHEN s IS NOT NULL THEN true WHEN e IS NOT NULL THEN false ELSE t.in_flight END,
      epoch = v_epoch,
      seq = v_seq,
      seq_limit = (w->>'limit')::bigint,
      position = coalesce(w->>'position', t.position),
      tasks = CASE WHEN w->'tasks' IS NULL THEN t.tasks ELSE ARRAY(SELECT jsonb_array_elements_text(w->'tasks')) END,
      checkpoint_id = coalesce(c->>'id', t.checkpoint_id),
      since_bytes = coalesce((c->>'since_bytes')::bigint, t.since_bytes),
      values_size = coalesce((c->>'values_size')::bigint, t.values_size),
      snapshot_seq = CASE WHEN c->>'values' IS NULL THEN t.snapshot_seq ELSE v_seq END,
      updated_at = v_at
    WHERE tenant = v_tenant AND thread_id = v_thread;
  RETURN jsonb_build_object('outcome', 'committed', 'epoch', v_epoch);
END $$;

-- Asks a running run to stop, under the lock that its commits take: a stop that was accepted is met by the next one.
CREATE FUNCTION holdpoint.request_stop_v1(v_tenant text, v_thread text, v_mode text, v_stop text)
  RETURNS TABLE (was text, run text, run_epoch bigint) LANGUAGE plpgsql AS $$
DECLARE
  t holdpoint.thread%ROWTYPE;
BEGIN
  SELECT * INTO t FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread FOR UPDATE;
  IF NOT FOUND THEN RETURN QUERY SELECT 'missing', NULL::text, NULL::bigint; RETURN; END IF;
  IF t.status <> 'running' THEN RETURN QUERY SELECT 'not-running', NULL::text, NULL::bigint; RETURN; END IF;
  UPDATE holdpoint.run SET stop_mode = v_mode, stop = v_stop
    WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = t.run_id
      AND (stop_mode IS NULL OR (stop_mode = 'after_step' AND v_mode = 'now'));
  RETURN QUERY SELECT 'running', t.run_id, t.epoch;
END $$;

-- Stores a once result unless there is one; false where another epoch has begun.
CREATE FUNCTION holdpoint.record_v1(v_tenant text, v_thread text, v_epoch bigint, v_task text, v_key text, v_value text)
  RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread AND epoch = v_epoch FOR SHARE;
  IF NOT FOUND THEN RETURN false; END IF;
  INSERT INTO holdpoint.task_record (tenant, thread_id, task_id, key, value) VALUES (v_tenant, v_thread, v_task, v_key, v_value)
    ON CONFLICT DO NOTHING;
  RETURN true;
END $$;

-- A heartbeat, and what the worker owns.
CREATE FUNCTION holdpoint.beat_v1(v_worker text, v_lease_ms integer)
  RETURNS TABLE (tenant text, thread_id text, run_id text, epoch bigint, stop text) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO holdpoint.worker AS k (id, lease_ms, beat_at) VALUES (v_worker, v_lease_ms, clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET beat_at = clock_timestamp(), lease_ms = excluded.lease_ms;
  RETURN QUERY SELECT t.tenant, t.thread_id, t.run_id, t.epoch, r.stop
    FROM holdpoint.thread t JOIN holdpoint.run r ON r.tenant = t.tenant AND r.thread_id = t.thread_id AND r.run_id = t.run_id
    WHERE t.status = 'running' AND t.worker = v_worker;
END $$;

-- Takes over runs that nobody executes. The dead are listed first: "not alive" would be judged with the snapshot of
-- before the lock, and a process that registered a moment ago would look dead.
CREATE FUNCTION holdpoint.claim_v1(v_worker text, v_graphs text[], v_limit integer)
  RETURNS TABLE (tenant text, thread_id text, run_id text, graph text, epoch bigint, crashed boolean) LANGUAGE plpgsql AS $$
DECLARE
  v_dead text[] := ARRAY(SELECT k.id FROM holdpoint.worker k WHERE k.id <> v_worker AND k.beat_at < clock_timestamp() - k.lease_ms * interval '1 ms');
  t      holdpoint.thread%ROWTYPE;
BEGIN
  FOR t IN
    SELECT c.* FROM holdpoint.thread c
      WHERE c.status = 'running' AND c.graph = ANY (v_graphs) AND (c.worker IS NULL OR c.worker = ANY (v_dead))
      ORDER BY c.updated_at LIMIT v_limit FOR UPDATE SKIP LOCKED
  LOOP
    crashed := t.worker IS NOT NULL OR t.in_flight;
    -- Above everything that the former owner may have shown to readers (invariant 7).
    UPDATE holdpoint.thread c SET epoch = t.epoch + 1, worker = v_worker, in_flight = true, seq = t.seq_limit
      WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id;
    IF crashed THEN
      UPDATE holdpoint.run c SET lost_count = c.lost_count + 1 WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id AND c.run_id = t.run_id;
    END IF;
    tenant := t.tenant; thread_id := t.thread_id; run_id := t.run_id; graph := t.graph; epoch := t.epoch + 1;
    RETURN NEXT;
  END LOOP;
END $$;

-- Deletes a thread; its numbers and the record of its decisions stay.
CREATE FUNCTION holdpoint.remove_v1(v_tenant text, v_thread text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  t holdpoint.thread%ROWTYPE;
BEGIN
  SELECT * INTO t FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread FOR UPDATE;
  IF NOT FOUND THEN RETURN 'missing'; END IF;
  IF t.status IN ('running', 'queued') THEN RETURN 'busy'; END IF;
  INSERT INTO holdpoint.tombstone AS b (tenant, thread_id, seq, epoch) VALUES (v_tenant, v_thread, t.seq_limit, t.epoch)
    ON CONFLICT (tenant, thread_id) DO UPDATE SET seq = excluded.seq, epoch = excluded.epoch;
  INSERT INTO holdpoint.decision_record (tenant, thread_id, interrupt_id, node, decision, by, at, digest)
    SELECT v_tenant, v_thread, i.id, i.node, i.decided, i.decided_by, i.decided_at,
        encode(sha256(convert_to(i.decision, 'UTF8')), 'hex')
      FROM holdpoint.interrupt i WHERE i.tenant = v_tenant AND i.thread_id = v_thread AND i.decision IS NOT NULL;
  DELETE FROM holdpoint.task_record WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.interrupt WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.message WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.log WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.run WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
  RETURN 'removed';
END $$;
