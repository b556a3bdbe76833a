/**
 * The live edge of one tenant's inbox in this process: all its readers share one read a change.
 *
 * I1. It reads while it has readers: when there is news, and now and then for news that got lost.
 * I2. It keeps the last entries, without a hole. Whoever is behind them, or too slow, reads from the storage: no reader has a
 *     buffer of its own.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Checkpointer, InboxEntry } from "../checkpoint/checkpointer.js";
import { deferred } from "../lib/deferred.js";
import { asOpened } from "./hydrate.js";
import { patiently } from "./patiently.js";

export interface InboxFeedDeps {
  readonly checkpointer: Checkpointer;
  /** Milliseconds to the next look without news. */
  readonly lookMs: () => number;
  /** Aborts when this process leaves. */
  readonly leaving: AbortSignal;
}

/** Entries that are kept. */
const KEPT = 256;
/** Read at once. */
export const PAGE = 100;
/** Milliseconds between two reads, at the least: news comes in swarms. */
const GAP_MS = 10;

export class InboxFeed {
  readonly #deps: InboxFeedDeps;
  readonly #tenant: string;
  readonly #readers = new Set<() => void>();
  readonly #over = new AbortController();
  #entries: InboxEntry[] = [];
  /** Everything above `from`, up to `edge`, is kept; null before the first look. */
  #from: number | null = null;
  #edge = 0;
  #news = deferred();
  #failure: { readonly error: unknown } | null = null;

  constructor(tenant: string, deps: InboxFeedDeps) {
    this.#tenant = tenant;
    this.#deps = deps;
  }

  /** It no longer reads: whoever comes needs another one. */
  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  /** From now on `notify` is called when there is more. Gives what ends that. */
  join(notify: () => void): () => void {
    this.#readers.add(notify);
    if (this.#readers.size === 1) void this.#run();
    return () => {
      this.#readers.delete(notify);
      if (this.#readers.size === 0) this.#end();
    };
  }

  /**
   * What is kept above `cursor`; `from` where that is not all: the storage has what is above the cursor, and what it does not
   * have up to `from` is gone. Throws what this feed failed of.
   */
  after(cursor: number): { readonly entries: readonly InboxEntry[] } | { readonly from: number | null } {
    if (this.#failure !== null) throw this.#failure.error;
    if (this.#from === null || cursor < this.#from) return { from: this.#from };
    let first = this.#entries.length;
    while (first > 0 && (this.#entries[first - 1]?.seq ?? 0) > cursor) first--;
    return { entries: this.#entries.slice(first) };
  }

  async #run(): Promise<void> {
    const { checkpointer, leaving, lookMs } = this.#deps;
    const notice = (): void => this.#news.resolve();
    const end = (): void => this.#end();
    const deafen = checkpointer.inbox.onNews(notice);
    leaving.addEventListener("abort", end);
    try {
      while (!this.isOver) {
        // Before the look: what comes in its middle is looked at again.
        this.#news = deferred();
        await patiently(() => this.#look(), { signal: this.#over.signal });
        for (const notify of this.#readers) notify();
        await sleep(GAP_MS, undefined, { signal: this.#over.signal }).catch(() => undefined);
        const timer = setTimeout(notice, lookMs());
        await this.#news.promise;
        clearTimeout(timer);
      }
    } catch (error) {
      if (!this.isOver) this.#failure = { error };
    } finally {
      this.#end();
      deafen();
      leaving.removeEventListener("abort", end);
    }
  }

  async #look(): Promise<void> {
    const { inbox } = this.#deps.checkpointer;
    const { seq } = await inbox.edge(this.#tenant);
    if (this.#from === null) this.#from = this.#edge = seq;
    while (this.#edge < seq && !this.isOver) {
      const page = await inbox.read(this.#tenant, this.#edge, PAGE);
      this.#entries.push(...page.map(asTold));
      this.#edge = page.at(-1)?.seq ?? seq;
      const dropped = this.#entries.splice(0, Math.max(0, this.#entries.length - KEPT));
      this.#from = dropped.at(-1)?.seq ?? this.#from;
      for (const notify of this.#readers) notify();
    }
  }

  #end(): void {
    this.#over.abort();
    this.#news.resolve();
    for (const notify of this.#readers) notify();
  }
}

/** Readers that come later are told what the first ones were. */
export function asTold(entry: InboxEntry): InboxEntry {
  if (entry.what !== "opened" || entry.interrupt === null) return entry;
  return { ...entry, interrupt: asOpened(entry.interrupt) };
}
