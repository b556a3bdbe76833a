/** What the checker judges: facts, what clients were told, what readers saw, and the tables at the end. */
import type { Fact } from "./ledger.js";

/** What a server has accepted, as a client was told. */
export type Accepted =
  | {
      readonly kind: "run";
      readonly thread: string;
      readonly run: string;
      /** Of a request that was sent with a key, as often as it took. */
      readonly words?: string;
    }
  | {
      readonly kind: "answer";
      readonly thread: string;
      readonly interrupt: string;
      readonly decision: string;
      /** Different for every client: it tells which answer won. */
      readonly reason: string;
    }
  | {
      readonly kind: "stop";
      readonly thread: string;
      /** The run that was running then. */
      readonly run: string | null;
      readonly cancelled: readonly string[];
      readonly dropped: readonly string[];
    };

export interface Seen {
  readonly id: number;
  readonly type: string;
  readonly run: string | null;
  readonly node: string | null;
}

/** One reader of one thread, over all its connections. */
export interface Reading {
  readonly name: string;
  readonly thread: string;
  /** It asked for everything above this. */
  readonly after: number;
  readonly seen: readonly Seen[];
  /** It has read until there was nothing more, after everything had come to rest. */
  readonly complete: boolean;
}

export interface ThreadRow {
  readonly thread_id: string;
  readonly graph: string | null;
  readonly status: string;
  readonly step: number;
  readonly seq: number;
  readonly run_id: string | null;
}

export interface RunRow {
  readonly thread_id: string;
  readonly run_id: string;
  readonly graph: string;
  readonly status: string;
  readonly resumes: boolean;
  readonly first_seq: number;
  readonly last_seq: number | null;
  readonly metadata: { readonly words?: string };
  /** Null while it is queued, and for ever where a stop dropped it. */
  readonly started_at: Date | null;
  readonly ended_at: Date | null;
}

export interface LoggedEvent {
  readonly seq: number;
  readonly eventType: string;
  readonly nodeName: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface LogRow {
  readonly thread_id: string;
  readonly seq: number;
  readonly run_id: string | null;
  readonly source: string | null;
  readonly events: readonly LoggedEvent[];
}

export interface InterruptRow {
  readonly thread_id: string;
  readonly id: string;
  readonly task: string;
  readonly kind: string;
  readonly status: string;
  readonly decision: { readonly decision: string | null; readonly reason: string | null } | null;
  readonly decided_at: Date | null;
}

export interface RecordRow {
  readonly thread_id: string;
  readonly task: string;
  readonly key: string;
  readonly value: unknown;
}

export interface Tables {
  readonly threads: readonly ThreadRow[];
  readonly runs: readonly RunRow[];
  readonly log: readonly LogRow[];
  readonly interrupts: readonly InterruptRow[];
  readonly records: readonly RecordRow[];
}

/** The state of a thread, as a server gives it. */
export interface StateOf {
  readonly thread: string;
  readonly visits: readonly string[];
  readonly count: number;
  readonly effects: readonly string[];
}

/** A time without a heartbeat that was longer than the lease, as its server says: the machine was too busy for it. */
export interface Gap {
  readonly pid: number;
  /** Milliseconds since 1970: the heartbeat before, and the first one after it. */
  readonly from: number;
  readonly to: number;
}

export interface Evidence {
  readonly leaseMs: number;
  readonly gaps: readonly Gap[];
  readonly ledger: readonly Fact[];
  readonly accepted: readonly Accepted[];
  /** Threads of which somebody asked to end what runs or waits on them, answered or not. */
  readonly stopped: readonly string[];
  readonly readings: readonly Reading[];
  /** When everything had come to rest. */
  readonly tables: Tables;
  readonly states: readonly StateOf[];
}
