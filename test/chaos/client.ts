/** Requests to whichever server there is. An answer that does not come is unknown: it may have been done, or not. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Accepted } from "./evidence.js";
import type { Cluster } from "./cluster.js";
import type { Random } from "./random.js";

export interface Reply {
  readonly status: number;
  readonly url: string;
  readonly headers: Headers;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly body: any;
}

interface Asked {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Refusals that may come, beside conflicts. */
  readonly expected?: readonly number[];
}

/** What came of the requests of all clients. */
export class Tally {
  readonly accepted: Accepted[] = [];
  /** Threads that were to be stopped. */
  readonly stopped = new Set<string>();
  readonly counts = new Map<string, number>();
  /** Answers that no client should get, whatever happens to the servers. */
  readonly unexpected: string[] = [];

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}

/** A request that is not answered within this is given up; a frozen server answers later, to nobody. */
const PATIENCE_MS = 8000;
const CONFLICT = 409;

export class Client {
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly tally: Tally;

  constructor(of: { cluster: Cluster; random: Random; tally: Tally }) {
    this.#cluster = of.cluster;
    this.#random = of.random;
    this.tally = of.tally;
  }

  /** One try, at any server; null where nobody knows what became of it. */
  async once(
    method: "GET" | "POST",
    path: string,
    { body, headers = {}, expected = [] }: Asked = {},
  ): Promise<Reply | null> {
    const url = this.#cluster.anyUrl(this.#random);
    if (url === null) {
      await sleep(50);
      return null;
    }
    let reply: Reply;
    // Of our own: fetch holds the signal of AbortSignal.timeout weakly, and one that is collected never fires.
    const leaving = new AbortController();
    const patience = setTimeout(() => leaving.abort(), PATIENCE_MS);
    try {
      const response = await fetch(url + path, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: leaving.signal,
      });
      const text = await response.text();
      reply = {
        status: response.status,
        url,
        headers: response.headers,
        body: text === "" ? null : JSON.parse(text),
      };
    } catch {
      this.tally.count("unknown");
      await sleep(this.#random.whole(5, 50));
      return null;
    } finally {
      clearTimeout(patience);
    }
    const { status } = reply;
    if (status === 503) {
      this.tally.count("503");
      if (reply.headers.get("retry-after") === null)
        this.tally.unexpected.push(`${method} ${path}: 503 without Retry-After`);
      await sleep(this.#random.whole(20, 200));
      return null;
    }
    if (status === CONFLICT) this.tally.count(`409 ${String(reply.body.code)}`);
    if (status >= 300 && status !== CONFLICT && !expected.includes(status))
      this.tally.unexpected.push(`${method} ${path}: ${status} ${JSON.stringify(reply.body).slice(0, 500)}`);
    return reply;
  }

  /** Tries, with the same words, until somebody answers; null after so many tries. */
  async ask(
    method: "GET" | "POST",
    path: string,
    of: Asked & { readonly tries?: number } = {},
  ): Promise<Reply | null> {
    for (let i = 0; i < (of.tries ?? 40); i++) {
      const reply = await this.once(method, path, of);
      if (reply !== null) return reply;
    }
    return null;
  }
}
