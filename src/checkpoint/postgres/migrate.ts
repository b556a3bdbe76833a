import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { StorageUnusable } from "../../errors.js";
import type { Database } from "./database.js";

const FOLDER = new URL("../../../migrations/", import.meta.url);
/** Any number, but always this one: starters of one database wait for each other. */
const LOCK = 7_265_301;

interface Applied {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
}

/**
 * Applies the migrations that are missing, all in one transaction under a lock, so that any number of starters end with
 * the same database. Refuses one that is newer than this code, or whose history differs.
 */
export async function migrate(database: Database): Promise<void> {
  const files = (await readdir(FOLDER)).filter((name) => /^\d{4}_.*\.sql$/.test(name)).sort();
  const known = await Promise.all(
    files.map(async (name) => {
      const sql = await readFile(new URL(name, FOLDER), "utf8");
      return {
        number: Number(name.slice(0, 4)),
        name,
        sql,
        checksum: createHash("sha256").update(sql).digest("hex"),
      };
    }),
  );
  await database.exclusively(LOCK, async (run) => {
    await run("CREATE SCHEMA IF NOT EXISTS holdpoint");
    await run(
      "CREATE TABLE IF NOT EXISTS holdpoint.migration (number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
    );
    const applied = (await run(
      "SELECT number, name, checksum FROM holdpoint.migration ORDER BY number",
      [],
    )) as Applied[];
    for (const row of applied) {
      const file = known.find(({ number }) => number === row.number);
      if (file === undefined) {
        throw new StorageUnusable(
          `The database is newer than this Holdpoint: it has the migration ${row.name}. Start a newer version, or use another database.`,
        );
      }
      if (file.checksum !== row.checksum) {
        throw new StorageUnusable(
          `The migration ${row.name} was applied in another wording: this database belongs to another version of Holdpoint.`,
        );
      }
    }
    for (const { number, name, sql, checksum } of known.filter(
      (file) => !applied.some((row) => row.number === file.number),
    )) {
      await run(sql);
      // Not when it began: it may have waited long for those who use the tables.
      await run(
        "INSERT INTO holdpoint.migration (number, name, checksum, applied_at) VALUES ($1, $2, $3, clock_timestamp())",
        [number, name, checksum],
      );
    }
  });
}
