/**
 * Hears what other processes notify, on a connection of its own. It is proven before it is trusted: a pooler in transaction
 * mode accepts LISTEN and delivers nothing. A connection that no longer answers is given up and made anew, ever more seldom.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import { deferred } from "../../lib/deferred.js";

export interface ListenerOptions {
  readonly url: string;
  readonly channel: string;
  /** Has something notified on the channel, by another connection. */
  readonly probe: () => Promise<void>;
  /** What is notified now and then, so that others know who is there, and to see whether the connection answers. */
  readonly greeting?: string;
  /** Takes a notification; true where it was one of this process's own. */
  readonly onPayload: (payload: string) => boolean;
  /** Told when it begins to hear, and when it no longer does or cannot, once each time. */
  readonly onHearing: (hears: boolean, why: string | null) => void;
  /** Milliseconds between two greetings. Default 10 000. */
  readonly pingMs?: number;
  /** Milliseconds that the server has for each answer. Default 5000. */
  readonly answerMs?: number;
}

/** Milliseconds to the first new attempt, and between two at the most; each somewhere between half of it and all. */
const [RETRY_MS, RETRY_MOST_MS] = [100, 10_000];

export class Listener {
  readonly #options: ListenerOptions & { readonly pingMs: number; readonly answerMs: number };
  #client: Client | null = null;
  #heard: () => void = () => undefined;
  /** Null before the first attempt has come to something. */
  #hears: boolean | null = null;
  #timer: NodeJS.Timeout | null = null;
  #retryMs = RETRY_MS;
  #closed = false;

  constructor(options: ListenerOptions) {
    this.#options = { pingMs: 10_000, answerMs: 5000, ...options };
  }

  get hears(): boolean {
    return this.#hears === true;
  }

  /** Begins to listen, as soon as it can be done. Keeps no process alive. */
  open(): void {
    void this.#connect();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#hears = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const client = this.#client;
    this.#client = null;
    // A connection that no longer answers has no goodbye either.
    const ended = client?.end().catch(() => undefined);
    await Promise.race([ended, sleep(1000, undefined, { ref: false })]);
  }

  async #connect(): Promise<void> {
    const { url, channel, answerMs, onPayload } = this.#options;
    const { default: pg } = await import("pg");
    if (this.#closed) return;
    const client = new pg.Client({
      connectionString: url,
      keepAlive: true,
      connectionTimeoutMillis: answerMs,
      query_timeout: answerMs,
    });
    this.#client = client;
    client.on("error", (error) => this.#lose(client, error));
    client.on("end", () => this.#lose(client, new Error("the connection was closed")));
    client.on("notification", ({ payload = "" }) => {
      if (this.#client === client && onPayload(payload)) this.#heard();
    });
    try {
      await client.connect();
      // Not in the types of pg: the socket alone does not keep the process alive.
      (client as Client & { unref(): void }).unref();
      await client.query(`LISTEN ${channel}`);
      await this.#prove();
    } catch (error) {
      this.#lose(client, error);
      return;
    }
    if (this.#client !== client) return;
    this.#tell(true, null);
    this.#pingLater(client);
  }

  /** Waits for a notification of one's own, which any may be. */
  async #prove(): Promise<void> {
    const heard = deferred<boolean>();
    this.#heard = () => heard.resolve(true);
    await this.#options.probe();
    const late = new AbortController();
    const wait = { ref: false, signal: late.signal };
    const isHeard = await Promise.race([
      heard.promise,
      sleep(this.#options.answerMs, false, wait).catch(() => false),
    ]);
    late.abort();
    if (!isHeard)
      throw new Error(
        "notifications do not arrive: where DATABASE_URL is a pooler, DATABASE_DIRECT_URL must lead to PostgreSQL itself",
      );
  }

  /** A connection whose other end is gone stays silent for ever: TCP says nothing of it. */
  #pingLater(client: Client): void {
    this.#timer = setTimeout(() => {
      const { channel, greeting } = this.#options;
      const [sql, values] =
        greeting === undefined ? ["SELECT 1", []] : ["SELECT pg_notify($1, $2)", [channel, greeting]];
      client.query(sql, values).then(
        () => {
          if (this.#client !== client) return;
          this.#retryMs = RETRY_MS;
          this.#pingLater(client);
        },
        (error: unknown) => this.#lose(client, error),
      );
    }, this.#options.pingMs);
    this.#timer.unref();
  }

  #lose(client: Client, error: unknown): void {
    if (this.#client !== client) return;
    this.#client = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    client.end().catch(() => undefined);
    this.#tell(false, error instanceof Error ? error.message || error.name : String(error));
    this.#timer = setTimeout(() => void this.#connect(), this.#retryMs * (0.5 + Math.random() / 2));
    this.#timer.unref();
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MOST_MS);
  }

  #tell(hears: boolean, why: string | null): void {
    if (this.#hears === hears) return;
    this.#hears = hears;
    this.#options.onHearing(hears, why);
  }
}
