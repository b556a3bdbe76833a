/**
 * A context that grows by a message at a time. User code sees a frozen array of its own at each step, so it is copied; but
 * once, and not twice (a copy that is pushed to is), and without a look at the ids of all of it. At 10 000 messages that took
 * 0.3 to 0.6 ms and 260 kB a step, and takes 15 µs and 86 kB.
 */
import type { Message } from "./message.js";

/** Below this, looking at all of them costs less than to know anything. */
const LONG = 64;

/** What goes on from a context to the one that grows from it. */
interface Line {
  /** The same messages, in an array that can grow. */
  readonly messages: Message[];
  /** Their ids, once they were asked for twice. */
  ids: Set<string> | null;
  isAsked: boolean;
}

interface Known {
  /** Ids mostly ascend (those made here do): one above the highest is new. */
  readonly highest: string;
  /** Null once another has grown from it: who goes on from it again begins a line of its own. */
  line: Line | null;
}

const known = new WeakMap<readonly Message[], Known>();

/** A context while messages are added to it. The one that it is made from stays as it is. */
export class Growth {
  readonly #line: Line;
  #highest: string | null;

  constructor(context: readonly Message[]) {
    const of = context.length < LONG ? null : (known.get(context) ?? lookThrough(context));
    this.#line = of?.line ?? { messages: [...context], ids: null, isAsked: false };
    this.#highest = of === null ? null : of.highest;
    if (of !== null) of.line = null;
  }

  /** Appends a message, or puts it where its id already is. Its place. */
  add(message: Message): number {
    const { messages } = this.#line;
    const at = this.#mayHave(message.id) ? lastOf(messages, message.id) : -1;
    const pos = at === -1 ? messages.length : at;
    this.put(pos, message);
    return pos;
  }

  /** Puts a message where `add` has found that it belongs. */
  put(pos: number, message: Message): void {
    const line = this.#line;
    line.messages[pos] = message;
    line.ids?.add(message.id);
    if (this.#highest !== null && message.id > this.#highest) this.#highest = message.id;
  }

  /** What it has become; nothing more may be added. */
  end(): readonly Message[] {
    if (this.#highest === null) return Object.freeze(this.#line.messages);
    const context = Object.freeze(this.#line.messages.slice());
    known.set(context, { highest: this.#highest, line: this.#line });
    return context;
  }

  /** False where nothing has this id. */
  #mayHave(id: string): boolean {
    if (this.#highest === null) return true;
    if (id > this.#highest) return false;
    const line = this.#line;
    // A set of ten thousand costs as much as six looks: who needs one look will not pay for it.
    if (line.ids === null && line.isAsked) line.ids = new Set(line.messages.map((message) => message.id));
    line.isAsked = true;
    return line.ids === null || line.ids.has(id);
  }
}

function lookThrough(context: readonly Message[]): Known {
  let highest = "";
  for (const { id } of context) if (id > highest) highest = id;
  const found = { highest, line: null };
  known.set(context, found);
  return found;
}

/** The place of an id, or -1. A replaced message is mostly a late one: from the end. */
function lastOf(messages: readonly Message[], id: string): number {
  let at = messages.length - 1;
  while (at >= 0 && messages[at]?.id !== id) at--;
  return at;
}
