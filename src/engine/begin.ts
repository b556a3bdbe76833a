import { addMessages, mergeFields, opsBetween, type Change } from "./advance.js";
import { START } from "./command.js";
import type { GraphDefinition } from "./definition.js";
import type { Message } from "./message.js";
import { dueTask, NO_HOLDS, unionHolds, type RunHolds, type Snapshot, type Values } from "./snapshot.js";

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
      position: { tasks: entryTasks(def, from.step, runId), holds: unionHolds(NO_HOLDS, holds) },
    },
    ops: opsBetween(snapshot === null ? {} : from.values, values),
    messages: placed,
  };
}

/** Static edges from START are known already; a conditional one is user code, for the run to ask. */
function entryTasks(def: GraphDefinition, step: number, runId: string): Snapshot["position"]["tasks"] {
  const edges = def.edges.get(START) ?? [];
  const known = edges.flatMap((edge) => (edge.kind === "static" ? [edge.to] : []));
  if (known.length === edges.length) return known.map((name, index) => dueTask(runId, step, index, name));
  return [{ ...dueTask(runId, step, 0, START), stage: "route" }];
}
