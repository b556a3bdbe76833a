import { deepFreeze } from "../lib/deep-freeze.js";
import type { ManualInterrupt, NodeState } from "./definition.js";
import type { Snapshot } from "./snapshot.js";
import type { ExecutionMeta } from "./status.js";

/**
 * The state as user code sees it: the graph's fields are own members, the rest is not enumerable, so that a spread copies
 * the fields only. Frozen, and its values are.
 */
export function stateView(
  of: Pick<Snapshot, "values" | "messages">,
  meta: ExecutionMeta,
  setInterrupt: (of: ManualInterrupt) => void,
): NodeState {
  const { contextSummary = null, ...fields } = of.values;
  // What a database gave is fresh; what is frozen already costs nothing.
  for (const value of Object.values(fields)) deepFreeze(value);
  return Object.freeze(
    Object.defineProperties(fields, {
      context: { value: deepFreeze(of.messages) },
      contextSummary: { value: contextSummary },
      executionMeta: { value: meta },
      setInterrupt: { value: setInterrupt },
    }),
  ) as unknown as NodeState;
}

/** What `setInterrupt` does outside a node. */
export function noInterruptHere(): never {
  throw new Error("setInterrupt pauses the node that calls it: only a node may call it");
}
