/** Reads what happens to the interrupts of all threads. */
import type { Checkpointer, InboxEntry } from "../checkpoint/checkpointer.js";
import { HoldpointError, isAway } from "../errors.js";
import { deferred } from "../lib/deferred.js";
import { asTold, InboxFeed, PAGE } from "./inbox-feed.js";
import { patiently } from "./patiently.js";
import type { RuntimeOptions } from "./runtime-options.js";
import type { Gap } from "./run-reader.js";

export interface InboxReaderDeps {
  readonly checkpointer: Checkpointer;
  readonly options: RuntimeOptions;
  /** Aborts when this process leaves. */
  readonly leaving: AbortSignal;
}

/** Where a reader begins. */
export interface InboxStart {
  readonly tenant: string;
  /** After this number; null: with what is open at `edge`. */
  readonly cursor: number | null;
  readonly edge: number;
  /** Numbers behind the cursor of which some are gone. */
  readonly gap: Gap | null;
}

/** An entry; or, to a reader that came without a cursor, that it has what was open then. */
export type InboxEvent = InboxEntry | { readonly what: "current"; readonly seq: number; readonly at: string };

export const INBOX_EVENTS = [
  "opened",
  "decided",
  "expired",
  "cancelled",
  "current",
] as const satisfies readonly InboxEvent["what"][];

export class InboxReader {
  readonly #deps: InboxReaderDeps;
  readonly #feeds = new Map<string, InboxFeed>();

  constructor(deps: InboxReaderDeps) {
    this.#deps = deps;
  }

  /** Throws `cursor_ahead`. */
  async attach(tenant: string, cursor: number | null): Promise<InboxStart> {
    const { seq, floor } = await this.#deps.checkpointer.inbox.edge(tenant);
    if (cursor !== null && cursor > seq) {
      const said = `the inbox has come to ${seq}; the cursor ${cursor} is ahead of it`;
      throw new HoldpointError("cursor_ahead", said, { seq });
    }
    const gap = cursor !== null && cursor < floor ? { from: cursor + 1, to: floor } : null;
    return { tenant, cursor, edge: seq, gap };
  }

  /** From there on, of one graph where one is named, until the reader goes or this process leaves. */
  async *events(
    start: InboxStart,
    of: { readonly graph: string | null; readonly signal: AbortSignal },
  ): AsyncGenerator<InboxEvent, void, undefined> {
    for await (const event of this.#all(start, of.signal))
      if (event.what === "current" || of.graph === null || event.graph === of.graph) yield event;
  }

  async *#all(start: InboxStart, signal: AbortSignal): AsyncGenerator<InboxEvent, void, undefined> {
    const { leaving } = this.#deps;
    const over = new AbortController();
    let news = deferred();
    const notify = (): void => news.resolve();
    const end = (): void => {
      over.abort();
      notify();
    };
    signal.addEventListener("abort", end);
    leaving.addEventListener("abort", end);
    if (signal.aborted || leaving.aborted) end();
    const feed = this.#feed(start.tenant);
    const leave = feed.join(notify);
    try {
      if (start.cursor === null) yield* this.#open(start, over.signal);
      let cursor = start.cursor ?? start.edge;
      while (!isAborted(over.signal)) {
        news = deferred();
        const known = feed.after(cursor);
        const entries =
          "entries" in known ? known.entries : await this.#read(start.tenant, cursor, over.signal);
        for (const entry of entries) {
          if (isAborted(over.signal)) return;
          cursor = entry.seq;
          yield entry;
        }
        if (entries.length > 0) continue;
        // What is not there up to where the feed begins was deleted.
        if ("from" in known && known.from !== null) cursor = Math.max(cursor, known.from);
        else await news.promise;
      }
    } finally {
      leave();
      signal.removeEventListener("abort", end);
      leaving.removeEventListener("abort", end);
    }
  }

  async *#open(
    { tenant, edge }: InboxStart,
    signal: AbortSignal,
  ): AsyncGenerator<InboxEvent, void, undefined> {
    const { inbox } = this.#deps.checkpointer;
    const open = await this.#waiting(() => inbox.openAt(tenant, edge), signal);
    for (let from = 0; from < open.length; from += PAGE) {
      const page = await this.#waiting(() => inbox.find(tenant, open.slice(from, from + PAGE)), signal);
      for (const entry of page) {
        if (isAborted(signal)) return;
        yield asTold(entry);
      }
    }
    if (!isAborted(signal)) yield { what: "current", seq: edge, at: new Date().toISOString() };
  }

  async #read(tenant: string, after: number, signal: AbortSignal): Promise<InboxEntry[]> {
    const { inbox } = this.#deps.checkpointer;
    return (await this.#waiting(() => inbox.read(tenant, after, PAGE), signal)).map(asTold);
  }

  /** A reader waits for its storage as long as anybody waits for the reader. */
  #waiting<T>(work: () => Promise<readonly T[]>, signal: AbortSignal): Promise<readonly T[]> {
    return patiently(work, { signal }).catch((error: unknown) => {
      if (signal.aborted && isAway(error)) return [];
      throw error;
    });
  }

  #feed(tenant: string): InboxFeed {
    const { checkpointer, leaving, options } = this.#deps;
    const known = this.#feeds.get(tenant);
    if (known !== undefined && !known.isOver) return known;
    const lookMs = (): number => (checkpointer.hears ? options.slowPollMs : options.pollMs);
    const feed = new InboxFeed(tenant, { checkpointer, leaving, lookMs });
    this.#feeds.set(tenant, feed);
    return feed;
  }
}

// It changes while this waits, which the type checker cannot know.
const isAborted = (signal: AbortSignal): boolean => signal.aborted;
