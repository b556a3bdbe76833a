/** What tests do to a PostgreSQL of their own, and what they find in it afterwards. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, onTestFinished } from "vitest";
import { startOwnPostgres, type OwnPostgres } from "../support/start-postgres.js";

/** One for the tests of a file. */
export function ownPostgres(settings: Readonly<Record<string, string | number>> = {}): () => OwnPostgres {
  const folder = mkdtempSync(join(tmpdir(), "holdpoint-postgres-"));
  let postgres: OwnPostgres | null = null;
  beforeAll(async () => {
    postgres = await startOwnPostgres(folder, settings);
  });
  afterAll(async () => {
    await postgres?.stop("immediate");
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  });
  return () => {
    if (postgres === null) throw new Error("there is no PostgreSQL");
    return postgres;
  };
}

/** A connection that is closed after the test. */
export async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  onTestFinished(() => client.end().catch(() => undefined));
  return client;
}

/** The rows of one statement, by a connection of its own. */
export async function query(
  url: string,
  sql: string,
  values: unknown[] = [],
): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

/** Ends every connection to the database but the one that asks. */
export async function terminateBackends(by: pg.Client): Promise<void> {
  await by.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
  );
}

/** Nothing is half there: what threads say, their runs, their logs and their interrupts say too. */
export async function expectWhole(url: string): Promise<void> {
  const broken = await query(
    url,
    `SELECT t.thread_id, t.status, r.status AS run_status, l.last AS logged, t.seq
      FROM holdpoint.thread t
      LEFT JOIN holdpoint.run r ON r.tenant = t.tenant AND r.thread_id = t.thread_id AND r.run_id = t.run_id
      LEFT JOIN LATERAL (SELECT max(seq) AS last FROM holdpoint.log x WHERE x.tenant = t.tenant AND x.thread_id = t.thread_id) l ON true
      WHERE t.status <> 'idle' AND (r.run_id IS NULL OR (t.status = 'running') <> (r.status = 'running') OR t.status <> r.status
        OR l.last IS NULL OR l.last > t.seq
        OR (t.status <> 'running' AND (t.worker IS NOT NULL OR r.last_seq IS DISTINCT FROM l.last)))`,
  );
  expect(broken).toEqual([]);
  const orphans = await query(
    url,
    `SELECT tenant, thread_id FROM holdpoint.log EXCEPT SELECT tenant, thread_id FROM holdpoint.thread
      UNION SELECT tenant, thread_id FROM holdpoint.run EXCEPT SELECT tenant, thread_id FROM holdpoint.thread`,
  );
  expect(orphans).toEqual([]);
}
