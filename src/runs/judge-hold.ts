import {
  type Ask,
  type GraphDefinition,
  type HoldNames,
  type HoldPoint,
  type NodeState,
  OFFERED,
  type Snapshot,
  type Task,
  executionMeta,
  noInterruptHere,
  stateView,
} from "../engine/index.js";
import { jsonCopy, jsonFault, type Json } from "../lib/json.js";

/** The declared hold point of a task's stage: the compiled one, or one of the run's own. */
function holdOf(def: GraphDefinition, snapshot: Snapshot, task: Task): HoldPoint | null {
  const where = task.stage === "due" ? "before" : "after";
  const compiled = def[where].get(task.node);
  if (compiled !== undefined) return compiled;
  return named(snapshot.position.holds[where], task.node) ? { node: task.node, plain: true } : null;
}

const named = (names: HoldNames, node: string): boolean => names === "*" || names.includes(node);

/**
 * Whether the declared hold point of a task's stage holds, and in which words. `when` is asked once a visit; `message` and
 * `data` each time, so that nobody approves what a patch has changed meanwhile. Runs user code: may throw.
 */
export async function judgeHold(def: GraphDefinition, snapshot: Snapshot, task: Task): Promise<Ask | null> {
  const hold = holdOf(def, snapshot, task);
  const where = task.stage === "due" ? "before" : "after";
  const asked = (task.asks ?? []).find((ask) => ask.kind === where);
  // What was held stays held, also where the graph no longer declares it.
  if (hold === null) return asked ?? null;
  const state = viewFor(snapshot, task.node);
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
  };
}

export function viewFor(snapshot: Snapshot, node: string): NodeState {
  return stateView(
    snapshot,
    executionMeta({ status: "running", currentNode: node, step: snapshot.step }),
    noInterruptHere,
  );
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
