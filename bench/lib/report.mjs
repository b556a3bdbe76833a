/** What a contest came to: a table, and whether the goals are met. */
import { digits, median, quantile, spread, spreadText, table } from "./stats.mjs";

const perOp = ({ ms, ops }) => (ms * 1000) / ops;
const rate = ({ ms, ops }) => (ops * 1000) / ms;

const cpuPerEvent = ({ cpuUs, events }) => cpuUs / events;

/** Ratios of the same round: how many times as fast as `other`. */
const timesAsFast = (ours, theirs) => ours.map((sample, i) => rate(sample) / rate(theirs[i]));

export function report(work, samples) {
  const of = (name) => samples.get(name);
  const ours = of(work.contestants.find(({ role }) => role === "holdpoint").name);
  const hasEvents = ours.some(({ events }) => events !== undefined);
  const rows = work.contestants.map(({ name, role }) => {
    const all = of(name);
    const latencies = all.flatMap(({ latencies = [] }) => latencies);
    const first = all.flatMap(({ first = [] }) => first);
    return [
      role === "holdpoint" ? `**${name}**` : name,
      spreadText(all.map(rate)),
      spreadText(all.map(perOp)),
      digits(median(all.map(({ cpuUs, ops }) => cpuUs / ops))),
      latencies.length === 0
        ? "–"
        : `${digits(quantile(latencies, 0.5))} / ${digits(quantile(latencies, 0.99))}`,
      latencies.length.toLocaleString("en-US"),
      ...(hasEvents
        ? [
            `${digits(quantile(first, 0.5))} / ${digits(quantile(first, 0.99))}`,
            digits(median(all.map(({ events, ms }) => (events * 1000) / ms))),
            digits(median(all.map(cpuPerEvent))),
          ]
        : []),
      role === "holdpoint" ? "1" : spreadText(timesAsFast(ours, all)),
    ];
  });
  const head = [
    "what",
    `${work.unit}s/s`,
    `µs a ${work.unit}`,
    `CPU, µs a ${work.unit}`,
    "call p50 / p99, ms",
    "calls",
    ...(hasEvents ? ["first data p50 / p99, ms", "events/s", "CPU, µs an event"] : []),
    "Holdpoint is × as fast",
  ];
  const goals = work.goals.map((goal) => {
    const value = spread(valuesOf(goal, ours, of));
    const met = goal.times === undefined ? value.median <= limitOf(goal) : value.median >= goal.times;
    const measured = `${digits(value.median)} (${digits(value.min)}–${digits(value.max)})`;
    return { text: goal.text, measured, met };
  });
  return { table: table(head, rows), goals };
}

const limitOf = ({ us, firstMs, cpuPerEvent: cpu }) => us ?? firstMs ?? cpu;

/** Each round's value of what a goal is about. */
function valuesOf(goal, ours, of) {
  if (goal.over !== undefined) return timesAsFast(ours, of(goal.over));
  if (goal.us !== undefined) return ours.map(perOp);
  if (goal.firstMs !== undefined) return ours.map(({ first }) => quantile(first, 0.5));
  return ours.map(cpuPerEvent);
}

export const goalLines = (goals) =>
  goals.map(({ text, measured, met }) => `- ${met ? "met" : "**not met**"}: ${text}; measured ${measured}`);
