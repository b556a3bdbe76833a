/** (c) What a step costs on a short and on a long thread, and a turn that must load it. */
import { contest } from "../lib/contest.mjs";
import { digits, median, spread, spreadText, table } from "../lib/stats.mjs";

const SIZES = [10, 10_000];
const KINDS = [
  { name: "floor: one row a step; a turn selects all", make: "rows", role: "floor" },
  { name: "Holdpoint", make: "holdpoint", role: "holdpoint" },
  { name: "LangGraph, PostgresSaver", make: "langgraph", role: "peer" },
];
const nameOf = (kind, size) => `${kind.name}, ${digits(size)} messages`;

const stepMs = (all) => all.map(({ latencies }) => median(latencies));
const turnMs = (all) => all.map(({ turns }) => median(turns));
const walBytes = (all) => all.map(({ wal, ops }) => wal / ops);
const ratios = (a, b) => a.map((value, i) => value / b[i]);

async function run({ env, ...options }) {
  // One after the other: the write-ahead log is the whole server's.
  const contestants = KINDS.flatMap((kind) =>
    SIZES.map((messages) => ({
      ...kind,
      name: nameOf(kind, messages),
      file: "growth",
      options: { messages },
    })),
  );
  const samples = await contest({ name: "growth", contestants }, env, options);
  const of = (i, size) => samples.get(nameOf(KINDS[i], size));
  const rows = contestants.map(({ name, role }) => {
    const all = samples.get(name);
    return [
      role === "holdpoint" ? `**${name}**` : name,
      spreadText(stepMs(all)),
      spreadText(walBytes(all)),
      spreadText(turnMs(all)),
    ];
  });
  const goal = (text, values, limit) => ({
    text,
    measured: spreadText(values),
    met: spread(values).median <= limit,
  });
  return {
    table: table(["what", "one step, ms", "WAL, bytes a step", "one turn with loading, ms"], rows),
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
  warmMs: 3000,
  windowMs: 1500,
  run,
};
