import { addMessages, mergeFields, opsBetween, type Change } from "./state-change.js";
import { END, START } from "./command.js";
import type { GraphDefinition } from "./definition.js";
import type { Message } from "./message.js";
import {
  bornIn,
  dueTask,
  NO_HOLDS,
  unionHolds,
  type Birth,
  type RunHolds,
  type Snapshot,
  type Task,
  type Values,
} from "./snapshot.js";

/** A run's input, checked: fields by name, messages with their ids. */
export interface RunInput {
  readonly fields: Values;
  readonly messages: readonly Message[];
}

const NO_MESSAGES: readonly Message[] = Object.freeze([]);

/** A thread that never ran. */
export function emptySnapshot(def: GraphDefinition): Snapshot {
  return {
    step: 0,
    values: def.state.defaults(),
    messages: NO_MESSAGES,
    position: { tasks: [], holds: NO_HOLDS },
  };
}

/** A thread's values, with the defaults of fields that its graph has got since. */
export function withDefaults(def: GraphDefinition, values: Values): Values {
  return { ...def.state.defaults(), ...values };
}

/**
 * A fresh run: at START, on the thread's state with the input merged in. What an earlier run left undone is given up.
 * `snapshot` null is a thread that never ran. Throws UpdateFault.
 */
export function begin(
  def: GraphDefinition,
  snapshot: Snapshot | null,
  input: RunInput,
  runId: string,
  holds: Partial<RunHolds>,
): Change {
  const from = snapshot ?? emptySnapshot(def);
  const values = mergeFields(def, withDefaults(def, from.values), input.fields);
  const { context, placed } = addMessages(from.messages, input.messages);
  return {
    snapshot: {
      step: from.step,
      values,
      messages: context,
      position: { tasks: entryTasks(def, from.step, bornIn(runId)), holds: unionHolds(NO_HOLDS, holds) },
    },
    ops: opsBetween(snapshot === null ? {} : from.values, values),
    messages: placed,
  };
}

/** The first tasks of a graph. Static edges from START are known already; a conditional one is user code, for the run to ask. */
export function entryTasks(def: GraphDefinition, step: number, under: Birth): readonly Task[] {
  const edges = def.edges.get(START) ?? [];
  if (edges.some((edge) => edge.kind === "conditional"))
    return [{ ...dueTask(under, step, 0, START), stage: "route" }];
  const named = new Set(edges.flatMap((edge) => (edge.kind === "static" ? [edge.to] : [])));
  // In the order of declaration, as after every step.
  const names = named.size === 1 ? [...named] : [...def.nodes.keys()].filter((name) => named.has(name));
  return names.filter((name) => name !== END).map((name, index) => dueTask(under, step, index, name));
}
