/** A chaos in a few lines, for people. */
import type { Tally } from "./client.js";
import type { ServerLog } from "./cluster.js";
import type { Evidence } from "./evidence.js";
import type { Mischief } from "./monkey.js";
import { groupBy, type Verdict } from "./verdict.js";

const WARN = 40;

export function summary(of: {
  seconds: Readonly<Record<string, number>>;
  evidence: Evidence;
  verdict: Verdict;
  mischief: Mischief;
  tally: Tally;
  logs: readonly ServerLog[];
}): string {
  const { evidence, verdict, mischief, tally, logs } = of;
  const { tables, readings, ledger } = evidence;
  const lines = logs.flatMap((log) => log.lines);
  const said = (text: string): number => lines.filter(({ msg }) => String(msg).startsWith(text)).length;
  const facts = (name: string): number => ledger.filter(({ fact }) => fact === name).length;
  const warnings = groupBy(
    lines.filter(({ level }) => Number(level) >= WARN),
    ({ level, msg }) => `${String(level)} ${String(msg).slice(0, 100)}`,
  );
  const rows: [string, Readonly<Record<string, number>>][] = [
    ["seconds", of.seconds],
    ["done to servers", { ...mischief, takeovers: said("took over a run") }],
    ["threads", count(tables.threads, ({ status }) => status)],
    ["runs", { all: tables.runs.length, ...count(tables.runs, ({ status }) => status) }],
    ["interrupts", count(tables.interrupts, ({ kind, status }) => `${kind} ${status}`)],
    ["requests", Object.fromEntries([...tally.counts].sort())],
    [
      "facts",
      { attempts: facts("begun"), ended: facts("ended"), effects: facts("effect"), gated: facts("gated") },
    ],
    ["readers", { all: readings.length, events: readings.reduce((sum, { seen }) => sum + seen.length, 0) }],
    ["effects made twice, in doubt", { ...verdict.doubts }],
    ["faults", count(verdict.faults, ({ check }) => check)],
    ["log", Object.fromEntries([...warnings].map(([text, all]) => [text, all.length]))],
  ];
  return rows.map(([name, counts]) => `${name}: ${inWords(counts)}`).join("\n");
}

function count<T>(items: readonly T[], name: (item: T) => string): Record<string, number> {
  return Object.fromEntries([...groupBy(items, name)].map(([key, all]) => [key, all.length]).sort());
}

const inWords = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, many]) => `${name} ${many}`)
    .join(", ") || "none";
