/** Invariants 3 and 4: each step is committed once, each task of it once, and nothing that was not done. */
import type { Evidence, LogRow, RunRow, StateOf, ThreadRow } from "./evidence.js";
import type { Fact } from "./ledger.js";
import { SHAPES } from "./shapes.js";
import { fault, groupBy, type Fault } from "./verdict.js";

export function checkSteps({ ledger, tables, states }: Evidence): Fault[] {
  const log = groupBy(tables.log, (row) => row.thread_id);
  const runs = groupBy(tables.runs, (row) => row.thread_id);
  const facts = groupBy(ledger, (each) => each.thread ?? "");
  const rows = new Map(tables.threads.map((row) => [row.thread_id, row]));
  return [
    ...tables.threads.flatMap((row) => stepFaults(row, log.get(row.thread_id) ?? [])),
    ...states.flatMap((state) => [
      ...visitFaults(state, facts.get(state.thread) ?? []),
      ...wayFaults(state, runs.get(state.thread) ?? [], rows.get(state.thread)),
    ]),
  ];
}

/** The thread's steps are 1, 2, 3 and so on, each in one commit. */
function stepFaults({ thread_id: thread, step: last }: ThreadRow, log: readonly LogRow[]): Fault[] {
  const steps = log
    .filter(({ source }) => source === "step")
    .flatMap(({ events }) => events.filter(({ eventType }) => eventType === "update"))
    .map(({ data }) => data.step as number);
  const faults: Fault[] = [];
  for (const step of new Set(steps)) {
    const times = steps.filter((each) => each === step).length;
    if (times > 1) faults.push(fault("step committed twice", thread, `step ${step}, ${times} times`));
  }
  for (let step = 1; step <= Math.max(last, ...steps); step++) {
    if (!steps.includes(step) || step > last)
      faults.push(fault("step lost", thread, `step ${step} of ${last}`));
  }
  return faults;
}

/** What the state says was done: each once, each by an attempt that came to its end. */
function visitFaults({ thread, visits, count, effects }: StateOf, facts: readonly Fact[]): Fault[] {
  const faults: Fault[] = [];
  const twice = visits.filter((task, i) => visits.indexOf(task) !== i);
  for (const task of twice) faults.push(fault("task committed twice", thread, task));
  if (count !== visits.length)
    faults.push(fault("task committed twice", thread, `${visits.length} visits were counted as ${count}`));
  for (const task of visits) {
    if (!facts.some((each) => each.fact === "ended" && each.task === task))
      faults.push(fault("commit without work", thread, `${task} never ended`));
  }
  for (const value of effects) {
    if (!facts.some((each) => each.fact === "recorded" && each.value === value))
      faults.push(fault("commit without work", thread, `the effect ${value} was never recorded`));
  }
  return faults;
}

/** A way from a start to an end has all the visits that its graph wants. */
function wayFaults({ thread, visits }: StateOf, runs: readonly RunRow[], row?: ThreadRow): Fault[] {
  const ways: RunRow[][] = [];
  for (const run of runs) {
    // A run that was dropped from the queue goes no way.
    if (run.started_at === null) continue;
    if (run.resumes) ways.at(-1)?.push(run);
    else ways.push([run]);
  }
  return ways.flatMap((way) => {
    if (way.at(-1)?.status !== "completed") return [];
    const ids = new Set(way.map(({ run_id }) => run_id));
    const mine = visits.filter((task) => ids.has(task.split("/")[0] ?? ""));
    const nodes = groupBy(mine, (task) => task.split("/").at(-1) ?? "");
    const counts = Object.fromEntries([...nodes].map(([node, tasks]) => [node, tasks.length]));
    const graph = row?.graph ?? "";
    if (SHAPES[graph]?.(counts) === true) return [];
    return [fault("wrong way", thread, `${graph}: ${JSON.stringify(counts)} in ${[...ids].join(", ")}`)];
  });
}
