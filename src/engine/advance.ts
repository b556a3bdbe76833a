/** Applies what nodes and edges gave: new snapshots from old ones, nothing mutated. */
import { jsonFault, type Json } from "../lib/json.js";
import { deepFreeze } from "../lib/deep-freeze.js";
import { errorText } from "../lib/show.js";
import { END, START } from "./command.js";
import type { GraphDefinition, NodeOutput } from "./definition.js";
import type { Answer, Ask } from "./interrupt.js";
import type { Message } from "./message.js";
import { dueTask, type LostAttempt, type Snapshot, type Task, type Values } from "./snapshot.js";
import { opFor, type StateOp } from "./state-ops.js";

/** A message and its place in the thread; a replacement has the place of what it replaces. */
export interface PlacedMessage {
  readonly pos: number;
  readonly message: Message;
}

/** What a change added, for the one write that commits it. */
export interface Change {
  readonly snapshot: Snapshot;
  readonly ops: readonly StateOp[];
  readonly messages: readonly PlacedMessage[];
}

/** A node's update that the graph's state does not take. */
export class UpdateFault extends Error {}

/** `values` with `update` merged in: through the reducer where a field has one, else replaced. Throws UpdateFault. */
export function mergeFields(def: GraphDefinition, values: Values, update: Values): Values {
  const merged: Record<string, Json> = { ...values };
  for (const [field, given] of Object.entries(update)) {
    const reducer = def.state.reducers.get(field);
    if (reducer === undefined) {
      merged[field] = given;
      continue;
    }
    let reduced: unknown;
    try {
      reduced = reducer(values[field], given);
    } catch (cause) {
      throw new UpdateFault(`the reducer of "${field}" threw: ${errorText(cause)}`, { cause });
    }
    const fault = jsonFault(reduced, field);
    if (fault !== null)
      throw new UpdateFault(
        `the reducer of "${field}" gave what is not JSON at ${fault.path}: ${fault.problem}`,
      );
    const checked = def.state.check(field, reduced);
    if (!checked.ok)
      throw new UpdateFault(
        `the reducer of "${field}" gave a value that the schema refuses: ${checked.message}`,
      );
    // What the reducer gave, not what the schema made of it: a transform must not run on its own output.
    merged[field] = deepFreeze(reduced as Json);
  }
  return merged;
}

export function opsBetween(before: Values, after: Values): StateOp[] {
  return Object.keys(after).flatMap((key) => {
    const op = opFor(key, before[key], after[key] as Json);
    return op === null ? [] : [op];
  });
}

/** `context` with messages appended, or put where their id already is. */
export function addMessages(
  context: readonly Message[],
  added: readonly Message[],
): { context: readonly Message[]; placed: PlacedMessage[] } {
  if (added.length === 0) return { context, placed: [] };
  const next = [...context];
  // By place: of two messages of one id in one change, the later one counts.
  const placed = new Map<number, PlacedMessage>();
  for (const message of added) {
    // New ids are the rule, and a replaced message is mostly a late one: look from the end.
    const at = next.findLastIndex((known) => known.id === message.id);
    const pos = at === -1 ? next.length : at;
    next[pos] = message;
    placed.set(pos, { pos, message });
  }
  return { context: Object.freeze(next), placed: [...placed.values()] };
}

/** A patch: top-level fields, past the reducers. */
export function patchValues(values: Values, patch: Values): { values: Values; ops: StateOp[] } {
  const next = { ...values, ...patch };
  return { values: next, ops: opsBetween(values, next) };
}

/** The output of a task's node, applied: one step more, and what is behind the node is next. Throws UpdateFault. */
export function applyOutput(
  def: GraphDefinition,
  snapshot: Snapshot,
  task: Task,
  output: NodeOutput,
  asks: readonly Ask[],
  attempts: number,
): Change {
  const values = mergeFields(def, snapshot.values, output.update);
  const { context, placed } = addMessages(snapshot.messages, output.messages);
  const { streamed: _streamed, ...rest } = task;
  const done: Task = {
    ...rest,
    stage: "after",
    closed: true,
    attempts,
    ...(asks.length > 0 ? { asks } : {}),
    ...(output.goto === null ? {} : { goto: output.goto }),
  };
  return {
    snapshot: { ...withTask(snapshot, done), step: snapshot.step + 1, values, messages: context },
    ops: opsBetween(snapshot.values, values),
    messages: placed,
  };
}

/** A task's node that did not finish: what it asks or that it failed, kept for the next attempt. */
export function keepTask(
  snapshot: Snapshot,
  task: Task,
  of: { attempts: number; asks?: readonly Ask[]; streamed: boolean },
): Snapshot {
  return withTask(snapshot, {
    ...task,
    attempts: of.attempts,
    ...(of.asks === undefined ? {} : { asks: of.asks }),
    ...(of.streamed ? { streamed: true as const } : {}),
  });
}

/** A task whose node was denied from inside: it ran without output. */
export function denyTask(snapshot: Snapshot, task: Task, denied: Answer, attempts: number): Snapshot {
  const { asks: _asks, streamed: _streamed, ...rest } = task;
  return withTask(snapshot, { ...rest, stage: "route", denied, deniedInside: true, attempts });
}

/** An attempt whose outcome nobody knows: where the node may not be repeated unasked, a person is asked first. */
export function loseAttempt(
  def: GraphDefinition,
  snapshot: Snapshot,
  task: Task,
  lost: LostAttempt,
): Snapshot {
  const counted: Task = { ...task, attempts: Math.max(task.attempts, lost.attempt) };
  if (mayRepeat(def, snapshot, task)) return withTask(snapshot, counted);
  const how = {
    crash: "its process died",
    timeout: "it timed out",
    stop: "a stop gave it up",
  }[lost.cause];
  const ask: Ask = {
    key: `crash:${lost.attempt}`,
    kind: "crash",
    pauses: "before",
    reason: `crash: ${task.node}`,
    message: `Attempt ${lost.attempt} of ${task.node} may have acted before ${how}. Approve to run it again, edit to say what it did, deny to leave it.`,
    data: {
      node: task.node,
      attempt: lost.attempt,
      began_at: lost.beganAt,
      cause: lost.cause,
      once: lost.once,
    },
    responseSchema: null,
    decisions: ["approve", "edit", "deny"],
    named: false,
    plain: false,
  };
  return withTask(snapshot, { ...counted, asks: [...(task.asks ?? []), ask] });
}

/** A gated action is never silently repeated: a node that a person has a say in is held, unless it says otherwise. */
export function mayRepeat(def: GraphDefinition, { position }: Snapshot, task: Task): boolean {
  const chosen = def.nodes.get(task.node)?.options.onCrash;
  if (chosen !== undefined) return chosen === "rerun";
  const perRun = [position.holds.before, position.holds.after].some(
    (names) => names === "*" || names.includes(task.node),
  );
  return !perRun && task.answered !== true && !def.before.has(task.node) && !def.after.has(task.node);
}

/** Successors by task id: what the edges, the Command or a denial gave. */
export type Routes = ReadonlyMap<string, readonly string[]>;

/** Tasks whose successors are known make way for them. A denied one closes its step without output. */
export function takeRoutes(snapshot: Snapshot, routes: Routes, runId: string): Snapshot {
  const closes = (task: Task): boolean =>
    task.denied !== undefined && task.closed === undefined && routes.has(task.id);
  const step = snapshot.position.tasks.some(closes) ? snapshot.step + 1 : snapshot.step;
  let index = 0;
  const tasks = snapshot.position.tasks.flatMap((task) => {
    const to = routes.get(task.id);
    if (to === undefined) return [task];
    return to.filter((name) => name !== END).map((name) => dueTask(runId, step, index++, name, task.denied));
  });
  return { ...snapshot, step, position: { ...snapshot.position, tasks } };
}

/** The nodes that are next, as people see them: an END is none. */
export function nextNodes(snapshot: Snapshot): string[] {
  return snapshot.position.tasks.flatMap((task) => (task.node === START ? [] : [task.node]));
}

function withTask(snapshot: Snapshot, task: Task): Snapshot {
  const tasks = snapshot.position.tasks.map((known) => (known.id === task.id ? task : known));
  return { ...snapshot, position: { ...snapshot.position, tasks } };
}
