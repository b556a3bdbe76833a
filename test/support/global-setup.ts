/** What all test files share, made once: a real PostgreSQL, an embedded database to begin others with, and a fresh build. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { PgCheckpointer, PgliteDatabase } from "../../src/checkpoint/postgres/index.js";
import { startPostgres } from "./start-postgres.js";

declare module "vitest" {
  export interface ProvidedContext {
    /** Of a PostgreSQL in which tests make databases of their own. */
    postgresUrl: string;
    /** A migrated embedded database, packed. */
    embeddedDump: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), "holdpoint-test-"));
  execFileSync(process.execPath, ["scripts/build.mjs", "--if-stale"], { stdio: "inherit" });
  const postgres = await startPostgres(folder);
  project.provide("postgresUrl", postgres.url);
  project.provide("embeddedDump", await packEmbedded(folder));
  return async () => {
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  };
}

/** Making an embedded database takes seconds, unpacking one half of one. */
async function packEmbedded(folder: string): Promise<string> {
  const database = new PgliteDatabase({ dataDir: null });
  const checkpointer = new PgCheckpointer({ database });
  await checkpointer.open();
  const file = join(folder, "embedded.tar");
  writeFileSync(file, Buffer.from(await (await database.dump()).arrayBuffer()));
  await checkpointer.close();
  return file;
}
