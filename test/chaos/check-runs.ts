/** Invariants 1, 5, 6, 8: what was accepted is there and took effect, and nobody is left behind. */
import type { Accepted, Evidence, Tables } from "./evidence.js";
import { fault, groupBy, type Fault } from "./verdict.js";

const ACTIVE = ["running", "queued"];

export function checkAccepted({ accepted, tables }: Evidence): Fault[] {
  return accepted.flatMap((each) => {
    switch (each.kind) {
      case "run":
        return runFaults(each, tables);
      case "answer":
        return answerFaults(each, tables);
      case "stop":
        return stopFaults(each, tables);
    }
  });
}

function runFaults({ thread, run, words }: Accepted & { kind: "run" }, { runs }: Tables): Fault[] {
  const row = runs.find((each) => each.run_id === run && each.thread_id === thread);
  if (row === undefined) return [fault("accepted run lost", thread, `${run} has no row`)];
  if (words !== undefined && row.metadata.words !== words)
    return [fault("accepted run lost", thread, `${run} was given for "${words}", and is another's`)];
  return row.ended_at === null || ACTIVE.includes(row.status)
    ? [fault("accepted run lost", thread, `${run} is ${row.status}, and has not ended`)]
    : [];
}

function answerFaults(said: Accepted & { kind: "answer" }, { interrupts }: Tables): Fault[] {
  const row = interrupts.find(({ id }) => id === said.interrupt);
  const { decision, reason } = row?.decision ?? {};
  if (row?.status === "resolved" && decision === said.decision && reason === said.reason) return [];
  const stands = `${row?.status ?? "missing"}: ${JSON.stringify(row?.decision ?? null)}`;
  const text = `"${said.decision}" (${said.reason}) was accepted for ${said.interrupt}, which is ${stands}`;
  return [fault("accepted answer lost", said.thread, text)];
}

function stopFaults(
  { thread, run, cancelled, dropped }: Accepted & { kind: "stop" },
  { runs, interrupts }: Tables,
): Fault[] {
  const faults: Fault[] = [];
  const row = runs.find(({ run_id }) => run_id === run);
  if (run !== null && row?.status !== "stopped")
    faults.push(
      fault("accepted stop lost", thread, `${run} was stopped, and is ${row?.status ?? "missing"}`),
    );
  for (const id of cancelled) {
    const status = interrupts.find((each) => each.id === id)?.status;
    if (status !== "cancelled")
      faults.push(fault("accepted stop lost", thread, `${id} was cancelled, and is ${status ?? "missing"}`));
  }
  for (const id of dropped) {
    const it = runs.find(({ run_id }) => run_id === id);
    if (it?.status !== "stopped" || it.started_at !== null)
      faults.push(
        fault("accepted stop lost", thread, `${id} was dropped, and is ${it?.status ?? "missing"}`),
      );
  }
  return faults;
}

/** A request with a key makes one run, however often it is sent; and what waits is dropped by stops alone. */
export function checkRequests({ tables: { runs }, stopped }: Evidence): Fault[] {
  const faults: Fault[] = [];
  const keyed = runs.filter(({ metadata }) => metadata.words !== undefined);
  for (const [words, made] of groupBy(keyed, ({ metadata }) => metadata.words ?? "")) {
    const [first, ...others] = made.map(({ run_id }) => run_id);
    if (others.length > 0)
      faults.push(
        fault(
          "request done twice",
          made[0]?.thread_id ?? "",
          `"${words}" began ${first ?? ""}, ${others.join(", ")}`,
        ),
      );
  }
  for (const { thread_id: thread, run_id, started_at, ended_at } of runs) {
    if (started_at === null && ended_at !== null && !stopped.includes(thread))
      faults.push(fault("dropped without a stop", thread, `${run_id} never began`));
  }
  return faults;
}

/** Everything has come to rest, and the tables agree about it. */
export function checkRest({ tables: { threads, runs, interrupts } }: Evidence): Fault[] {
  const faults: Fault[] = [];
  const left = (thread: string, text: string): void => void faults.push(fault("left active", thread, text));
  for (const { thread_id, status } of threads) {
    if (ACTIVE.includes(status)) left(thread_id, `the thread is ${status}`);
    const open = interrupts.filter((each) => each.thread_id === thread_id && each.status === "open").length;
    if (status.startsWith("interrupted") !== open > 0)
      left(thread_id, `the thread is ${status} with ${open} open interrupts`);
  }
  for (const { thread_id, run_id, status, ended_at } of runs) {
    if (ended_at === null || ACTIVE.includes(status)) left(thread_id, `run ${run_id} is ${status}`);
  }
  return faults;
}
