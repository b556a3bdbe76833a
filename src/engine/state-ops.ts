import type { Json } from "../lib/json.js";
import type { Values } from "./snapshot.js";

/** One change of one field. A list that grew is stored as its tail, so that a long list costs what was added. */
export type StateOp = readonly ["set", string, Json] | readonly ["append", string, readonly Json[]];

/** The op that makes `before` into `after` for one field, or null where nothing changed. */
export function opFor(key: string, before: Json | undefined, after: Json): StateOp | null {
  if (before === after) return null;
  if (Array.isArray(before) && Array.isArray(after) && after.length > before.length) {
    // By identity: reducers keep the members they do not touch, and a false alarm only stores the whole list.
    if (before.length > 0 && before.every((item, i) => Object.is(item, after[i]))) {
      return ["append", key, after.slice(before.length) as Json[]];
    }
  }
  return ["set", key, after];
}

/** `base` with all `ops` applied, in order. Pure. */
export function applyOps(base: Values, ops: Iterable<StateOp>): Values {
  const values: Record<string, Json> = { ...base };
  /** Lists that were copied here already. */
  let own: Set<string> | undefined;
  for (const [kind, key, value] of ops) {
    const current = values[key];
    if (kind === "set" || !Array.isArray(current)) {
      values[key] = value;
      own?.delete(key);
    } else if (own?.has(key) === true) {
      (current as Json[]).push(...value);
    } else {
      values[key] = [...(current as Json[]), ...value];
      own ??= new Set();
      own.add(key);
    }
  }
  return values;
}
