/** How values and messages change: through reducers, by patches, by place. New values from old ones, nothing mutated. */
import { jsonFault, type Json } from "../lib/json.js";
import { deepFreeze } from "../lib/deep-freeze.js";
import { grown } from "../lib/grown.js";
import { errorText } from "../lib/show.js";
import { Growth } from "./context-growth.js";
import type { GraphDefinition } from "./definition.js";
import type { Message } from "./message.js";
import type { Snapshot, Values } from "./snapshot.js";
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
  let ops: StateOp[] = [];
  for (const key of Object.keys(after)) {
    const op = opFor(key, before[key], after[key] as Json);
    if (op !== null) ops = grown(ops, op);
  }
  return ops;
}

/** `context` with messages appended, or put where their id already is. */
export function addMessages(
  context: readonly Message[],
  added: readonly Message[],
): { context: readonly Message[]; placed: PlacedMessage[] } {
  if (added.length === 0) return { context, placed: [] };
  const growth = new Growth(context);
  // By place: of two messages of one id in one change, the later one counts.
  const placed = new Map<number, PlacedMessage>();
  for (const message of added) {
    const pos = growth.add(message);
    placed.set(pos, { pos, message });
  }
  return { context: growth.end(), placed: [...placed.values()] };
}

/** A patch: top-level fields, past the reducers. */
export function patchValues(values: Values, patch: Values): { values: Values; ops: StateOp[] } {
  const next = { ...values, ...patch };
  return { values: next, ops: opsBetween(values, next) };
}
