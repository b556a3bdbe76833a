/** Applies what nodes and edges gave: new snapshots from old ones, nothing mutated. */
import type { Json } from "../lib/json.js";
import { grown } from "../lib/grown.js";
import type { Mutable } from "../lib/mutable.js";
import { END, START } from "./command.js";
import { onDenyOf, type GraphDefinition, type NodeOutput } from "./definition.js";
import type { Answer, Ask } from "./interrupt.js";
import type { Message } from "./message.js";
import { birthIn, leavesOf, scopeOf, withInner, withTask, withTasks, type Scope } from "./scope.js";
import { dueTask, type Snapshot, type Target, type Task, type Values } from "./snapshot.js";
import { addMessages, mergeFields, opsBetween, UpdateFault, type Change } from "./state-change.js";
import { extended } from "../lib/extended.js";

/** A task's node has returned: its result is kept until its step closes. */
export function keepResult(
  snapshot: Snapshot,
  task: Task,
  output: NodeOutput,
  of: { readonly asks?: readonly Ask[]; readonly attempts: number; readonly streamed: boolean },
): Snapshot {
  const { asks: _asks, ...rest } = task;
  const kept: Mutable<Task> = rest;
  kept.stage = "done";
  kept.attempts = of.attempts;
  // Until its step has closed the result may still be dropped, and what was seen of it is void.
  if (of.streamed) kept.streamed = true;
  kept.result = { updates: isEmpty(output.update) ? [] : [output.update], messages: output.messages };
  if (of.asks !== undefined && of.asks.length > 0) kept.asks = of.asks;
  if (output.goto !== null) kept.goto = output.goto;
  return withTask(snapshot, kept);
}

/** A task's node that did not finish: what it asks or that it failed, kept for the next attempt. */
export function keepTask(
  snapshot: Snapshot,
  task: Task,
  of: { attempts: number; asks?: readonly Ask[]; streamed: boolean },
): Snapshot {
  const kept: Mutable<Partial<Task>> = { attempts: of.attempts };
  if (of.asks !== undefined) kept.asks = of.asks;
  if (of.streamed) kept.streamed = true;
  return withTask(snapshot, extended(task, kept));
}

/** A task whose node was denied from inside: it ran without output. */
export function denyTask(snapshot: Snapshot, task: Task, denied: Answer, attempts: number): Snapshot {
  const { asks: _asks, streamed: _streamed, ...rest } = task;
  return withTask(snapshot, { ...rest, stage: "done", denied, deniedInside: true, attempts });
}

/** A task whose result its graph's state does not take: it runs again at the next attempt, as if it had not ended. */
export function dropResult(snapshot: Snapshot, task: Task): Snapshot {
  const { result: _result, goto: _goto, denied: _denied, deniedInside: _inside, ...rest } = task;
  return withTask(snapshot, { ...rest, stage: "cleared" });
}

/** A closed step, for the one write that commits it. */
export interface StepChange extends Change {
  /** The path of the nested graph whose step it is; empty at the root. */
  readonly path: readonly string[];
  /** The fields that it changed, of its own graph's state. */
  readonly changed: readonly string[];
  /** The tasks whose output it is. */
  readonly tasks: readonly Task[];
  /** What its nodes said; what nested graphs that ended with it said was said at their own steps. */
  readonly said: readonly { readonly message: Message; readonly task: Task }[];
}

/** One of several results that the state does not take. */
export class ResultFault extends UpdateFault {
  constructor(
    readonly task: Task,
    cause: UpdateFault,
  ) {
    super(cause.message, { cause: cause.cause });
  }
}

/**
 * Closes a step: every task of it has its result, and these are applied in the order of the tasks, which is that of their
 * nodes' declaration, whichever was there first. Throws ResultFault.
 */
export function closeStep(def: GraphDefinition, snapshot: Snapshot, owner: string | null): StepChange {
  const scope = scopeOf(def, snapshot, owner);
  let values = scope.values;
  let added: Message[] = [];
  let said: { message: Message; task: Task }[] = [];
  for (const task of scope.tasks) {
    values = withUpdates(scope, values, task);
    for (const message of messagesOf(task)) {
      added = grown(added, message);
      if (task.result?.said === undefined) said = grown(said, { message, task });
    }
  }
  // In a fork some may be past this already.
  const closing = scope.tasks.every(isDone) ? scope.tasks : scope.tasks.filter(isDone);
  const tasks = scope.tasks.map((task) => (isDone(task) ? afterClose(task) : task));
  const ops = opsBetween(scope.values, values);
  const about = {
    path: scope.owner?.task.path ?? [],
    changed: ops.map(([, field]) => field),
    tasks: closing,
    said,
  };
  const { messages, position } = snapshot;
  const step = snapshot.step + 1;
  if (owner === null) {
    const { context, placed } = addMessages(scope.messages, added);
    const closed = { step, values, messages: context, position: { tasks, holds: position.holds } };
    return { snapshot: closed, ops, messages: placed, ...about };
  }
  const closed = { step, values: snapshot.values, messages, position };
  return {
    snapshot: withInner(closed, owner, (inner) => ({
      ...inner,
      values,
      tasks,
      messages: added.length === 0 ? inner.messages : addMessages(inner.messages, added).context,
      updates: [...inner.updates, ...scope.tasks.flatMap(updatesOf)],
    })),
    ops: [],
    messages: [],
    ...about,
  };
}

const isDone = ({ stage }: Task): boolean => stage === "done";

function withUpdates({ def }: Scope, values: Values, task: Task): Values {
  let merged = values;
  for (const update of updatesOf(task)) {
    try {
      merged = mergeFields(def, merged, update);
    } catch (error) {
      throw error instanceof UpdateFault ? new ResultFault(task, error) : error;
    }
  }
  return merged;
}

const NONE: readonly never[] = Object.freeze([]);
const updatesOf = (task: Task): readonly Values[] => task.result?.updates ?? NONE;
const messagesOf = (task: Task): readonly Message[] => task.result?.messages ?? NONE;

function afterClose(task: Task): Task {
  const { result: _result, inner: _inner, streamed: _streamed, decided, ...rest } = task;
  const closed: Mutable<Task> = rest;
  closed.stage = task.denied === undefined ? "after" : "route";
  if (task.denied === undefined) closed.closed = true;
  else if (decided !== undefined) closed.decided = decided;
  return closed;
}

/** Successors by task id: what the edges, the Command or a denial gave. */
export type Routes = ReadonlyMap<string, readonly Target[]>;

/**
 * The tasks of a closed step make way for those behind them, in the order of declaration: a node to which several lead runs
 * once, each `Send` is a task of its own.
 */
export function takeRoutes(
  def: GraphDefinition,
  snapshot: Snapshot,
  owner: string | null,
  routes: Routes,
  runId: string,
): Snapshot {
  const scope = scopeOf(def, snapshot, owner);
  const birth = birthIn(scope, runId);
  const tasks = arrivals(scope, routes).map(({ node, sent, answer }, index): Task => {
    const task = dueTask(birth, snapshot.step, index, node, answer);
    return sent === null ? task : extended(task, { sent });
  });
  if (owner === null) return withTasks(snapshot, tasks);
  return withInner(snapshot, owner, (inner) => ({ ...inner, tasks, ...unmetDenial(scope, inner.denied) }));
}

interface Arrival {
  readonly node: string;
  readonly sent: { readonly value: Json } | null;
  /** The denial that led here, whoever else did. */
  answer: Answer | undefined;
}

function arrivals(scope: Scope, routes: Routes): Arrival[] {
  let list: Arrival[] = [];
  for (const { id, denied: answer } of scope.tasks) {
    for (const target of routes.get(id) ?? []) {
      if (target === END) continue;
      if (typeof target !== "string") {
        list = grown(list, { node: target.node, sent: { value: target.value }, answer });
        continue;
      }
      const known = list.find(({ node, sent }) => node === target && sent === null);
      if (known === undefined) list = grown(list, { node: target, sent: null, answer });
      else known.answer ??= answer;
    }
  }
  if (list.length < 2) return list;
  const order = new Map([...scope.def.nodes.keys()].map((name, i) => [name, i]));
  return list.sort((a, b) => (order.get(a.node) ?? 0) - (order.get(b.node) ?? 0));
}

/** A denial that no `onDeny` meets inside a nested graph denies the graph itself, as a node of the one around it. */
function unmetDenial({ def, tasks }: Scope, known: Answer | undefined): { denied?: Answer } {
  if (known !== undefined) return {};
  const unmet = tasks.find((task) => task.denied !== undefined && onDenyOf(def, task) === undefined);
  return unmet?.denied === undefined ? {} : { denied: unmet.denied };
}

/** The nodes that are next, as people see them: those whose result is missing. */
export function nextNodes(snapshot: Snapshot): string[] {
  let names: string[] = [];
  for (const { node, stage } of leavesOf(snapshot.position.tasks))
    if (node !== START && stage !== "done" && !names.includes(node)) names = grown(names, node);
  return names;
}

const isEmpty = (update: Values): boolean => Object.keys(update).length === 0;
