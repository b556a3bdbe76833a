/** Where tasks stand: in the thread's own graph, or inside a nested one that runs as a task of it. */
import { addMessages } from "./state-change.js";
import type { GraphDefinition } from "./definition.js";
import type { Message } from "./message.js";
import {
  bornIn,
  type Birth,
  type HoldNames,
  type Inner,
  type Position,
  type Snapshot,
  type Task,
  type Values,
} from "./snapshot.js";

/** One graph at work: the root's, or an instance of a nested one. */
export interface Scope {
  readonly def: GraphDefinition;
  readonly values: Values;
  /** The messages as its nodes see them. */
  readonly messages: readonly Message[];
  readonly tasks: readonly Task[];
  /** The task that it runs in, and the scope of that; null at the root. */
  readonly owner: { readonly task: Task; readonly scope: Scope } | null;
}

/** A task and where it stands. */
export interface Place {
  readonly scope: Scope;
  readonly task: Task;
}

export function rootScope(def: GraphDefinition, { values, messages, position }: Snapshot): Scope {
  return { def, values, messages, tasks: position.tasks, owner: null };
}

/** The scope inside a task; null where its node is no graph, or has not begun. */
export function scopeIn(scope: Scope, task: Task): Scope | null {
  const spec = scope.def.nodes.get(task.node);
  const { inner } = task;
  if (inner === undefined || spec?.kind !== "graph") return null;
  return {
    def: spec.graph,
    values: inner.values,
    messages: seenInside(inner.apart ?? scope.messages, inner.messages),
    tasks: inner.tasks,
    owner: { task, scope },
  };
}

/** What a nested graph sees, by what it has added: scopes are made often, and from a long context this is a long one. */
const seen = new WeakMap<readonly Message[], { around: readonly Message[]; context: readonly Message[] }>();

function seenInside(around: readonly Message[], added: readonly Message[]): readonly Message[] {
  if (added.length === 0) return around;
  const before = seen.get(added);
  if (before?.around === around) return before.context;
  const { context } = addMessages(around, added);
  seen.set(added, { around, context });
  return context;
}

/** Every scope, each before those inside it, in the order of their tasks. */
export function scopesOf(def: GraphDefinition, snapshot: Snapshot): Scope[] {
  const root = rootScope(def, snapshot);
  const all = [root];
  addInner(all, root);
  return all;
}

function addInner(all: Scope[], scope: Scope): void {
  for (const task of scope.tasks) {
    const inside = task.inner === undefined ? null : scopeIn(scope, task);
    if (inside === null) continue;
    all.push(inside);
    addInner(all, inside);
  }
}

/** The scope of this owner's nested graph, or the root's for null. */
export function scopeOf(def: GraphDefinition, snapshot: Snapshot, owner: string | null): Scope {
  if (owner === null) return rootScope(def, snapshot);
  for (const scope of scopesOf(def, snapshot)) if (scope.owner?.task.id === owner) return scope;
  throw new Error(`no nested graph runs in task ${owner}`);
}

export function placeOf(def: GraphDefinition, snapshot: Snapshot, taskId: string): Place | null {
  for (const scope of scopesOf(def, snapshot)) {
    const task = scope.tasks.find(({ id }) => id === taskId);
    if (task !== undefined) return { scope, task };
  }
  return null;
}

/** Whether a run's own hold points name a node: names are of the thread's graph, "*" is every node at every depth. */
export const heldByRun = (scope: Scope, names: HoldNames, node: string): boolean =>
  names === "*" || (scope.owner === null && names.includes(node));

export const ownerId = (scope: Scope): string | null => scope.owner?.task.id ?? null;

/** What new tasks of a scope are made under. */
export const birthIn = (scope: Scope, runId: string): Birth => scope.owner?.task ?? bornIn(runId);

/** Every task of a position, each before those inside it. */
export function* eachTask(tasks: readonly Task[]): Generator<Task> {
  for (const task of tasks) {
    yield task;
    if (task.inner !== undefined) yield* eachTask(task.inner.tasks);
  }
}

/** The same, without those inside a nested graph that waits for its own hold point: they ask nothing yet. */
export function* reachedTasks(tasks: readonly Task[]): Generator<Task> {
  for (const task of tasks) {
    yield task;
    if (task.inner !== undefined && task.stage === "cleared") yield* reachedTasks(task.inner.tasks);
  }
}

/** The tasks that do the work: nested graphs are their inner tasks, once they have begun. */
export function leavesOf(tasks: readonly Task[]): readonly Task[] {
  if (tasks.every(({ inner }) => inner === undefined)) return tasks;
  return tasks.flatMap((task) =>
    task.inner !== undefined && task.inner.tasks.length > 0 ? leavesOf(task.inner.tasks) : [task],
  );
}

/** Ids of all tasks of a position: what storage reads interrupts and records by. */
export const taskIds = (position: Position): string[] => [...eachTask(position.tasks)].map(({ id }) => id);

/** The tasks with the one of this id changed, at any depth. */
export function changeTask(
  tasks: readonly Task[],
  id: string,
  change: (task: Task) => Task,
): readonly Task[] {
  return tasks.map((task) => {
    if (task.id === id) return change(task);
    if (task.inner === undefined || !id.startsWith(`${task.id}/`)) return task;
    return { ...task, inner: { ...task.inner, tasks: changeTask(task.inner.tasks, id, change) } };
  });
}

export function withTask(snapshot: Snapshot, task: Task): Snapshot {
  const { tasks } = snapshot.position;
  const at = tasks.findIndex(({ id }) => id === task.id);
  return withTasks(snapshot, at === -1 ? changeTask(tasks, task.id, () => task) : tasks.with(at, task));
}

export function withTasks(snapshot: Snapshot, tasks: readonly Task[]): Snapshot {
  const { step, values, messages, position } = snapshot;
  return { step, values, messages, position: { tasks, holds: position.holds } };
}

/** The snapshot with what is inside an owner's task changed. */
export function withInner(snapshot: Snapshot, owner: string, change: (inner: Inner) => Inner): Snapshot {
  const tasks = changeTask(snapshot.position.tasks, owner, (task) =>
    task.inner === undefined ? task : { ...task, inner: change(task.inner) },
  );
  return withTasks(snapshot, tasks);
}
