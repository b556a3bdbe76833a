/** What the machine can do without any engine. */
import pg from "pg";
import { newId, repeat } from "../lib/loops.mjs";

const FLUSHED = { query_timeout: 30_000 };

/** (a): as many awaited function calls. */
export async function calls({ nodes = 10 }) {
  const work = Array.from({ length: nodes }, () => async ({ n }) => ({ n: n + 1 }));
  return {
    round: (ms) =>
      repeat(ms, 1, async () => {
        // Many at a time: one alone is shorter than the clock is fine.
        for (let i = 0; i < 1000; i++) {
          let state = { n: 0 };
          for (const node of work) state = await node(state);
          if (state.n !== nodes) throw new Error("it counted wrong");
        }
        return nodes * 1000;
      }),
  };
}

const TABLES = `
  CREATE SCHEMA IF NOT EXISTS floor;
  CREATE TABLE IF NOT EXISTS floor.step (thread text, seq bigint, node text, state text, PRIMARY KEY (thread, seq));
  CREATE TABLE IF NOT EXISTS floor.head (thread text PRIMARY KEY, seq bigint NOT NULL, status text NOT NULL, node text);
  CREATE TABLE IF NOT EXISTS floor.message (thread text, ord bigint, role text, content text, PRIMARY KEY (thread, ord));`;

const STEP = `
  WITH step AS (INSERT INTO floor.step (thread, seq, node, state) VALUES ($1, $2, $3, $4))
  INSERT INTO floor.head (thread, seq, status, node) VALUES ($1, $2, $5, $3)
  ON CONFLICT (thread) DO UPDATE SET seq = excluded.seq, status = excluded.status, node = excluded.node`;

async function pool(url, max) {
  const made = new pg.Pool({ connectionString: url, max, ...FLUSHED });
  const client = await made.connect();
  await client.query("SELECT pg_advisory_lock(7)");
  await client.query(TABLES);
  await client.query("SELECT pg_advisory_unlock(7)");
  client.release();
  return made;
}

/** (b): one raw statement a step, which writes the step and the head of its thread. */
export async function rawSteps({ url, nodes = 10, concurrency = 1 }) {
  const db = await pool(url, 10);
  return {
    round: (ms, callers = concurrency) =>
      repeat(ms, callers, async () => {
        const thread = newId();
        for (let n = 1; n <= nodes; n++)
          await db.query({ name: "step", text: STEP, values: [thread, n, `N${n}`, `{"n":${n}}`, "running"] });
        return nodes;
      }),
    close: () => db.end(),
  };
}

/** (b): one row a step and nothing else. */
export async function rawInserts({ url, nodes = 10, concurrency = 1 }) {
  const db = await pool(url, 10);
  const text = "INSERT INTO floor.step (thread, seq, node, state) VALUES ($1, $2, $3, $4)";
  return {
    round: (ms, callers = concurrency) =>
      repeat(ms, callers, async () => {
        const thread = newId();
        for (let n = 1; n <= nodes; n++)
          await db.query({ name: "insert", text, values: [thread, n, `N${n}`, `{"n":${n}}`] });
        return nodes;
      }),
    close: () => db.end(),
  };
}

/** (d): start: two statements (input, step with its hold); resume: a read and one statement. */
export async function rawHeld({ url }) {
  const db = await pool(url, 10);
  const write = (thread, seq, node, status) =>
    db.query({ name: "step", text: STEP, values: [thread, seq, node, `{"n":${seq}}`, status] });
  return {
    round: (ms, callers = 1) =>
      repeat(ms, callers, async () => {
        const thread = newId();
        await write(thread, 1, "start", "running");
        await write(thread, 2, "A", "interrupted");
        await db.query({
          name: "load",
          text: "SELECT h.*, s.state FROM floor.head h JOIN floor.step s ON s.thread = h.thread AND s.seq = h.seq WHERE h.thread = $1",
          values: [thread],
        });
        await write(thread, 3, "B", "completed");
      }),
    close: () => db.end(),
  };
}
