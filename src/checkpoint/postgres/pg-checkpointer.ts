/**
 * The port on PostgreSQL, by `pg` or the embedded database: the same SQL, the same migrations. Writes are functions of the
 * database (migrations/0002): one round trip, and each of their statements sees what was committed before it.
 */
import type { Message } from "../../engine/index.js";
import { refusalIn } from "../../errors.js";
import type { Json } from "../../lib/json.js";
import type {
  Checkpointer,
  Enqueue,
  Enqueued,
  Fork,
  Forked,
  LiveEdge,
  Owned,
  Presence,
  RequestKey,
  RunRecord,
  StopOutcome,
  StopRequest,
  TaskRecord,
  ThreadRef,
  Upkeep,
  UsedKey,
  Wake,
  WorkerInfo,
  Write,
  Written,
} from "../checkpointer.js";
import type { Database } from "./database.js";
import { GroupCommit } from "./group-commit.js";
import { GroupRead } from "./group-read.js";
import { KeptMessages } from "./kept-messages.js";
import { migrate } from "./migrate.js";
import { PgDatabase, type PgOptions } from "./pg-database.js";
import { PgliteDatabase, type PgliteOptions } from "./pglite-database.js";
import { PgInbox } from "./pg-inbox.js";
import { PgLiveEdge } from "./pg-live-edge.js";
import { PgPresence } from "./pg-presence.js";
import { PgUpkeep } from "./pg-upkeep.js";
import { PgWorkers } from "./pg-workers.js";
import {
  interruptOf,
  messageOf,
  runOf,
  usedKeyOf,
  type InterruptRow,
  type MessageRow,
  type RunRow,
  type UsedKeyRow,
} from "./rows.js";
import * as lists from "./sql/lists.js";
import { load, loadAt, thread } from "./sql/load.js";
import { log } from "./sql/log.js";
import { fromWrite } from "./sqlstate.js";
import { enqueue, fork, requestStop, writeAll } from "./sql/write.js";
import { writeRow, type WriteRow } from "./sql/write-row.js";
import { WakeChannel } from "./wake-channel.js";

/** Milliseconds in which a database that works has answered. */
const PING_MS = 1500;
const INBOX: Wake = { kind: "inbox" };

/** A database server by its URL, an embedded database by its folder, or a database of one's own. */
export type PgCheckpointerOptions = (
  { readonly database: Database } | ({ readonly url: string } & Partial<PgOptions>) | PgliteOptions
) & {
  /** Told when hints of other processes begin to arrive, or no longer do, and why. */
  readonly onHearing?: (hears: boolean, why: string | null) => void;
};

/** The port on PostgreSQL, a server or the embedded one. Nothing of either is loaded before `open`. */
export class PgCheckpointer implements Checkpointer {
  readonly upkeep: Upkeep;
  readonly inbox: PgInbox;
  readonly liveEdge: LiveEdge | null;
  readonly presence: Presence;
  readonly #db: Database;
  readonly #writes: GroupCommit<WriteRow, Written>;
  readonly #kept = new KeptMessages();
  readonly #loads = new GroupRead((refs: readonly ThreadRef[]) => load(this.#db, refs, this.#kept));
  readonly #channel: WakeChannel;
  readonly #workers: PgWorkers;
  #opened: Promise<void> | null = null;

  /** A connection string, the data directory of an embedded database, or a database of one's own. Connects in `open`. */
  constructor(options: string | PgCheckpointerOptions) {
    const of = typeof options === "string" ? { url: options } : options;
    if ("database" in of) this.#db = of.database;
    else this.#db = "url" in of ? new PgDatabase({ waitMs: 0, ...of }) : new PgliteDatabase(of);
    this.#writes = new GroupCommit((writes) => writeAll(this.#db, writes), {
      quick: this.#db.isExclusive ? 1 : 2,
    });
    this.#channel = new WakeChannel(this.#db, of.onHearing);
    this.upkeep = new PgUpkeep(this.#db);
    this.inbox = new PgInbox(this.#db);
    this.#channel.onWake((wake) => {
      this.inbox.heed(wake);
      // Another process has written it, or deleted it: what is kept is of no more use.
      if (wake.kind === "thread") this.#kept.forget(wake.ref);
    });
    const tell = (wake: Wake): void => this.#channel.tell(wake);
    this.liveEdge = this.#db.directUrl === null ? null : new PgLiveEdge(this.#db, tell);
    this.presence = new PgPresence(this.#db);
    this.#workers = new PgWorkers(this.#db);
  }

  get describe(): string {
    return this.#db.describe;
  }

  open(): Promise<void> {
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = null;
      throw error;
    });
    return this.#opened;
  }

  async #open(): Promise<void> {
    await this.#db.open(async () => {
      await migrate(this.#db);
      // Invariant 8: on the embedded database the former process is known to be dead, not only silent.
      if (this.#db.isExclusive) await this.#db.query("UPDATE holdpoint.worker SET beat_at = '-infinity'");
      await this.#workers.look();
    });
    this.#channel.open();
  }

  async close(): Promise<void> {
    this.#opened = null;
    await this.#channel.close();
    await this.#db.close();
  }

  async ping(): Promise<void> {
    // Writes nothing, and fails where nothing can be written: on a standby that nobody has promoted, reading would work.
    await this.#db.query("UPDATE holdpoint.worker SET lease_ms = lease_ms WHERE false", [], {
      timeoutMs: PING_MS,
    });
  }

  get hears(): boolean {
    return this.#channel.hears;
  }

  onWake(listener: (wake: Wake) => void): () => void {
    return this.#channel.onWake(listener);
  }

  load(ref: ThreadRef): ReturnType<Checkpointer["load"]> {
    return this.#loads.read(ref);
  }

  loadAt(ref: ThreadRef, checkpoint: { id: string } | { seq: number }): ReturnType<Checkpointer["loadAt"]> {
    return loadAt(this.#db, ref, checkpoint);
  }

  async write(given: Write): Promise<Written> {
    const { tenant, threadId } = given.ref;
    const key = JSON.stringify([tenant, threadId]);
    const written = await storing(() => this.#writes.write(key, writeRow(given, this.#workers.allReadShort)));
    if (written.outcome === "committed") {
      this.#kept.committed(given);
      const isNews = given.open.length + given.decide.length > 0;
      this.#tell({ kind: "thread", ref: given.ref }, ...(isNews ? [INBOX] : []));
      if (written.queued || given.start?.worker === null) this.#channel.tell({ kind: "work" });
    }
    return written;
  }

  fork(given: Fork): Promise<Forked> {
    return storing(() => fork(this.#db, given));
  }

  async reserve(ref: ThreadRef, epoch: number, limit: number): Promise<boolean> {
    const rows = await this.#db.query(
      "UPDATE holdpoint.thread SET seq_limit = greatest(seq_limit, $4) WHERE tenant = $1 AND thread_id = $2 AND epoch = $3 AND status = 'running' RETURNING 1 AS ok",
      [ref.tenant, ref.threadId, epoch, limit],
    );
    return rows.length > 0;
  }

  async record(ref: ThreadRef, epoch: number, { taskId, key, value }: TaskRecord): Promise<boolean> {
    const [row] = await storing(() =>
      this.#db.query<{ ok: boolean }>("SELECT holdpoint.record_v1($1, $2, $3, $4, $5, $6) AS ok", [
        ref.tenant,
        ref.threadId,
        epoch,
        JSON.stringify(taskId),
        JSON.stringify(key),
        JSON.stringify(value),
      ]),
    );
    return row?.ok === true;
  }

  async enqueue(given: Enqueue): Promise<Enqueued> {
    const queued = await storing(() => enqueue(this.#db, given));
    if (queued.outcome !== "queued") return queued;
    if (queued.stopped !== null) this.#channel.tell({ kind: "stop", ref: given.ref });
    if (queued.dropped.length > 0) this.#channel.tell({ kind: "thread", ref: given.ref });
    this.#channel.tell({ kind: "work" });
    return queued;
  }

  async usedKey(tenant: string, key: string): Promise<UsedKey | null> {
    const [row] = await this.#db.query<UsedKeyRow>(
      "SELECT body, thread_id, run_id, answer, expires_at FROM holdpoint.request_key WHERE tenant = $1 AND key = $2 AND expires_at > clock_timestamp()",
      [tenant, key],
    );
    return row === undefined ? null : usedKeyOf(row);
  }

  async answerKey(tenant: string, key: string, answer: Json): Promise<void> {
    await this.#db.query("UPDATE holdpoint.request_key SET answer = $3 WHERE tenant = $1 AND key = $2", [
      tenant,
      key,
      JSON.stringify(answer),
    ]);
  }

  async requestStop(ref: ThreadRef, stop: StopRequest, key?: RequestKey): Promise<StopOutcome> {
    const outcome = await requestStop(this.#db, ref, stop, key);
    if (outcome.was === "running") this.#channel.tell({ kind: "stop", ref });
    // Whoever waits for a run that was dropped.
    if (outcome.was === "queued" || (outcome.was === "running" && outcome.dropped.length > 0))
      this.#channel.tell({ kind: "thread", ref });
    return outcome;
  }

  async remove(ref: ThreadRef): Promise<"removed" | "busy" | "missing"> {
    const [row] = await this.#db.query<{ outcome: "removed" | "busy" | "missing" }>(
      "SELECT holdpoint.remove_v2($1, $2) AS outcome",
      [ref.tenant, ref.threadId],
    );
    this.#kept.forget(ref);
    if (row?.outcome === "removed") this.#tell({ kind: "thread", ref }, INBOX);
    return row?.outcome ?? "missing";
  }

  beat(worker: WorkerInfo): Promise<readonly Owned[]> {
    return this.#workers.beat(worker);
  }

  claim(...args: Parameters<Checkpointer["claim"]>): ReturnType<Checkpointer["claim"]> {
    return this.#workers.claim(...args);
  }

  async retire(workerId: string): Promise<void> {
    await this.#workers.retire(workerId);
    this.#channel.tell({ kind: "work" });
  }

  async release(ref: ThreadRef, epoch: number, { inFlight }: { inFlight: boolean }): Promise<boolean> {
    const isReleased = await this.#workers.release(ref, epoch, inFlight);
    if (isReleased) this.#channel.tell({ kind: "work" });
    return isReleased;
  }

  log(...args: Parameters<Checkpointer["log"]>): ReturnType<Checkpointer["log"]> {
    return log(this.#db, ...args);
  }

  thread(ref: ThreadRef): ReturnType<Checkpointer["thread"]> {
    return thread(this.#db, ref);
  }

  threads(...args: Parameters<Checkpointer["threads"]>): ReturnType<Checkpointer["threads"]> {
    return lists.threads(this.#db, ...args);
  }

  async run(ref: ThreadRef, runId: string): Promise<RunRecord | null> {
    const [row] = await this.#db.query<RunRow>(
      "SELECT * FROM holdpoint.run WHERE tenant = $1 AND thread_id = $2 AND run_id = $3",
      [ref.tenant, ref.threadId, runId],
    );
    return row === undefined ? null : runOf(row);
  }

  runs(...args: Parameters<Checkpointer["runs"]>): ReturnType<Checkpointer["runs"]> {
    return lists.runs(this.#db, ...args);
  }

  messages(...args: Parameters<Checkpointer["messages"]>): ReturnType<Checkpointer["messages"]> {
    return lists.messages(this.#db, ...args);
  }

  async runMessages(ref: ThreadRef, runId: string): Promise<readonly Message[]> {
    // By the run's own stretch of the log: bounded by the run, not by the thread. In the order they were added; of one
    // that was replaced, the last version at its first place.
    const rows = await this.#db.query<Pick<MessageRow, "body">>(
      `SELECT (array_agg(m.body ORDER BY m.seq DESC))[1] AS body
        FROM holdpoint.run r
        JOIN holdpoint.log l ON l.tenant = r.tenant AND l.thread_id = r.thread_id AND l.seq >= r.first_seq AND (r.last_seq IS NULL OR l.seq <= r.last_seq) AND l.run_id = r.run_id
        CROSS JOIN LATERAL unnest(l.messages) WITH ORDINALITY AS p (pos, place)
        JOIN holdpoint.message m ON m.tenant = l.tenant AND m.thread_id = l.thread_id AND m.pos = p.pos AND m.seq = l.seq
        WHERE r.tenant = $1 AND r.thread_id = $2 AND r.run_id = $3
        GROUP BY m.pos ORDER BY min(m.seq), (array_agg(p.place ORDER BY m.seq))[1]`,
      [ref.tenant, ref.threadId, runId],
    );
    return rows.map(messageOf);
  }

  async interrupt(tenant: string, id: string): ReturnType<Checkpointer["interrupt"]> {
    const [row] = await this.#db.query<InterruptRow>(
      "SELECT * FROM holdpoint.interrupt WHERE tenant = $1 AND id = $2",
      [tenant, id],
    );
    return row === undefined ? null : interruptOf(row);
  }

  interrupts(...args: Parameters<Checkpointer["interrupts"]>): ReturnType<Checkpointer["interrupts"]> {
    return lists.interrupts(this.#db, ...args);
  }

  async openedAt(ref: ThreadRef, seq: number): ReturnType<Checkpointer["openedAt"]> {
    const rows = await this.#db.query<InterruptRow>(
      "SELECT * FROM holdpoint.interrupt WHERE tenant = $1 AND thread_id = $2 AND seq = $3 ORDER BY id",
      [ref.tenant, ref.threadId, seq],
    );
    return rows.map(interruptOf);
  }

  checkpoints(...args: Parameters<Checkpointer["checkpoints"]>): ReturnType<Checkpointer["checkpoints"]> {
    return lists.checkpoints(this.#db, ...args);
  }

  decisionRecords(ref: ThreadRef): ReturnType<Checkpointer["decisionRecords"]> {
    return lists.decisionRecords(this.#db, ref);
  }

  /** Of what was committed here: the other processes, and the inbox of this one. */
  #tell(...wakes: readonly Wake[]): void {
    this.#channel.tell(...wakes);
    for (const wake of wakes) this.inbox.heed(wake);
  }
}

/** Throws `not_storable` for what the database will never take. */
async function storing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw refusalIn(error) ?? fromWrite(error);
  }
}
