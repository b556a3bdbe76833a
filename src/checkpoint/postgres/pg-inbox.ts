import type { Inbox, InboxChange, InboxEdge, InboxEntry } from "../inbox.js";
import type { Database } from "./database.js";
import { interruptOf, type InterruptRow } from "./rows.js";
import type { Wake } from "../wake.js";

/** Numbered by one statement, so that nobody waits long for another one. */
const BATCH = 1000;

interface EntryRow {
  inbox_seq: number;
  what: InboxChange;
  interrupt_id: string;
  of_thread: string;
  of_graph: string;
  at: Date;
}

/** An entry with its interrupt beside it, whose columns are null where it is gone. */
const ENTRY = `SELECT x.seq AS inbox_seq, x.what, x.interrupt_id, x.thread_id AS of_thread, x.graph AS of_graph, x.at, i.*
  FROM holdpoint.inbox x LEFT JOIN holdpoint.interrupt i ON i.tenant = x.tenant AND i.id = x.interrupt_id`;

/** What happens to interrupts, on PostgreSQL (migrations/0007). */
export class PgInbox implements Inbox {
  readonly #db: Database;
  readonly #listeners = new Set<() => void>();

  constructor(db: Database) {
    this.#db = db;
  }

  /** What was committed here, or a hint of another process. */
  heed({ kind }: Wake): void {
    if (kind === "inbox" || kind === "rescan") for (const listener of this.#listeners) listener();
  }

  onNews(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async edge(tenant: string): Promise<InboxEdge> {
    for (;;) {
      const [row] = await this.#db.query<{ edge: number; gone: number; more: boolean }>(
        "SELECT * FROM holdpoint.number_inbox_v1($1, $2)",
        [tenant, BATCH],
      );
      if (row?.more !== true) return { seq: row?.edge ?? 0, floor: row?.gone ?? 0 };
    }
  }

  async read(tenant: string, after: number, limit: number): Promise<InboxEntry[]> {
    const rows = await this.#db.query<EntryRow & InterruptRow>(
      `${ENTRY} WHERE x.tenant = $1 AND x.seq > $2 ORDER BY x.seq LIMIT $3`,
      [tenant, after, limit],
    );
    return rows.map(entryOf);
  }

  async openAt(tenant: string, edge: number): Promise<number[]> {
    // Open then is what is open now, and what has left since.
    const rows = await this.#db.query<{ seq: number }>(
      `SELECT x.seq FROM holdpoint.inbox x WHERE x.tenant = $1 AND x.what = 'opened' AND x.seq <= $2 AND x.interrupt_id IN (
          SELECT id FROM holdpoint.interrupt WHERE tenant = $1 AND status = 'open'
          UNION ALL SELECT interrupt_id FROM holdpoint.inbox WHERE tenant = $1 AND seq > $2 AND what <> 'opened'
          UNION ALL SELECT interrupt_id FROM holdpoint.inbox WHERE tenant = $1 AND seq IS NULL AND what <> 'opened')
        ORDER BY x.seq`,
      [tenant, edge],
    );
    return rows.map(({ seq }) => seq);
  }

  async find(tenant: string, seqs: readonly number[]): Promise<InboxEntry[]> {
    const rows = await this.#db.query<EntryRow & InterruptRow>(
      `${ENTRY} WHERE x.tenant = $1 AND x.seq = ANY ($2) AND x.seq IS NOT NULL ORDER BY x.seq`,
      [tenant, seqs],
    );
    return rows.map(entryOf);
  }
}

function entryOf(row: EntryRow & InterruptRow): InboxEntry {
  return {
    seq: row.inbox_seq,
    what: row.what,
    interruptId: row.interrupt_id,
    threadId: row.of_thread,
    graph: row.of_graph,
    at: row.at.toISOString(),
    interrupt: (row.id as string | null) === null ? null : interruptOf(row),
  };
}
