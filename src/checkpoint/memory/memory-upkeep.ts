import type { ThreadStatus } from "../../engine/index.js";
import { TIMER_KINDS, type Timer, type TimerClaim, type TimerKind, type Upkeep } from "../upkeep.js";
import type { ThreadRef } from "../wake.js";
import type { MemoryInbox } from "./memory-inbox.js";
import type { RequestKeys } from "./request-keys.js";
import type { StoredThread } from "./stored-thread.js";

export interface MemoryUpkeepDeps {
  readonly threads: ReadonlyMap<string, StoredThread>;
  readonly workers: Map<string, { readonly at: number }>;
  readonly keys: RequestKeys;
  readonly inbox: MemoryInbox;
  readonly remove: (ref: ThreadRef) => void;
}

interface Row {
  readonly ref: ThreadRef;
  readonly kind: TimerKind;
  readonly id: string;
  /** Of an interrupt. */
  readonly graph: string | null;
  readonly dueAt: number;
}

const QUIET: ReadonlySet<ThreadStatus> = new Set<ThreadStatus>(["idle", "completed", "error", "stopped"]);
const CLUSTER: ThreadRef = { tenant: "", threadId: "" };
const nameOf = ({ kind, id, ref }: Pick<Row, "kind" | "id" | "ref">): string =>
  JSON.stringify([kind, ref.tenant, id]);

/** What is done by the clock. The timers of interrupts are the open interrupts themselves. */
export class MemoryUpkeep implements Upkeep {
  readonly #deps: MemoryUpkeepDeps;
  /** When those that were claimed or put off are due, by name; never, where they were ended. */
  readonly #moved = new Map<string, number>();

  constructor(deps: MemoryUpkeepDeps) {
    this.#deps = deps;
    for (const kind of TIMER_KINDS)
      if (kind !== "interrupt") this.#moved.set(nameOf({ ref: CLUSTER, kind, id: "" }), Date.now());
  }

  async dueTimers({
    kinds,
    graphs,
    limit,
    holdMs,
  }: TimerClaim): Promise<{ due: Timer[]; nextMs: number | null }> {
    const now = Date.now();
    const all = [...this.#rows()];
    const there = new Set(all.map(nameOf));
    for (const name of this.#moved.keys()) if (!there.has(name)) this.#moved.delete(name);
    const rows = all
      .filter(
        ({ kind, graph, dueAt }) =>
          kinds.includes(kind) && dueAt < Infinity && (graph === null || graphs.includes(graph)),
      )
      .sort((a, b) => a.dueAt - b.dueAt);
    const ready = rows.filter(({ dueAt }) => dueAt <= now).slice(0, limit);
    const due = ready.map((row) => this.#put(row, now + holdMs));
    const others = rows.filter((row) => !ready.includes(row)).map(({ dueAt }) => dueAt);
    const next = Math.min(...others, ...ready.map(() => now + holdMs));
    return { due, nextMs: next === Infinity ? null : Math.max(0, next - now) };
  }

  async endTimer(timer: Timer): Promise<boolean> {
    if (!this.#isMine(timer)) return false;
    this.#put(timer, Infinity);
    return true;
  }

  async moveTimer(timer: Timer, ms: number): Promise<Timer | null> {
    return this.#isMine(timer) ? this.#put(timer, Date.now() + ms) : null;
  }

  async unclaimed(graphs: readonly string[], ms: number): Promise<readonly string[]> {
    const since = Date.now() - ms;
    const waiting = [...this.#deps.threads.values()].filter(({ head, worker }) => {
      if (head.status === "queued") return Date.parse(head.updatedAt) < since;
      const beatAt = worker === null ? undefined : this.#deps.workers.get(worker)?.at;
      return head.status === "running" && (beatAt ?? Date.parse(head.updatedAt)) < since;
    });
    const names = new Set(waiting.flatMap(({ head }) => head.graph ?? []));
    return [...names].filter((name) => !graphs.includes(name)).sort();
  }

  async sweepKeys(limit: number): Promise<number> {
    return this.#deps.keys.sweep(limit);
  }

  async sweepWorkers(silentMs: number): Promise<number> {
    const { threads, workers } = this.#deps;
    const named = new Set([...threads.values()].map(({ worker }) => worker));
    const gone = [...workers].filter(([id, { at }]) => at < Date.now() - silentMs && !named.has(id));
    for (const [id] of gone) workers.delete(id);
    return gone.length;
  }

  async sweepThreads(quietMs: number, limit: number): Promise<ThreadRef[]> {
    const old = this.#quiet(quietMs).slice(0, limit);
    return old.map(({ head: { tenant, threadId } }) => {
      this.#deps.remove({ tenant, threadId });
      return { tenant, threadId };
    });
  }

  async sweepEvents(quietMs: number): Promise<ThreadRef | null> {
    for (const thread of this.#quiet(quietMs)) {
      const { head, entries, runs } = thread;
      const lastRun = head.runId === null ? undefined : runs.get(head.runId);
      const base = entries.findLastIndex(
        ({ seq, checkpoint }) =>
          checkpoint !== null && checkpoint.values !== null && seq <= (lastRun?.firstSeq ?? Infinity),
      );
      const gone = base <= 0 ? [] : entries.splice(0, base);
      thread.head = { ...head, logFloor: gone.at(-1)?.seq ?? head.logFloor };
    }
    return null;
  }

  async sweepInbox(oldMs: number | null): Promise<boolean> {
    if (oldMs !== null) this.#deps.inbox.sweep(oldMs);
    return false;
  }

  #quiet(ms: number): StoredThread[] {
    const before = Date.now() - ms;
    return [...this.#deps.threads.values()].filter(
      ({ head }) => QUIET.has(head.status) && Date.parse(head.updatedAt) < before,
    );
  }

  *#rows(): Generator<Row> {
    for (const kind of TIMER_KINDS) {
      if (kind === "interrupt") continue;
      const job = { ref: CLUSTER, kind, id: "", graph: null };
      yield { ...job, dueAt: this.#dueAt(job, 0) };
    }
    for (const { head, interrupts } of this.#deps.threads.values()) {
      const ref = { tenant: head.tenant, threadId: head.threadId };
      for (const { id, status, expiresAt, graph } of interrupts) {
        if (status !== "open" || expiresAt === null) continue;
        const row = { ref, kind: "interrupt" as const, id, graph };
        yield { ...row, dueAt: this.#dueAt(row, Date.parse(expiresAt)) };
      }
    }
  }

  #dueAt(row: Pick<Row, "kind" | "id" | "ref">, first: number): number {
    return this.#moved.get(nameOf(row)) ?? first;
  }

  #put({ ref, kind, id }: Pick<Row, "kind" | "id" | "ref">, dueAt: number): Timer {
    this.#moved.set(nameOf({ ref, kind, id }), dueAt);
    return { ref, kind, id, heldUntil: String(dueAt) };
  }

  #isMine(timer: Timer): boolean {
    return String(this.#moved.get(nameOf(timer))) === timer.heldUntil;
  }
}
