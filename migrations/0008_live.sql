-- Live events of running steps, for readers in other processes: see LiveEdge in src/checkpoint/live-edge.ts. Unlogged: what is
-- here costs no write-ahead log, and a crash of PostgreSQL empties it. Nothing is lost by that: what lasts comes with the log.
CREATE UNLOGGED TABLE holdpoint.live (
  tenant    text NOT NULL,
  thread_id text NOT NULL,
  -- Of the last of its events.
  seq       bigint NOT NULL,
  events    text NOT NULL,
  PRIMARY KEY (tenant, thread_id, seq)
);

-- A trigger and no foreign key: that would lock the thread's row at each insert.
CREATE FUNCTION holdpoint.forget_live_v1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM holdpoint.live WHERE tenant = OLD.tenant AND thread_id = OLD.thread_id;
  RETURN NULL;
END $$;
CREATE TRIGGER thread_forget_live AFTER DELETE ON holdpoint.thread
  FOR EACH ROW EXECUTE FUNCTION holdpoint.forget_live_v1();
