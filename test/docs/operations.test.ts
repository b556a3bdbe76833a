/** docs/operations.md against a database with a few threads, and against the code that it tells of. */
import { readdirSync, readFileSync } from "node:fs";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { settingsHelp } from "../../src/config.js";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { newPostgresDatabase } from "../support/databases.js";
import { serve, type TestServer } from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { single } from "../http/graphs.js";

const ROOT = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), "utf8");
const page = read("docs/operations.md");
const blocks = [...page.matchAll(/^```sql ?(.*)\n([\s\S]*?)^```$/gm)].map(([, name = "", sql = ""]) => ({
  name,
  sql,
}));

type Row = Record<string, unknown>;
/** What a query of the page must find in the scene; `given` changes the scene for it alone. */
interface Case {
  readonly given?: string;
  /** As the page has it, or with shorter times. */
  readonly as?: (sql: string) => string;
  readonly finds: (rows: readonly Row[]) => void;
}

const AGO = "clock_timestamp() - interval '1 hour'";
const threadsOf = (rows: readonly Row[]) => rows.map((row) => row.thread_id).sort();

const CASES: Readonly<Record<string, Case>> = {
  connections: {
    finds: (rows) => {
      expect(rows.map((row) => Number(row.connections)).reduce((a, b) => a + b, 0)).toBeGreaterThan(1);
      expect(Number(rows[0]?.most)).toBeGreaterThan(0);
    },
  },
  owners: {
    given: `INSERT INTO holdpoint.worker VALUES ('slept', 1000, ${AGO}), ('left', 1000, '-infinity')`,
    finds: (rows) => {
      expect(rows.map(({ is, runs }) => [is, runs])).toEqual([
        ["alive", "1"],
        ["silent", "0"],
        ["gone", "0"],
      ]);
      expect(rows[2]?.silent_for).toBeNull();
    },
  },
  "without-owner": { finds: (rows) => expect(rows).toMatchObject([{ graph: "held", runs: "1" }]) },
  lost: {
    given: "UPDATE holdpoint.run SET lost_count = 2 WHERE thread_id = 'running'",
    finds: (rows) => expect(rows).toMatchObject([{ thread_id: "running", graph: "slow", lost_count: 2 }]),
  },
  queue: { finds: (rows) => expect(rows).toMatchObject([{ graph: "slow", threads: "1", runs: "1" }]) },
  "queued-runs": {
    finds: (rows) =>
      expect(Object.fromEntries(rows.map((row) => [row.thread_is, row.runs]))).toEqual({
        queued: "1",
        running: "1",
      }),
  },
  "after-restore-runs": {
    finds: (rows) => expect(threadsOf(rows)).toEqual(["answered", "queued", "running"]),
  },
  "after-restore-deadlines": {
    given: `UPDATE holdpoint.interrupt SET expires_at = ${AGO} WHERE status = 'open'`,
    finds: (rows) => expect(rows).toMatchObject([{ thread_id: "waiting", graph: "held", node: '"WORK"' }]),
  },
  migrations: {
    finds: (rows) =>
      expect(rows.map(({ name }) => name)).toEqual(readdirSync(new URL("migrations/", ROOT)).sort()),
  },
  unlogged: {
    given: "CREATE UNLOGGED TABLE holdpoint.planted (id text)",
    finds: (rows) => expect(rows).toContainEqual({ relname: "planted" }),
  },
  inbox: { finds: (rows) => expect(rows).toMatchObject([{ graph: "held", open: "1", expire_soon: "1" }]) },
  statuses: {
    finds: (rows) =>
      expect(Object.fromEntries(rows.map((row) => [row.status, row.threads]))).toEqual({
        running: "2",
        queued: "1",
        interrupted_before: "1",
        completed: "1",
      }),
  },
  "quiet-runs": { finds: (rows) => expect(threadsOf(rows)).toEqual(["answered", "running"]) },
  overdue: {
    given: `UPDATE holdpoint.timer SET due_at = ${AGO}`,
    finds: (rows) =>
      expect(rows.map(({ kind }) => kind).sort()).toEqual([
        "interrupt",
        "sweep-inbox",
        "sweep-keys",
        "sweep-workers",
      ]),
  },
  "dead-rows": {
    finds: (rows) => expect(rows.map(({ relname }) => relname)).toContain("thread"),
  },
  "open-transactions": {
    as: (sql) => sql.replace("interval '10 seconds'", "interval '0 seconds'"),
    finds: (rows) =>
      expect(rows).toMatchObject([{ application_name: "dawdler", query: "SELECT 'dawdling'" }]),
  },
};

describe("the queries", () => {
  let server: TestServer;
  let client: pg.Client;
  let dawdler: pg.Client;
  const gate = latch();

  beforeAll(async () => {
    const url = await newPostgresDatabase();
    const began = latch();
    const graphs = {
      quick: single(() => "done"),
      held: single(() => "done", undefined, { interruptBefore: [{ node: "WORK", expiresIn: "30m" }] }),
      slow: single(async () => {
        began.open();
        await gate.opened;
        return "done";
      }),
    };
    const options = { concurrency: 1 };
    server = await serve(graphs, { checkpointer: new PgCheckpointer(url), options });
    const soon = { Prefer: "respond-async" };
    const run = (thread: string, graph: string, more: object = {}) =>
      server.post(`/threads/${thread}/run`, { graph, ...more }, graph === "slow" ? soon : {});
    await run("ended", "quick");
    await run("waiting", "held");
    await run("answered", "held");
    await run("running", "slow");
    await began.opened;
    // The one place is taken.
    await server.post("/threads/answered/resume", { decision: "approve" }, soon);
    await run("queued", "slow");
    await run("running", "slow", { on_busy: "enqueue" });
    client = new pg.Client({ connectionString: url });
    dawdler = new pg.Client({ connectionString: url, application_name: "dawdler" });
    await Promise.all([client.connect(), dawdler.connect()]);
  });
  afterAll(async () => {
    gate.open();
    await Promise.all([client.end(), dawdler.end()]);
    await server.close();
  });

  test("are those that are tested here", () => {
    expect(blocks.map(({ name }) => name).sort()).toEqual(Object.keys(CASES).sort());
  });

  test.each(blocks)("$name finds what it is for, and writes nothing", async ({ name, sql }) => {
    const { given, as = (text) => text, finds } = CASES[name] as Case;
    await dawdler.query("BEGIN");
    await dawdler.query("SELECT 'dawdling'");
    await client.query("BEGIN");
    try {
      if (given !== undefined) await client.query(given);
      await client.query("SET TRANSACTION READ ONLY");
      finds((await client.query<Row>(as(sql))).rows);
    } finally {
      await client.query("ROLLBACK");
      await dawdler.query("ROLLBACK");
    }
  });

  test("two tables are unlogged, and the page says of every table why", async () => {
    const sql = blocks.find(({ name }) => name === "unlogged")?.sql ?? "";
    expect((await client.query(sql)).rows).toEqual([{ relname: "live" }, { relname: "reader" }]);
    const { rows } = await client.query<{ name: string }>(
      "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'holdpoint'",
    );
    const [, section = ""] = /^## What is unlogged.*?$([\s\S]*?)^## /m.exec(page) ?? [];
    const firsts = [...section.matchAll(/^\| (`.*?) \|/gm)].map(([, cell = ""]) => cell);
    const said = firsts.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name));
    expect(said.sort()).toEqual(rows.map(({ name }) => name).sort());
  });
});

describe("what the page says of the code", () => {
  const defaults = new Map(
    [...settingsHelp().matchAll(/^ +--[a-z-]+ +([A-Z_]+): .* \(default (.*)\)$/gm)].map(
      ([, name = "", value = ""]) => [name, value],
    ),
  );
  const named = new Set([...page.matchAll(/\b(?:HOLDPOINT|DATABASE)_[A-Z_]+\b/g)].map(([name]) => name));

  test("every setting that it names is one", () => {
    expect([...named].filter((name) => !defaults.has(name))).toEqual([]);
    expect(named.size).toBeGreaterThan(10);
  });

  test("every default that it names is right, and each setting that has one is named with it", () => {
    const said = [...page.matchAll(/`([A-Z_]+)` \((\w+)\b[^)]*\)/g)].map(([, name, value]) => [name, value]);
    expect(said).toEqual(said.map(([name = ""]) => [name, defaults.get(name)]));
    const told = new Set(said.map(([name]) => name));
    expect([...named].filter((name) => defaults.get(name) !== "none" && !told.has(name))).toEqual([]);
  });

  test("a pod has longer than a drain and what may follow it", () => {
    const seconds = Number(/terminationGracePeriodSeconds: (\d+)/.exec(page)?.[1]);
    expect(seconds * 1000).toBeGreaterThan(Number(defaults.get("HOLDPOINT_DRAIN_MS")) + 10_000);
  });

  test("8 processes need as many connections as it says", () => {
    const [, count, total] = /With the defaults, (\d+) processes need (\d+)/.exec(page) ?? [];
    expect(Number(total)).toBe(Number(count) * (Number(defaults.get("HOLDPOINT_POOL_SIZE")) + 2));
  });

  test.each([
    ["src/checkpoint/postgres/group-commit.ts", "takes 0.92 ms", "0.92 ms"],
    ["src/checkpoint/postgres/group-commit.ts", "3 400 steps/s instead of 2 300", "3 400 steps/s; 2 300"],
    ["src/checkpoint/postgres/group-commit.ts", "patienceMs: 50, lanes: 4", "longer than 50 ms, "],
    ["src/checkpoint/postgres/group-commit.ts", "patienceMs: 50, lanes: 4", "beside it, up to 4."],
    ["src/checkpoint/postgres/notifier.ts", "38 % fewer", "38 % fewer"],
    ["src/checkpoint/postgres/wake-channel.ts", "'synchronous_commit', 'off'", "`synchronous_commit` off"],
    ["src/checkpoint/postgres/pg-database.ts", "CONNECT_MS = 5000", "has waited 5 s for a connection"],
    ["src/runs/execute-run.ts", "CRASH_LOOP = 3", "loses three processes at one step"],
    ["src/runs/timers.ts", "keys: 1000, threads: 100, events: 100", "| 100 threads |"],
    ["src/runs/timers.ts", "SILENT_MS = 7 * 86_400_000", "silent for a week"],
    ["src/runs/timers.ts", "3 * this.#deps.options.leaseMs", "after three leases"],
    ["migrations/0001_tables.sql", "fillfactor = 70", "fillfactor of 70"],
  ])("%s has %j, as the page says", (file, code, words) => {
    expect(read(file).replace(/\s*\n \* /g, " ")).toContain(code);
    expect(page).toContain(words);
  });

  test("its links lead somewhere", () => {
    for (const [, file = "", anchor = ""] of page.matchAll(/\]\(([\w./-]+)(?:#([\w-]+))?\)/g)) {
      const titles = read(`docs/${file}`).matchAll(/^#+ (.*)$/gm);
      const anchors = [...titles].map(([, title = ""]) =>
        title
          .toLowerCase()
          .replace(/[^\w -]/g, "")
          .replaceAll(" ", "-"),
      );
      if (anchor !== "") expect(anchors, file).toContain(anchor);
    }
  });
});
