/**
 * Three servers on one PostgreSQL under load, while servers are killed and frozen, connections are ended and the database is
 * restarted. Afterwards the ledger, which nodes wrote outside the database, and the tables are judged together.
 *
 * CHAOS_SECONDS: how long, 60 by default. CHAOS_SEED: the choices of a run that is to come again, as far as it can.
 * CHAOS_FOLDER: where to leave ledger, logs and evidence.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startOwnPostgres } from "../support/start-postgres.js";
import { until, within } from "../support/poll.js";
import { judge } from "./checker.js";
import { Tally } from "./client.js";
import { Cluster, LEASE_MS } from "./cluster.js";
import type { Evidence } from "./evidence.js";
import { readLedger } from "./ledger.js";
import { Load } from "./load.js";
import { Monkey } from "./monkey.js";
import { Random } from "./random.js";
import { summary } from "./summary.js";
import { activeThreads, readTables } from "./tables.js";

const SECONDS = Number(process.env.CHAOS_SECONDS ?? "60");
const SEED = process.env.CHAOS_SEED ?? String(Date.now());
/** For the start, for everything to come to rest, and for the readers. */
const AROUND_SECONDS = 330;
const PHASE_MS = 70_000;

test(
  `nothing is lost and nothing done twice while servers and database come and go for ${SECONDS} s`,
  { timeout: (SECONDS + AROUND_SECONDS) * 1000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "holdpoint-chaos-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
    const postgres = await startOwnPostgres(folder);
    onTestFinished(() => postgres.stop());
    const ledger = join(folder, "ledger");
    const cluster = new Cluster({ databaseUrl: postgres.url, ledger });
    await cluster.start(3);

    console.log(`chaos of ${SECONDS} s with CHAOS_SEED=${SEED}`);
    const random = new Random(SEED);
    const tally = new Tally();
    const load = new Load({ cluster, random: random.fork("load"), tally });
    const monkey = new Monkey({ cluster, postgres, random: random.fork("monkey") });
    const took = new Stopwatch();
    const ms = SECONDS * 1000;
    // Each bound names what hangs.
    await Promise.all([
      within("the clients have their answers", load.run(ms), ms + PHASE_MS),
      within("what the monkey took away is back", monkey.play(ms), ms + PHASE_MS),
    ]);
    await cluster.calm();
    took.lap("chaos");
    const active = await atRest(postgres.url);
    took.lap("rest");
    // That each thread can go on shows that none was left in a state which nobody can leave.
    const stuck =
      active.length > 0 ? [] : await within("every thread is at its end", load.bringToEnd(), PHASE_MS);
    took.lap("to the end");
    // Readers that hang are found by the checker.
    await within("the readers have read", load.finishReading(), PHASE_MS).catch(() => undefined);
    took.lap("reading");

    const evidence: Evidence = {
      leaseMs: LEASE_MS,
      gaps: cluster.gaps(),
      ledger: readLedger(ledger),
      accepted: tally.accepted,
      stopped: [...tally.stopped],
      readings: load.readers.map(({ reading }) => reading),
      tables: await readTables(postgres.url),
      states: await load.states(),
    };
    const verdict = judge(evidence);
    console.log(
      summary({ seconds: took.laps, evidence, verdict, mischief: monkey.did, tally, logs: cluster.logs() }),
    );
    keep(evidence, cluster);
    const { faults } = verdict;
    const { unexpected } = tally;
    expect({ active, stuck, faults, unexpected, lost: cluster.lost }).toEqual({
      active: [],
      stuck: [],
      faults: [],
      unexpected: [],
      lost: [],
    });
  },
);

/** Whole seconds of what follows each other. */
class Stopwatch {
  readonly laps: Record<string, number> = {};
  #since = Date.now();

  lap(name: string): void {
    this.laps[name] = Math.round((Date.now() - this.#since) / 1000);
    this.#since = Date.now();
  }
}

/** Waits until nobody is busy; the threads that still are when that takes too long. */
async function atRest(databaseUrl: string): Promise<string[]> {
  let active: string[] = [];
  const look = async (): Promise<boolean> => {
    active = await activeThreads(databaseUrl);
    return active.length === 0;
  };
  await until("nothing is running or queued", look, 60_000).catch(() => undefined);
  return active;
}

function keep(evidence: Evidence, cluster: Cluster): void {
  const folder = process.env.CHAOS_FOLDER;
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "evidence.json"), JSON.stringify(evidence));
  const lines = cluster
    .logs()
    .flatMap(({ pid, lines, errors }) => [...lines.map((line) => ({ pid, ...line })), { pid, errors }]);
  writeFileSync(join(folder, "servers.log"), lines.map((line) => JSON.stringify(line)).join("\n"));
}
