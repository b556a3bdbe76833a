/** (c) What a step costs on a short and on a long thread, and a turn that must load it. */
import { setTimeout as sleep } from "node:timers/promises";
import { contest } from "../lib/contest.mjs";
import { digits, median, spread, spreadText, table } from "../lib/stats.mjs";

const SIZES = [10, 10_000];
const KINDS = [
  { name: "floor: one row a step; a turn selects all", make: "rows", schema: "floor", role: "floor" },
  { name: "Holdpoint", make: "holdpoint", schema: "holdpoint", role: "holdpoint" },
  { name: "LangGraph, PostgresSaver", make: "langgraph", schema: "langgraph", role: "peer" },
];
const nameOf = (kind, size) => `${kind.name}, ${size.toLocaleString("en-US")} messages`;

/** Steps of the run whose rows are counted: its first and last writes are shared among them. */
const COUNTED = 50;
/** Milliseconds after which PostgreSQL's backends have told what they wrote: one that is idle keeps it for 10 s. */
const TOLD_MS = 11_000;

const stepMs = (all) => all.map(({ latencies }) => median(latencies));
const turnMs = (all) => all.map(({ turns }) => median(turns));
const walBytes = (all) => all.map(({ wal, ops }) => wal / ops);
const ratios = (a, b) => a.map((value, i) => value / b[i]);

/** What a contestant did on threads of one size, round by round. */
const ofSize = (samples, kind, size) =>
  samples.get(kind.name).map(({ short, long }) => (size === SIZES[0] ? short : long));

/** Row versions written so far, by schema. Heartbeats are of time, not of steps. */
async function written(client) {
  const { rows } = await client.query(
    "SELECT schemaname, sum(n_tup_ins + n_tup_upd + n_tup_del) AS rows FROM pg_stat_user_tables WHERE relname <> 'worker' GROUP BY 1",
  );
  return new Map(rows.map((row) => [row.schemaname, Number(row.rows)]));
}

/** Rows a step of each kind and size: kinds write to schemas of their own, sizes come one after the other. */
async function countRows(running, client, tell) {
  const counts = new Map();
  await sleep(TOLD_MS);
  for (const size of SIZES) {
    tell(`growth: rows of a step at ${size} messages`);
    const before = await written(client);
    for (const { ask } of running) await ask({ do: "steps", many: COUNTED, size });
    await sleep(TOLD_MS);
    const after = await written(client);
    for (const { contestant } of running) {
      const { schema } = contestant;
      counts.set(nameOf(contestant, size), (after.get(schema) - before.get(schema)) / COUNTED);
    }
  }
  return counts;
}

async function run({ env, database, ...options }) {
  // One after the other: the write-ahead log is the whole server's.
  const contestants = KINDS.map((kind) => ({ ...kind, file: "growth", options: { sizes: SIZES } }));
  let rowsOf = null;
  const last = async (running) => (rowsOf = await countRows(running, database.client, options.tell));
  const samples = await contest({ name: "growth", contestants, last }, env, options);
  const calls = (all) => all.reduce((sum, { turns }) => sum + turns.length, 0);
  const of = (i, size) => ofSize(samples, KINDS[i], size);
  const rows = KINDS.flatMap((kind) =>
    SIZES.map((size) => {
      const name = nameOf(kind, size);
      const all = ofSize(samples, kind, size);
      return [
        kind.role === "holdpoint" ? `**${name}**` : name,
        spreadText(stepMs(all)),
        spreadText(walBytes(all)),
        digits(rowsOf.get(name)),
        spreadText(turnMs(all)),
        all[0].again.length === 0 ? "as before" : spreadText(all.map(({ again }) => median(again))),
        `${all.reduce((sum, { ops }) => sum + ops, 0)} / ${calls(all)}`,
      ];
    }),
  );
  const goal = (text, values, limit) => ({
    text,
    measured: spreadText(values),
    met: spread(values).median <= limit,
  });
  return {
    table: table(
      [
        "what",
        "one step, ms",
        "WAL, bytes a step",
        "rows a step",
        "one turn with loading, ms",
        "one turn more, ms",
        "steps / turns timed",
      ],
      rows,
    ),
    goals: [
      goal(
        "a step at message 10,000 within 20 % of message 10, in time",
        ratios(stepMs(of(1, 10_000)), stepMs(of(1, 10))),
        1.2,
      ),
      goal(
        "a step at message 10,000 within 20 % of message 10, in WAL",
        ratios(walBytes(of(1, 10_000)), walBytes(of(1, 10))),
        1.2,
      ),
      goal(
        "a step at message 10,000 within 20 % of message 10, in rows",
        [rowsOf.get(nameOf(KINDS[1], 10_000)) / rowsOf.get(nameOf(KINDS[1], 10))],
        1.2,
      ),
      goal("at most 1,536 bytes of WAL a step", walBytes(of(1, 10_000)), 1536),
      goal(
        "a turn at 10,000 messages at most twice the SELECT of the messages",
        ratios(turnMs(of(1, 10_000)), turnMs(of(0, 10_000))),
        2,
      ),
    ],
  };
}

export default {
  name: "growth",
  letter: "c",
  title: "a thread that grows to 10,000 messages",
  needs: "postgres",
  rounds: 5,
  warmMs: 16_000,
  windowMs: 4000,
  run,
};
