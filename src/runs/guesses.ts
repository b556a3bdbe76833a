/**
 * What a thread probably is, so that a request need not read it first. The write that begins a run says what the thread has to
 * be, and is refused where it is not: a wrong guess costs a round trip and changes nothing. Nothing else is told of a guess: a
 * refusal is of the thread as it was read.
 *
 * Measured: a run of a new thread takes 4 statements instead of 5 (3 nodes), a hold and its resume 4 instead of 6.
 */
import type { ThreadRef } from "../checkpoint/checkpointer.js";
import type { Message } from "../engine/index.js";
import type { NoThread, ThreadNow } from "./found.js";
import { threadKey } from "./thread-key.js";

const NEW: NoThread = Object.freeze({ head: null, seq: 0 });

/** Threads that are kept at the most, and how much they may weigh together: characters, about. */
const MOST = 256;
const HEAVY = 16_777_216;
/** Milliseconds for which a thread is kept. Its numbers never come again, but where a backup takes the database's place. */
const KEPT_MS = 60_000;
/** How sure one may be that the next thread is new, or is not. */
const SURE = 8;
/** A guess that was wrong costs more than one that was right has saved. */
const DISAPPOINTED = 2;

/** What a value weighs that is no text. */
const VALUE = 8;
/** And a message beside its texts. */
const MESSAGE = 100;

interface Kept {
  readonly thread: ThreadNow;
  readonly at: number;
  readonly weighs: number;
}

export class Guesses {
  /** As their last runs left them, the oldest first. */
  readonly #kept = new Map<string, Kept>();
  readonly #most: number;
  #weight = 0;
  /** Above 0 the threads that runs named of late were new ones. */
  #newness = 1;

  /** `most` is how much all that is kept may weigh. */
  constructor(most = HEAVY) {
    this.#most = most;
  }

  /** What to suppose of the thread; null where it is to be read. What was kept is given once. */
  of(ref: ThreadRef): ThreadNow | NoThread | null {
    return this.kept(ref) ?? (this.#newness > 0 ? NEW : null);
  }

  /** The thread as its last run left it, where that was here and a moment ago. */
  kept(ref: ThreadRef): ThreadNow | null {
    const found = this.#drop(threadKey(ref));
    return found !== undefined && performance.now() - found.at < KEPT_MS ? found.thread : null;
  }

  /**
   * Keeps what a run has left. A long thread is worth it most: of 10,000 messages the reading takes some 60 ms, and what was
   * read is collected for as long again.
   */
  keep(thread: ThreadNow): void {
    const key = threadKey(thread.head);
    const at = performance.now();
    this.#drop(key);
    const { snapshot, interrupts } = thread;
    const { values, messages, position } = snapshot;
    let weighs = weight([values, position, interrupts], this.#most);
    for (const message of messages) weighs += messageWeight(message);
    if (weighs > this.#most) return;
    for (const [other, kept] of this.#kept) {
      const isFull = this.#kept.size >= MOST || this.#weight + weighs > this.#most;
      if (!isFull && at - kept.at < KEPT_MS) break;
      this.#drop(other);
    }
    this.#weight += weighs;
    this.#kept.set(key, { thread, at, weighs });
  }

  #drop(key: string): Kept | undefined {
    const found = this.#kept.get(key);
    if (found === undefined) return undefined;
    this.#weight -= found.weighs;
    this.#kept.delete(key);
    return found;
  }

  /** Whether a thread that a run named turned out to be new. */
  learn(isNew: boolean): void {
    this.#newness = isNew ? Math.min(SURE, this.#newness + 1) : Math.max(-SURE, this.#newness - DISAPPOINTED);
  }
}

/** Mostly it is flat, and there are many. */
function messageWeight(message: Message): number {
  const { id, content, name = "", tool_call_id: call = "", tool_calls: calls, metadata } = message;
  if (typeof content !== "string" || calls !== undefined || metadata !== undefined)
    return weight(message, Infinity);
  return MESSAGE + id.length + content.length + name.length + call.length;
}

/** How much a JSON value weighs; no longer counted once it is more than `enough`. */
function weight(value: unknown, enough: number): number {
  if (typeof value === "string") return VALUE + value.length;
  if (typeof value !== "object" || value === null) return VALUE;
  let sum = VALUE;
  for (const key in value) {
    sum += key.length + weight((value as Record<string, unknown>)[key], enough - sum);
    if (sum > enough) break;
  }
  return sum;
}
