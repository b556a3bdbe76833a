import {
  executionMeta,
  heldByRun,
  noInterruptHere,
  OFFERED,
  stateView,
  type Ask,
  type HoldPoint,
  type ManualInterrupt,
  type NodeState,
  type Place,
  type RunHolds,
  type Scope,
  type Snapshot,
} from "../engine/index.js";
import { isRecord, jsonCopy, jsonFault, type Json } from "../lib/json.js";

/** The declared hold point of a task's stage: the compiled one, or one of the run's own. */
function holdOf({ scope, task }: Place, holds: RunHolds): HoldPoint | null {
  const where = task.stage === "due" ? "before" : "after";
  const compiled = scope.def[where].get(task.node);
  if (compiled !== undefined) return compiled;
  return heldByRun(scope, holds[where], task.node) ? { node: task.node, plain: true } : null;
}

/**
 * Whether the declared hold point of a task's stage holds, and in which words. `when` is asked once a visit; `message` and
 * `data` each time, so that nobody approves what a patch has changed meanwhile. Runs user code: may throw.
 */
export async function judgeHold(place: Place, { step, position }: Snapshot): Promise<Ask | null> {
  const { task } = place;
  const hold = holdOf(place, position.holds);
  const where = task.stage === "due" ? "before" : "after";
  const asked = (task.asks ?? []).find((ask) => ask.kind === where);
  // What was held stays held, also where the graph no longer declares it.
  if (hold === null) return asked ?? null;
  // Before a node that a Send made due: what it was sent. Behind one: the state that its output is in.
  const state = task.stage === "due" ? nodeView(place, step) : viewFor(place.scope, task.node, step);
  if (task.judged === undefined && hold.when !== undefined && !(await hold.when(state))) return null;

  const message =
    hold.message === undefined ? defaultMessage(where, task.node) : String(await hold.message(state));
  return {
    key: asked?.key ?? where,
    kind: where,
    pauses: where,
    reason: `interrupt_${where}: ${task.node}`,
    message,
    data: hold.data === undefined ? {} : asJson(await hold.data(state)),
    responseSchema: hold.responseSchema ?? null,
    decisions: hold.decisions ?? OFFERED[where],
    named: hold.named ?? false,
    plain: hold.plain,
    ...(hold.expiresIn === undefined ? {} : { expiresIn: hold.expiresIn }),
    ...(hold.onExpiry === undefined ? {} : { onExpiry: hold.onExpiry }),
  };
}

/** The state of a scope as user code sees it that is no node. */
export function viewFor(scope: Scope, node: string, step: number): NodeState {
  return stateView(scope, executionMeta({ status: "running", currentNode: node, step }), noInterruptHere);
}

/** The state as a task's node sees it: what a `Send` gave it, else its graph's. */
export function nodeView(
  { scope, task }: Place,
  step: number,
  setInterrupt: (of: ManualInterrupt) => void = noInterruptHere,
): NodeState {
  const meta = executionMeta({ status: "running", currentNode: task.node, step });
  if (task.sent === undefined) return stateView(scope, meta, setInterrupt);
  const { value } = task.sent;
  // A value that is no object has no room for the rest.
  if (!isRecord(value)) return value as unknown as NodeState;
  return stateView({ values: value, messages: scope.messages }, meta, setInterrupt);
}

function defaultMessage(where: "before" | "after", node: string): string {
  return where === "before"
    ? `${node} waits for approval before it runs.`
    : `${node} has run; its output waits for review.`;
}

function asJson(data: unknown): Json {
  if (data === undefined) return null;
  const fault = jsonFault(data, "data");
  if (fault !== null) throw new Error(`the hold point's data is not JSON at ${fault.path}: ${fault.problem}`);
  return jsonCopy(data as Json);
}
