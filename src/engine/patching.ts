/** What people say with their answers, put where it belongs: messages to the thread, patches to what the paused node sees. */
import { isRecord } from "../lib/json.js";
import { withDefaults } from "./begin.js";
import type { GraphDefinition } from "./definition.js";
import type { Answer, InterruptKind } from "./interrupt.js";
import { rejudge } from "./plan.js";
import { ownerId, placeOf, withInner, withTask, type Place, type Scope } from "./scope.js";
import { unionHolds, type RunHolds, type Snapshot, type Task, type Values } from "./snapshot.js";
import { addMessages, mergeFields, opsBetween, patchValues, type Change } from "./state-change.js";

/** One answer, and what it is about; a patch or a "go on" is about the thread. */
export interface Said extends Pick<Answer, "messages" | "state"> {
  readonly about: { readonly taskId: string; readonly kind: InterruptKind } | null;
}

/**
 * The thread after what was said, in task order: messages first, then patches past the reducers, then `merged` through them;
 * the position is the plan's to move. Throws UpdateFault where a reducer does.
 */
export function applySaid(
  def: GraphDefinition,
  given: Snapshot,
  said: readonly Said[],
  merged: Values,
  holds: Partial<RunHolds>,
): Change {
  const { context, placed } = addMessages(
    given.messages,
    said.flatMap(({ messages }) => messages),
  );
  const known = withDefaults(def, given.values);
  let snapshot: Snapshot = { ...given, values: known, messages: context };
  const patched = new Set<string | null>();
  for (const { about, messages, state } of said) {
    const place = about === null ? null : placeOf(def, snapshot, about.taskId);
    if (place !== null && messages.length > 0) snapshot = tellApart(snapshot, place, messages);
    if (state === null || Object.keys(state).length === 0) continue;
    snapshot = patchAt(snapshot, place, state, about?.kind ?? null);
    patched.add(place !== null && isSentState(place.task, about?.kind) ? place.task.id : scopeKey(place));
  }
  const values = mergeFields(def, snapshot.values, merged);
  // A field that the graph has got since is no change of what was approved.
  if (opsBetween(known, values).length === 0) patched.delete(null);
  else patched.add(null);
  const all = unionHolds(snapshot.position.holds, holds);
  const tasks = rejudgeAll(snapshot.position.tasks, null, patched, holds);
  return {
    snapshot: { ...snapshot, values, position: { tasks, holds: all } },
    ops: opsBetween(given.values, values),
    messages: placed,
  };
}

/**
 * Whether a patch of this task is one of what a `Send` gave it. Behind its output it is of the state again, and so is what
 * a lost attempt did: that is its output.
 */
export const isSentState = (task: Task, kind: InterruptKind | undefined): boolean =>
  task.sent !== undefined && task.stage !== "after" && kind !== "crash";

const scopeKey = (place: Place | null): string | null => (place === null ? null : ownerId(place.scope));

function patchAt(snapshot: Snapshot, place: Place | null, fields: Values, kind: InterruptKind | null): Snapshot {
  if (place !== null && isSentState(place.task, kind ?? undefined)) {
    const { task } = place;
    const before = isRecord(task.sent?.value) ? (task.sent.value as Values) : {};
    return withTask(snapshot, { ...task, sent: { value: { ...before, ...fields } } });
  }
  const owner = scopeKey(place);
  if (owner === null) return { ...snapshot, values: patchValues(snapshot.values, fields).values };
  return withInner(snapshot, owner, (inner) => ({
    ...inner,
    values: patchValues(inner.values, fields).values,
    // What a lost attempt did is its output.
    ...(kind === "crash" ? { updates: [...inner.updates, fields] } : {}),
  }));
}

/** Nested graphs that do not see the thread's messages are told too, where the answer is to a question of theirs. */
function tellApart(snapshot: Snapshot, place: Place, messages: Answer["messages"]): Snapshot {
  let told = snapshot;
  for (let scope: Scope | undefined = place.scope; scope?.owner != null; scope = scope.owner.scope) {
    told = withInner(told, scope.owner.task.id, (inner) =>
      inner.apart === undefined ? inner : { ...inner, apart: addMessages(inner.apart, messages).context },
    );
  }
  return told;
}

/** A patch or an added hold point has every node looked at again that was let pass and has not finished. */
export function rejudgeAll(
  tasks: readonly Task[],
  owner: string | null,
  patched: ReadonlySet<string | null>,
  added: Partial<RunHolds>,
): readonly Task[] {
  const { before = [] } = added;
  return tasks.map((given) => {
    const task = rejudge(given, {
      patched: patched.has(given.id) || (given.sent === undefined && patched.has(owner)),
      held: before === "*" || (owner === null && before.includes(given.node)),
    });
    if (task.inner === undefined) return task;
    return { ...task, inner: { ...task.inner, tasks: rejudgeAll(task.inner.tasks, task.id, patched, added) } };
  });
}

/** A patch of the thread itself: its fields and messages. */
export function patchThread(
  def: GraphDefinition,
  snapshot: Snapshot,
  fields: Values,
  messages: Answer["messages"],
): Change {
  return applySaid(def, snapshot, [{ about: null, messages, state: fields }], {}, {});
}

