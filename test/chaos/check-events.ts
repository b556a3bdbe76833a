/** Invariant 7: every reader sees every committed event once, in order; every run ends once. */
import type { Evidence, LoggedEvent, Reading, Seen } from "./evidence.js";
import { fault, groupBy, type Fault } from "./verdict.js";

const TERMINAL = ["interrupted", "stopped", "error", "end"];
/** Those that are void where their attempt is never committed, and then in no log. */
const LIVE = ["progress", "delta", "custom", "restart"];

type Logged = LoggedEvent & { readonly run: string | null };

function committed({ tables }: Evidence): Map<string, Logged[]> {
  const logs = groupBy(tables.log, (row) => row.thread_id);
  return new Map(
    [...logs].map(([thread, rows]) => [
      thread,
      rows.flatMap((row) => row.events.map((event) => ({ ...event, run: row.run_id }))),
    ]),
  );
}

/** The log is in the order of its numbers, and each run's last event is its only terminal one. */
export function checkLog(evidence: Evidence): Fault[] {
  const logs = committed(evidence);
  const faults: Fault[] = [];
  for (const [thread, events] of logs) {
    for (const [i, { seq }] of events.entries()) {
      const before = events[i - 1]?.seq ?? 0;
      if (seq <= before)
        faults.push(fault("events out of order", thread, `${seq} is logged after ${before}`));
    }
  }
  for (const { thread_id: thread, run_id: run, last_seq, started_at } of evidence.tables.runs) {
    const events = (logs.get(thread) ?? []).filter((event) => event.run === run);
    const ends = events.filter(({ eventType }) => TERMINAL.includes(eventType));
    // What is answered or stopped between runs belongs to the run that asked.
    const last = events.findLast(({ eventType }) => eventType !== "decision");
    // A run that was dropped from the queue has no events of its own.
    if (started_at === null && events.length === 0) continue;
    const right = ends.length === 1 && ends[0] === last && last?.seq === last_seq;
    if (!right)
      faults.push(
        fault(
          "terminal event",
          thread,
          `run ${run} (to ${last_seq ?? "?"}): ${JSON.stringify(ends.map(({ seq }) => seq))}`,
        ),
      );
  }
  return faults;
}

export function checkReadings(evidence: Evidence): Fault[] {
  const logs = committed(evidence);
  const readings = groupBy(evidence.readings, ({ thread }) => thread);
  return [...readings].flatMap(([thread, all]) => [
    ...all.flatMap((reading) => readingFaults(reading, logs.get(thread) ?? [])),
    ...differences(thread, all),
  ]);
}

function readingFaults(reading: Reading, log: readonly Logged[]): Fault[] {
  const { name, thread, after, seen, complete } = reading;
  const faults: Fault[] = [];
  if (!complete) faults.push(fault("reading not over", thread, `${name} did not come to the end`));
  for (const [i, { id }] of seen.entries()) {
    const before = seen[i - 1]?.id ?? after;
    if (id <= before) faults.push(fault("events out of order", thread, `${name} got ${id} after ${before}`));
  }
  const got = new Map(seen.map((event) => [event.id, event]));
  const last = complete ? Infinity : (seen.at(-1)?.id ?? after);
  for (const event of log) {
    if (event.seq <= after || event.seq > last || event.eventType === "delta") continue;
    const same = got.get(event.seq);
    if (same === undefined)
      faults.push(fault("event missed", thread, `${name} missed ${event.seq} (${event.eventType})`));
    else if (nameOf(same) !== nameOf(asSeen(event)))
      faults.push(
        fault("event invented", thread, `${name} got ${nameOf(same)}, the log has ${nameOf(asSeen(event))}`),
      );
  }
  const known = new Set(log.map(({ seq }) => seq));
  for (const event of seen) {
    if (!known.has(event.id) && !LIVE.includes(event.type))
      faults.push(fault("event invented", thread, `${name} got ${nameOf(event)}, which is in no log`));
  }
  return faults;
}

/** Readers of one thread see one event under one number, those that were void too. */
function differences(thread: string, readings: readonly Reading[]): Fault[] {
  const first = new Map<number, Seen>();
  const faults: Fault[] = [];
  for (const { name, seen } of readings) {
    for (const event of seen) {
      const other = first.get(event.id);
      if (other === undefined) first.set(event.id, event);
      else if (nameOf(other) !== nameOf(event))
        faults.push(
          fault("event invented", thread, `${name} got ${nameOf(event)}, another reader ${nameOf(other)}`),
        );
    }
  }
  return faults;
}

const asSeen = ({ seq, eventType, run, nodeName }: Logged): Seen => ({
  id: seq,
  type: eventType,
  run,
  node: nodeName,
});
const nameOf = ({ id, type, run, node }: Seen): string => `${id} ${type} of ${node ?? "-"} in ${run ?? "-"}`;
