-- Runs that wait for their thread or for a free process; keys of requests that must not be done twice; rows with a due time.

ALTER TABLE holdpoint.thread
  -- Runs that wait for this thread. Counted on the locked row: counting rows would miss one that is being added.
  ADD COLUMN queued integer NOT NULL DEFAULT 0 CHECK (queued >= 0),
  -- Since when its next run could start: the queue is served in this order, so no thread waits behind all runs of another.
  ADD COLUMN ready_at timestamptz,
  -- Events up to here were deleted when they got old.
  ADD COLUMN log_floor bigint NOT NULL DEFAULT 0;
CREATE INDEX thread_queued ON holdpoint.thread (ready_at) WHERE status = 'queued';

-- What a queued run will begin with; null once it has begun. Until then `first_seq` is its place in the queue, far above
-- every number that an event gets.
ALTER TABLE holdpoint.run ADD COLUMN request text;
CREATE INDEX run_queued ON holdpoint.run (tenant, thread_id, first_seq) WHERE status = 'queued';

ALTER TABLE holdpoint.interrupt ADD COLUMN expires_at timestamptz;

-- Idempotency keys of accepted requests, hashed with the person, the method and the path.
CREATE TABLE holdpoint.request_key (
  tenant     text NOT NULL,
  key        text NOT NULL,
  body       text NOT NULL,
  thread_id  text NOT NULL,
  run_id     text,
  answer     text,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, key)
);
CREATE INDEX request_key_expiry ON holdpoint.request_key (expires_at);

-- Whatever is to happen at a time: one row, claimed by one process. Those of the whole cluster have no tenant.
CREATE TABLE holdpoint.timer (
  tenant        text NOT NULL,
  thread_id     text NOT NULL,
  kind          text NOT NULL,
  id            text NOT NULL,
  due_at        timestamptz NOT NULL,
  PRIMARY KEY (tenant, thread_id, kind, id)
);
CREATE INDEX timer_due ON holdpoint.timer (due_at);

-- Ends the runs that wait for a thread, whose row is locked. They never began: they have no events.
CREATE FUNCTION holdpoint.drop_queue_v1(v_tenant text, v_thread text, v_step integer, v_seq bigint, v_at timestamptz)
  RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_dropped jsonb;
BEGIN
  WITH dropped AS (
    UPDATE holdpoint.run SET status = 'stopped', ended_at = v_at, first_seq = v_seq, last_seq = v_seq, request = NULL,
        outcome = jsonb_build_object('status', 'stopped', 'interrupted', false, 'interruptReason', NULL, 'decision', NULL,
          'currentNode', NULL, 'nextNodes', '[]'::jsonb, 'step', v_step, 'error', NULL)::text
      WHERE tenant = v_tenant AND thread_id = v_thread AND status = 'queued'
      RETURNING run_id, created_at
  )
  SELECT coalesce(jsonb_agg(run_id ORDER BY created_at, run_id), '[]') INTO v_dropped FROM dropped;
  UPDATE holdpoint.thread SET queued = 0 WHERE tenant = v_tenant AND thread_id = v_thread AND queued > 0;
  RETURN v_dropped;
END $$;

-- Whether a request with this key was accepted before. Called under the lock of the thread that the key's path names.
CREATE FUNCTION holdpoint.key_used_v1(v_tenant text, k jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF k IS NULL THEN RETURN false; END IF;
  PERFORM 1 FROM holdpoint.request_key WHERE tenant = v_tenant AND key = k->>'key' AND expires_at > clock_timestamp();
  RETURN FOUND;
END $$;

CREATE FUNCTION holdpoint.use_key_v1(v_tenant text, v_thread text, v_run text, k jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF k IS NULL THEN RETURN; END IF;
  INSERT INTO holdpoint.request_key (tenant, key, body, thread_id, run_id, expires_at)
    VALUES (v_tenant, k->>'key', k->>'body', v_thread, v_run, (k->>'expires_at')::timestamptz)
    ON CONFLICT (tenant, key) DO UPDATE SET body = excluded.body, thread_id = excluded.thread_id, run_id = excluded.run_id,
      answer = NULL, expires_at = excluded.expires_at;
END $$;

-- As write_v1, and: a run's end makes the thread `queued` where another run waits; a start that is sent twice is committed
-- once and says so both times; a queued run that was claimed begins by a write of its own run; keys; expiries.
CREATE FUNCTION holdpoint.write_v2(w jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
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
  v_status  text := h->>'status';
  v_queued  integer;
  v_dropped jsonb := '[]';
BEGIN
  IF w ? 'create' THEN
    IF jsonb_array_length(w->'decide') > 0 THEN RETURN '{"outcome":"moved"}'; END IF;
    INSERT INTO holdpoint.thread (tenant, thread_id, status, metadata, epoch, seq, seq_limit, position, created_at, updated_at)
      VALUES (v_tenant, v_thread, 'idle', w->'create'->>'metadata', 0, v_from, v_from, '{"tasks":[],"holds":{"before":[],"after":[]}}', v_at, v_at)
      ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count = 0 AND s IS NULL THEN RETURN '{"outcome":"moved"}'; END IF;
    IF v_count = 1 THEN
      -- After the insert: a deletion that it waited for has left its numbers by now.
      SELECT seq, epoch INTO v_base, v_epoch FROM holdpoint.tombstone WHERE tenant = v_tenant AND thread_id = v_thread;
      IF coalesce(v_base, 0) <> v_from THEN
        DELETE FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
        RETURN '{"outcome":"moved"}';
      END IF;
      -- A deleted thread is not made again by a request that was accepted on it.
      IF holdpoint.key_used_v1(v_tenant, w->'key') THEN
        DELETE FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
        RETURN '{"outcome":"repeated"}';
      END IF;
      UPDATE holdpoint.thread SET epoch = coalesce(v_epoch, 0) WHERE tenant = v_tenant AND thread_id = v_thread;
    END IF;
  END IF;

  SELECT * INTO t FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread FOR UPDATE;
  IF NOT FOUND THEN
    RETURN CASE WHEN v_by = 'seq' THEN '{"outcome":"moved"}'::jsonb ELSE '{"outcome":"fenced"}'::jsonb END;
  END IF;

  IF v_by = 'seq' THEN
    IF t.seq <> v_from OR t.status IN ('running', 'queued') OR (w ? 'create' AND v_count = 0) THEN
      IF s IS NOT NULL THEN
        SELECT epoch INTO v_epoch FROM holdpoint.log WHERE tenant = v_tenant AND thread_id = v_thread AND seq = v_seq AND run_id = v_run;
        IF FOUND THEN RETURN jsonb_build_object('outcome', 'committed', 'epoch', v_epoch, 'queued', false, 'dropped', v_dropped); END IF;
      END IF;
      RETURN '{"outcome":"moved"}';
    END IF;
    IF holdpoint.key_used_v1(v_tenant, w->'key') THEN RETURN '{"outcome":"repeated"}'; END IF;
  ELSE
    v_epoch := (w->'guard'->>'epoch')::bigint;
    IF t.epoch <> v_epoch OR t.status <> 'running' OR t.seq <> v_from THEN
      -- The answer to this very write may have been lost: then it is its own, and done.
      PERFORM 1 FROM holdpoint.log WHERE tenant = v_tenant AND thread_id = v_thread AND seq = v_seq AND epoch = v_epoch AND run_id = v_run;
      IF FOUND THEN
        RETURN jsonb_build_object('outcome', 'committed', 'epoch', v_epoch, 'queued', t.status = 'queued', 'dropped', v_dropped);
      END IF;
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
    DELETE FROM holdpoint.timer WHERE tenant = v_tenant AND thread_id = v_thread AND kind = 'interrupt'
      AND id IN (SELECT d->>'id' FROM jsonb_array_elements(w->'decide') d);
  END IF;
  IF jsonb_array_length(w->'retext') > 0 THEN
    UPDATE holdpoint.interrupt i SET message = d->>'message', data = d->>'data'
      FROM jsonb_array_elements(w->'retext') d
      WHERE i.tenant = v_tenant AND i.id = d->>'id' AND i.status = 'open';
  END IF;

  v_epoch := t.epoch;
  IF s IS NOT NULL AND v_by = 'seq' THEN
    v_epoch := t.epoch + 1;
    INSERT INTO holdpoint.run (tenant, thread_id, run_id, graph, status, resumes, recursion_limit, metadata, decision, first_seq, first_step, created_at, started_at)
      VALUES (v_tenant, v_thread, s->>'run_id', s->>'graph', 'running', (s->>'resumes')::boolean, (s->>'recursion_limit')::integer, s->>'metadata', s->>'decision', (s->>'first_seq')::bigint, (s->>'first_step')::integer, v_at, v_at);
  ELSIF s IS NOT NULL THEN
    UPDATE holdpoint.run SET first_seq = (s->>'first_seq')::bigint, first_step = (s->>'first_step')::integer, lost_count = 0, request = NULL, started_at = v_at
      WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = v_run;
  ELSIF e IS NOT NULL THEN
    UPDATE holdpoint.run SET status = e->>'status', outcome = e->>'outcome', last_seq = v_seq, ended_at = v_at, request = NULL,
        first_seq = CASE WHEN request IS NULL THEN first_seq ELSE v_seq END,
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
  IF jsonb_array_length(w->'messages') > 0 THEN
    INSERT INTO holdpoint.message (tenant, thread_id, pos, seq, body)
      SELECT v_tenant, v_thread, (m->>0)::integer, v_seq, m->>1 FROM jsonb_array_elements(w->'messages') m;
  END IF;
  IF jsonb_array_length(w->'open') > 0 THEN
    INSERT INTO holdpoint.interrupt (tenant, thread_id, id, run_id, graph, seq, task_id, ask_key, status, node, body, message, data, created_at, expires_at)
      SELECT v_tenant, v_thread, o->>'id', o->>'run_id', o->>'graph', v_seq, o->>'task_id', o->>'key', 'open', o->>'node', o->>'body', o->>'message', o->>'data', (o->>'created_at')::timestamptz, (o->>'expires_at')::timestamptz
        FROM jsonb_array_elements(w->'open') o;
    INSERT INTO holdpoint.timer (tenant, thread_id, kind, id, due_at)
      SELECT v_tenant, v_thread, 'interrupt', o->>'id', (o->>'expires_at')::timestamptz
        FROM jsonb_array_elements(w->'open') o WHERE o->>'expires_at' IS NOT NULL;
  END IF;

  v_queued := t.queued;
  IF w->'drop' = 'true'::jsonb AND t.queued > 0 THEN
    v_dropped := holdpoint.drop_queue_v1(v_tenant, v_thread, (h->>'step')::integer, v_seq, v_at);
    v_queued := 0;
  END IF;
  -- A run that waits starts when the thread is neither running nor interrupted.
  IF v_queued > 0 AND v_status NOT IN ('running', 'interrupted_before', 'interrupted_after') THEN v_status := 'queued'; END IF;

  UPDATE holdpoint.thread SET
      graph = h->>'graph',
      status = v_status,
      ready_at = CASE WHEN v_status = 'queued' THEN clock_timestamp() ELSE t.ready_at END,
      step = (h->>'step')::integer,
      current_node = h->>'current_node',
      next_nodes = h->>'next_nodes',
      interrupt_reason = h->>'interrupt_reason',
      run_id = coalesce(s->>'run_id', t.run_id),
      worker = CASE WHEN s IS NOT NULL AND v_by = 'seq' THEN s->>'worker' WHEN e IS NOT NULL THEN NULL ELSE t.worker END,
      in_flight = CASE WHEN s IS NOT NULL THEN s->>'worker' IS NOT NULL WHEN e IS NOT NULL THEN false ELSE t.in_flight END,
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
  IF w->'key' IS NOT NULL THEN PERFORM holdpoint.use_key_v1(v_tenant, v_thread, v_run, w->'key'); END IF;
  RETURN jsonb_build_object('outcome', 'committed', 'epoch', v_epoch, 'queued', v_status = 'queued', 'dropped', v_dropped);
END $$;

-- Servers of the former release write by this name: their runs, too, must let the queue go on.
CREATE OR REPLACE FUNCTION holdpoint.write_v1(w jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT holdpoint.write_v2(w) $$;

-- Makes a run wait for its thread, which is made where there is none; see Enqueue in src/checkpoint/checkpointer.ts.
CREATE FUNCTION holdpoint.enqueue_v1(q jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_tenant  text := q->>'tenant';
  v_thread  text := q->>'thread';
  v_run     text := q->>'run_id';
  v_at      timestamptz := (q->>'at')::timestamptz;
  t         holdpoint.thread%ROWTYPE;
  v_dropped jsonb := '[]';
  v_place   bigint;
  v_stopped text;
BEGIN
  SELECT * INTO t FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO holdpoint.thread (tenant, thread_id, graph, status, metadata, epoch, seq, seq_limit, position, created_at, updated_at)
      VALUES (v_tenant, v_thread, q->>'graph', 'idle', '{}', 0, 0, 0, '{"tasks":[],"holds":{"before":[],"after":[]}}', v_at, v_at)
      ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN '{"outcome":"moved"}'; END IF;
    IF holdpoint.key_used_v1(v_tenant, q->'key') THEN
      DELETE FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
      RETURN '{"outcome":"repeated"}';
    END IF;
    -- After the insert: a deletion that it waited for has left its numbers by now.
    UPDATE holdpoint.thread k SET seq = b.seq, seq_limit = b.seq, epoch = b.epoch
      FROM holdpoint.tombstone b
      WHERE k.tenant = v_tenant AND k.thread_id = v_thread AND b.tenant = v_tenant AND b.thread_id = v_thread;
    SELECT * INTO t FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
  END IF;
  PERFORM 1 FROM holdpoint.run WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = v_run;
  IF FOUND THEN
    RETURN jsonb_build_object('outcome', 'queued', 'seq', t.seq, 'stopped', NULL, 'dropped', v_dropped);
  END IF;
  IF holdpoint.key_used_v1(v_tenant, q->'key') THEN RETURN '{"outcome":"repeated"}'; END IF;
  IF t.status IN ('interrupted_before', 'interrupted_after') OR t.graph <> q->>'graph'
      OR (q->'free' = 'true'::jsonb AND t.status IN ('running', 'queued')) THEN
    RETURN '{"outcome":"moved"}';
  END IF;

  IF q->'stop' IS NOT NULL THEN
    IF t.queued > 0 THEN v_dropped := holdpoint.drop_queue_v1(v_tenant, v_thread, t.step, t.seq, v_at); END IF;
    IF t.status = 'running' THEN
      v_stopped := t.run_id;
      UPDATE holdpoint.run SET stop_mode = 'now', stop = q->>'stop'
        WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = t.run_id AND (stop_mode IS NULL OR stop_mode = 'after_step');
    END IF;
  END IF;
  -- Far above every number that an event gets, and in order.
  SELECT coalesce(max(first_seq), 4503599627370496) + 1 INTO v_place FROM holdpoint.run
    WHERE tenant = v_tenant AND thread_id = v_thread AND first_seq > 4503599627370496;
  INSERT INTO holdpoint.run (tenant, thread_id, run_id, graph, status, resumes, recursion_limit, metadata, first_seq, first_step, created_at, request)
    VALUES (v_tenant, v_thread, v_run, q->>'graph', 'queued', false, (q->>'recursion_limit')::integer, q->>'metadata', v_place, t.step, v_at, q->>'request');
  UPDATE holdpoint.thread SET
      graph = q->>'graph',
      queued = queued + 1,
      status = CASE WHEN t.status = 'running' THEN 'running' ELSE 'queued' END,
      ready_at = CASE WHEN t.status IN ('running', 'queued') THEN ready_at ELSE clock_timestamp() END,
      updated_at = v_at
    WHERE tenant = v_tenant AND thread_id = v_thread;
  PERFORM holdpoint.use_key_v1(v_tenant, v_thread, v_run, q->'key');
  RETURN jsonb_build_object('outcome', 'queued', 'seq', t.seq, 'stopped', v_stopped, 'dropped', v_dropped);
END $$;

-- Asks the current run to stop, under the lock that its commits take, and takes the queue with it. A paused thread is left to
-- the write that cancels what it waits for.
CREATE FUNCTION holdpoint.request_stop_v2(v_tenant text, v_thread text, v_mode text, v_stop text, v_at timestamptz, k jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  t         holdpoint.thread%ROWTYPE;
  v_dropped jsonb := '[]';
BEGIN
  SELECT * INTO t FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread FOR UPDATE;
  IF NOT FOUND THEN RETURN '{"was":"missing"}'; END IF;
  IF holdpoint.key_used_v1(v_tenant, k) THEN RETURN '{"was":"repeated"}'; END IF;
  IF t.status IN ('interrupted_before', 'interrupted_after') THEN RETURN '{"was":"interrupted"}'; END IF;
  IF t.queued > 0 THEN v_dropped := holdpoint.drop_queue_v1(v_tenant, v_thread, t.step, t.seq, v_at); END IF;
  IF t.status = 'running' THEN
    UPDATE holdpoint.run SET stop_mode = v_mode, stop = v_stop
      WHERE tenant = v_tenant AND thread_id = v_thread AND run_id = t.run_id
        AND (stop_mode IS NULL OR (stop_mode = 'after_step' AND v_mode = 'now'));
  ELSIF t.status = 'queued' THEN
    UPDATE holdpoint.thread SET status = 'stopped', updated_at = v_at WHERE tenant = v_tenant AND thread_id = v_thread;
  END IF;
  PERFORM holdpoint.use_key_v1(v_tenant, v_thread, CASE WHEN t.status = 'running' THEN t.run_id END, k);
  RETURN jsonb_build_object('was', CASE WHEN t.status IN ('running', 'queued') THEN t.status ELSE 'not-running' END,
    'run', t.run_id, 'epoch', t.epoch, 'dropped', v_dropped);
END $$;

-- A stop that an old server takes is a stop of the queue too.
CREATE OR REPLACE FUNCTION holdpoint.request_stop_v1(v_tenant text, v_thread text, v_mode text, v_stop text)
  RETURNS TABLE (was text, run text, run_epoch bigint) LANGUAGE plpgsql AS $$
DECLARE
  a jsonb := holdpoint.request_stop_v2(v_tenant, v_thread, v_mode, v_stop, clock_timestamp(), NULL);
BEGIN
  RETURN QUERY SELECT CASE WHEN a->>'was' IN ('running', 'missing') THEN a->>'was' ELSE 'not-running' END, a->>'run', (a->>'epoch')::bigint;
END $$;

-- As claim_v1, then runs from the queue, those first whose threads have waited longest. A process that beats late has its lease
-- all the same where the database itself was away: nobody counts as dead within a lease of the database's start. `v_others`
-- false: only of those that said goodbye.
CREATE FUNCTION holdpoint.claim_v2(v_worker text, v_graphs text[], v_limit integer, v_others boolean)
  RETURNS TABLE (tenant text, thread_id text, run_id text, graph text, epoch bigint, crashed boolean) LANGUAGE plpgsql AS $$
DECLARE
  v_dead  text[] := ARRAY(SELECT k.id FROM holdpoint.worker k WHERE k.id <> v_worker AND (k.beat_at = '-infinity' OR (v_others
    AND greatest(k.beat_at, pg_postmaster_start_time()) < clock_timestamp() - k.lease_ms * interval '1 ms')));
  t       holdpoint.thread%ROWTYPE;
  v_count integer := 0;
BEGIN
  FOR t IN
    SELECT c.* FROM holdpoint.thread c
      WHERE c.status = 'running' AND c.graph = ANY (v_graphs) AND (c.worker IS NULL OR c.worker = ANY (v_dead))
      ORDER BY c.updated_at LIMIT v_limit FOR UPDATE SKIP LOCKED
  LOOP
    v_count := v_count + 1;
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
  IF v_count >= v_limit THEN RETURN; END IF;
  FOR t IN
    SELECT c.* FROM holdpoint.thread c
      WHERE c.status = 'queued' AND c.graph = ANY (v_graphs)
      ORDER BY c.ready_at LIMIT v_limit - v_count FOR UPDATE SKIP LOCKED
  LOOP
    UPDATE holdpoint.run c SET status = 'running'
      WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id AND c.run_id = (
        SELECT n.run_id FROM holdpoint.run n WHERE n.tenant = t.tenant AND n.thread_id = t.thread_id AND n.status = 'queued'
          ORDER BY n.first_seq LIMIT 1)
      RETURNING c.run_id INTO run_id;
    CONTINUE WHEN NOT FOUND;
    UPDATE holdpoint.thread c SET status = 'running', run_id = claim_v2.run_id, epoch = t.epoch + 1, worker = v_worker, in_flight = false,
        seq = t.seq_limit, queued = t.queued - 1, updated_at = clock_timestamp()
      WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id;
    tenant := t.tenant; thread_id := t.thread_id; graph := t.graph; epoch := t.epoch + 1; crashed := false;
    RETURN NEXT;
  END LOOP;
END $$;

-- Servers of the former release cannot begin a queued run: they leave one whose process died before it began.
CREATE OR REPLACE FUNCTION holdpoint.claim_v1(v_worker text, v_graphs text[], v_limit integer)
  RETURNS TABLE (tenant text, thread_id text, run_id text, graph text, epoch bigint, crashed boolean) LANGUAGE plpgsql AS $$
DECLARE
  v_dead text[] := ARRAY(SELECT k.id FROM holdpoint.worker k WHERE k.id <> v_worker AND k.beat_at < clock_timestamp() - k.lease_ms * interval '1 ms');
  t      holdpoint.thread%ROWTYPE;
BEGIN
  FOR t IN
    SELECT c.* FROM holdpoint.thread c
      WHERE c.status = 'running' AND c.graph = ANY (v_graphs) AND (c.worker IS NULL OR c.worker = ANY (v_dead))
        AND NOT EXISTS (SELECT 1 FROM holdpoint.run n WHERE n.tenant = c.tenant AND n.thread_id = c.thread_id AND n.run_id = c.run_id AND n.request IS NOT NULL)
      ORDER BY c.updated_at LIMIT v_limit FOR UPDATE SKIP LOCKED
  LOOP
    crashed := t.worker IS NOT NULL OR t.in_flight;
    UPDATE holdpoint.thread c SET epoch = t.epoch + 1, worker = v_worker, in_flight = true, seq = t.seq_limit
      WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id;
    IF crashed THEN
      UPDATE holdpoint.run c SET lost_count = c.lost_count + 1 WHERE c.tenant = t.tenant AND c.thread_id = t.thread_id AND c.run_id = t.run_id;
    END IF;
    tenant := t.tenant; thread_id := t.thread_id; run_id := t.run_id; graph := t.graph; epoch := t.epoch + 1;
    RETURN NEXT;
  END LOOP;
END $$;

-- Deletes a thread; its numbers and the record of its decisions stay. Also under the name that the former release calls.
CREATE FUNCTION holdpoint.remove_v2(v_tenant text, v_thread text) RETURNS text LANGUAGE plpgsql AS $$
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
  DELETE FROM holdpoint.timer WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.task_record WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.interrupt WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.message WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.log WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.run WHERE tenant = v_tenant AND thread_id = v_thread;
  DELETE FROM holdpoint.thread WHERE tenant = v_tenant AND thread_id = v_thread;
  RETURN 'removed';
END $$;
CREATE OR REPLACE FUNCTION holdpoint.remove_v1(v_tenant text, v_thread text) RETURNS text LANGUAGE sql AS $$ SELECT holdpoint.remove_v2(v_tenant, v_thread) $$;
