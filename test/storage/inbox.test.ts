/** The inbox where several processes write and read it on one PostgreSQL, and where it comes to a database that is in use. */
import { readFileSync, readdirSync } from "node:fs";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import type { InboxEntry } from "../../src/checkpoint/checkpointer.js";
import { newId } from "../../src/runs/ids.js";
import { begin, commit, first, headOf, pause } from "../contract/scenes.js";
import { answerTo, cancel, decide, WORKER } from "../contract/writes.js";
import { newPostgresDatabase } from "../support/databases.js";

async function opened(url: string): Promise<PgCheckpointer> {
  const checkpointer = new PgCheckpointer(url);
  await checkpointer.open();
  onTestFinished(() => checkpointer.close());
  return checkpointer;
}

test("readers that page while others open and decide see each change once, in order, without a hole", async () => {
  const url = await newPostgresDatabase();
  const writers = [await opened(url), await opened(url), await opened(url)];
  await writers[0]?.beat({ id: WORKER, leaseMs: 60_000 });
  const tenant = newId();
  const [threads, rounds] = [8, 12];
  let isDone = false;

  const writing = writers.flatMap((cp) =>
    Array.from({ length: threads }, async () => {
      const ref = { tenant, threadId: newId() };
      for (let i = 0; i < rounds; i++) {
        const run = await begin(cp, { ref });
        const interrupt = first(await pause(cp, run));
        const head = await headOf(cp, ref);
        if (i % 3 > 0) await commit(cp, cancel(head, [interrupt]));
        else
          await commit(cp, { ...decide(head, [answerTo(interrupt)]), head: { ...head, status: "stopped" } });
      }
    }),
  );
  // Each numbers, on a connection of its own, while the others do.
  const reading = writers.map(async (cp) => {
    const seen: InboxEntry[] = [];
    let last = false;
    for (;;) {
      const { seq } = await cp.inbox.edge(tenant);
      const page = await cp.inbox.read(tenant, seen.at(-1)?.seq ?? 0, 1 + (seen.length % 7));
      seen.push(...page);
      if (page.length > 0) continue;
      expect(seen.at(-1)?.seq ?? 0).toBeGreaterThanOrEqual(seq);
      if (last) return seen;
      last = isDone;
    }
  });
  await Promise.all(writing);
  isDone = true;
  const count = writers.length * threads * rounds * 2;
  const [one, ...others] = await Promise.all(reading);
  expect(one?.map(({ seq }) => seq)).toEqual(Array.from({ length: count }, (_, i) => i + 1));
  const short = (seen: readonly InboxEntry[] = []) =>
    seen.map(({ seq, what, interruptId }) => [seq, what, interruptId]);
  for (const other of others) expect(short(other)).toEqual(short(one));
  const open = new Set<string>();
  for (const { what, interruptId } of one ?? [])
    if (what === "opened") open.add(interruptId);
    else expect(open.delete(interruptId)).toBe(true);
  expect(open.size).toBe(0);
});

test("a commit that is late is numbered when it is there, behind those that were read meanwhile", async () => {
  const url = await newPostgresDatabase();
  const cp = await opened(url);
  await cp.beat({ id: WORKER, leaseMs: 60_000 });
  const tenant = newId();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  const run = await begin(cp, { ref: { tenant, threadId: newId() } });
  const [early] = await pause(cp, run);
  await client.query("BEGIN");
  await client.query(
    `INSERT INTO holdpoint.interrupt (tenant, thread_id, id, run_id, graph, seq, task_id, ask_key, status, node, body, message, data, created_at)
      SELECT tenant, thread_id, 'late', run_id, graph, seq, '"late"', ask_key, status, node, body, message, data, created_at FROM holdpoint.interrupt WHERE id = $1`,
    [early?.id],
  );
  const other = await begin(cp, { ref: { tenant, threadId: newId() } });
  const [next] = await pause(cp, other);
  // Nobody waits for the one that is not committed.
  expect(await cp.inbox.edge(tenant)).toEqual({ seq: 2, floor: 0 });
  await client.query("COMMIT");
  expect(await cp.inbox.edge(tenant)).toEqual({ seq: 3, floor: 0 });
  const entries = await cp.inbox.read(tenant, 0, 10);
  expect(entries.map(({ seq, interruptId }) => [seq, interruptId])).toEqual([
    [1, early?.id],
    [2, next?.id],
    [3, "late"],
  ]);
});

test("what waits when a database gets its inbox is in it, the oldest first; what was decided is not", async () => {
  const url = await newPostgresDatabase();
  const cp = await opened(url);
  await cp.beat({ id: WORKER, leaseMs: 60_000 });
  const tenant = newId();
  const asked = [];
  for (let i = 0; i < 3; i++) {
    const run = await begin(cp, { ref: { tenant, threadId: newId() } });
    asked.push({ ref: run.ref, interrupt: first(await pause(cp, run)) });
  }
  const [one, two, three] = asked as [(typeof asked)[0], (typeof asked)[0], (typeof asked)[0]];
  await commit(cp, cancel(await headOf(cp, two.ref), [two.interrupt]));
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  // As it was before: without the table, its triggers and functions.
  await client.query(
    "DROP TABLE holdpoint.inbox, holdpoint.inbox_edge; DROP FUNCTION holdpoint.inbox_v1 CASCADE",
  );
  await client.query("DROP FUNCTION holdpoint.number_inbox_v1; DROP FUNCTION holdpoint.sweep_inbox_v1");
  const folder = new URL("../../migrations/", import.meta.url);
  const [file = ""] = readdirSync(folder).filter((name) => name.endsWith("_inbox.sql"));
  await client.query(readFileSync(new URL(file, folder), "utf8"));
  await cp.inbox.edge(tenant);
  const entries = await cp.inbox.read(tenant, 0, 10);
  expect(entries.map(({ what, interruptId }) => [what, interruptId])).toEqual([
    ["opened", one.interrupt.id],
    ["opened", three.interrupt.id],
  ]);
});
