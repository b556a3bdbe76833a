/** Takes things away and gives them back, every second or so. */
import { setTimeout as sleep } from "node:timers/promises";
import type { OwnPostgres } from "../support/start-postgres.js";
import { LEASE_MS, type Cluster } from "./cluster.js";
import type { Random } from "./random.js";
import { inDatabase } from "./tables.js";

/** How often what was done. */
export interface Mischief {
  kills: number;
  freezes: number;
  terminations: number;
  backends: number;
  databaseRestarts: number;
}

const WEIGHTS = { kill: 5, freeze: 2, backends: 2, terminate: 1 };

export class Monkey {
  readonly did: Mischief = { kills: 0, freezes: 0, terminations: 0, backends: 0, databaseRestarts: 0 };
  readonly #cluster: Cluster;
  readonly #postgres: OwnPostgres;
  readonly #random: Random;
  readonly #underWay: Promise<void>[] = [];

  constructor(of: { cluster: Cluster; postgres: OwnPostgres; random: Random }) {
    this.#cluster = of.cluster;
    this.#postgres = of.postgres;
    this.#random = of.random;
  }

  /** Until then; returns when everything that it took away is back. */
  async play(ms: number): Promise<void> {
    const began = Date.now();
    const restarts = this.#restartDatabase(ms);
    while (Date.now() - began < ms) {
      await sleep(this.#random.whole(600, 1400));
      const what = this.#random.weighted(WEIGHTS);
      this.#underWay.push(what === "backends" ? this.#terminateBackends() : this.#hurt(what));
    }
    await restarts;
    await Promise.all(this.#underWay);
  }

  /** In the middle of everything else: once in order, once like a power cut, then by turns a minute or so. */
  async #restartDatabase(ms: number): Promise<void> {
    const times = Math.max(2, Math.round(ms / 30_000));
    for (let i = 0; i < times; i++) {
      await sleep(ms / (times + 1));
      await this.#postgres.stop(i % 2 === 0 ? "fast" : "immediate");
      await this.#postgres.start();
      this.did.databaseRestarts++;
    }
  }

  async #hurt(how: "kill" | "freeze" | "terminate"): Promise<void> {
    const slot = this.#cluster.victim(this.#random);
    if (slot === null) return;
    if (how === "kill") {
      this.did.kills++;
      await this.#cluster.kill(slot);
    } else if (how === "freeze") {
      this.did.freezes++;
      await this.#cluster.freeze(slot, LEASE_MS * (1.2 + this.#random.next()));
    } else {
      this.did.terminations++;
      await this.#cluster.terminate(slot);
    }
  }

  /** Some connections of the servers end; which, the database chooses. */
  async #terminateBackends(): Promise<void> {
    const share = this.#random.next();
    try {
      this.did.backends += await inDatabase(this.#postgres.url, async (client) => {
        const { rowCount } = await client.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < $1",
          [share],
        );
        return rowCount ?? 0;
      });
    } catch {
      // It is being restarted: nobody is connected anyway.
    }
  }
}
