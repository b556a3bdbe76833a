import type { Wake } from "../checkpointer.js";
import type { Database } from "./database.js";
import { Listener } from "./listener.js";
import { Notifier } from "./notifier.js";

/** One channel a database: who shares the tables hears each other. */
const CHANNEL = "holdpoint_wake";

/** The transaction of a hint need not reach the disk: what it tells of has. */
const NOTIFY = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";

/** Hints between the processes on one database: what this one has committed, and what it hears of the others. */
export class WakeChannel {
  readonly #database: Database;
  readonly #onHearing: (hears: boolean, why: string | null) => void;
  readonly #listeners = new Set<(wake: Wake) => void>();
  readonly #notifier: Notifier;
  #listener: Listener | null = null;

  constructor(database: Database, onHearing: (hears: boolean, why: string | null) => void = () => undefined) {
    this.#database = database;
    this.#onHearing = onHearing;
    this.#notifier = new Notifier((payload) => database.query(NOTIFY, [CHANNEL, payload]));
  }

  /** Where there are no others, nothing is missed. */
  get hears(): boolean {
    return this.#database.directUrl === null || this.#listener?.hears === true;
  }

  open(): void {
    const url = this.#database.directUrl;
    if (url === null) return;
    this.#listener = new Listener({
      url,
      channel: CHANNEL,
      probe: () => this.#notifier.probe(),
      greeting: this.#notifier.greeting,
      onPayload: (payload) => {
        const said = this.#notifier.read(payload);
        if (said !== "own") for (const wake of said) this.#wake(wake);
        return said === "own";
      },
      onHearing: (hears, why) => {
        this.#notifier.hearing(hears);
        if (hears) this.#database.heard();
        this.#onHearing(hears, why);
        this.#wake({ kind: "rescan" });
      },
    });
    this.#listener.open();
  }

  /** Once everything that was told has been sent. */
  async close(): Promise<void> {
    const listener = this.#listener;
    this.#listener = null;
    await this.#notifier.close();
    await listener?.close();
  }

  tell(...wakes: readonly Wake[]): void {
    if (this.#database.directUrl !== null) this.#notifier.tell(...wakes);
  }

  onWake(listener: (wake: Wake) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #wake(wake: Wake): void {
    for (const listener of this.#listeners) listener(wake);
  }
}
