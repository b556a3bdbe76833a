/**
 * Decides what happens next, from values alone. The only place that lets a task pass. What it keeps:
 *
 * P1. A task goes past a hold point, a question or a lost attempt only by an answer to each of its asks.
 * P2. An ask stays with its task until it is answered; what was not answered is asked again under a new id.
 * P3. A declared hold point is judged once a visit (`when`); its words are made anew each time it is asked.
 * P4. A step closes when every task of it has its result; a task that waits keeps back its own step and nothing else. (In a
 *     fork some tasks may be past that already: the others close behind them, and all go on together.)
 * P5. What runs inside a nested graph waits for the graph's own hold point, also where a fork asks that again.
 */
import { extended } from "../lib/extended.js";
import { grown } from "../lib/grown.js";
import type { Mutable } from "../lib/mutable.js";
import type { GraphDefinition } from "./definition.js";
import { OFFERED, type Answer, type Ask, type Interrupt } from "./interrupt.js";
import { scopesOf, withTasks, type Place, type Scope } from "./scope.js";
import type { Outcome } from "./result.js";
import type { RunHolds, Snapshot, Stage, Task, TaskResult } from "./snapshot.js";

/** What declared hold points say, by `verdictKey`: null where one does not hold. */
export type Verdicts = ReadonlyMap<string, Ask | null>;

/** What may be done now, in any order; nothing of it where everything waits for people or is through. */
export interface Plan {
  readonly snapshot: Snapshot;
  /** Tasks whose hold point must be looked at first. */
  readonly judge: readonly Place[];
  /** Tasks whose node may run, or is running. */
  readonly execute: readonly Place[];
  /** Nested graphs that may begin. */
  readonly enter: readonly Place[];
  /** Nested graphs that are through. */
  readonly leave: readonly Place[];
  /** Steps of which every task has its result. */
  readonly close: readonly Scope[];
  /** Closed steps whose successors are to be computed. */
  readonly route: readonly Scope[];
  /** What is asked once nothing else can be done. */
  readonly open: readonly Opening[];
}

/** By task id. */
export interface Failed {
  has(taskId: string): boolean;
}

/** An ask that becomes an interrupt. */
export interface Opening {
  readonly task: Task;
  readonly ask: Ask;
}

/**
 * `failed` are tasks that this run has given up: nothing more happens to them, or to their step; all others go on as far as
 * they can.
 */
export function plan(
  def: GraphDefinition,
  given: Snapshot,
  rows: readonly Interrupt[],
  verdicts: Verdicts,
  failed: Failed,
  { passUnheld = false }: PlanOptions = {},
): Plan {
  const open: Opening[] = [];
  const { tasks: before, holds } = given.position;
  const look: Look = { def, isRoot: true, holds, rows, verdicts, failed, open, passUnheld };
  const settled = settleAll(before, look);
  const snapshot = settled === before ? given : withTasks(given, settled);
  const todo: Todo = {
    snapshot,
    judge: NONE,
    execute: NONE,
    enter: NONE,
    leave: NONE,
    close: NONE,
    route: NONE,
    open,
  };
  for (const scope of scopesOf(def, snapshot)) {
    if (waitsForItsOwner(scope)) continue;
    addSteps(todo, scope, failed);
    for (const task of scope.tasks) if (!failed.has(task.id)) addTask(todo, { scope, task }, look);
  }
  return todo;
}

interface PlanOptions {
  /** Tasks at a place where no hold point is declared pass it here; else they are among those to be judged. */
  readonly passUnheld?: boolean;
}

/** A plan while it is made. */
type Todo = { -readonly [K in keyof Plan]: Plan[K] extends readonly (infer T)[] ? T[] : Plan[K] };

/** What most lists of a plan stay; `grown` never adds to it. */
const NONE: never[] = [];

/** What one scope's tasks are settled by. */
interface Look extends Required<PlanOptions> {
  /** Undefined where the loaded graph no longer has it. */
  readonly def: GraphDefinition | undefined;
  readonly isRoot: boolean;
  readonly holds: RunHolds;
  readonly rows: readonly Interrupt[];
  readonly verdicts: Verdicts;
  readonly failed: Failed;
  readonly open: Opening[];
}

function addSteps(todo: Todo, scope: Scope, failed: Failed): void {
  let [over, done, route] = [true, false, scope.tasks.length > 0];
  for (const { id, stage } of scope.tasks) {
    over &&= OVER.has(stage);
    done ||= stage === "done";
    route &&= stage === "route" && !failed.has(id);
  }
  if (done && over) todo.close = grown(todo.close, scope);
  if (route) todo.route = grown(todo.route, scope);
}

function addTask(todo: Todo, place: Place, { rows, verdicts }: Look): void {
  const { scope, task } = place;
  if (needsVerdict(task, rows, verdicts)) todo.judge = grown(todo.judge, place);
  if (task.stage !== "cleared" || unanswered(task, rows).length > 0) return;
  if (scope.def.nodes.get(task.node)?.kind !== "graph") todo.execute = grown(todo.execute, place);
  else if (task.inner === undefined) todo.enter = grown(todo.enter, place);
  else if (task.inner.tasks.length === 0) todo.leave = grown(todo.leave, place);
}

const OVER: ReadonlySet<Stage> = new Set<Stage>(["done", "after", "route"]);

/** A nested graph that had begun, in a fork, before the hold point in front of it was asked again. */
function waitsForItsOwner({ owner }: Scope): boolean {
  return owner !== null && (owner.task.stage !== "cleared" || waitsForItsOwner(owner.scope));
}

/** The status that what is asked gives its thread. */
export function pausedStatus(
  open: readonly { readonly ask: Pick<Ask, "pauses"> }[],
): "interrupted_before" | "interrupted_after" {
  return open.some(({ ask }) => ask.pauses === "before") ? "interrupted_before" : "interrupted_after";
}

/** Where a thread waits, of which these interrupts are open: at the first. */
export function pausedAt(
  open: readonly Interrupt[],
): Pick<Outcome, "status" | "currentNode" | "interruptReason"> | Record<string, never> {
  const [first] = open;
  return first === undefined
    ? {}
    : {
        status: pausedStatus(open.map((ask) => ({ ask }))),
        currentNode: first.node,
        interruptReason: first.reason,
      };
}

/** A verdict is of one task at one hold point: that before its node, or that after it. */
export const verdictKey = ({ id, stage }: Task): string => `${stage}:${id}`;

/** Its declared hold point was not looked at, or it is asked again and its words must be made anew. */
function needsVerdict(task: Task, rows: readonly Interrupt[], verdicts: Verdicts): boolean {
  const hold = task.stage === "due" ? "before" : task.stage === "after" ? "after" : null;
  if (hold === null || verdicts.has(verdictKey(task))) return false;
  return task.judged === undefined || unanswered(task, rows).some(({ kind }) => kind === hold);
}

/**
 * What a change of the state, or hold points that were added, mean for nodes that were let pass and have not finished: one
 * that no person has approved is looked at again; one that was approved is asked about again where the state it was
 * approved with is no longer the same, and else not held again in this visit.
 */
export function rejudge(task: Task, of: { readonly patched: boolean; readonly held: boolean }): Task {
  if (task.stage !== "cleared" || task.inner !== undefined || (task.asks ?? []).length > 0) return task;
  const { judged: _judged, passed, answer: _answer, ...rest } = task;
  if (passed !== undefined) {
    return of.patched ? { ...rest, stage: "due", judged: true, asks: [askAgain(task, passed)] } : task;
  }
  return of.patched || of.held ? { ...task, stage: "due", judged: undefined } : task;
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
export function answerTo(
  rows: readonly Interrupt[],
  task: Pick<Task, "id">,
  ask: Pick<Ask, "key">,
): Answer | null {
  const row = rows.findLast((candidate) => candidate.taskId === task.id && candidate.key === ask.key);
  return row === undefined ? null : answerOf(row);
}

/** What an interrupt was answered, by a person or by its expiry; null where it was cancelled, or where its expiry failed the run. */
export const answerOf = ({ status, decision }: Interrupt): Answer | null =>
  status === "resolved" || status === "expired" ? decision : null;

function unanswered({ asks = NO_ASKS, id }: Task, rows: readonly Interrupt[]): readonly Ask[] {
  return asks.length === 0 ? asks : asks.filter((ask) => answerTo(rows, { id }, ask) === null);
}
const NO_ASKS: readonly Ask[] = [];

/** Takes tasks as far as answers and verdicts let them; what must be asked goes to `open`. */
function settleAll(tasks: readonly Task[], look: Look): readonly Task[] {
  let settled: Task[] | null = null;
  let i = 0;
  for (const given of tasks) {
    const task = settleOne(given, look);
    if (task !== given) settled ??= [...tasks];
    if (settled !== null) settled[i] = task;
    i++;
  }
  return settled ?? tasks;
}

function settleOne(given: Task, look: Look): Task {
  const task = look.failed.has(given.id) ? given : settle(given, look);
  if (task.inner === undefined || task.stage !== "cleared") return task;
  const spec = look.def?.nodes.get(task.node);
  const def = spec?.kind === "graph" ? spec.graph : undefined;
  const inside = settleAll(task.inner.tasks, { ...look, def, isRoot: false });
  return inside === task.inner.tasks ? task : { ...task, inner: { ...task.inner, tasks: inside } };
}

const isUnjudged = (task: Task): boolean =>
  (task.stage === "due" || task.stage === "after") && task.judged === undefined;

/** No hold point is declared where the task stands, and none has held it there. */
function isUnheld({ node, stage, asks }: Task, { def, isRoot, holds }: Look): boolean {
  if (def === undefined || asks !== undefined) return false;
  const where = stage === "due" ? "before" : "after";
  const names = holds[where];
  return !def[where].has(node) && names !== "*" && !(isRoot && names.includes(node));
}

const NOTHING: TaskResult = { updates: [], messages: [] };

function settle(given: Task, look: Look): Task {
  const { rows, verdicts, open } = look;
  // What asks for its output waits for its step to close.
  if (given.stage === "done" || given.stage === "route") return given;
  if (given.stage === "cleared" && given.asks === undefined) return given;
  if (look.passUnheld && isUnjudged(given) && isUnheld(given, look))
    return { ...given, stage: given.stage === "due" ? "cleared" : "route" };
  const task = judge(given, verdicts);
  if (isUnjudged(task)) return task;
  const asks = task.asks ?? NO_ASKS;
  const waiting = unanswered(task, rows);
  if (waiting.length > 0) {
    open.push(...waiting.map((ask) => ({ task, ask })));
    return task;
  }

  const answered = asks.flatMap((ask) => {
    const answer = answerTo(rows, task, ask);
    return answer === null ? [] : [{ ask, answer }];
  });
  const { asks: _answered, judged: _judged, ...visit } = task;
  const rest: Mutable<Task> = extended(visit, remembered(task, asks));
  // A denied question rejects inside its node, which may judge it; every other denial ends the visit here.
  const denial = answered.find(({ ask, answer }) => answer.decision === "deny" && ask.kind !== "request");
  if (denial !== undefined) {
    delete rest.inner;
    rest.stage = task.stage === "after" ? "route" : "done";
    rest.denied = denial.answer;
    if (denial.ask.kind === "manual") rest.deniedInside = rest.answered = true;
    return rest;
  }
  if (task.stage === "after") {
    rest.stage = "route";
    return rest;
  }

  const last = answered.at(-1)?.answer;
  if (last !== undefined) {
    rest.answer = last;
    if (task.answer !== undefined && !isOwnAnswer(task)) rest.cameBy = task.answer;
  }
  if (answered.some(({ ask }) => ask.kind === "manual" || ask.kind === "request")) rest.answered = true;
  // Edited after a crash: the node has acted and the patch, applied with the answer, is its output.
  if (answered.some(({ ask, answer }) => ask.kind === "crash" && answer.decision === "edit")) {
    rest.stage = "done";
    rest.result = NOTHING;
    return rest;
  }
  if (task.stage !== "due") return rest;
  const held = answered.find(({ ask }) => ask.kind === "before");
  rest.stage = "cleared";
  if (held !== undefined) rest.passed = Number(held.ask.key.split(":")[1] ?? 0) + 1;
  return rest;
}

/** What of these asks a fork must ask again, of each kind the last; a node that runs again asks its own by itself. */
function remembered({ decided = NO_ASKS }: Task, asks: readonly Ask[]): Pick<Task, "decided"> {
  const lasting = asks.filter((ask) => !asksItself(ask));
  if (lasting.length === 0) return {};
  return {
    decided: [...decided.filter((old) => lasting.every(({ kind }) => kind !== old.kind)), ...lasting],
  };
}

/** Whether a node that runs again from its top asks it anew. */
export const asksItself = ({ kind, pauses }: Ask): boolean =>
  pauses === "before" && kind !== "before" && kind !== "crash";

/** Whether the answer that a task has is one to it, and not the denial that led there. */
export const isOwnAnswer = ({ answered, decided }: Task): boolean =>
  answered === true || decided !== undefined;

function judge(task: Task, verdicts: Verdicts): Task {
  if (task.stage !== "due" && task.stage !== "after") return task;
  const verdict = verdicts.get(verdictKey(task));
  if (verdict === undefined) return task;
  if (task.judged === undefined) {
    const asks = verdict === null ? task.asks : [...(task.asks ?? []), verdict];
    return extended(task, asks === undefined ? { judged: true } : { judged: true, asks });
  }
  if (verdict === null) return task;
  return { ...task, asks: (task.asks ?? []).map((ask) => (ask.key === verdict.key ? verdict : ask)) };
}
