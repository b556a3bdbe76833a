/**
 * Decides what happens next, from values alone. The only place that lets a task pass. What it keeps:
 *
 * P1. A task goes past a hold point, a question or a lost attempt only by an answer to each of its asks.
 * P2. An ask stays with its task until it is answered; what was not answered is asked again under a new id.
 * P3. A declared hold point is judged once a visit (`when`); its words are made anew each time it is asked.
 */
import { OFFERED, type Answer, type Ask, type Interrupt } from "./interrupt.js";
import type { Position, RunHolds, Snapshot, Task } from "./snapshot.js";

/** What a declared hold point says of one task: null where it does not hold. */
export type Verdicts = ReadonlyMap<string, Ask | null>;

export type Plan =
  | { readonly kind: "execute"; readonly snapshot: Snapshot; readonly tasks: readonly Task[] }
  | { readonly kind: "route"; readonly snapshot: Snapshot; readonly tasks: readonly Task[] }
  | {
      readonly kind: "pause";
      readonly snapshot: Snapshot;
      readonly open: readonly Opening[];
      readonly status: "interrupted_before" | "interrupted_after";
    }
  | { readonly kind: "again"; readonly snapshot: Snapshot }
  | { readonly kind: "end"; readonly snapshot: Snapshot };

/** An ask that becomes an interrupt now. */
export interface Opening {
  readonly task: Task;
  readonly ask: Ask;
}

/** The tasks whose declared hold point must be looked at before `plan` can decide. */
export function needVerdicts(snapshot: Snapshot, rows: readonly Interrupt[]): readonly Task[] {
  return snapshot.position.tasks.filter((task) => {
    const holdHere = task.stage === "due" ? "before" : task.stage === "after" ? "after" : null;
    if (holdHere === null) return false;
    if (task.judged === undefined) return true;
    return (task.asks ?? []).some((ask) => ask.kind === holdHere && answerTo(rows, task, ask) === null);
  });
}

export function plan(snapshot: Snapshot, rows: readonly Interrupt[], verdicts: Verdicts): Plan {
  const open: Opening[] = [];
  const tasks = snapshot.position.tasks.map((task) => settle(task, rows, verdicts, open));
  // An answer that says what a lost attempt did closes its step, as an output would have.
  const closes = tasks.some(
    (task, i) => task.closed === true && snapshot.position.tasks[i]?.closed === undefined,
  );
  const next: Snapshot = {
    ...snapshot,
    step: closes ? snapshot.step + 1 : snapshot.step,
    position: { ...snapshot.position, tasks },
  };

  if (tasks.length === 0) return { kind: "end", snapshot: next };
  if (tasks.some((task) => isUnjudged(task))) return { kind: "again", snapshot: next };
  const waits = new Set(open.map(({ task }) => task.id));
  const runnable = tasks.filter((task) => task.stage === "cleared" && !waits.has(task.id));
  if (runnable.length > 0) return { kind: "execute", snapshot: next, tasks: runnable };
  if (open.length > 0) {
    const before = open.some(({ ask }) => ask.pauses === "before");
    return {
      kind: "pause",
      snapshot: next,
      open,
      status: before ? "interrupted_before" : "interrupted_after",
    };
  }
  return { kind: "route", snapshot: next, tasks: tasks.filter((task) => task.stage === "route") };
}

/**
 * What a change of the state, or hold points that were added, mean for nodes that were let pass and have not finished: one
 * that no person has approved is looked at again; one that was approved is asked about again where the state it was
 * approved with is no longer the same, and else not held again in this visit.
 */
export function rejudge(position: Position, added: Partial<RunHolds>, patched: boolean): Position {
  const before = added.before ?? [];
  const tasks = position.tasks.map((task): Task => {
    if (task.stage !== "cleared" || (task.asks ?? []).length > 0) return task;
    const { judged: _judged, passed, answer: _answer, ...rest } = task;
    if (passed !== undefined) {
      return patched ? { ...rest, stage: "due", judged: true, asks: [askAgain(task, passed)] } : task;
    }
    if (!patched && before !== "*" && !before.includes(task.node)) return task;
    return { ...task, stage: "due", judged: undefined };
  });
  return { ...position, tasks };
}

/** A question under a new key, so that the answer to the last one is none to it. Its words are made when it is asked. */
function askAgain(task: Task, times: number): Ask {
  return {
    key: `before:${times}`,
    kind: "before",
    pauses: "before",
    reason: `interrupt_before: ${task.node}`,
    message: `${task.node} waits for approval again: the state has changed.`,
    data: {},
    responseSchema: null,
    decisions: OFFERED.before,
    named: false,
    plain: true,
  };
}

/** The answer to one ask of a task, or null while it is missing. The newest row of a key counts. */
export function answerTo(rows: readonly Interrupt[], task: Task, ask: Pick<Ask, "key">): Answer | null {
  const row = rows.findLast((candidate) => candidate.taskId === task.id && candidate.key === ask.key);
  return row?.status === "resolved" ? row.decision : null;
}

const isUnjudged = (task: Task): boolean =>
  (task.stage === "due" || task.stage === "after") && task.judged === undefined;

/** Takes one task as far as answers and verdicts let it; what must be asked goes to `open`. */
function settle(given: Task, rows: readonly Interrupt[], verdicts: Verdicts, open: Opening[]): Task {
  const task = judge(given, verdicts);
  if (isUnjudged(task)) return task;
  const asks = task.asks ?? [];
  const unanswered = asks.filter((ask) => answerTo(rows, task, ask) === null);
  if (unanswered.length > 0) {
    open.push(...unanswered.map((ask) => ({ task, ask })));
    return task;
  }

  const answered = asks.flatMap((ask) => {
    const answer = answerTo(rows, task, ask);
    return answer === null ? [] : [{ ask, answer }];
  });
  const { asks: _answered, judged: _judged, ...rest } = task;
  // A denied question rejects inside its node, which may judge it; every other denial ends the visit here.
  const denial = answered.find(({ ask, answer }) => answer.decision === "deny" && ask.kind !== "request");
  if (denial !== undefined) {
    const inside = denial.ask.kind === "manual" ? { deniedInside: true as const } : {};
    return { ...rest, stage: "route", denied: denial.answer, ...inside };
  }
  if (task.stage === "after") return { ...rest, stage: "route" };

  const last = answered.at(-1)?.answer;
  const passed: Task = {
    ...rest,
    ...(last === undefined ? {} : { answer: last }),
    ...(answered.some(({ ask }) => ask.kind === "manual" || ask.kind === "request")
      ? { answered: true as const }
      : {}),
  };
  const held = answered.find(({ ask }) => ask.kind === "before");
  // Edited after a crash: the node has acted and the patch, applied with the answer, is its output.
  if (answered.some(({ ask, answer }) => ask.kind === "crash" && answer.decision === "edit"))
    return { ...passed, stage: "after", closed: true };
  if (task.stage === "due")
    return {
      ...passed,
      stage: "cleared",
      ...(held === undefined ? {} : { passed: Number(held.ask.key.split(":")[1] ?? 0) + 1 }),
    };
  return passed;
}

function judge(task: Task, verdicts: Verdicts): Task {
  if (task.stage !== "due" && task.stage !== "after") return task;
  const verdict = verdicts.get(task.id);
  if (verdict === undefined) return task;
  if (task.judged === undefined) {
    return { ...task, judged: true, ...(verdict === null ? {} : { asks: [...(task.asks ?? []), verdict] }) };
  }
  if (verdict === null) return task;
  return { ...task, asks: (task.asks ?? []).map((ask) => (ask.key === verdict.key ? verdict : ask)) };
}
