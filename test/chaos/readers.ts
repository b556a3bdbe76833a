/** A reader of one thread that is cut off again and again, goes to any server, and says how far it had come. */
import { createParser } from "eventsource-parser";
import { setTimeout as sleep } from "node:timers/promises";
import type { Tally } from "./client.js";
import type { Cluster } from "./cluster.js";
import type { Reading, Seen } from "./evidence.js";
import type { Random } from "./random.js";

/** Connections of one reader; those that come to rest are far from it. */
const MOST_TRIES = 1000;

export class Reader {
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #tally: Tally;
  readonly #name: string;
  readonly #thread: string;
  readonly #seen: Seen[] = [];
  #after: number;
  #finishing = false;
  #complete = false;
  #wake: () => void = () => undefined;

  constructor(of: {
    cluster: Cluster;
    random: Random;
    tally: Tally;
    name: string;
    thread: string;
    after: number;
  }) {
    this.#cluster = of.cluster;
    this.#random = of.random;
    this.#tally = of.tally;
    this.#name = of.name;
    this.#thread = of.thread;
    this.#after = of.after;
  }

  get reading(): Reading {
    return {
      name: this.#name,
      thread: this.#thread,
      after: this.#after,
      seen: this.#seen,
      complete: this.#complete,
    };
  }

  /** From here on it is not cut off any more, and ends where the thread does. */
  finish(): void {
    this.#finishing = true;
    this.#wake();
  }

  /** Reads on and on; returns when there is nothing more after `finish`, or when it was never let to the end. */
  async follow(): Promise<void> {
    let quiet = 0;
    for (let tries = 0; !this.#complete && tries < MOST_TRIES; tries++) {
      const last = this.#finishing;
      const before = this.#seen.length;
      const status = await this.#connect();
      // What it had begun before `finish` may have been cut off.
      if (status === 204 && last) this.#complete = true;
      quiet = this.#seen.length > before ? 0 : quiet + 1;
      if (!this.#complete) await this.#rest(quiet);
    }
  }

  /** Where nothing happens it comes back less and less often, as long as nobody waits for it. */
  async #rest(quiet: number): Promise<void> {
    const most = Math.min(200 * 2 ** Math.min(quiet, 4), 2000);
    const finished = new Promise<void>((resolve) => (this.#wake = resolve));
    await Promise.race([sleep(this.#random.whole(10, this.#finishing ? 200 : most)), finished]);
  }

  /** Reads the events of a run that somebody started, up to where it is cut off. */
  async take(response: Response): Promise<void> {
    await this.#read(response, new AbortController(), this.#random.whole(50, 1500));
    const [first] = this.#seen;
    if (first !== undefined) this.#after = first.id - 1;
  }

  /** Whether it has any event to go on from. */
  get began(): boolean {
    return this.#seen.length > 0;
  }

  async #connect(): Promise<number | null> {
    const url = this.#cluster.anyUrl(this.#random);
    if (url === null) return null;
    const leaving = new AbortController();
    const cursor = this.#seen.at(-1)?.id ?? this.#after;
    const patience = setTimeout(() => leaving.abort(), 4000);
    try {
      const response = await fetch(`${url}/threads/${this.#thread}/stream`, {
        headers: { "Last-Event-ID": String(cursor) },
        signal: leaving.signal,
      });
      clearTimeout(patience);
      if (response.status === 200) {
        this.#tally.count("streams");
        await this.#read(response, leaving, this.#finishing ? 5000 : this.#random.whole(20, 1500));
      } else {
        const text = await response.text();
        if (![204, 503].includes(response.status))
          this.#tally.unexpected.push(
            `${this.#name}: stream of ${this.#thread} after ${cursor}: ${response.status} ${text.slice(0, 300)}`,
          );
      }
      return response.status;
    } catch {
      return null;
    } finally {
      clearTimeout(patience);
      leaving.abort();
    }
  }

  /** Until it ends or is cut off: after some time, or after some events. */
  async #read(response: Response, leaving: AbortController, ms: number): Promise<void> {
    let left = this.#finishing || this.#random.chance(0.5) ? Infinity : this.#random.whole(1, 15);
    const body = response.body?.getReader();
    const cut = (): void => {
      left = 0;
      leaving.abort();
      body?.cancel().catch(() => undefined);
    };
    const late = setTimeout(cut, ms);
    const parser = createParser({
      onEvent: ({ id, data }) => {
        if (left-- <= 0) return;
        this.#note(id, JSON.parse(data) as Record<string, unknown>);
      },
    });
    const decoder = new TextDecoder();
    try {
      while (left > 0) {
        const piece = await body?.read();
        if (piece === undefined || piece.done) break;
        parser.feed(decoder.decode(piece.value, { stream: true }));
      }
    } catch {
      // Its server has gone.
    } finally {
      clearTimeout(late);
      cut();
    }
  }

  #note(id: string | undefined, chunk: Record<string, unknown>): void {
    if (chunk.event_type === "gap" || id === undefined || Number(id) !== chunk.seq) {
      this.#tally.unexpected.push(`${this.#name}: ${String(id)} ${JSON.stringify(chunk).slice(0, 300)}`);
      return;
    }
    this.#seen.push({
      id: Number(id),
      type: chunk.event_type as string,
      run: chunk.run_id as string | null,
      node: chunk.node_name as string | null,
    });
  }
}
