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

/** Makes a database as the release of so many migrations left it. */
async function release(client: pg.Client, count: number): Promise<void> {
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
    await release(client, count);
    await open();
    expect((await client.query(MIGRATIONS)).rows.map(({ name }: { name: string }) => name)).toEqual(files);
    const late = "holdpoint.record_v1(text, text, bigint, text, text, text)";
    const { rows } = await client.query(`SELECT prosrc FROM pg_proc WHERE oid = '${late}'::regprocedure`);
    expect(rows[0].prosrc).toContain("seq_limit + 1");
  });

  test("keeps stops that were asked before it, and those that servers of the former release ask (invariant 6)", async () => {
    const { open, client } = await database();
    await release(client, 9);
    for (const [thread, stop] of [
      ["asked", "now"],
      ["going", null],
    ]) {
      await client.query(
        "INSERT INTO holdpoint.thread (tenant, thread_id, status, metadata, run_id, epoch, seq, seq_limit, position, created_at, updated_at) VALUES ('t', $1, 'running', '{}', 'r', 1, 1, 1, '{}', now(), now())",
        [thread],
      );
      await client.query(
        "INSERT INTO holdpoint.run (tenant, thread_id, run_id, graph, status, resumes, recursion_limit, metadata, first_seq, first_step, stop_mode, stop, created_at) VALUES ('t', $1, 'r', 'g', 'running', false, 9, '{}', 1, 0, $2, '{}', now())",
        [thread, stop],
      );
    }
    await open();
    const heed = async (): Promise<unknown[]> =>
      (await client.query("SELECT thread_id, heed FROM holdpoint.thread ORDER BY thread_id")).rows;
    expect(await heed()).toEqual([
      { thread_id: "asked", heed: true },
      { thread_id: "going", heed: false },
    ]);
    await client.query("SELECT holdpoint.request_stop_v1('t', 'going', 'now', '{}')");
    expect(await heed()).toContainEqual({ thread_id: "going", heed: true });
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
