/**
 * Messages of long threads as this process last read or wrote them, so that the next turn does not read them again: of 10 000
 * messages that takes the database 10 ms, and this process 20 ms and the garbage of 10 MB.
 *
 * Nothing is believed of it: what is kept is named by the commit it was at, and a read leaves messages out only where the
 * thread stands at that very commit. All else of a thread is read each time.
 */
import type { Message } from "../../engine/index.js";
import { deepFreeze } from "../../lib/deep-freeze.js";
import type { ThreadRef, Write } from "../checkpointer.js";

/** Characters of JSON below which reading costs less than keeping. */
const LONG = 32_768;
/** Characters of JSON that are kept of all threads, 20 to 60 MB of memory. Those go first that were not asked for longest. */
const MOST = 16_777_216;

/** A commit of a thread. */
interface At {
  readonly seq: number;
  readonly checkpointId: string | null;
}

interface Kept {
  readonly seq: number;
  readonly checkpointId: string;
  /** Grows with later commits. */
  readonly all: Message[];
  /** Characters of JSON, those of messages that were replaced too. */
  readonly size: number;
}

/** What is kept of a thread as it is asked for; what is written meanwhile does not change it. */
export interface Known {
  readonly seq: number;
  readonly checkpointId: string;
  /** The messages at that commit, in an array of the caller's own. */
  messages(): Message[];
}

/** A read under way. */
export interface Reading {
  readonly ref: ThreadRef;
  readonly known: Known | null;
}

export class KeptMessages {
  /** Those that were asked for last come last. */
  readonly #threads = new Map<string, Kept>();
  /** Reads under way whose answers may be kept, by the names of their threads. */
  readonly #readings = new Map<Reading, string>();
  #size = 0;

  /** Begins a read; `end` ends it. */
  begin(ref: ThreadRef): Reading {
    const name = nameOf(ref);
    const reading = { ref, known: this.#find(name) };
    this.#readings.set(reading, name);
    return reading;
  }

  end(reading: Reading): void {
    this.#readings.delete(reading);
  }

  #find(name: string): Known | null {
    const kept = this.#threads.get(name);
    if (kept === undefined) return null;
    this.#threads.delete(name);
    this.#threads.set(name, kept);
    const { seq, checkpointId, all } = kept;
    const count = all.length;
    return { seq, checkpointId, messages: () => all.slice(0, count) };
  }

  /** Keeps what was read, unless more is known: a write or a deletion may have overtaken the read. */
  keep(reading: Reading, { seq, checkpointId }: At, messages: readonly Message[], size: number): void {
    const { ref } = reading;
    if (checkpointId === null) {
      // Of a former thread of this id, whose last number is this one's first: not to go on with that.
      this.forget(ref);
      return;
    }
    const former = this.#threads.get(nameOf(ref));
    if (!this.#readings.has(reading) || (former !== undefined && former.seq > seq)) return;
    for (const message of messages) deepFreeze(message);
    this.#put(ref, { seq, checkpointId, all: [...messages], size });
  }

  /** A commit of this process: what is kept of its thread goes on with it, or is none any more. */
  committed({ ref, guard, seq, create, checkpoint, messages }: Write): void {
    if (create !== undefined) {
      // What is kept is of a thread that was deleted, even where this one begins with the number that it ended with.
      this.forget(ref);
      return;
    }
    const kept = this.#threads.get(nameOf(ref));
    // One that a read has seen already is kept as it is.
    if (kept === undefined || kept.seq >= seq) return;
    if (kept.seq !== guard.from || (checkpoint === undefined && messages.length > 0)) {
      this.forget(ref);
      return;
    }
    let { all, size } = kept;
    for (const { pos, message } of messages) {
      const body = JSON.stringify(message);
      // Whoever has asked before goes on with what it was then.
      if (pos < all.length) all = [...all];
      // As it will be read, and not as a node made it.
      all[pos] = deepFreeze(JSON.parse(body) as Message);
      size += body.length;
    }
    this.#put(ref, { seq, checkpointId: checkpoint?.id ?? kept.checkpointId, all, size });
  }

  /** What reads under way were given before is not kept either. */
  forget(ref: ThreadRef): void {
    const name = nameOf(ref);
    for (const [reading, of] of this.#readings) if (of === name) this.#readings.delete(reading);
    this.#drop(name);
  }

  #drop(name: string): void {
    this.#size -= this.#threads.get(name)?.size ?? 0;
    this.#threads.delete(name);
  }

  #put(ref: ThreadRef, kept: Kept): void {
    const of = nameOf(ref);
    this.#drop(of);
    if (kept.size < LONG || kept.size > MOST) return;
    this.#threads.set(of, kept);
    this.#size += kept.size;
    for (const [name, { size }] of this.#threads) {
      if (this.#size <= MOST) return;
      this.#threads.delete(name);
      this.#size -= size;
    }
  }
}

const nameOf = ({ tenant, threadId }: ThreadRef): string => JSON.stringify([tenant, threadId]);
