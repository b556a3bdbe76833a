import type { Interrupt } from "../engine/index.js";

/** What happens to an interrupt: it opens once, and leaves `open` once. A stop cancels it, and so does the end of its thread. */
export type InboxChange = "opened" | "decided" | "expired" | "cancelled";

/** One change of one interrupt. */
export interface InboxEntry {
  /** Its number among those of its tenant. */
  readonly seq: number;
  readonly what: InboxChange;
  readonly interruptId: string;
  readonly threadId: string;
  readonly graph: string;
  readonly at: string;
  /** The interrupt as it is now; null where its thread was deleted. */
  readonly interrupt: Interrupt | null;
}

/** How far a tenant's entries go. */
export interface InboxEdge {
  /** The number of the last one. */
  readonly seq: number;
  /** Entries up to here may have been deleted when they got old; those of open interrupts are there. */
  readonly floor: number;
}

/**
 * What happens to the interrupts of all threads, in one order for each tenant. Entries are made by the writes that open and
 * decide; they are numbered behind them, so a reader that has come to a number never misses a lower one, and sees of each
 * interrupt first that it opened.
 */
export interface Inbox {
  /** Tells that there may be something new, here or in another process. As hints are: lost, late or doubled. */
  onNews(listener: () => void): () => void;
  /** How far the entries of all that is committed go. What is committed later has higher numbers. */
  edge(tenant: string): Promise<InboxEdge>;
  /** Entries above `after`, in order, as far as they have numbers: those that an `edge` has told of. */
  read(tenant: string, after: number, limit: number): Promise<readonly InboxEntry[]>;
  /** With which numbers they opened, of the interrupts that were open when the numbers had come to `edge`; in order. */
  openAt(tenant: string, edge: number): Promise<readonly number[]>;
  /** The entries of these numbers, in order, as far as they are there. */
  find(tenant: string, seqs: readonly number[]): Promise<readonly InboxEntry[]>;
}
