/** Every check of the chaos can fail: a whole and quiet evidence, and one forgery for each. */
import { describe, expect, test } from "vitest";
import { judge } from "./checker.js";
import type { Evidence, InterruptRow, LoggedEvent, LogRow, Tables } from "./evidence.js";
import type { Fact } from "./ledger.js";
import type { Check } from "./verdict.js";

type Writable<T> = T extends Date
  ? T
  : T extends readonly (infer Item)[]
    ? Writable<Item>[]
    : T extends object
      ? { -readonly [K in keyof T]: Writable<T[K]> }
      : T;
type Forged = Writable<Evidence>;

const [FIRST, SECOND] = ["run-1", "run-2"];
const [PREPARE, PAY, TELL] = [`${FIRST}/0/0/PREPARE`, `${FIRST}/1/0/PAY`, `${SECOND}/2/0/TELL`];
const [DEAD, ALIVE] = [10, 20];
const NONE = { killed: 0, frozen: 0, late: 0 };
const LEASE_MS = 100;

/** A thread of "pay" that was asked once, and approved; PREPARE has made an effect of `once`. */
function whole(): Forged {
  const evidence: Evidence = {
    leaseMs: LEASE_MS,
    gaps: [],
    ledger: [
      act("begun", PREPARE),
      act("effect", PREPARE, { key: "one", value: "v" }),
      act("recorded", PREPARE, { key: "one", value: "v" }),
      act("ended", PREPARE),
      act("begun", PAY, { at: 2000 }),
      act("gated", PAY, { at: 2000 }),
      act("ended", PAY, { at: 2000 }),
      act("begun", TELL),
      act("ended", TELL),
    ],
    accepted: [
      { kind: "run", thread: "t", run: FIRST },
      { kind: "answer", thread: "t", interrupt: "i1", decision: "approve", reason: "words 1" },
      { kind: "run", thread: "t", run: SECOND },
    ],
    stopped: [],
    readings: [
      {
        name: "reader",
        thread: "t",
        after: 0,
        seen: [1, 2, 4, 5, 6, 7, 8, 9, 10].map((id) => seen(id)),
        complete: true,
      },
    ],
    tables: tables(),
    states: [{ thread: "t", visits: [PREPARE, PAY, TELL], count: 3, effects: ["v"] }],
  };
  return evidence as Forged;
}

function act(fact: Fact["fact"], task: string, more: Partial<Fact> = {}): Fact {
  return { fact, pid: ALIVE, at: 1000, thread: "t", run: FIRST, task, ...more };
}

/** What the log has under this number. */
function seen(id: number): Forged["readings"][number]["seen"][number] {
  for (const { run_id: run, events } of tables().log) {
    const event = events.find(({ seq }) => seq === id);
    if (event !== undefined) return { id, type: event.eventType, run, node: event.nodeName };
  }
  throw new Error(`the log has no ${id}`);
}

function tables(): Tables {
  const run = {
    thread_id: "t",
    graph: "pay",
    metadata: {},
    started_at: new Date(1000),
    ended_at: new Date(3000),
  };
  return {
    threads: [{ thread_id: "t", graph: "pay", status: "completed", step: 3, seq: 10, run_id: SECOND }],
    runs: [
      { ...run, run_id: FIRST, status: "interrupted_before", resumes: false, first_seq: 1, last_seq: 5 },
      { ...run, run_id: SECOND, status: "completed", resumes: true, first_seq: 7, last_seq: 10 },
    ],
    log: [
      row(1, FIRST, "input", [event(1, "start")]),
      // 3 was a delta.
      row(4, FIRST, "step", [event(2, "progress"), event(4, "update", { step: 1 })]),
      row(5, FIRST, "step", [event(5, "interrupted")]),
      row(7, SECOND, null, [event(6, "decision"), event(7, "start")]),
      row(8, SECOND, "step", [event(8, "update", { step: 2 })]),
      row(10, SECOND, "step", [event(9, "update", { step: 3 }), event(10, "end")]),
    ],
    interrupts: [asked()],
    records: [{ thread_id: "t", task: PREPARE, key: "one", value: "v" }],
  };
}

const event = (seq: number, eventType: string, data: Record<string, unknown> = {}): LoggedEvent => ({
  seq,
  eventType,
  nodeName: null,
  data,
});
const row = (seq: number, run_id: string, source: string | null, events: LoggedEvent[]): LogRow => ({
  thread_id: "t",
  seq,
  run_id,
  source,
  events,
});

function asked(): InterruptRow {
  const decision = { decision: "approve", reason: "words 1" };
  const decided_at = new Date(1500);
  return { thread_id: "t", id: "i1", task: PAY, kind: "before", status: "resolved", decision, decided_at };
}

/** The place of the first of these facts. */
const factAt = ({ ledger }: Forged, fact: Fact["fact"]): number =>
  ledger.findIndex((each) => each.fact === fact);

/** What the checks say of it, each once. */
function said(forge: (evidence: Forged) => void): Check[] {
  const evidence = whole();
  forge(evidence);
  return [...new Set(judge(evidence).faults.map(({ check }) => check))];
}

/** The only one of a list; a forgery changes it. */
function only<T>(list: readonly T[]): T {
  const [first, second] = list;
  if (first === undefined || second !== undefined) throw new Error("this is not the only one");
  return first;
}

function first<T>(list: readonly T[]): T {
  if (list[0] === undefined) throw new Error("there is none");
  return list[0];
}

const FORGERIES: readonly (readonly [string, Check, (evidence: Forged) => void])[] = [
  [
    "an accepted run has no row",
    "accepted run lost",
    ({ accepted }) => void accepted.push({ kind: "run", thread: "t", run: "run-9" }),
  ],
  [
    "an accepted run is of another thread",
    "accepted run lost",
    ({ accepted }) => void accepted.push({ kind: "run", thread: "u", run: FIRST }),
  ],
  [
    "two answers to one interrupt were accepted",
    "accepted answer lost",
    ({ accepted }) =>
      void accepted.push({
        kind: "answer",
        thread: "t",
        interrupt: "i1",
        decision: "deny",
        reason: "words 2",
      }),
  ],
  [
    "two people of one mind were both told that they had decided",
    "accepted answer lost",
    ({ accepted }) =>
      void accepted.push({
        kind: "answer",
        thread: "t",
        interrupt: "i1",
        decision: "approve",
        reason: "words 2",
      }),
  ],
  [
    "a run that was stopped while it ran has ended otherwise",
    "accepted stop lost",
    ({ accepted }) =>
      void accepted.push({ kind: "stop", thread: "t", run: SECOND, cancelled: [], dropped: [] }),
  ],
  [
    "an interrupt that a stop has cancelled was answered",
    "accepted stop lost",
    ({ accepted }) =>
      void accepted.push({ kind: "stop", thread: "t", run: null, cancelled: ["i1"], dropped: [] }),
  ],
  [
    "a run that a stop has dropped was begun",
    "accepted stop lost",
    ({ accepted }) =>
      void accepted.push({ kind: "stop", thread: "t", run: null, cancelled: [], dropped: [FIRST] }),
  ],
  [
    "a request was given the run of another",
    "accepted run lost",
    ({ accepted }) => void accepted.push({ kind: "run", thread: "t", run: FIRST, words: "run 1" }),
  ],
  [
    "a request with a key has begun two runs",
    "request done twice",
    ({ tables }) => {
      for (const run of tables.runs) run.metadata = { words: "run 1" };
    },
  ],
  [
    "a run that waited was dropped, and nobody had asked for a stop",
    "dropped without a stop",
    ({ tables }) => {
      const row = { ...first(tables.runs), run_id: "run-3", status: "stopped", started_at: null };
      tables.runs.push({ ...row, first_seq: 10, last_seq: 10 });
    },
  ],
  ["a thread is left running", "left active", ({ tables }) => void (only(tables.threads).status = "running")],
  ["a thread is left queued", "left active", ({ tables }) => void (only(tables.threads).status = "queued")],
  ["a run is left without an end", "left active", ({ tables }) => void (first(tables.runs).ended_at = null)],
  [
    "a thread waits for nobody",
    "left active",
    ({ tables }) => void (only(tables.threads).status = "interrupted_before"),
  ],
  [
    "a question is open on a thread that has ended",
    "left active",
    ({ tables }) =>
      void tables.interrupts.push({ ...asked(), id: "i2", status: "open", decision: null, decided_at: null }),
  ],
  [
    "a step was committed twice",
    "step committed twice",
    ({ tables }) =>
      void tables.log.push(
        row(12, SECOND, "step", [event(12, "update", { step: 2 })]) as Forged["tables"]["log"][0],
      ),
  ],
  ["a step is missing", "step lost", ({ tables }) => void (only(tables.threads).step = 4)],
  ["a step is beyond the thread's", "step lost", ({ tables }) => void (only(tables.threads).step = 2)],
  [
    "a task is in the state twice",
    "task committed twice",
    ({ states }) => {
      only(states).visits.push(TELL);
      only(states).count = 4;
    },
  ],
  [
    "the counter was raised without a visit",
    "task committed twice",
    ({ states }) => void (only(states).count = 4),
  ],
  [
    "a task is in the state that never came to its end",
    "commit without work",
    ({ ledger }) => void ledger.pop(),
  ],
  [
    "an effect is in the state that was never recorded",
    "commit without work",
    ({ states }) => void only(states).effects.push("w"),
  ],
  [
    "a run has ended with a task left out",
    "wrong way",
    ({ states }) => {
      only(states).visits.pop();
      only(states).count = 2;
    },
  ],
  [
    "an effect was made after it was recorded",
    "effect repeated",
    ({ ledger }) => void ledger.push(act("effect", PREPARE, { key: "one", value: "w", pid: 30 })),
  ],
  [
    "an effect was made twice, and its first process was well",
    "effect repeated",
    (evidence) =>
      void evidence.ledger.splice(
        factAt(evidence, "effect"),
        0,
        act("effect", PREPARE, { key: "one", value: "w", pid: 30 }),
      ),
  ],
  [
    "an attempt got an effect that is not the stored one",
    "effect of another attempt",
    ({ ledger }) => void ledger.push(act("recorded", PREPARE, { key: "one", value: "w" })),
  ],
  [
    "what an attempt got is not stored",
    "effect of another attempt",
    ({ tables }) => void (tables.records = []),
  ],
  [
    "an action was done that nobody approved",
    "acted without approval",
    ({ tables }) => void (only(tables.interrupts).decision = { decision: "deny", reason: "words 1" }),
  ],
  [
    "an action was done twice on one approval",
    "acted without approval",
    ({ ledger }) => void ledger.push(act("gated", PAY, { at: 2500 })),
  ],
  [
    "an action was done before it was approved",
    "acted without approval",
    ({ tables }) => void (only(tables.interrupts).decided_at = new Date(2001)),
  ],
  [
    "an action was done that is approved but for another task",
    "acted without approval",
    ({ tables }) => void (only(tables.interrupts).task = PREPARE),
  ],
  [
    "the log goes back",
    "events out of order",
    ({ tables }) => void (first(tables.log[4]?.events ?? []).seq = 7),
  ],
  [
    "a run has two terminal events",
    "terminal event",
    ({ tables }) => void (first(tables.log[4]?.events ?? []).eventType = "stopped"),
  ],
  ["a run has no terminal event", "terminal event", ({ tables }) => void tables.log.splice(2, 1)],
  [
    "a run's row names another last event",
    "terminal event",
    ({ tables }) => void (first(tables.runs).last_seq = 4),
  ],
  ["a reader missed an event", "event missed", ({ readings }) => void only(readings).seen.splice(3, 1)],
  ["a reader missed the last event", "event missed", ({ readings }) => void only(readings).seen.pop()],
  ["a reader missed the first event", "event missed", ({ readings }) => void only(readings).seen.shift()],
  [
    "a reader got an event twice",
    "events out of order",
    ({ readings }) => void only(readings).seen.splice(3, 0, seen(4)),
  ],
  [
    "a reader went back",
    "events out of order",
    ({ readings }) => void only(readings).seen.splice(3, 2, seen(6), seen(5)),
  ],
  [
    "a reader got an event that was never committed",
    "event invented",
    ({ readings }) => void only(readings).seen.push({ id: 11, type: "update", run: SECOND, node: null }),
  ],
  [
    "a reader got something else under a committed number",
    "event invented",
    ({ readings }) => void (first(only(readings).seen).type = "custom"),
  ],
  [
    "two readers got different things under one number",
    "event invented",
    ({ readings }) => {
      const one = only(readings);
      one.seen.splice(2, 0, { id: 3, type: "delta", run: FIRST, node: "A" });
      readings.push({
        ...one,
        seen: one.seen.map((each) => (each.id === 3 ? { ...each, node: "B" } : each)),
      });
    },
  ],
  [
    "a reader did not come to the end",
    "reading not over",
    ({ readings }) => void (only(readings).complete = false),
  ],
];

describe("the checker", () => {
  test("has nothing against a chaos in which all went well", () => {
    expect(judge(whole())).toEqual({ faults: [], doubts: { ...NONE } });
  });

  test.each(FORGERIES)("finds that %s", (_what, check, forge) => {
    expect(said(forge)).toContain(check);
  });

  test("lets what is void of an attempt that was never committed be seen", () => {
    const live = { type: "progress", run: SECOND, node: null };
    expect(said(({ readings }) => void only(readings).seen.push({ id: 11, ...live }))).toEqual([]);
  });

  test("judges a reader that is not at the end by how far it came", () => {
    const forge = ({ readings }: Forged): void => {
      only(readings).complete = false;
      only(readings).seen.length = 4;
    };
    expect(said(forge)).toEqual(["reading not over"]);
  });

  test("counts an effect apart whose first process was killed before it could record it", () => {
    expect(doubtsOf([["killed", DEAD]])).toEqual({ faults: [], doubts: { ...NONE, killed: 1 } });
  });

  test("counts an effect apart whose first process was frozen before it could record it", () => {
    expect(doubtsOf([["frozen", DEAD]])).toEqual({ faults: [], doubts: { ...NONE, frozen: 1 } });
  });

  test("does not excuse an effect by a process that was awake again before it made it", () => {
    const evidence = whole();
    const made = act("effect", PREPARE, { key: "one", value: "w", pid: DEAD });
    evidence.ledger.unshift(did("frozen"), did("continued"), made);
    expect(judge(evidence).faults.map(({ check }) => check)).toEqual(["effect repeated"]);
  });

  test("counts an effect apart whose first process lost its lease before it could record it", () => {
    expect(lateBy(LEASE_MS - 1)).toEqual({ faults: [], doubts: { ...NONE, late: 1 } });
  });

  test("does not excuse an effect that its first process began when its lease had passed", () => {
    expect(lateBy(LEASE_MS + 1).faults).toMatchObject([{ check: "effect repeated" }]);
  });

  test("does not excuse an effect by the end of another process", () => {
    expect(doubtsOf([["killed", 99]]).faults).toMatchObject([{ check: "effect repeated" }]);
  });
});

const did = (fact: "frozen" | "continued" | "killed", pid = DEAD): Fact => ({ fact, pid, at: 1000 });

/** An effect that DEAD had made, something that was done to processes, and then the whole. */
function doubtsOf(fates: readonly (readonly ["frozen" | "killed", number])[]) {
  const evidence = whole();
  const made = act("effect", PREPARE, { key: "one", value: "w", pid: DEAD });
  evidence.ledger.unshift(made, ...fates.map(([fact, pid]) => did(fact, pid)));
  return judge(evidence);
}

/** An effect that DEAD began so long after a heartbeat, and the next heartbeat after the effect was made again. */
function lateBy(ms: number) {
  const evidence = whole();
  const made = act("effect", PREPARE, { key: "one", value: "w", pid: DEAD, at: 900 });
  evidence.ledger.unshift(made);
  evidence.gaps.push({ pid: DEAD, from: 900 - ms, to: 1001 });
  return judge(evidence);
}
