/** Three servers on one PostgreSQL, and what may be done to them. */
import { fileURLToPath } from "node:url";
import { until } from "../support/poll.js";
import { spawnHoldpoint, urlOf, type Env, type HoldpointProcess } from "../support/server.js";
import type { Gap } from "./evidence.js";
import { appendFact } from "./ledger.js";
import type { Random } from "./random.js";

const GRAPHS = fileURLToPath(new URL("graphs.ts", import.meta.url));

export const LEASE_MS = 2000;
const DRAIN_MS = 2000;
/** In which a server that was told to end has ended: what drains, last words to the database, and a busy machine. */
const END_MS = DRAIN_MS + 10_000;

interface Slot {
  process: HoldpointProcess;
  /** Where it listens; null while it starts, and once it was killed. */
  url: string | null;
  frozen: boolean;
  /** Somebody is doing something to it. */
  busy: boolean;
}

export interface ServerLog {
  readonly pid: number;
  readonly lines: readonly Record<string, unknown>[];
  readonly errors: string;
}

export class Cluster {
  /** Servers that ended although nobody ended them. */
  readonly lost: string[] = [];
  readonly #env: Env;
  readonly #ledger: string;
  readonly #slots: Slot[] = [];
  readonly #processes: HoldpointProcess[] = [];
  readonly #ending = new Set<number>();

  constructor(of: { databaseUrl: string; ledger: string }) {
    this.#ledger = of.ledger;
    this.#env = {
      PORT: "0",
      DATABASE_URL: of.databaseUrl,
      HOLDPOINT_GRAPHS: GRAPHS,
      CHAOS_LEDGER: of.ledger,
      HOLDPOINT_LEASE_MS: String(LEASE_MS),
      HOLDPOINT_HEARTBEAT_MS: "300",
      HOLDPOINT_GRACE_MS: "200",
      HOLDPOINT_STOP_WAIT_MS: "2000",
      HOLDPOINT_POLL_MS: "100",
      HOLDPOINT_DRAIN_MS: String(DRAIN_MS),
    };
  }

  async start(many: number): Promise<void> {
    for (let i = 0; i < many; i++) this.#slots.push(this.#spawn());
    await Promise.all(this.#slots.map((slot) => this.#listening(slot)));
  }

  /** A server that seemed to be there a moment ago, frozen ones too; null while there is none. */
  anyUrl(random: Random): string | null {
    const urls = this.#slots.flatMap(({ url }) => (url === null ? [] : [url]));
    return urls.length === 0 ? null : random.pick(urls);
  }

  /** One that may be taken away, so that another one is left. */
  victim(random: Random): Slot | null {
    const well = this.#slots.filter(({ url, frozen, busy }) => url !== null && !frozen && !busy);
    return well.length < 2 ? null : random.pick(well);
  }

  /** kill -9, and another one in its place. */
  async kill(slot: Slot): Promise<void> {
    await this.#busyWith(slot, async () => {
      this.#note("killed", slot);
      await this.#end(slot, "SIGKILL");
      await this.#replace(slot);
    });
  }

  /** Ends it as an operator does, and puts another one in its place. */
  async terminate(slot: Slot): Promise<void> {
    await this.#busyWith(slot, async () => {
      const { process } = slot;
      const late = setTimeout(() => process.kill("SIGKILL"), END_MS);
      await this.#end(slot, "SIGTERM");
      clearTimeout(late);
      const code = process.ended();
      if (code !== 0) this.lost.push(`server ${process.pid} ended with ${code ?? "?"} on SIGTERM`);
      await this.#replace(slot);
    });
  }

  /** It does nothing at all for so long, and goes on as if nothing had been. */
  async freeze(slot: Slot, ms: number): Promise<void> {
    await this.#busyWith(slot, async () => {
      slot.frozen = true;
      this.#note("frozen", slot);
      slot.process.kill("SIGSTOP");
      await new Promise((resolve) => setTimeout(resolve, ms));
      this.#note("continued", slot);
      slot.process.kill("SIGCONT");
      slot.frozen = false;
    });
  }

  /** All three are there again. */
  async calm(): Promise<void> {
    await until(
      "all servers are up",
      () => this.#slots.every(({ url, busy }) => url !== null && !busy),
      60_000,
    );
  }

  /** Times in which a server had lost its lease without noticing. */
  gaps(): Gap[] {
    return this.logs().flatMap(({ pid, lines }) =>
      lines
        .filter(({ msg }) => String(msg).startsWith("the heartbeat was late"))
        .map(({ time, ms }) => ({ pid, from: Number(time) - Number(ms), to: Number(time) })),
    );
  }

  logs(): ServerLog[] {
    return this.#processes.map((each) => ({ pid: each.pid, lines: each.logs(), errors: each.errors() }));
  }

  #spawn(): Slot {
    const process = spawnHoldpoint(["serve"], { env: this.#env });
    this.#processes.push(process);
    void process.exit.then((code) => {
      if (!this.#ending.has(process.pid))
        this.lost.push(`server ${process.pid} ended by itself (${code}): ${process.errors().slice(-2000)}`);
    });
    return { process, url: null, frozen: false, busy: false };
  }

  async #listening(slot: Slot): Promise<void> {
    slot.url = await until(
      "a server listens",
      () => {
        if (slot.process.ended() !== null) throw new Error(this.lost.at(-1) ?? "it ended");
        return urlOf(slot.process);
      },
      60_000,
    );
  }

  async #end(slot: Slot, signal: NodeJS.Signals): Promise<void> {
    this.#ending.add(slot.process.pid);
    slot.process.kill(signal);
    await slot.process.exit;
    slot.url = null;
  }

  async #replace(slot: Slot): Promise<void> {
    slot.process = this.#spawn().process;
    await this.#listening(slot);
  }

  async #busyWith(slot: Slot, work: () => Promise<void>): Promise<void> {
    slot.busy = true;
    try {
      await work();
    } finally {
      slot.busy = false;
    }
  }

  #note(fact: "killed" | "frozen" | "continued", slot: Slot): void {
    appendFact(this.#ledger, { fact, pid: slot.process.pid });
  }
}
