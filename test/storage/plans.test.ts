/**
 * Requests on a database that is full of other threads of the same tenant: PostgreSQL itself tells by which way it went for each
 * statement, those inside functions too. Nothing that a request does may read what belongs to the others.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { END, START, StateGraph } from "holdpoint";
import { refund } from "../http/graphs.js";
import { serve, unique, type TestServer } from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { startOwnPostgres } from "../support/start-postgres.js";

/** Copies of each row of one story; of many, fewer do. */
const CROWD = 2000;
/** Rows that a statement may read: all those of a thread of this test are fewer. */
const FEW = 200;
/** Of a copy, what must be its own. */
const NAMES = ["thread_id", "id", "run_id", "key", "checkpoint_id", "parent_id", "interrupt_id"];

/** What processes look for by the clock, among the timers of all threads and graphs. */
const BY_THE_CLOCK = /FROM holdpoint\.timer c WHERE c\.(due_at|kind)\b/;

/** Statements that must have been among them. */
const SOME = [
  /^UPDATE holdpoint\.interrupt/,
  /^UPDATE holdpoint\.thread c .* c\.ctid = k\.place/,
  /^UPDATE holdpoint\.run r .* r\.ctid = k\.place/,
  /FROM unnest\(v_made\) .* holdpoint\.tombstone/,
];

interface Node {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Actual Rows"?: number;
  readonly "Actual Loops"?: number;
  readonly "Rows Removed by Filter"?: number;
  readonly Plans?: readonly Node[];
}

test("what a request reads does not grow with the threads of others", { timeout: 120_000 }, async () => {
  const { url, client, ways } = await explained();
  await served(url, story);
  await crowd(client, CROWD);
  await client.query("ANALYZE");
  // Twice and more: the plans of a session's first statements are others than those that it keeps.
  await served(url, async (server) => {
    for (let i = 0; i < 4; i++) await story(server);
    await told(client, true);
    for (let i = 0; i < 4; i++) await story(server);
  });
  expect(await ways()).toEqual([]);
});

test.each([
  ["that there were none", false],
  ["that there were few", true],
])("nor where plans were made when the database knew %s", { timeout: 120_000 }, async (_, isAnalysed) => {
  const { url, client, ways } = await explained();
  await served(url, async (server) => {
    await story(server);
    if (isAnalysed) await client.query("VACUUM ANALYZE");
    for (let i = 0; i < 8; i++) await story(server);
    // Nobody has analysed the tables since: the sessions keep their plans.
    await crowd(client, CROWD / 8);
    await told(client, true);
    for (let i = 0; i < 4; i++) await story(server);
  });
  expect(await ways()).toEqual([]);
});

test("nor with what its own thread has been asked before", { timeout: 120_000 }, async () => {
  const { url, client, ways } = await explained();
  const thread = unique("asked");
  await served(url, async (server) => {
    const graph = server.add(refund());
    await story(server, thread, graph);
    await askedBefore(client, thread, CROWD);
    for (let i = 0; i < 4; i++) await story(server, thread, graph);
    await told(client, true);
    for (let i = 0; i < 4; i++) await story(server, thread, graph);
  });
  expect(await ways()).toEqual([]);
});

interface Explained {
  readonly url: string;
  readonly client: pg.Client;
  /** Stops the server, and gives where a statement has read more than a few rows of a table. */
  readonly ways: () => Promise<readonly string[]>;
}

/** A PostgreSQL that can tell how it went, and analyses nothing by itself. */
async function explained(): Promise<Explained> {
  const folder = mkdtempSync(join(tmpdir(), "holdpoint-plans-"));
  const postgres = await startOwnPostgres(folder, {
    logging_collector: "on",
    log_directory: "log",
    log_filename: "plans.log",
    autovacuum: "off",
    session_preload_libraries: "auto_explain",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
  });
  const client = new pg.Client(postgres.url);
  onTestFinished(async () => {
    await client.end();
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await client.connect();
  const ways = async (): Promise<readonly string[]> => {
    await told(client, false);
    const statements = plansIn(readFileSync(join(folder, "postgres", "db", "log", "plans.log"), "utf8"));
    expect(statements.length).toBeGreaterThan(1000);
    for (const one of SOME)
      expect(
        statements.some(({ sql }) => one.test(sql)),
        String(one),
      ).toBe(true);
    const wide = statements
      .filter(({ sql }) => !BY_THE_CLOCK.test(sql))
      .flatMap(({ sql, plan }) => scans(plan).map((scan) => `${scan}: ${sql}`));
    return [...new Set(wide)];
  };
  return { url: postgres.url, client, ways };
}

/** Whether all sessions tell from now on how they go. */
async function told(client: pg.Client, on: boolean): Promise<void> {
  await client.query(`ALTER SYSTEM SET auto_explain.log_min_duration = ${on ? 0 : -1}`);
  await client.query("SELECT pg_reload_conf()");
}

/** Everything that a client does with a thread. */
async function story(
  server: TestServer,
  thread = unique("thread"),
  graph = server.add(refund()),
): Promise<void> {
  const started = latch();
  const slow = server.add(
    new StateGraph()
      .addNode("WAIT", async (_state, { signal }) => {
        started.open();
        await new Promise((_, reject) =>
          signal.addEventListener("abort", () => reject(new Error("stopped"))),
        );
      })
      .addEdge(START, "WAIT")
      .addEdge("WAIT", END)
      .compile({ name: "slow" }),
  );
  const ok = async (sent: Promise<{ status: number; text: string; body: never }>): Promise<never> => {
    const { status, text, body } = await sent;
    expect(status, text).toBeLessThan(300);
    return body;
  };
  const post = (path: string, body?: unknown, headers?: Record<string, string>) =>
    ok(server.post(`/threads/${thread}${path}`, body, headers) as never) as Promise<Record<string, never>>;

  const key = { "Idempotency-Key": unique("key") };
  const held = await post("/run", { graph, input: { amount: 3, messages: ["please"] } }, key);
  await post("/run", { graph, input: { amount: 3, messages: ["please"] } }, key);
  for (const path of ["", "/state", "/messages", "/checkpoints", "/runs", `/runs/${held.run_id}`])
    await ok(server.get(`/threads/${thread}${path}`) as never);
  const [{ id }] = held.interrupts as unknown as { id: string }[] as [{ id: string }];
  await ok(server.get(`/interrupts/${id}`) as never);
  await ok(server.get("/interrupts?status=open&limit=10") as never);
  await ok(server.get("/threads?limit=10") as never);
  await ok(server.call("PATCH", `/threads/${thread}/state`, { state: { amount: 4 } }) as never);
  const state: Record<string, never> = await ok(server.get(`/threads/${thread}/state`) as never);
  const to = unique("fork");
  await post("/fork", { checkpoint_id: state.checkpoint_id, thread_id: to });
  await ok(server.post(`/interrupts/${id}/decision`, { decision: "approve" }) as never);
  await ok(server.post(`/threads/${to}/resume`) as never);
  await ok(server.post(`/threads/${to}/resume`, { decision: "deny" }) as never);
  await post("/stream", { graph, input: { amount: 5 } });
  await post("/stop", {});

  const busy = unique("busy");
  const waiting = ok(server.post(`/threads/${busy}/run`, { graph: slow }) as never);
  await Promise.race([started.opened, waiting]);
  await server.post(`/threads/${busy}/run`, { graph: slow, on_busy: "queue" }, { Prefer: "respond-async" });
  await ok(server.post(`/threads/${busy}/stop`) as never);
  await waiting;
  await ok(server.call("DELETE", `/threads/${to}`) as never);
  // Their steps go in groups.
  const steps = new StateGraph().addEdge(START, "A").addEdge("C", END);
  for (const node of ["A", "B", "C"]) steps.addNode(node, () => ({ messages: `${node} has been.` }));
  const three = server.add(steps.addEdge("A", "B").addEdge("B", "C").compile({ name: "steps" }));
  const input = { messages: ["please"] };
  await Promise.all(
    Array.from({ length: 6 }, () =>
      ok(server.post(`/threads/${unique("one-of")}/run`, { graph: three, input }) as never),
    ),
  );
}

async function served(url: string, work: (server: TestServer) => Promise<void>): Promise<void> {
  const checkpointer = new PgCheckpointer(url);
  await checkpointer.open();
  const server = await serve({}, { checkpointer });
  try {
    await work(server);
  } finally {
    await server.close();
  }
}

/** Copies all that there is, under other names. */
async function crowd(client: pg.Client, copies: number): Promise<void> {
  // A sweep may have numbered what it found in the inbox: a copy must not have the same number, and wait for none.
  await client.query("UPDATE holdpoint.inbox SET seq = NULL");
  await client.query("SET session_replication_role = replica");
  const { rows } = await client.query<{ name: string; columns: string[] }>(
    `SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
      WHERE c.relnamespace = 'holdpoint'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '' AND a.attgenerated = ''
      GROUP BY 1`,
  );
  for (const { name, columns } of rows) {
    if (!columns.includes("thread_id")) continue;
    const copied = columns.map((column) => (NAMES.includes(column) ? `${column} || '-' || g` : column));
    await client.query(
      `INSERT INTO holdpoint.${name} (${columns.join(", ")}) SELECT ${copied.join(", ")} FROM holdpoint.${name}, generate_series(1, ${copies}) g`,
    );
  }
  await client.query("SELECT FROM ROWS FROM (holdpoint.number_inbox_v1('default', 1000000))");
}

/** Gives a thread many more of the questions, and of the runs, that it had and that are over. */
async function askedBefore(client: pg.Client, thread: string, times: number): Promise<void> {
  const past = async (table: string, own: Readonly<Record<string, string>>): Promise<void> => {
    const { rows } = await client.query<{ name: string }>(
      "SELECT attname AS name FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
      [`holdpoint.${table}`],
    );
    const names = rows.map(({ name }) => name);
    const { rowCount } = await client.query(
      `INSERT INTO holdpoint.${table} (${names.join(", ")}) SELECT ${names.map((name) => own[name] ?? name).join(", ")}
        FROM (SELECT * FROM holdpoint.${table} WHERE thread_id = $1 LIMIT 1) one, generate_series(1, ${times}) g`,
      [thread],
    );
    expect(rowCount, table).toBe(times);
  };
  await past("interrupt", { id: "id || g", task_id: "to_json(g::text)", seq: "-g" });
  await past("run", { run_id: "run_id || g", first_seq: "g" });
}

/** The statements in a server's log, with the ways that it went. */
function plansIn(log: string): { sql: string; plan: Node }[] {
  const found: { sql: string; plan: Node }[] = [];
  for (const part of log.split(/^.*LOG: {2}duration: [\d.]+ ms {2}plan:\n/m).slice(1)) {
    const lines = part.split("\n");
    const end = lines.findIndex((line) => !line.startsWith("\t"));
    const { "Query Text": sql, Plan: plan } = JSON.parse(lines.slice(0, end).join("\n")) as {
      "Query Text": string;
      Plan: Node;
    };
    found.push({ sql: sql.replace(/\s+/g, " "), plan });
  }
  return found;
}

/** Where a plan read more than a few rows of a table. */
function scans(node: Node): string[] {
  const rows =
    ((node["Actual Rows"] ?? 0) + (node["Rows Removed by Filter"] ?? 0)) * (node["Actual Loops"] ?? 1);
  const table = node["Relation Name"];
  const way = [node["Node Type"], node["Index Name"] ?? table].join(" of ");
  return [
    ...(table === undefined || rows <= FEW ? [] : [way]),
    ...(node.Plans ?? []).flatMap((inner) => scans(inner)),
  ];
}
