/** Databases that this version of Holdpoint did not make, or not in these words. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { newPostgresDatabase } from "../support/databases.js";
import { failure } from "../support/latch.js";

const FOLDER = new URL("../../migrations/", import.meta.url);
const files = readdirSync(FOLDER).sort();

/** A new database with what was done to it, and a way to open it as a start does. */
async function database(...done: string[]) {
  const url = await newPostgresDatabase();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  const open = async (): Promise<void> => {
    const checkpointer = new PgCheckpointer(url);
    onTestFinished(() => checkpointer.close());
    await checkpointer.open();
  };
  if (done.length > 0) await open();
  for (const sql of done) await client.query(sql);
  return { open, client };
}

const MIGRATIONS = "SELECT number, name, checksum, applied_at FROM holdpoint.migration ORDER BY number";

describe("a start", () => {
  test("applies every migration once, in order; another start applies none", async () => {
    const { open, client } = await database();
    await open();
    const { rows } = await client.query(MIGRATIONS);
    expect(rows.map(({ name }: { name: string }) => name)).toEqual(files);
    await open();
    expect((await client.query(MIGRATIONS)).rows).toEqual(rows);
  });

  test.each([2, 4])("brings a database of the release of %s migrations up to date", async (count) => {
    const { open, client } = await database();
    await client.query("CREATE SCHEMA holdpoint");
    await client.query(
      "CREATE TABLE holdpoint.migration (number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
    );
    for (const [i, name] of files.slice(0, count).entries()) {
      const sql = readFileSync(new URL(name, FOLDER), "utf8");
      await client.query(sql);
      const checksum = createHash("sha256").update(sql).digest("hex");
      await client.query("INSERT INTO holdpoint.migration VALUES ($1, $2, $3)", [i + 1, name, checksum]);
    }
    await open();
    expect((await client.query(MIGRATIONS)).rows.map(({ name }: { name: string }) => name)).toEqual(files);
    const late = "holdpoint.record_v1(text, text, bigint, text, text, text)";
    const { rows } = await client.query(`SELECT prosrc FROM pg_proc WHERE oid = '${late}'::regprocedure`);
    expect(rows[0].prosrc).toContain("seq_limit + 1");
  });

  test.each(files)(
    "refuses a database to which %s was applied in another wording, and changes nothing",
    async (name) => {
      const { open, client } = await database(
        `UPDATE holdpoint.migration SET checksum = 'of another text' WHERE name = '${name}'`,
        // What comes behind it must not be applied either.
        `DELETE FROM holdpoint.migration WHERE name > '${name}'`,
      );
      const before = (await client.query(MIGRATIONS)).rows;
      expect(await failure(open())).toMatchObject({
        code: "database_unavailable",
        message: expect.stringMatching(new RegExp(`${name} was applied in another wording`)) as string,
      });
      expect((await client.query(MIGRATIONS)).rows).toEqual(before);
    },
  );

  test("refuses a database that a newer release has migrated, naming what it does not know", async () => {
    const { open, client } = await database(
      "INSERT INTO holdpoint.migration (number, name, checksum) VALUES (9000, '9000_tomorrow.sql', 'x')",
    );
    const before = (await client.query(MIGRATIONS)).rows;
    expect(await failure(open())).toMatchObject({
      code: "database_unavailable",
      message: expect.stringMatching(/newer than this Holdpoint.*9000_tomorrow\.sql/) as string,
    });
    expect((await client.query(MIGRATIONS)).rows).toEqual(before);
  });
});
