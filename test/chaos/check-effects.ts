/** What was done outside: effects of `once` are made once, gated actions as often as somebody approved. */
import type { Evidence, InterruptRow, RecordRow } from "./evidence.js";
import type { Fact } from "./ledger.js";
import { fault, groupBy, type Doubts, type Fault } from "./verdict.js";

/** A fact and its place in the ledger. */
interface Line {
  readonly fact: Fact;
  readonly at: number;
}

const keyOf = (thread = "", task = "", key = ""): string => JSON.stringify([thread, task, key]);

export function checkEffects(evidence: Evidence, doubts: Doubts): Fault[] {
  const lines = evidence.ledger.map((fact, at): Line => ({ fact, at }));
  const fates = groupBy(
    lines.filter(({ fact }) => ["killed", "frozen", "continued"].includes(fact.fact)),
    ({ fact }) => String(fact.pid),
  );
  const effects = groupBy(
    lines.filter(({ fact }) => fact.fact === "effect" || fact.fact === "recorded"),
    ({ fact: { thread, task, key } }) => keyOf(thread, task, key),
  );
  const stored = new Map(
    evidence.tables.records.map((row) => [keyOf(row.thread_id, row.task, row.key), row]),
  );
  const excuse: Excuse = (one, two) =>
    wasKilled(one, two, fates, evidence)
      ? "killed"
      : wasFrozen(one, two, fates)
        ? "frozen"
        : wasLate(one, two, evidence)
          ? "late"
          : null;
  return [...effects].flatMap(([key, of]) => [
    ...repetitions(of, excuse, doubts),
    ...strangers(of, stored.get(key)),
  ]);
}

/** Why nobody could know of the first effect when the second was made; null where somebody could. */
type Excuse = (first: Line, second: Line) => keyof Doubts | null;

/** An effect may be made again only if its maker was gone before it could record it. */
function repetitions(lines: readonly Line[], excuse: Excuse, doubts: Doubts): Fault[] {
  const faults: Fault[] = [];
  let made: Line | null = null;
  let recorded: Line | null = null;
  for (const line of lines) {
    if (line.fact.fact === "recorded") {
      recorded ??= line;
      continue;
    }
    if (recorded !== null) faults.push(again(line, `after process ${recorded.fact.pid} had recorded it`));
    else if (made !== null) {
      const gone = excuse(made, line);
      if (gone === null)
        faults.push(again(line, `although process ${made.fact.pid}, which had made it, was well`));
      else doubts[gone]++;
    }
    made = line;
  }
  return faults;
}

const again = ({ fact: { thread = "", task, key, pid } }: Line, why: string): Fault =>
  fault("effect repeated", thread, `"${key ?? ""}" of ${task ?? ""} by process ${pid}, ${why}`);

type Fates = ReadonlyMap<string, readonly Line[]>;

/** Before the second; or just after it, so that the first could not say any more why it was late. */
function wasKilled({ fact: { pid } }: Line, second: Line, fates: Fates, { leaseMs }: Evidence): boolean {
  const killed = fates.get(String(pid))?.find(({ fact }) => fact.fact === "killed");
  return killed !== undefined && (killed.at < second.at || killed.fact.at - second.fact.at < leaseMs);
}

/** Frozen before the second, and not awake again before the first. */
function wasFrozen(first: Line, second: Line, fates: Fates): boolean {
  const its = fates.get(String(first.fact.pid)) ?? [];
  return its.some((freeze) => {
    if (freeze.fact.fact !== "frozen" || freeze.at > second.at) return false;
    const awake = its.find(({ fact, at }) => fact.fact === "continued" && at > freeze.at);
    return awake === undefined || awake.at > first.at;
  });
}

/** A lease may pass while an effect is made; none may be begun after that. */
function wasLate({ fact: { pid, at } }: Line, second: Line, { gaps, leaseMs }: Evidence): boolean {
  return gaps.some(
    (gap) => gap.pid === pid && at >= gap.from && at < gap.from + leaseMs && second.fact.at <= gap.to,
  );
}

/** Every attempt got the same value, the one that is stored. */
function strangers(lines: readonly Line[], row: RecordRow | undefined): Fault[] {
  const got = lines.filter(({ fact }) => fact.fact === "recorded");
  return got.flatMap(({ fact: { thread = "", task = "", key = "", value } }) =>
    value === row?.value
      ? []
      : [
          fault(
            "effect of another attempt",
            thread,
            `"${key}" of ${task} gave ${value ?? ""}, stored is ${JSON.stringify(row?.value)}`,
          ),
        ],
  );
}

/** The k-th time that a gated action was done comes after its k-th approval. */
export function checkGated({ ledger, tables }: Evidence): Fault[] {
  const approvals = groupBy(tables.interrupts.filter(approved), ({ thread_id, task }) =>
    keyOf(thread_id, task),
  );
  const done = groupBy(
    ledger.filter(({ fact }) => fact === "gated"),
    ({ thread, task }) => keyOf(thread, task),
  );
  return [...done].flatMap(([key, facts]) => {
    const times = (approvals.get(key) ?? []).map(({ decided_at }) => decided_at?.getTime() ?? Infinity);
    times.sort((a, b) => a - b);
    return facts.flatMap(({ thread = "", task = "", at }, i) => {
      const time = times[i];
      if (time !== undefined && time <= at) return [];
      const text = `${task} acted for time ${i + 1}, with ${times.filter((each) => each <= at).length} approvals`;
      return [fault("acted without approval", thread, text)];
    });
  });
}

const approved = ({ kind, status, decision }: InterruptRow): boolean =>
  ["before", "request", "crash"].includes(kind) && status === "resolved" && decision?.decision === "approve";
