/** What PostgreSQL says when it cannot work now, and what the adapter makes of it. All of it is said by a real one. */
import pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import { PgDatabase, type PgOptions } from "../../src/checkpoint/postgres/pg-database.js";
import { newPostgresDatabase } from "../support/databases.js";
import { failure } from "../support/latch.js";
import { until } from "../support/poll.js";
import { startProxy } from "../support/proxy.js";

async function opened(url: string, of: Partial<PgOptions> = {}): Promise<PgDatabase> {
  const database = new PgDatabase({ url, waitMs: 0, ...of });
  await database.open(() => Promise.resolve());
  onTestFinished(() => database.close());
  return database;
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  onTestFinished(() => client.end().catch(() => undefined));
  return client;
}

describe("a statement that met another transaction", () => {
  /** Fails so often, and then answers; sequences are not rolled back. */
  const failing = (code: string, times: number): string => `
    CREATE SEQUENCE tries;
    CREATE FUNCTION meet() RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
      try bigint := nextval('tries');
    BEGIN
      IF try <= ${times} THEN RAISE EXCEPTION 'met' USING ERRCODE = '${code}'; END IF;
      RETURN try;
    END $$`;

  test.each(["40001", "40P01"])(
    "(%s) is tried again by the adapter: nothing of it was done",
    async (code) => {
      const url = await newPostgresDatabase();
      const database = await opened(url);
      await (await connected(url)).query(failing(code, 3));
      expect(await database.query("SELECT meet() AS try")).toEqual([{ try: 4 }]);
    },
  );

  test.each(["40001", "40P01"])("(%s) each time is a database that is away, not a fault", async (code) => {
    const url = await newPostgresDatabase();
    const database = await opened(url);
    const client = await connected(url);
    await client.query(failing(code, 1000));
    expect(await failure(database.query("SELECT meet()"))).toMatchObject({ code: "database_unavailable" });
    const { rows } = await client.query<{ tries: string }>("SELECT last_value AS tries FROM tries");
    expect(Number(rows[0]?.tries)).toBeGreaterThan(3);
    expect(Number(rows[0]?.tries)).toBeLessThan(30);
  });

  test("in a deadlock is done when the other has gone through", async () => {
    const url = await newPostgresDatabase();
    const other = await connected(url);
    // The adapter's: time for the other to come, on a busy machine too.
    await other.query(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET deadlock_timeout = '3s'`);
    const database = await opened(url);
    await other.query(`
      CREATE TABLE n (id integer PRIMARY KEY, value integer NOT NULL);
      INSERT INTO n VALUES (1, 0), (2, 0);
      CREATE FUNCTION two_rows() RETURNS void LANGUAGE plpgsql AS $$
      BEGIN
        UPDATE n SET value = value + 10 WHERE id = 2;
        UPDATE n SET value = value + 10 WHERE id = 1;
      END $$`);
    // Of two that wait for each other the one that looks first gives way: the adapter's.
    await other.query("SET deadlock_timeout = '60s'");
    await other.query("BEGIN");
    await other.query("UPDATE n SET value = value + 1 WHERE id = 1");
    const ours = database.query("SELECT two_rows()");
    const watcher = await connected(url);
    await until("the adapter's statement waits", async () => {
      const { rowCount } = await watcher.query(
        "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT two_rows()' AND wait_event_type = 'Lock'",
      );
      return rowCount === 1;
    });
    await other.query("UPDATE n SET value = value + 1 WHERE id = 2");
    await other.query("COMMIT");
    await ours;
    const { rows } = await other.query("SELECT value FROM n ORDER BY id");
    expect(rows).toEqual([{ value: 11 }, { value: 11 }]);
  });

  test("in several statements under a lock is done whole, once", async () => {
    const url = await newPostgresDatabase();
    const database = await opened(url);
    const client = await connected(url);
    await client.query(`${failing("40001", 2)}; CREATE TABLE done (n integer)`);
    const given = await database.exclusively(1, async (run) => {
      await run("INSERT INTO done VALUES (1)");
      await run("SELECT meet()");
      return "done";
    });
    expect(given).toBe("done");
    expect((await client.query("SELECT n FROM done")).rows).toEqual([{ n: 1 }]);
  });
});

describe("what the database says", () => {
  test.each([
    ["08006", "a connection that failed"],
    ["25006", "a standby"],
    ["25P03", "idle in a transaction for too long"],
    ["40003", "nobody knows whether it was done"],
    ["53100", "a full disk"],
    ["53200", "no memory"],
    ["53300", "too many connections"],
    ["55P03", "a lock timeout"],
    ["57014", "a statement timeout"],
    ["57P01", "a shutdown"],
    ["57P02", "a crash of another backend"],
    ["57P03", "not yet started"],
    ["57P05", "idle for too long"],
    ["58030", "an I/O error"],
    ["28P01", "a password that was taken before"],
  ])("%s (%s) means that it is away", async (code) => {
    const url = await newPostgresDatabase();
    const database = await opened(url);
    await (
      await connected(url)
    ).query(
      `CREATE FUNCTION say() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '${code}'; END $$`,
    );
    const error = await failure(database.query("SELECT say()"));
    expect(error).toMatchObject({ code: "database_unavailable", category: "unavailable" });
    expect(String(error)).toContain("so it is");
  });

  test.each(["22P02", "23505", "42601", "XX000"])("%s is a fault, and stays one", async (code) => {
    const url = await newPostgresDatabase();
    const database = await opened(url);
    await (
      await connected(url)
    ).query(
      `CREATE FUNCTION say() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '${code}'; END $$`,
    );
    expect(await failure(database.query("SELECT say()"))).toMatchObject({ code });
  });
});

describe("a statement without an answer", () => {
  test("counts as lost after the query timeout, and holds up no other", async () => {
    const database = await opened(await newPostgresDatabase(), { queryTimeoutMs: 300, poolSize: 1 });
    const asked = Date.now();
    const error = await failure(database.query("SELECT pg_sleep(30)"));
    expect(error).toMatchObject({ code: "database_unavailable" });
    expect(Date.now() - asked).toBeLessThan(5000);
    expect(await database.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
  });

  test("may have a shorter time of its own", async () => {
    const database = await opened(await newPostgresDatabase());
    const asked = Date.now();
    await failure(database.query("SELECT pg_sleep(30)", [], { timeoutMs: 200 }));
    expect(Date.now() - asked).toBeLessThan(5000);
  });

  test("in a pool that is full lets urgent ones pass, and makes the others give up in time", async () => {
    const database = await opened(await newPostgresDatabase(), { poolSize: 1 });
    const long = database.query("SELECT pg_sleep(7)");
    expect(await database.query("SELECT 1 AS one", [], { urgent: true })).toEqual([{ one: 1 }]);
    expect(await failure(database.query("SELECT 1"))).toMatchObject({ code: "database_unavailable" });
    await long;
  });

  test("does not keep a close waiting for ever", async () => {
    const database = await opened(await newPostgresDatabase());
    const long = failure(database.query("SELECT pg_sleep(30)", [], { timeoutMs: 8000 }));
    const asked = Date.now();
    await database.close();
    expect(Date.now() - asked).toBeLessThan(6000);
    // It is no database that may come back.
    expect((await failure(database.query("SELECT 1"))).constructor.name).toBe("StorageClosed");
    expect((await long).code).toBe("database_unavailable");
  }, 20_000);
});

test("a connection that breaks between two statements of a transaction ends that, not the process", async () => {
  const proxy = await startProxy(await newPostgresDatabase());
  const database = await opened(proxy.url);
  const error = await failure(
    database.exclusively(1, async (run) => {
      await run("SELECT 1");
      proxy.cut();
      await new Promise((resolve) => setTimeout(resolve, 50));
      return run("SELECT 2");
    }),
  );
  expect(error).toMatchObject({ code: "database_unavailable" });
  proxy.mend();
  expect(await database.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
});
