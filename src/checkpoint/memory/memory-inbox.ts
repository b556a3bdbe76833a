import type { Interrupt } from "../../engine/index.js";
import type { Write } from "../checkpointer.js";
import type { Inbox, InboxChange, InboxEdge, InboxEntry } from "../inbox.js";
import type { StoredThread } from "./stored-thread.js";

type Row = Omit<InboxEntry, "interrupt">;

/** The entries of one tenant. */
interface Rows {
  seq: number;
  floor: number;
  list: Row[];
}

/** What happens to interrupts. */
export class MemoryInbox implements Inbox {
  readonly #find: (tenant: string, id: string) => Interrupt | undefined;
  readonly #tenants = new Map<string, Rows>();
  readonly #listeners = new Set<() => void>();

  constructor(find: (tenant: string, id: string) => Interrupt | undefined) {
    this.#find = find;
  }

  /** A write was applied to the thread. */
  written({ head: { tenant }, interrupts }: StoredThread, { decide, open }: Write): void {
    if (decide.length + open.length === 0) return;
    for (const { id, status, at } of decide) {
      const interrupt = interrupts.find((each) => each.id === id);
      if (interrupt !== undefined)
        this.#add(tenant, interrupt, status === "resolved" ? "decided" : status, at);
    }
    for (const interrupt of open) this.#add(tenant, interrupt, "opened", interrupt.createdAt);
    this.#news();
  }

  /** The thread was deleted. */
  removed({ head: { tenant }, interrupts }: StoredThread): void {
    const open = interrupts.filter(({ status }) => status === "open");
    for (const interrupt of open) this.#add(tenant, interrupt, "cancelled", new Date().toISOString());
    if (open.length > 0) this.#news();
  }

  /** Deletes what happened so long ago, except that something opened that is still open. */
  sweep(oldMs: number): void {
    const before = Date.now() - oldMs;
    for (const [tenant, rows] of this.#tenants) {
      const isOld = ({ at, what, interruptId }: Row): boolean =>
        Date.parse(at) < before && !(what === "opened" && this.#find(tenant, interruptId)?.status === "open");
      rows.floor = Math.max(rows.floor, rows.list.findLast(isOld)?.seq ?? 0);
      rows.list = rows.list.filter((row) => !isOld(row));
    }
  }

  onNews(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async edge(tenant: string): Promise<InboxEdge> {
    const { seq = 0, floor = 0 } = this.#tenants.get(tenant) ?? {};
    return { seq, floor };
  }

  async read(tenant: string, after: number, limit: number): Promise<InboxEntry[]> {
    const list = this.#tenants.get(tenant)?.list ?? [];
    let first = list.length;
    while (first > 0 && (list[first - 1]?.seq ?? 0) > after) first--;
    return this.#entries(tenant, list.slice(first, first + limit));
  }

  async openAt(tenant: string, edge: number): Promise<number[]> {
    const list = (this.#tenants.get(tenant)?.list ?? []).filter(({ seq }) => seq <= edge);
    const left = new Set(list.flatMap(({ what, interruptId }) => (what === "opened" ? [] : [interruptId])));
    return list.flatMap(({ what, seq, interruptId }) =>
      what === "opened" && !left.has(interruptId) ? [seq] : [],
    );
  }

  async find(tenant: string, seqs: readonly number[]): Promise<InboxEntry[]> {
    const named = new Set(seqs);
    return this.#entries(
      tenant,
      (this.#tenants.get(tenant)?.list ?? []).filter(({ seq }) => named.has(seq)),
    );
  }

  #entries(tenant: string, rows: readonly Row[]): InboxEntry[] {
    return rows.map((row) => ({ interrupt: this.#find(tenant, row.interruptId) ?? null, ...row }));
  }

  #add(tenant: string, { id, threadId, graph }: Interrupt, what: InboxChange, at: string): void {
    const rows = this.#tenants.get(tenant) ?? { seq: 0, floor: 0, list: [] };
    this.#tenants.set(tenant, rows);
    rows.list.push({ seq: ++rows.seq, what, interruptId: id, threadId, graph, at });
  }

  #news(): void {
    for (const listener of this.#listeners) listener();
  }
}
