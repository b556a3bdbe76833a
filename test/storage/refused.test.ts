/** A write that the database refuses for good: too much at once, or what it cannot hold. Sending it again would not help. */
import { readFileSync } from "node:fs";
import { END, START, StateGraph, type NodeContext } from "holdpoint";
import { beforeAll, describe, expect, inject, test } from "vitest";
import { z } from "zod";
import type { Database } from "../../src/checkpoint/postgres/database.js";
import { PgCheckpointer, PgliteDatabase } from "../../src/checkpoint/postgres/index.js";
import { PgDatabase } from "../../src/checkpoint/postgres/pg-database.js";
import { newPostgresDatabase } from "../support/databases.js";
import { expectProblem, served, unique, type Body } from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { until } from "../support/poll.js";

/** What a trigger refuses as PostgreSQL refuses what is too large: so most cases need not send that much. */
const BAD = "too-much-of-it";
/** As JSON more than the 256 MB that jsonb holds: the changed field, and the whole state. The embedded database would refuse it as well, after a minute. */
const tooMuch = (kind: string): string => (kind === "embedded" ? BAD : "\0".repeat(25_000_000));

const state = z.object({
  text: z.string().default(""),
  log: z.array(z.string()).default([]),
  value: z.unknown().default(null),
});
const graphOf = () =>
  new StateGraph({ state, reducers: { log: (log: string[], more: string[]) => [...log, ...more] } });

async function openDatabase(kind: string): Promise<Database> {
  const database =
    kind === "embedded"
      ? new PgliteDatabase({ dataDir: null, loadDataDir: new Blob([readFileSync(inject("embeddedDump"))]) })
      : new PgDatabase({ url: await newPostgresDatabase(), waitMs: 0 });
  return database;
}

describe.each(["PostgreSQL", "embedded"])("on %s", (kind) => {
  let database: Database;
  const server = served({}, async () => {
    database = await openDatabase(kind);
    const checkpointer = new PgCheckpointer({ database });
    await checkpointer.open();
    // No heartbeat comes in time to give a run back: what ends it is its refusal.
    return { checkpointer, options: { leaseMs: 3_600_000, heartbeatMs: 1_000_000 } };
  });

  beforeAll(async () => {
    await database.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF to_jsonb(NEW)::text LIKE '%${BAD}%' THEN
        RAISE EXCEPTION 'total size of jsonb object elements exceeds the maximum' USING ERRCODE = 'program_limit_exceeded';
      END IF;
      RETURN NEW; END $$`);
    for (const table of ["log", "message", "interrupt", "task_record"])
      await database.query(
        `CREATE TRIGGER refuse BEFORE INSERT ON holdpoint.${table} FOR EACH ROW EXECUTE FUNCTION refuse()`,
      );
  });

  const run = async (thread: string, graph: string): Promise<Body> =>
    (await server.post(`/threads/${thread}/run`, { graph })).body;
  const resume = async (thread: string, body = {}): Promise<Body> =>
    (await server.post(`/threads/${thread}/resume`, body)).body;

  test("an output beyond the limits of the database fails its run at once, and nothing of it is kept", async () => {
    let [ran, text] = [0, tooMuch(kind)];
    const graph = server.add(
      graphOf()
        .addNode("FIRST", () => ({ log: ["FIRST"] }))
        .addNode("WORK", () => (ran++, { text }))
        .addEdge(START, "FIRST")
        .addEdge("FIRST", "WORK")
        .addEdge("WORK", END)
        .compile(),
    );
    const thread = unique("t");
    const failed = await run(thread, graph);
    expect(failed).toMatchObject({ status: "error", next_nodes: ["WORK"], step: 1 });
    expect(failed.error).toMatchObject({ code: "not_storable", node: "WORK", attempt: 1, step: 1 });
    expect(failed.error.message).toMatch(/WORK.*exceeds the maximum.*return less/);
    expect(failed.state).toMatchObject({ text: "", log: ["FIRST"] });
    expect(ran).toBe(1);

    text = "\0".repeat(10);
    expect(await resume(thread)).toMatchObject({ status: "completed", state: { text } });
    expect(ran).toBe(2);
  }, 120_000);

  test("what a node emits or says counts as its output; runs committed with it do not suffer", async () => {
    const graph = (node: (ctx: NodeContext) => unknown) =>
      server.add(
        graphOf()
          .addNode("WORK", (_state, ctx) => node(ctx) as never)
          .addEdge(START, "WORK")
          .addEdge("WORK", END)
          .compile(),
      );
    const [emits, says, fine] = [
      graph((ctx) => ctx.emit("note", BAD)),
      graph(() => BAD),
      graph(() => "fine"),
    ];
    const [noted, said, ...others] = await Promise.all(
      [emits, says, fine, fine, fine, fine].map((name) => run(unique("t"), name)),
    );
    for (const failed of [noted, said])
      expect(failed).toMatchObject({ status: "error", error: { code: "not_storable", node: "WORK" } });
    expect(others.map(({ status }) => status)).toEqual(others.map(() => "completed"));
  });

  test("of several nodes in a step only the one whose output is too large runs again", async () => {
    let text = BAD.repeat(10);
    const ran = { SMALL: 0, LARGE: 0 };
    const graph = server.add(
      graphOf()
        .addNode("SMALL", () => (ran.SMALL++, { log: ["SMALL"] }))
        // Not alone too large, where a record of it is made: the record is refused as well.
        .addNode("LARGE", () => (ran.LARGE++, { text }))
        .addEdge(START, "SMALL")
        .addEdge(START, "LARGE")
        .addEdge("SMALL", END)
        .addEdge("LARGE", END)
        .compile(),
    );
    const thread = unique("t");
    for (const trigger of ["ENABLE", "DISABLE"]) {
      await database.query(`ALTER TABLE holdpoint.task_record ${trigger} TRIGGER refuse`);
      const failed = trigger === "ENABLE" ? await run(thread, graph) : await resume(thread);
      expect(failed).toMatchObject({ status: "error", next_nodes: ["LARGE"] });
      expect(failed.error).toMatchObject({ code: "not_storable", node: "LARGE" });
    }
    expect(ran).toEqual({ SMALL: 1, LARGE: 2 });
    text = "less";
    expect(await resume(thread)).toMatchObject({ status: "completed", state: { text, log: ["SMALL"] } });
    expect(ran).toEqual({ SMALL: 1, LARGE: 3 });
    await database.query("ALTER TABLE holdpoint.task_record ENABLE TRIGGER refuse");
  });

  test("a gated node has acted: a resume asks before it runs again", async () => {
    let paid = 0;
    const graph = server.add(
      graphOf()
        .addNode("PAY", () => (paid++, { text: BAD }))
        .addEdge(START, "PAY")
        .addEdge("PAY", END)
        .compile({ interruptBefore: ["PAY"] }),
    );
    const thread = unique("t");
    await run(thread, graph);
    expect(await resume(thread, { decision: "approve" })).toMatchObject({
      status: "error",
      error: { code: "not_storable", node: "PAY" },
    });
    const asked = await resume(thread);
    expect(asked).toMatchObject({
      status: "interrupted_before",
      interrupts: [{ kind: "crash", node: "PAY", data: { attempt: 1, cause: "refused" } }],
    });
    expect(await resume(thread, { decision: "edit", state: { text: "paid" } })).toMatchObject({
      status: "completed",
      state: { text: "paid" },
    });
    expect(paid).toBe(1);
  });

  test("a question that is too large fails the node that asks, and the one beside it is asked by a resume", async () => {
    let data = BAD;
    const graph = server.add(
      graphOf()
        .addNode("ASK", async (_state, ctx) => ({
          value: (await ctx.interrupt({ message: "?", data })).data,
        }))
        .addNode("OTHER", async (_state, ctx) => ({
          value: (await ctx.interrupt({ message: "and you?" })).data,
        }))
        .addEdge(START, "ASK")
        .addEdge(START, "OTHER")
        .addEdge("ASK", END)
        .addEdge("OTHER", END)
        .compile(),
    );
    const thread = unique("t");
    await database.query("ALTER TABLE holdpoint.task_record DISABLE TRIGGER refuse");
    const failed = await run(thread, graph);
    await database.query("ALTER TABLE holdpoint.task_record ENABLE TRIGGER refuse");
    expect(failed).toMatchObject({ status: "error", error: { code: "not_storable", node: "ASK" } });
    data = "less";
    const asked = await resume(thread);
    expect(asked.interrupts.map(({ message }: Body) => message)).toEqual(["?", "and you?"]);
  });

  test("a request that is refused changes nothing; a queued run that cannot begin ends, and the next one begins", async () => {
    const [began, held] = [latch(), latch()];
    const graph = server.add(
      graphOf()
        .addNode("WORK", async () => {
          began.open();
          await held.opened;
        })
        .addEdge(START, "WORK")
        .addEdge("WORK", END)
        .compile(),
    );
    const [fresh, thread] = [unique("t"), unique("t")];
    const input = { text: BAD };
    expectProblem(await server.post(`/threads/${fresh}/run`, { graph, input }), 422, "not_storable");
    expect((await server.get(`/threads/${fresh}`)).status).toBe(404);

    const first = run(thread, graph);
    await began.opened;
    const wait = { Prefer: "respond-async" };
    const queue = async (body: object): Promise<string> =>
      (await server.post(`/threads/${thread}/run`, { graph, on_busy: "enqueue", ...body }, wait)).body.run_id;
    const [bad, good] = [await queue({ input }), await queue({})];
    held.open();
    expect((await first).status).toBe("completed");
    const ended = async (id: string): Promise<Body> =>
      until("the queued run ends", async () => {
        const { body } = await server.get(`/threads/${thread}/runs/${id}`);
        return ["error", "completed"].includes(body.status as string) && body;
      });
    expect(await ended(bad)).toMatchObject({ status: "error", error: { code: "not_storable", node: null } });
    expect(await ended(good)).toMatchObject({ status: "completed" });
  });
});
