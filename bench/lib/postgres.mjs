/** A PostgreSQL as one would run it: with fsync. DATABASE_URL, else one of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createJiti } from "jiti";
import pg from "pg";

export async function startDatabase() {
  const given = process.env.DATABASE_URL ?? "";
  const folder = mkdtempSync(join(tmpdir(), "holdpoint-bench-"));
  const own = given === "" ? await startOwn(folder) : null;
  const url = own?.url ?? given;
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const setting = async (name) =>
    (await client.query("SELECT current_setting($1) AS value", [name])).rows[0].value;
  const durable = [];
  for (const name of ["fsync", "synchronous_commit", "full_page_writes"])
    durable.push(`${name} ${await setting(name)}`);
  const describe = `PostgreSQL ${(await setting("server_version")).split(" ")[0]}, ${durable.join(", ")}`;
  return {
    url,
    client,
    describe,
    async stop() {
      await client.end();
      await own?.stop();
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

async function startOwn(folder) {
  const { startOwnPostgres } = await createJiti(import.meta.url).import(
    "../../test/support/start-postgres.ts",
  );
  return startOwnPostgres(folder, {
    fsync: "on",
    shared_buffers: "512MB",
    // No checkpoint inside a run.
    max_wal_size: "8GB",
    checkpoint_timeout: "1h",
  });
}
