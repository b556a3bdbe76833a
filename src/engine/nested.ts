/** A graph as a node of another: how it begins, and what it leaves. */
import { entryTasks } from "./begin.js";
import type { GraphDefinition, NestedGraph } from "./definition.js";
import type { Message } from "./message.js";
import { withTask, type Place } from "./scope.js";
import type { Inner, Snapshot, Task, TaskResult, Values } from "./snapshot.js";

/** What a nested graph is given by `in` or a `Send`, instead of the fields that it shares. */
export interface InnerInput {
  readonly fields: Values;
  /** Its context, apart from the one around it; null where it sees that. */
  readonly messages: readonly Message[] | null;
}

const SUMMARY = "contextSummary";

/** Whether a field is one in both graphs: then the inner one begins with the outer's value, and changes it. */
const isShared = (outer: GraphDefinition, inner: GraphDefinition, field: string): boolean =>
  field === SUMMARY || (outer.state.fields.includes(field) && inner.state.fields.includes(field));

/** The values that an inner graph begins with: its defaults, and what it was given or shares. */
export function innerValues({ scope }: Place, { graph }: NestedGraph, given: InnerInput | null): Values {
  const shared = Object.entries(scope.values).filter(([field]) => isShared(scope.def, graph, field));
  return { ...graph.state.defaults(), ...(given === null ? Object.fromEntries(shared) : given.fields) };
}

/** A task whose node is a graph begins: its inner state, and its first tasks. */
export function enterNested(
  snapshot: Snapshot,
  { task }: Place,
  nested: NestedGraph,
  of: { readonly values: Values; readonly given: InnerInput | null; readonly attempts: number },
): Snapshot {
  const inner: Inner = {
    values: of.values,
    messages: [],
    ...(of.given?.messages == null ? {} : { apart: of.given.messages }),
    updates: [],
    tasks: entryTasks(nested.graph, snapshot.step, task),
  };
  return withTask(snapshot, { ...task, inner, attempts: of.attempts });
}

/** The tasks inside are through: the nested graph has its result, as a node would. `out` is what a mapping made of it. */
export function leaveNested(
  snapshot: Snapshot,
  { scope, task }: Place,
  nested: NestedGraph,
  out: TaskResult | null,
): Snapshot {
  const { inner, streamed: _streamed, ...rest } = task;
  if (inner === undefined) return snapshot;
  const through: Task = {
    ...rest,
    stage: "done",
    result: out ?? {
      updates: inner.updates.flatMap((update) => sharedPart(scope.def, nested.graph, update)),
      messages: inner.messages,
      said: true,
    },
    ...(inner.denied === undefined ? {} : { denied: inner.denied, deniedInside: true as const }),
  };
  return withTask(snapshot, through);
}

function sharedPart(outer: GraphDefinition, inner: GraphDefinition, update: Values): Values[] {
  const part = Object.entries(update).filter(([field]) => isShared(outer, inner, field));
  return part.length === 0 ? [] : [Object.fromEntries(part)];
}
