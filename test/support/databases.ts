/** Databases of a test file's own, on the shared PostgreSQL or embedded. */
import { readFileSync } from "node:fs";
import pg from "pg";
import { inject } from "vitest";
import { PgCheckpointer, PgliteDatabase } from "../../src/checkpoint/postgres/index.js";

let count = 0;

/** The URL of a new, empty database; on the PostgreSQL that all tests share, or on another. */
export async function newPostgresDatabase(server = inject("postgresUrl")): Promise<string> {
  const url = new URL(server);
  const name = `test_${process.pid}_${Date.now()}_${count++}`;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  await client.query(`CREATE DATABASE ${name}`);
  await client.end();
  url.pathname = `/${name}`;
  return url.href;
}

export async function postgresCheckpointer(): Promise<PgCheckpointer> {
  const checkpointer = new PgCheckpointer(await newPostgresDatabase());
  await checkpointer.open();
  return checkpointer;
}

/** An embedded database in memory, migrated already. */
export async function embeddedCheckpointer(): Promise<PgCheckpointer> {
  const loadDataDir = new Blob([readFileSync(inject("embeddedDump"))]);
  const checkpointer = new PgCheckpointer({ database: new PgliteDatabase({ dataDir: null, loadDataDir }) });
  await checkpointer.open();
  return checkpointer;
}
