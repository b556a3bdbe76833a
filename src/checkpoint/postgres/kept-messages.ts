/**
 * Messages of long threads as this process last read or wrote them, so that the next turn does not read them again: of 10 000
 * messages that takes the database 10 ms, and this process 20 ms and the garbage of 10 MB.
 *
 * Nothing is believed of it: what is kept is named by the commit it was at, and a read leaves messages out only where the
 * thread stands at that very commit. All else of a thread is read each time.
 */
import { Growth, type Message } from "../../engine/index.js";
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
  /** What it has become with later commits. */
  readonly growth: Growth;
  /** Characters of JSON, those of messages that were replaced too. */
  readonly size: number;
}

/** What is kept of a thread as it is asked for; what is written meanwhile does not change it. */
export interface Known {
  readonly seq: number;
  readonly checkpointId: string;
  /** At that commit. */
  readonly messages: readonly Message[];
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
    const { seq, checkpointId, size } = kept;
    const messages = kept.growth.end();
    this.#threads.delete(name);
    this.#threads.set(name, { seq, checkpointId, growth: new Growth(messages), size });
    return { seq, checkpointId, messages };
  }

  /**
   * Keeps what was read, unless more is known: a write or a deletion may have overtaken the read. Gives the messages as the
   * reader is to have them: who grows from a context that is kept need not look through it.
   */
  keep(
    reading: Reading,
    { seq, checkpointId }: At,
    read: readonly Message[],
    size: number,
  ): readonly Message[] {
    const { ref } = reading;
    if (checkpointId === null) {
      // Of a former thread of this id, whose last number is this one's first: not to go on with that.
      this.forget(ref);
      return read;
    }
    const former = this.#threads.get(nameOf(ref));
    if (!this.#readings.has(reading) || (former !== undefined && former.seq > seq)) return read;
    if (size < LONG) {
      this.#drop(nameOf(ref));
      return read;
    }
    const messages = new Growth(read).end();
    this.#put(ref, { seq, checkpointId, growth: new Growth(messages), size });
    return messages;
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
    const { growth } = kept;
    let { size } = kept;
    for (const { pos, message } of messages) {
      const body = JSON.stringify(message);
      // As it will be read, and not as a node made it.
      growth.put(pos, deepFreeze(JSON.parse(body) as Message));
      size += body.length;
    }
    this.#put(ref, { seq, checkpointId: checkpoint?.id ?? kept.checkpointId, growth, size });
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
