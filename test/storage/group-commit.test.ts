/** "How a step reaches the disk" of design: storage: writes of many threads in one transaction, each with its own fate. */
import { readFileSync } from "node:fs";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { HoldpointError } from "holdpoint";
import type { Checkpointer, Write, Written } from "../../src/checkpoint/checkpointer.js";
import { PgCheckpointer, PgliteDatabase } from "../../src/checkpoint/postgres/index.js";
import { PgDatabase } from "../../src/checkpoint/postgres/pg-database.js";
import { isAway } from "../../src/errors.js";
import { newPostgresDatabase } from "../support/databases.js";
import { failure } from "../support/latch.js";
import { until, within } from "../support/poll.js";
import {
  begin,
  commit,
  headOf,
  loadThread,
  newWorker,
  paused,
  runOf,
  simultaneously,
  stopOf,
} from "../contract/scenes.js";
import {
  commitStep,
  createThread,
  endRun,
  freshRef,
  patchThread,
  pauseRun,
  placed,
  seeing,
  startRun,
  tick,
  type Run,
} from "../contract/writes.js";

type Query = <Row extends object>(sql: string, values?: readonly unknown[]) => Promise<Row[]>;

interface Storage {
  readonly cp: Checkpointer;
  readonly query: Query;
}

/** Of each step of these threads: the transaction that wrote it, in the order in which they were written. */
async function stepsOf(
  query: Query,
  runs: readonly Run[],
): Promise<{ thread: string; transaction: string; seq: number }[]> {
  return query(
    "SELECT thread_id AS thread, xmin::text AS transaction, seq::integer AS seq FROM holdpoint.log WHERE thread_id = ANY ($1) AND source = 'step' ORDER BY age(xmin) DESC, cmin::text::integer",
    [runs.map(({ ref }) => ref.threadId)],
  );
}

/** How many steps each transaction wrote, most first. */
async function groupsOf(query: Query, runs: readonly Run[]): Promise<number[]> {
  const steps = await stepsOf(query, runs);
  const transactions = [...new Set(steps.map(({ transaction }) => transaction))];
  return transactions
    .map((each) => steps.filter(({ transaction }) => transaction === each).length)
    .sort((a, b) => b - a);
}

/** How many circles a database had to break; the checkpointers are closed, since what a backend has counted is there once it has ended. */
async function deadlocksOf(
  url: string,
  checkpointers: readonly PgCheckpointer[],
  /** Connections of others that stay. */
  others: number,
): Promise<number> {
  await Promise.all(checkpointers.map((each) => each.close()));
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const ask = async () => {
      const { rows } = await client.query<{ backends: number; deadlocks: string }>(
        "SELECT numbackends AS backends, deadlocks FROM pg_stat_database WHERE datname = current_database()",
      );
      return rows[0] ?? { backends: Infinity, deadlocks: "" };
    };
    await until("their backends have ended", async () => (await ask()).backends <= 1 + others);
    return Number((await ask()).deadlocks);
  } finally {
    await client.end();
  }
}

/** The backends of the database that wait for a lock; asked outside a transaction, in which the first answer would stay. */
const waitingIn = (query: Query): Promise<{ pid: number }[]> =>
  query(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%holdpoint.write_%'",
  );

/** All rows of a tenant, but for its name, and when its queue was served last. */
const rowsOf = (query: Query, tenant: string): Promise<object[]> =>
  query(
    ["thread", "run", "log", "message", "interrupt", "timer", "request_key", "tombstone"]
      .map(
        (table) =>
          `SELECT '${table}' AS of, to_jsonb(t) - 'tenant' - 'ready_at' AS row FROM holdpoint.${table} t WHERE t.tenant = $1`,
      )
      .join(" UNION ALL ") + " ORDER BY 1, 2",
    [tenant],
  );

const committed = (run: Run): Written => ({
  outcome: "committed",
  epoch: run.epoch,
  queued: false,
  dropped: [],
});

describe.each(["PostgreSQL", "embedded"])("on %s", (kind) => {
  let storage: Storage;
  let close: () => Promise<void>;

  beforeAll(async () => {
    const database =
      kind === "embedded"
        ? new PgliteDatabase({
            dataDir: null,
            loadDataDir: new Blob([readFileSync(inject("embeddedDump"))]),
          })
        : new PgDatabase({ url: await newPostgresDatabase(), waitMs: 0 });
    const cp = new PgCheckpointer({ database });
    await cp.open();
    storage = { cp, query: (sql, values) => database.query(sql, values) };
    close = () => cp.close();
  });
  afterAll(() => close());

  test("steps of different threads that are ready at once are one transaction, many of them two", async () => {
    const { cp, query } = storage;
    const runs = await simultaneously(30, () => begin(cp));
    const written = await Promise.all(runs.map((run) => cp.write(commitStep(run))));
    expect(written).toEqual(runs.map(committed));
    // The embedded database does one thing at a time.
    expect(await groupsOf(query, runs)).toEqual(kind === "embedded" ? [30] : [15, 15]);
    const some = await simultaneously(20, () => begin(cp));
    await Promise.all(some.map((run) => cp.write(commitStep(run))));
    expect(await groupsOf(query, some)).toEqual([20]);
  });

  test("a group of all kinds of writes leaves what they leave one by one", async () => {
    const { cp, query } = storage;
    const tenants = [freshRef().tenant, freshRef().tenant] as const;
    /** The same write of another tenant's thread of the same id. */
    const twin = (write: Write): Write => ({ ...write, ref: { ...write.ref, tenant: tenants[1] } });
    const run = async (threadId: string): Promise<Run> => {
      const write = startRun({ tenant: tenants[0], threadId }, 0, null);
      await commit(cp, twin(write));
      return runOf(write, await commit(cp, write));
    };
    const say = (pos: number, content: string) => placed(pos, { content });
    const runs = await Promise.all(Array.from({ length: 14 }, (_, i) => run(`${i}`)));
    const [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = runs as [
      Run,
      Run,
      Run,
      Run,
      Run,
      Run,
      Run,
      Run,
      Run,
      Run,
      Run,
      Run,
      Run,
      Run,
    ];
    const stop = stopOf("now");
    for (const tenant of tenants) await cp.requestStop({ ...m.ref, tenant }, stop);
    const writes = [
      commitStep(a),
      commitStep(b, { messages: [say(0, "one"), say(1, '"two" {,} \\ \n ü😀')] }),
      commitStep(c, { messages: [say(0, "was"), say(0, "is")], checkpoint: { ops: [["set", "n", 1]] } }),
      commitStep(d, { checkpoint: { values: { n: [1, "}"] }, sinceValues: { bytes: 0, size: 12 } } }),
      commitStep(e, { checkpoint: null, position: null, messages: [say(0, "no checkpoint")] }),
      commitStep({ ...f, epoch: f.epoch - 1 }),
      commitStep({ ...g, seq: g.seq + 1 }),
      endRun(h),
      pauseRun(i),
      commitStep(j, { checkpoint: { path: ["outer"] }, events: [] }),
      commitStep({ ...k, ref: { ...k.ref, threadId: "nobody's" } }),
      commitStep(m, { messages: [say(0, "stopped")] }),
      startRun({ tenant: tenants[0], threadId: "new" }, 0, null, { messages: [say(0, "first")] }),
      commitStep(l),
      commitStep(n, { messages: [say(0, "last")] }),
    ];
    const together = await Promise.all(writes.map((write) => cp.write(write)));
    const alone: Written[] = [];
    for (const write of writes) alone.push(await cp.write(twin(write)));
    expect(together).toEqual(alone);
    expect(new Set(together.map(({ outcome }) => outcome))).toEqual(
      new Set(["committed", "fenced", "stopping"]),
    );
    const rows = await rowsOf(query, tenants[0]);
    expect(rows.length).toBeGreaterThan(50);
    expect(rows).toEqual(await rowsOf(query, tenants[1]));
    // What was written goes on.
    expect(await cp.write(commitStep({ ...b, seq: writes[1]?.seq ?? 0, step: b.step + 1 }))).toEqual(
      committed(b),
    );
    expect((await loadThread(cp, c.ref)).snapshot.messages.map(({ content }) => content)).toEqual(["is"]);
  });

  test("a group of all kinds of starts and ends leaves what they leave one by one", async () => {
    const { cp, query } = storage;
    const tenants = [freshRef().tenant, freshRef().tenant] as const;
    const twin = (write: Write): Write => ({ ...write, ref: { ...write.ref, tenant: tenants[1] } });
    const ref = (threadId: string) => ({ tenant: tenants[0], threadId });
    const both = async <T>(of: (tenant: string) => Promise<T>): Promise<void> => {
      for (const tenant of tenants) await of(tenant);
    };
    const run = async (threadId: string): Promise<Run> => {
      const write = startRun(ref(threadId), 0, null);
      await commit(cp, twin(write));
      return runOf(write, await commit(cp, write));
    };
    const say = (pos: number, content: string) => placed(pos, { content });
    const key = (name: string) => ({ key: name, body: "b", expiresAt: "2999-01-01T00:00:00.000Z" });
    const enqueue = (threadId: string, runId: string, graph = "contract"): Promise<void> => {
      const at = tick();
      return both(async (tenant) => {
        const free = { recursionLimit: 7, metadata: {}, request: {}, at, free: false, stop: null };
        const of = { ...free, ref: { tenant, threadId }, runId, graph };
        expect((await cp.enqueue(of)).outcome).toBe("queued");
      });
    };

    const plain = await run("plain");
    const [queued, dropping] = [await run("queued"), await run("dropping")];
    await enqueue("queued", "next");
    await enqueue("dropping", "dropped");
    const stopped = await run("stopped");
    const stop = stopOf("now");
    await both((tenant) => cp.requestStop({ tenant, threadId: "stopped" }, stop));
    // Its run was claimed, and ends without having begun.
    const graph = freshRef().threadId;
    await enqueue("claimed", "claimed", graph);
    const worker = newWorker(60_000);
    await cp.beat(worker);
    const [claim] = await cp.claim(worker, [graph], 2);
    if (claim === undefined) throw new Error("there is no claim");
    const { seq, step } = await headOf(cp, ref("claimed"));
    const claimed = { ref: ref("claimed"), runId: "claimed", graph, epoch: claim.epoch, seq, step };
    const ends = [endRun(await run("gone")), endRun(await run("gone too"))];
    for (const ended of ends) {
      await commit(cp, ended);
      await commit(cp, twin(ended));
      await both((tenant) => cp.remove({ ...ended.ref, tenant }));
    }
    const used = startRun(ref("used"), 0, null);
    const sent = startRun(ref("sent before"), 0, null, { messages: [say(0, "once")] });
    for (const write of [{ ...used, key: key("used") }, sent]) {
      await commit(cp, write);
      await commit(cp, twin(write));
    }

    const writes: Write[] = [
      startRun(ref("new"), 0, null, { messages: [say(0, "first"), say(1, '"ü\n😀')], metadata: { a: "}" } }),
      startRun(ref("for anybody"), 0, null, { worker: null, threadMetadata: { b: ['"'] } }),
      startRun(ref("gone"), ends[0]?.seq ?? 0, null),
      startRun(ref("gone too"), 0, null),
      startRun(ref("never was"), 3, null),
      startRun((await run("there")).ref, 0, null),
      createThread((await run("there too")).ref),
      sent,
      { ...startRun(ref("keyed"), 0, null), key: key("new") },
      { ...startRun(ref("keyed too"), 0, null), key: key("new") },
      { ...startRun(ref("keyed late"), 0, null), key: key("used") },
      createThread(ref("without a run")),
      endRun(plain),
      endRun(queued),
      endRun(claimed, "error"),
      { ...endRun(dropping, "error"), drop: true },
      { ...endRun(await run("nothing to drop"), "error"), drop: true },
      endRun(await run("as it was"), "stopped", { position: null }),
      endRun(await run("with all"), "completed", {
        checkpoint: { values: { n: [1, "}"] }, sinceValues: { bytes: 0, size: 12 } },
        messages: [say(0, "last"), say(0, "word")],
      }),
      endRun({ ...(await run("fenced")), epoch: 0 }),
      endRun({ ...(await run("other seq")), seq: 7 }),
      endRun(stopped),
      seeing(endRun(await run("stopped too"), "stopped"), "now"),
    ];
    const together = await Promise.all(writes.map((write) => cp.write(write)));
    // Of two with one key it is the first in the order of the group's locks.
    const keyOf = ({ ref: { threadId } }: Write): string => JSON.stringify(threadId);
    const alone = new Map<Write, Written>();
    for (const write of writes.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)))
      alone.set(write, await cp.write(twin(write)));
    expect(together).toEqual(writes.map((write) => alone.get(write)));
    expect(new Set(together.map(({ outcome }) => outcome))).toEqual(
      new Set(["committed", "fenced", "moved", "repeated", "stopping"]),
    );
    const [groups] = await query<{ count: number }>(
      "SELECT count(DISTINCT xmin::text)::integer AS count FROM holdpoint.thread WHERE tenant = $1 AND thread_id = ANY ($2)",
      [tenants[0], ["new", "gone", "keyed too", "plain", "queued", "with all", "stopped too"]],
    );
    expect(groups?.count).toBe(1);
    expect(await rowsOf(query, tenants[0])).toEqual(await rowsOf(query, tenants[1]));
  });

  test("ids with any signs come through a group as they are", async () => {
    const { cp, query } = storage;
    const { tenant } = freshRef();
    const ids = ['"', "\\", "a\nb", '\u001f"\\"', "{,}", "NULL", "", " ", "ü😀", "\u2028"];
    const runs = await simultaneously(ids.length, (i) =>
      begin(cp, { ref: { tenant, threadId: ids[i] ?? "" } }),
    );
    const steps = runs.map((run) => commitStep(run));
    const written = await Promise.all(steps.map((write) => cp.write(write)));
    expect(written).toEqual(runs.map(committed));
    expect(await groupsOf(query, runs)).toEqual([ids.length]);
    for (const [i, { ref }] of runs.entries()) expect((await headOf(cp, ref)).seq).toBe(steps[i]?.seq);
  });

  test("the members of a group are written in the order of their keys, whatever order they came in", async () => {
    const { cp, query } = storage;
    const { tenant } = freshRef();
    const ids = Array.from({ length: 20 }, (_, i) => `order-${String(i).padStart(2, "0")}`);
    const runs = await Promise.all(ids.map((threadId) => begin(cp, { ref: { tenant, threadId } })));
    await Promise.all(runs.toReversed().map((run) => cp.write(commitStep(run))));
    const steps = await stepsOf(query, runs);
    expect(new Set(steps.map(({ transaction }) => transaction)).size).toBe(1);
    expect(steps.map(({ thread }) => thread)).toEqual(ids);
  });

  test("a member that the database refuses fails alone (invariant 4)", async () => {
    const { cp, query } = storage;
    const taken = await paused(cp);
    const runs = await simultaneously(9, () => begin(cp));
    // An interrupt's id is unique in its tenant.
    const { tenant } = taken.ref;
    const owner = await begin(cp, { ref: { ...freshRef(), tenant } });
    const failed = failure(cp.write(pauseRun(owner, [{ id: taken.interrupt.id }])));
    const written = await Promise.all(runs.map((run) => cp.write(commitStep(run))));
    expect(written).toEqual(runs.map(committed));
    expect(await failed).toMatchObject({ code: "23505" });
    expect(await groupsOf(query, runs)).toEqual(runs.map(() => 1));
    expect(await headOf(cp, owner.ref)).toMatchObject({ status: "running", seq: owner.seq });
    // It can go on: nothing of the group that failed is in its way.
    expect(await cp.write(commitStep(owner))).toEqual(committed(owner));
  });

  test("a refusal of one member is an answer to that member", async () => {
    const { cp, query } = storage;
    const runs = await simultaneously(6, () => begin(cp));
    const [lost, stopped, moved] = [await begin(cp), await begin(cp), await paused(cp)];
    await cp.requestStop(stopped.ref, stopOf("now"));
    const head = await headOf(cp, moved.ref);
    await commit(cp, patchThread(head));
    const writes: Write[] = [
      ...runs.slice(0, 3).map((run) => commitStep(run)),
      commitStep({ ...lost, epoch: lost.epoch - 1 }),
      commitStep(stopped),
      patchThread(head),
      ...runs.slice(3).map((run) => commitStep(run)),
    ];
    const written = await Promise.all(writes.map((write) => cp.write(write)));
    expect(written.map(({ outcome }) => outcome)).toEqual([
      ...["committed", "committed", "committed"],
      ...["fenced", "stopping", "moved"],
      ...["committed", "committed", "committed"],
    ]);
    expect(written[4]).toMatchObject({ stop: { mode: "now", by: "ann" } });
    expect(await groupsOf(query, runs)).toEqual([6]);
    expect(await headOf(cp, lost.ref)).toMatchObject({ seq: lost.seq });
    expect(await headOf(cp, stopped.ref)).toMatchObject({ seq: stopped.seq });
  });

  test("writes of one thread keep their order, each in a transaction of its own", async () => {
    const { cp, query } = storage;
    const [run, ...others] = await simultaneously(5, () => begin(cp));
    if (run === undefined) throw new Error("there is no run");
    const one = commitStep(run);
    const two = commitStep({ ...run, seq: one.seq, step: one.head.step });
    const three = endRun({ ...run, seq: two.seq, step: two.head.step });
    const written = await Promise.all(
      [one, two, ...others.map((each) => commitStep(each)), three].map((write) => cp.write(write)),
    );
    expect(written.every(({ outcome }) => outcome === "committed")).toBe(true);
    const steps = await stepsOf(query, [run]);
    expect(steps.map(({ seq }) => seq)).toEqual([one.seq, two.seq]);
    expect(new Set(steps.map(({ transaction }) => transaction)).size).toBe(2);
    expect(await headOf(cp, run.ref)).toMatchObject({ status: "completed", seq: three.seq });
  });

  test("a group is bounded: by its members, and a large write goes by itself", async () => {
    const { cp, query } = storage;
    const runs = await simultaneously(150, () => begin(cp));
    await Promise.all(runs.map((run) => cp.write(commitStep(run))));
    expect(await groupsOf(query, runs)).toEqual([64, 64, 22]);

    const small = await simultaneously(20, () => begin(cp));
    const large = await begin(cp);
    const ops = [["set" as const, "text", "x".repeat(10_000_000)] as const];
    const writes = small.map((run) => commitStep(run));
    writes.splice(10, 0, commitStep(large, { checkpoint: { ops } }));
    await Promise.all(writes.map((write) => cp.write(write)));
    expect(await groupsOf(query, small)).toEqual([10, 10]);
    expect(await groupsOf(query, [...small, large])).toEqual([10, 10, 1]);
    expect((await loadThread(cp, large.ref)).snapshot.values.text).toHaveLength(10_000_000);
  });
});

describe("with others on the same PostgreSQL", () => {
  let url: string;
  let cp: PgCheckpointer;
  let client: pg.Client;

  const query: Query = async (sql, values) => (await client.query(sql, values && [...values])).rows;

  /** Holds the thread's lock until the function that it gives is called. */
  async function locked(run: Run): Promise<() => Promise<void>> {
    const holder = new pg.Client({ connectionString: url });
    await holder.connect();
    let held = true;
    const release = async (): Promise<void> => {
      if (held) await holder.end();
      held = false;
    };
    onTestFinished(release);
    await holder.query("BEGIN");
    await holder.query("SELECT 1 FROM holdpoint.thread WHERE thread_id = $1 FOR UPDATE", [run.ref.threadId]);
    return release;
  }

  const waiting = (): Promise<{ pid: number }[]> => waitingIn(query);

  beforeAll(async () => {
    url = await newPostgresDatabase();
    cp = new PgCheckpointer(url);
    await cp.open();
    client = new pg.Client({ connectionString: url });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await cp.close();
  });

  test("while a group waits for a lock the next one fills up, and is not held up for long", async () => {
    const [stuck, ...others] = await simultaneously(11, () => begin(cp));
    if (stuck === undefined) throw new Error("there is no run");
    const release = await locked(stuck);
    let isDone = false;
    const first = cp.write(commitStep(stuck)).finally(() => (isDone = true));
    await until("the first group waits", async () => (await waiting()).length === 1);
    const written = await within(
      "the other threads go on",
      Promise.all(others.map((run) => cp.write(commitStep(run)))),
    );
    expect(written).toEqual(others.map(committed));
    expect(await groupsOf(query, others)).toEqual([10]);
    expect(isDone).toBe(false);
    await release();
    expect(await first).toEqual(committed(stuck));
  });

  test("a member whose thread moves on, or is only changed, while its group waits is seen as it is then", async () => {
    const [held, moved, patched, ...others] = await simultaneously(8, () => begin(cp));
    if (held === undefined || moved === undefined || patched === undefined)
      throw new Error("there is no run");
    const holder = new pg.Client({ connectionString: url });
    await holder.connect();
    onTestFinished(() => holder.end());
    await holder.query("BEGIN");
    const change = (run: Run, to: string) =>
      holder.query(`UPDATE holdpoint.thread SET ${to} WHERE thread_id = $1`, [run.ref.threadId]);
    await change(held, "metadata = '{}'");
    await change(moved, "epoch = epoch + 1");
    await change(patched, `metadata = '{"by":"holder"}'`);
    const members = [held, moved, patched, ...others];
    const sent = Promise.all(members.map((run) => cp.write(commitStep(run))));
    await until("the group waits", async () => (await waiting()).length === 1);
    await holder.query("COMMIT");
    expect(await sent).toEqual([
      committed(held),
      { outcome: "fenced" },
      committed(patched),
      ...others.map(committed),
    ]);
    expect(await groupsOf(query, members)).toEqual([7]);
    expect(await headOf(cp, patched.ref)).toMatchObject({ seq: patched.seq + 1, metadata: { by: "holder" } });
  });

  test("when its connection is killed every member fails as one that may be tried again, and is committed once", async () => {
    const runs = await simultaneously(10, () => begin(cp));
    const release = await locked(runs[4] as Run);
    const writes = runs.map((run) => commitStep(run));
    const failed = Promise.all(writes.map((write) => failure(cp.write(write))));
    const [backend] = await until("the group waits", async () => {
      const found = await waiting();
      return found.length === 1 && found;
    });
    await query("SELECT pg_terminate_backend($1)", [backend?.pid]);
    for (const error of await within("the members fail", failed)) {
      expect(error).toBeInstanceOf(HoldpointError);
      expect(error).toMatchObject({ code: "database_unavailable" });
    }
    expect(await stepsOf(query, runs)).toEqual([]);
    await release();
    for (let again = 0; again < 2; again++) {
      const written = await Promise.all(writes.map((write) => cp.write(write)));
      expect(written).toEqual(runs.map(committed));
    }
    expect((await stepsOf(query, runs)).map(({ seq }) => seq)).toEqual(writes.map(({ seq }) => seq));
  });

  test("when its storage is closed meanwhile every member fails as one that may not be tried again", async () => {
    const database = new PgDatabase({ url, waitMs: 0 });
    const one = new PgCheckpointer({ database });
    await one.open();
    onTestFinished(() => one.close());
    const runs = await simultaneously(10, () => begin(one));
    await locked(runs[4] as Run);
    const failed = Promise.all(runs.map((run) => failure(one.write(commitStep(run)))));
    const [backend] = await until("the group waits", async () => {
      const found = await waiting();
      return found.length === 1 && found;
    });
    const closing = database.close();
    await query("SELECT pg_terminate_backend($1)", [backend?.pid]);
    for (const error of await within("the members fail", failed)) {
      expect(error).toMatchObject({ code: "database_unavailable" });
      expect(isAway(error)).toBe(false);
    }
    await closing;
    expect(await stepsOf(query, runs)).toEqual([]);
  });

  test("when only the answer is lost, sending again finds each member committed", async () => {
    const database = new PgDatabase({ url, waitMs: 0 });
    const send = database.query.bind(database);
    let isCut = false;
    // The real database does its work; what it answers does not arrive.
    database.query = async <Row extends object>(sql: string, values?: readonly unknown[]): Promise<Row[]> => {
      const rows = await send<Row>(sql, values);
      if (isCut && sql.includes("holdpoint.write_")) throw new HoldpointError("database_unavailable", "cut");
      return rows;
    };
    const one = new PgCheckpointer({ database });
    await one.open();
    onTestFinished(() => one.close());
    const runs = await simultaneously(10, () => begin(one));
    const writes = runs.map((run) => commitStep(run));
    isCut = true;
    const errors = await Promise.all(writes.map((write) => failure(one.write(write))));
    expect(errors.every((error) => error.code === "database_unavailable")).toBe(true);
    isCut = false;
    expect(await groupsOf(query, runs)).toEqual([10]);
    expect(await Promise.all(writes.map((write) => one.write(write)))).toEqual(runs.map(committed));
    expect(await groupsOf(query, runs)).toEqual([10]);
  });

  describe("groups that make threads never wait for each other in a circle", () => {
    const ref = (threadId: string) => ({ tenant: "circle", threadId });

    /** Three checkpointers of a database of their own, somebody who holds locks, and how many writes wait for one. */
    async function scene() {
      const own = await newPostgresDatabase();
      const three = [0, 1, 2].map(() => new PgCheckpointer(own)) as [
        ...[PgCheckpointer, PgCheckpointer, PgCheckpointer],
      ];
      await Promise.all(three.map((each) => each.open()));
      const [holder, watcher] = [own, own].map((connectionString) => new pg.Client({ connectionString })) as [
        ...[pg.Client, pg.Client],
      ];
      await Promise.all([holder.connect(), watcher.connect()]);
      const wait = (many: number) =>
        until(
          `${many} wait`,
          async () => (await waitingIn(async (sql) => (await watcher.query(sql)).rows)).length === many,
        );
      const expectNoCircle = async (): Promise<void> => {
        await Promise.all([holder.end(), watcher.end()]);
        expect(await deadlocksOf(own, three, 0)).toBe(0);
      };
      return { three, holder, wait, expectNoCircle };
    }
    const lock = "SELECT FROM holdpoint.thread WHERE thread_id = $1 FOR UPDATE";
    const send = (cp: Checkpointer, ...writes: readonly Write[]) =>
      Promise.all(writes.map(async (write) => (await cp.write(write)).outcome));

    test("where it is there for the other one", async () => {
      const { three, holder, wait, expectNoCircle } = await scene();
      const [one, two, other] = three;
      const [b, z] = [await begin(one, { ref: ref("b") }), await begin(one, { ref: ref("z") })];
      await holder.query("BEGIN");
      await holder.query(lock, ["z"]);
      const first = send(one, startRun(ref("a"), 0, null), commitStep(b), commitStep(z));
      await wait(1);
      const sooner = startRun(ref("a"), 0, null);
      const made = send(other, sooner);
      await wait(2);
      const second = send(two, commitStep(runOf(sooner, 1)), commitStep(b));
      await wait(3);
      await holder.query("COMMIT");
      // Whoever came first made it.
      expect(await first).toEqual(["committed", "committed", "committed"]);
      expect(await made).toEqual(["moved"]);
      // Its step of b is the very write that the first one made.
      expect(await second).toEqual(["fenced", "committed"]);
      await expectNoCircle();
    });

    test("where one makes it without a run", async () => {
      const { three, holder, wait, expectNoCircle } = await scene();
      const [one, two] = three;
      for (let round = 0; round < 10; round++) {
        const [a, b] = [ref(`a${round}`), ref(`b${round}`)];
        await holder.query("BEGIN");
        await holder.query(
          "INSERT INTO holdpoint.thread (tenant, thread_id, status, metadata, epoch, seq, seq_limit, position, created_at, updated_at) VALUES ($1, $2, 'idle', '{}', 0, 0, 0, '', now(), now())",
          [a.tenant, a.threadId],
        );
        const first = send(one, createThread(a), startRun(b, 0, null));
        await wait(1);
        const second = send(two, startRun(a, 0, null), startRun(b, 0, null));
        await wait(2);
        await holder.query("ROLLBACK");
        const [ofFirst, ofSecond] = [await first, await second];
        expect(ofFirst.map((outcome, i) => [outcome, ofSecond[i]].toSorted())).toEqual([
          ["committed", "moved"],
          ["committed", "moved"],
        ]);
      }
      await expectNoCircle();
    });

    test("where it was deleted and made again", async () => {
      const { three, holder, wait, expectNoCircle } = await scene();
      const [one, two] = three;
      const [x, y] = [await begin(one, { ref: ref("x") }), await begin(one, { ref: ref("y") })];
      const gone = await begin(one, { ref: ref("z") });
      const last = endRun(gone);
      await commit(one, last);
      await one.remove(ref("z"));
      const z = await begin(one, { ref: ref("z") });
      await holder.query("BEGIN");
      await holder.query(lock, ["y"]);
      const second = send(two, commitStep(x), commitStep(y), commitStep(z));
      await wait(1);
      const first = send(one, commitStep({ ...x, epoch: 0 }), startRun(ref("z"), last.seq, null));
      await wait(2);
      await holder.query("COMMIT");
      expect(await second).toEqual(["committed", "committed", "committed"]);
      expect(await first).toEqual(["fenced", "moved"]);
      await expectNoCircle();
    });
  });

  test("a live and a fenced-off owner of the same threads, who make the same ones too, never wait for each other in a circle", async () => {
    const [live, old] = [new PgCheckpointer(url), new PgCheckpointer(url)];
    await Promise.all([live.open(), old.open()]);
    const ref = (round: number, i: number) => ({ tenant: "owners", threadId: `${i % 2}-${round}-${i}` });
    const make = (round: number) => Array.from({ length: 8 }, (_, i) => startRun(ref(round, i), 0, null));
    let runs = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        begin(live, { ref: { tenant: "owners", threadId: `${i % 3}-${i}` } }),
      ),
    );
    const send = (cp: Checkpointer, writes: readonly Write[]) =>
      Promise.all(writes.map(async (write) => (await cp.write(write)).outcome));
    for (let round = 0; round < 100; round++) {
      const writes = runs.map((run) => commitStep(run));
      const stale = runs.toReversed().map((run) => commitStep({ ...run, epoch: run.epoch - 1 }));
      // Of those who make a thread one comes first, and the other one's is there.
      const [fresh, refused, made, late] = await Promise.all([
        send(live, writes),
        send(old, stale),
        send(live, make(round)),
        send(old, make(round).toReversed()),
      ]);
      expect(new Set(fresh)).toEqual(new Set(["committed"]));
      expect(new Set(refused)).toEqual(new Set(["fenced"]));
      expect(made.map((outcome, i) => [outcome, late.at(-1 - i)].toSorted())).toEqual(
        made.map(() => ["committed", "moved"]),
      );
      runs = runs.map((run, i) => ({ ...run, seq: writes[i]?.seq ?? 0, step: run.step + 1 }));
    }
    expect(await deadlocksOf(url, [live, old], 11)).toBe(0);
  });
});
