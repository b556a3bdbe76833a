-- Everything that lasts. Payloads and words of users are JSON in text columns: jsonb refuses \u0000 and lone surrogates, and
-- Holdpoint never looks inside them with SQL. Every key leads with tenant and thread (invariant 10).

-- The head of a thread: the only row that anybody locks. Kept slim and free of indexes on what a step changes, so that
-- its updates stay on their page (HOT).
CREATE TABLE holdpoint.thread (
  tenant           text NOT NULL,
  thread_id        text NOT NULL,
  graph            text,
  status           text NOT NULL CHECK (status IN ('idle', 'queued', 'running', 'interrupted_before', 'interrupted_after', 'completed', 'error', 'stopped')),
  metadata         text NOT NULL,
  run_id           text,
  worker           text,
  in_flight        boolean NOT NULL DEFAULT false,
  epoch            bigint NOT NULL,
  seq              bigint NOT NULL,
  seq_limit        bigint NOT NULL CHECK (seq_limit >= seq),
  step             integer NOT NULL DEFAULT 0,
  checkpoint_id    text,
  current_node     text,
  next_nodes       text NOT NULL DEFAULT '[]',
  interrupt_reason text,
  position         text NOT NULL,
  -- Ids of the tasks in the position, JSON-encoded.
  tasks            text[] NOT NULL DEFAULT '{}',
  since_bytes      bigint NOT NULL DEFAULT 0,
  values_size      bigint NOT NULL DEFAULT 0,
  -- Where the values were last stored whole: what is read back begins here.
  snapshot_seq     bigint NOT NULL DEFAULT 0,
  hidden           boolean NOT NULL DEFAULT false,
  created_at       timestamptz NOT NULL,
  updated_at       timestamptz NOT NULL,
  PRIMARY KEY (tenant, thread_id)
) WITH (fillfactor = 70);
-- Partial on a column that no point query names: planned on an empty table, a lookup by (tenant, thread_id) would
-- otherwise take this index, and keep it.
CREATE INDEX thread_list ON holdpoint.thread (tenant, created_at DESC, thread_id DESC) WHERE NOT hidden;
CREATE INDEX thread_running ON holdpoint.thread (worker) WHERE status = 'running';

CREATE TABLE holdpoint.run (
  tenant          text NOT NULL,
  thread_id       text NOT NULL,
  run_id          text NOT NULL,
  graph           text NOT NULL,
  status          text NOT NULL CHECK (status IN ('queued', 'running', 'interrupted_before', 'interrupted_after', 'completed', 'error', 'stopped')),
  resumes         boolean NOT NULL,
  recursion_limit integer NOT NULL,
  metadata        text NOT NULL,
  decision        text,
  first_seq       bigint NOT NULL,
  last_seq        bigint,
  first_step      integer NOT NULL,
  lost_count      integer NOT NULL DEFAULT 0,
  outcome         text,
  stop_mode       text CHECK (stop_mode IN ('now', 'after_step')),
  stop            text,
  created_at      timestamptz NOT NULL,
  started_at      timestamptz,
  ended_at        timestamptz,
  PRIMARY KEY (tenant, thread_id, run_id)
);
-- Invariant 2: one active run a thread, kept by the database.
CREATE UNIQUE INDEX run_one_active ON holdpoint.run (tenant, thread_id) WHERE status = 'running';
CREATE INDEX run_list ON holdpoint.run (tenant, thread_id, first_seq DESC);

-- One row a commit: all its events and, if it is a checkpoint, what it changed.
CREATE TABLE holdpoint.log (
  tenant        text NOT NULL,
  thread_id     text NOT NULL,
  seq           bigint NOT NULL,
  run_id        text,
  epoch         bigint NOT NULL,
  events        text NOT NULL,
  -- Places of the messages that this commit wrote.
  messages      integer[] NOT NULL,
  checkpoint_id text,
  parent_id     text,
  step          integer,
  path          text,
  status        text,
  next_nodes    text,
  source        text CHECK (source IN ('input', 'step', 'patch', 'fork')),
  ops           text,
  vals          text,
  position      text,
  created_at    timestamptz NOT NULL,
  PRIMARY KEY (tenant, thread_id, seq)
);

-- Append only. A replaced message is a later row at the same place.
CREATE TABLE holdpoint.message (
  tenant    text NOT NULL,
  thread_id text NOT NULL,
  pos       integer NOT NULL,
  seq       bigint NOT NULL,
  body      text NOT NULL,
  PRIMARY KEY (tenant, thread_id, pos, seq)
);

CREATE TABLE holdpoint.interrupt (
  tenant     text NOT NULL,
  thread_id  text NOT NULL,
  id         text NOT NULL,
  run_id     text NOT NULL,
  graph      text NOT NULL,
  seq        bigint NOT NULL,
  task_id    text NOT NULL,
  ask_key    text NOT NULL,
  status     text NOT NULL CHECK (status IN ('open', 'resolved', 'expired', 'cancelled')),
  node       text NOT NULL,
  -- Path, kind, reason, schema: written once.
  body       text NOT NULL,
  message    text NOT NULL,
  data       text NOT NULL,
  decision   text,
  -- Of the decision, for the record that outlives the thread.
  decided    text,
  decided_by text,
  resumed_by text,
  created_at timestamptz NOT NULL,
  decided_at timestamptz,
  PRIMARY KEY (tenant, id),
  CHECK ((status = 'open') = (decided_at IS NULL))
);
CREATE INDEX interrupt_of_thread ON holdpoint.interrupt (tenant, thread_id, seq);
CREATE INDEX interrupt_inbox ON holdpoint.interrupt (tenant, status, created_at DESC, id DESC);
-- Invariant 5: a question is open once.
CREATE UNIQUE INDEX interrupt_open_once ON holdpoint.interrupt (tenant, thread_id, task_id, ask_key) WHERE status = 'open';

-- Results of `once`: the first value wins.
CREATE TABLE holdpoint.task_record (
  tenant    text NOT NULL,
  thread_id text NOT NULL,
  task_id   text NOT NULL,
  key       text NOT NULL,
  value     text NOT NULL,
  PRIMARY KEY (tenant, thread_id, task_id, key)
);

-- Heartbeats. A row that a thread names is never deleted: its absence must not look like life.
CREATE TABLE holdpoint.worker (
  id       text PRIMARY KEY,
  lease_ms integer NOT NULL,
  beat_at  timestamptz NOT NULL
);

-- What is left of a deleted thread: numbers that are never used again, and who decided what.
CREATE TABLE holdpoint.tombstone (
  tenant    text NOT NULL,
  thread_id text NOT NULL,
  seq       bigint NOT NULL,
  epoch     bigint NOT NULL,
  PRIMARY KEY (tenant, thread_id)
);
CREATE TABLE holdpoint.decision_record (
  tenant       text NOT NULL,
  thread_id    text NOT NULL,
  interrupt_id text NOT NULL,
  node         text NOT NULL,
  decision     text,
  by           text NOT NULL,
  at           timestamptz NOT NULL,
  digest       text NOT NULL,
  PRIMARY KEY (tenant, thread_id, interrupt_id)
);
