-- What happens to interrupts, over all threads, in one order: see Inbox in src/checkpoint/inbox.ts.

-- An interrupt opens once and leaves `open` once: it has two rows at the most. They name it and repeat no words, so they may
-- outlive its thread. A row gets its number when it is first looked at, and not in the transaction that makes it: to number
-- in the order of commits is to commit one after the other, and no hold and no decision is to wait for another thread's.
CREATE TABLE holdpoint.inbox (
  tenant       text NOT NULL,
  interrupt_id text NOT NULL,
  what         text NOT NULL CHECK (what IN ('opened', 'decided', 'expired', 'cancelled')),
  -- In the order in which rows were made: of one thread the order of its commits, of several only nearly.
  place        bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  seq          bigint,
  thread_id    text NOT NULL,
  graph        text NOT NULL,
  at           timestamptz NOT NULL,
  PRIMARY KEY (tenant, interrupt_id, what)
);
CREATE UNIQUE INDEX inbox_seq ON holdpoint.inbox (tenant, seq) WHERE seq IS NOT NULL;
CREATE INDEX inbox_unnumbered ON holdpoint.inbox (tenant, place) WHERE seq IS NULL;

-- How far a tenant's numbers go, and up to where old rows were deleted.
CREATE TABLE holdpoint.inbox_edge (
  tenant text PRIMARY KEY,
  seq    bigint NOT NULL DEFAULT 0,
  floor  bigint NOT NULL DEFAULT 0
);

-- A trigger and not a part of the writes: servers of the former release write too. What is there already is left: a pause must
-- not fail by this.
CREATE FUNCTION holdpoint.inbox_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO holdpoint.inbox (tenant, interrupt_id, what, thread_id, graph, at)
      VALUES (NEW.tenant, NEW.id, 'opened', NEW.thread_id, NEW.graph, NEW.created_at) ON CONFLICT DO NOTHING;
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO holdpoint.inbox (tenant, interrupt_id, what, thread_id, graph, at)
      VALUES (NEW.tenant, NEW.id, CASE NEW.status WHEN 'resolved' THEN 'decided' ELSE NEW.status END, NEW.thread_id, NEW.graph, NEW.decided_at)
      ON CONFLICT DO NOTHING;
  ELSE
    INSERT INTO holdpoint.inbox (tenant, interrupt_id, what, thread_id, graph, at)
      VALUES (OLD.tenant, OLD.id, 'cancelled', OLD.thread_id, OLD.graph, clock_timestamp()) ON CONFLICT DO NOTHING;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER inbox_opened AFTER INSERT ON holdpoint.interrupt
  FOR EACH ROW WHEN (NEW.status = 'open') EXECUTE FUNCTION holdpoint.inbox_v1();
CREATE TRIGGER inbox_left AFTER UPDATE OF status ON holdpoint.interrupt
  FOR EACH ROW WHEN (OLD.status = 'open' AND NEW.status <> 'open') EXECUTE FUNCTION holdpoint.inbox_v1();
-- With its thread, while it was open.
CREATE TRIGGER inbox_deleted AFTER DELETE ON holdpoint.interrupt
  FOR EACH ROW WHEN (OLD.status = 'open') EXECUTE FUNCTION holdpoint.inbox_v1();

-- What waits already. The triggers have locked the table: nothing opens in between.
INSERT INTO holdpoint.inbox (tenant, interrupt_id, what, thread_id, graph, at)
  SELECT tenant, id, 'opened', thread_id, graph, created_at FROM holdpoint.interrupt WHERE status = 'open' ORDER BY created_at, id;

-- Numbers what was committed since the last time, at most `v_limit` rows, and tells how far that is. Whoever numbers waits for
-- whoever numbers now: rows are seen in the order of their numbers. What was opened is committed before it is decided, and has
-- the lower place, so it has the lower number too.
CREATE FUNCTION holdpoint.number_inbox_v1(v_tenant text, v_limit integer)
  RETURNS TABLE (edge bigint, gone bigint, more boolean) LANGUAGE plpgsql AS $$
DECLARE
  v_count bigint := 0;
BEGIN
  -- In order, which takes the index: statistics of a time when nobody read would have the whole table scanned for it.
  PERFORM 1 FROM holdpoint.inbox x WHERE x.tenant = v_tenant AND x.seq IS NULL ORDER BY x.place LIMIT 1;
  IF FOUND THEN
    INSERT INTO holdpoint.inbox_edge (tenant) VALUES (v_tenant) ON CONFLICT DO NOTHING;
    SELECT e.seq INTO edge FROM holdpoint.inbox_edge e WHERE e.tenant = v_tenant FOR UPDATE;
    UPDATE holdpoint.inbox x SET seq = edge + n.nth
      FROM (SELECT u.interrupt_id, u.what, row_number() OVER (ORDER BY u.place) AS nth FROM holdpoint.inbox u
        WHERE u.tenant = v_tenant AND u.seq IS NULL ORDER BY u.place LIMIT v_limit) n
      WHERE x.tenant = v_tenant AND x.interrupt_id = n.interrupt_id AND x.what = n.what;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    UPDATE holdpoint.inbox_edge e SET seq = e.seq + v_count WHERE e.tenant = v_tenant AND v_count > 0;
  END IF;
  SELECT e.seq, e.floor INTO edge, gone FROM holdpoint.inbox_edge e WHERE e.tenant = v_tenant;
  edge := coalesce(edge, 0);
  gone := coalesce(gone, 0);
  more := v_count = v_limit;
  RETURN NEXT;
END $$;

-- Numbers what nobody has looked at, and deletes what is older than `v_old_ms`; null deletes nothing. Whatever waits for a
-- person stays. Whether there is more of either.
CREATE FUNCTION holdpoint.sweep_inbox_v1(v_old_ms bigint, v_limit integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_tenant text;
  v_count  integer := 0;
  v_more   boolean := false;
BEGIN
  FOR v_tenant IN SELECT DISTINCT u.tenant FROM holdpoint.inbox u WHERE u.seq IS NULL ORDER BY u.tenant LOOP
    SELECT v_more OR n.more INTO v_more FROM holdpoint.number_inbox_v1(v_tenant, v_limit) n;
  END LOOP;
  IF v_old_ms IS NULL THEN RETURN v_more; END IF;
  WITH old AS (
    SELECT x.tenant, x.interrupt_id, x.what FROM holdpoint.inbox x
      WHERE x.seq IS NOT NULL AND x.at < clock_timestamp() - v_old_ms * interval '1 ms'
        AND NOT (x.what = 'opened' AND EXISTS (
          SELECT 1 FROM holdpoint.interrupt i WHERE i.tenant = x.tenant AND i.id = x.interrupt_id AND i.status = 'open'))
      LIMIT v_limit FOR UPDATE SKIP LOCKED
  ), deleted AS (
    DELETE FROM holdpoint.inbox x USING old
      WHERE x.tenant = old.tenant AND x.interrupt_id = old.interrupt_id AND x.what = old.what RETURNING x.tenant, x.seq
  ), highest AS (
    SELECT d.tenant, max(d.seq) AS seq, count(*) AS rows FROM deleted d GROUP BY d.tenant
  ), raised AS (
    UPDATE holdpoint.inbox_edge e SET floor = greatest(e.floor, h.seq) FROM highest h WHERE e.tenant = h.tenant RETURNING h.rows
  )
  SELECT coalesce(sum(rows), 0) INTO v_count FROM raised;
  RETURN v_more OR v_count = v_limit;
END $$;

INSERT INTO holdpoint.timer (tenant, thread_id, kind, id, due_at) VALUES ('', '', 'sweep-inbox', '', now()) ON CONFLICT DO NOTHING;
