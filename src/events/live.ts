import type { GraphDefinition, RunEvent } from "../engine/index.js";
import { weightOf } from "./weight.js";

/** A listener's own view of a thread's events, as they happen in this process. */
export interface Subscription {
  /**
   * Events that happened since the subscription, oldest first, taken out. `lost` says that some had to be dropped; `behind`
   * that the log may have some that this process does not know and that a reader which has come to `cursor` does not have;
   * `stirred` that live events happened in another process.
   */
  take(cursor: number): {
    events: RunEvent[];
    lost: boolean;
    behind: boolean;
    stirred: boolean;
    ended: boolean;
  };
  /**
   * What was there when the subscription began: live events of the running step that are in no log yet; and before them, where
   * a run has just begun here, all that the thread's log has above `from`.
   */
  readonly pending: readonly RunEvent[];
  /** Null where the log may have more than this process knows. */
  readonly from: number | null;
  close(): void;
}

/** Whose events they are: the thread's key, its graph where it has one, and the seq of the commit that they stand on. */
export interface LivePlace {
  readonly key: string;
  readonly graph: GraphDefinition | null;
  readonly base: number;
  /** More of its run is to come from here. */
  readonly goesOn?: boolean;
}

/** An event as all readers of its thread are handed it. */
interface Happened {
  readonly event: RunEvent;
  readonly base: number;
  /** Bytes, about: weighed once for all of them. */
  readonly weight: number;
}

type Listener = (what: readonly Happened[] | "ended" | "woken" | "stirred") => void;

/** The commit with which a run began that executes here, as long as it is the thread's last. */
interface Begun {
  readonly from: number;
  readonly events: readonly RunEvent[];
}

interface Channel {
  readonly listeners: Set<Listener>;
  /** Live events since the last commit: a reader that comes in the middle of a step gets them from here. */
  pending: RunEvent[];
  begun: Begun | null;
}

/**
 * The live edge of the event log, in this process: what was just committed or is happening now. A reader that needs
 * certainty reads the log; this is where it learns that there is something to read, and where deltas are.
 */
export class Live {
  readonly #channels = new Map<string, Channel>();
  #closed = false;
  /** Bytes that may wait for one reader before it is sent back to the log. */
  readonly #bound: number;
  readonly #taps = new Set<(event: RunEvent, graph: GraphDefinition) => void>();

  constructor(bound: number) {
    this.#bound = bound;
  }

  /** How many readers wait here for what happens. */
  get readers(): number {
    return [...this.#channels.values()].reduce((sum, { listeners }) => sum + listeners.size, 0);
  }

  /** `committed` is what the log has now: pending events up to it are no longer needed. */
  publish(
    { key, graph, base, goesOn = false }: LivePlace,
    events: readonly RunEvent[],
    committed: number | null,
  ): void {
    const channel = this.#channel(key);
    if (committed === null) channel.pending.push(...events);
    else {
      channel.begun = null;
      if (channel.pending.length > 0)
        channel.pending = channel.pending.filter((event) => event.seq > committed);
    }
    if (channel.listeners.size > 0) {
      const happened = events.map((event) => ({ event, base, weight: weightOf(event) }));
      for (const listener of channel.listeners) listener(happened);
    }
    if (graph !== null) for (const event of events) for (const tap of this.#taps) tap(event, graph);
    if (!goesOn) this.#sweep(key, channel);
  }

  /**
   * A run that executes here has begun with these events, which are committed and published, above `from`. Until its next
   * commit, or until another process may have made one, a reader that has come to `from` need not read the log.
   */
  begins(key: string, from: number, events: readonly RunEvent[]): void {
    this.#channel(key).begun = { from, events };
  }

  /** The thread is gone: its readers end once they have what came before. */
  end(key: string): void {
    const channel = this.#channels.get(key);
    if (channel === undefined) return;
    channel.begun = null;
    for (const listener of channel.listeners) listener("ended");
    this.#sweep(key, channel);
  }

  /** Another process may have committed: readers of the thread look at the log. Without a key, all of them do. */
  wake(key?: string): void {
    const keys = key === undefined ? [...this.#channels.keys()] : [key];
    for (const each of keys) {
      const channel = this.#channels.get(each);
      if (channel === undefined) continue;
      channel.begun = null;
      for (const listener of channel.listeners) listener("woken");
      this.#sweep(each, channel);
    }
  }

  /** Live events of the thread happened in another process: its readers look for them. */
  stir(key: string): void {
    for (const listener of this.#channels.get(key)?.listeners ?? []) listener("stirred");
  }

  /** All readers end once they have what came before, and new ones with what the log has. */
  close(): void {
    this.#closed = true;
    for (const key of [...this.#channels.keys()]) this.end(key);
  }

  /** `notify` says that some wait. */
  subscribe(key: string, notify: () => void): Subscription {
    const channel = this.#channel(key);
    let waiting: Happened[] = [];
    let bytes = 0;
    let lost = false;
    let ended = this.#closed;
    let woken = false;
    let stirred = false;
    const listener: Listener = (what) => {
      if (what === "ended") ended = true;
      else if (what === "woken") woken = true;
      else if (what === "stirred") stirred = true;
      else {
        for (const one of what) {
          bytes += one.weight;
          if (bytes > this.#bound && waiting.length > 0) {
            waiting = [];
            bytes = one.weight;
            lost = true;
          }
          waiting.push(one);
        }
      }
      notify();
    };
    channel.listeners.add(listener);
    const { begun, pending } = channel;
    return {
      pending: [...(begun?.events ?? []), ...pending],
      from: begun?.from ?? null,
      take(cursor) {
        let known = cursor;
        let behind = woken;
        for (const { event, base } of waiting) {
          behind ||= base > known;
          known = Math.max(known, event.seq);
        }
        const taken = { events: waiting.map(({ event }) => event), lost, behind, stirred, ended };
        waiting = [];
        bytes = 0;
        lost = false;
        woken = false;
        stirred = false;
        return taken;
      },
      close: () => {
        channel.listeners.delete(listener);
        this.#sweep(key, channel);
      },
    };
  }

  /** What is pending now, for a reader that lost its place. */
  pending(key: string): readonly RunEvent[] {
    return [...(this.#channels.get(key)?.pending ?? [])];
  }

  /** Every event of every thread that happens in this process, in each thread's order, with the thread's graph. */
  tap(listener: (event: RunEvent, graph: GraphDefinition) => void): () => void {
    this.#taps.add(listener);
    return () => this.#taps.delete(listener);
  }

  #channel(key: string): Channel {
    let channel = this.#channels.get(key);
    if (channel === undefined) {
      channel = { listeners: new Set(), pending: [], begun: null };
      this.#channels.set(key, channel);
    }
    return channel;
  }

  #sweep(key: string, channel: Channel): void {
    const isUsed = channel.listeners.size + channel.pending.length > 0 || channel.begun !== null;
    if (!isUsed) this.#channels.delete(key);
  }
}
