/** Invariant 9 of design: storage. Counted in bytes, not in time. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { END, START, StateGraph } from "holdpoint";
import { z } from "zod";
import pg from "pg";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { newPostgresDatabase } from "../support/databases.js";

const State = z.object({
  turns: z.number().default(0),
  list: z.array(z.string()).default([]),
  ballast: z.string().default(""),
});

/** A loop of `turns` steps; each adds one message of 200 characters, one list item and one changed number. */
const growing = (checkpointer: PgCheckpointer, turns: number) =>
  new StateGraph({ state: State, reducers: { list: (current, update: string[]) => [...current, ...update] } })
    .addNode("GROW", (state) => ({ turns: state.turns + 1, list: ["item"], messages: "m".repeat(200) }))
    .addEdge(START, "GROW")
    .addConditionalEdges("GROW", (state) => state.turns % turns !== 0, { true: "GROW", false: END })
    .compile({ name: "growing", checkpointer });

describe("the bytes of a step grow with what it changed, not with how long the thread is (invariant 9)", () => {
  let url: string;
  let checkpointer: PgCheckpointer;
  let client: pg.Client;

  beforeAll(async () => {
    url = await newPostgresDatabase();
    checkpointer = new PgCheckpointer(url);
    client = new pg.Client({ connectionString: url });
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await checkpointer.close();
  });

  /** What each step of a thread wrote, oldest first. */
  async function bytesOfSteps(
    threadId: string,
  ): Promise<{ step: number; log: number; message: number; whole: boolean }[]> {
    const { rows } = await client.query<{ step: number; log: string; message: string; whole: boolean }>(
      `SELECT l.step, octet_length(l.events) + octet_length(l.ops) + octet_length(l.position) AS log, vals IS NOT NULL AS whole,
          (SELECT sum(octet_length(m.body)) FROM holdpoint.message m WHERE m.thread_id = l.thread_id AND m.seq = l.seq) AS message
        FROM holdpoint.log l WHERE thread_id = $1 AND source = 'step' ORDER BY seq`,
      [threadId],
    );
    return rows.map((row) => ({
      step: row.step,
      log: Number(row.log),
      message: Number(row.message),
      whole: row.whole,
    }));
  }

  test("step 399 writes as much as step 10, with a message, a list item and a number each", async () => {
    await growing(checkpointer, 400).invoke(
      { ballast: "b".repeat(50_000) },
      { threadId: "long", recursionLimit: 500 },
    );
    const steps = await bytesOfSteps("long");
    expect(steps).toHaveLength(400);
    // The last one is written with the end of the run.
    const [early, late] = [steps[9], steps[398]];
    // A few digits of counters are all that grows.
    expect(late?.log).toBeLessThan((early?.log ?? 0) * 1.1);
    expect(late?.message).toBe(early?.message);
  });

  test("the whole state is stored again only once the changes outweigh it", async () => {
    const steps = await bytesOfSteps("long");
    const whole = steps.filter((step) => step.whole).length;
    // 50 KB of state, some 50 bytes of change a step: not once in 400 steps beyond the first time.
    expect(whole).toBeLessThanOrEqual(1);
    await growing(checkpointer, 400).invoke({}, { threadId: "small", recursionLimit: 500 });
    const small = (await bytesOfSteps("small")).filter((step) => step.whole).length;
    expect(small).toBeGreaterThan(1);
    expect(small).toBeLessThan(40);
  });

  test("what is read back is the same either way", async () => {
    for (const threadId of ["long", "small"]) {
      const { state, messages } = await growing(checkpointer, 400).getState({ threadId });
      expect(state.turns).toBe(400);
      expect(state.list).toHaveLength(400);
      expect(messages).toHaveLength(400);
    }
  });

  test("a pause and its answer write no more on a long thread than on a short one", async () => {
    const graph = new StateGraph({ state: State })
      .addNode("ASK", (state) => ({ turns: state.turns + 1 }))
      .addEdge(START, "ASK")
      .addEdge("ASK", END)
      .compile({ name: "asking", checkpointer, interruptBefore: ["ASK"] });
    const logBytes = async (threadId: string): Promise<number> => {
      const { rows } = await client.query<{ bytes: string }>(
        "SELECT sum(octet_length(events) + coalesce(octet_length(ops), 0) + coalesce(octet_length(position), 0)) AS bytes FROM holdpoint.log WHERE thread_id = $1",
        [threadId],
      );
      return Number(rows[0]?.bytes ?? 0);
    };
    const cost = async (threadId: string): Promise<number> => {
      const before = await logBytes(threadId);
      await graph.invoke({}, { threadId });
      await graph.resume({ decision: "approve" }, { threadId });
      return (await logBytes(threadId)) - before;
    };
    const messages = Array.from({ length: 300 }, (_, i) => `message ${i} ${"x".repeat(200)}`);
    await graph.invoke({ messages, ballast: "b".repeat(50_000) }, { threadId: "old" });
    await graph.resume({ decision: "approve" }, { threadId: "old" });
    const fresh = await cost("new");
    expect(await cost("old")).toBeLessThan(fresh + 60);
  });
});
