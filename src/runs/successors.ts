import {
  END,
  START,
  type EdgeSpec,
  type GraphDefinition,
  type Snapshot,
  type Task,
} from "../engine/index.js";
import { errorText, show } from "../lib/show.js";
import { didYouMean } from "../lib/nearest.js";
import { viewFor } from "./judge-hold.js";

/** An edge that threw or named no node; the message names the edge. */
export class EdgeFault extends Error {}

/** Where a task goes next: its denial's way, its Command's, or its edges'. Runs user code. Throws EdgeFault. */
export async function successors(
  def: GraphDefinition,
  snapshot: Snapshot,
  task: Task,
): Promise<readonly string[]> {
  if (task.denied !== undefined) return [denialWay(def, task)];
  if (task.goto !== undefined) {
    const gone = task.goto.find((name) => name !== END && !def.nodes.has(name));
    if (gone !== undefined)
      throw new EdgeFault(
        `the Command of "${task.node}" goes to "${gone}", which the loaded graph no longer has`,
      );
    return task.goto;
  }
  const edges = def.edges.get(task.node) ?? [];
  if (edges.length === 0)
    throw new EdgeFault(`node "${task.node}" has no edge and returned no Command: nothing says where to go`);
  const targets = await Promise.all(edges.map((edge) => follow(def, snapshot, task.node, edge)));
  return targets.flat();
}

/** `onDeny` of where it was denied: of the node for what it asked itself, else of the hold point; each stands in for the other. */
function denialWay(def: GraphDefinition, task: Task): string {
  const hold = (task.closed === true ? def.after : def.before).get(task.node)?.onDeny;
  const node = def.nodes.get(task.node)?.options.onDeny;
  return (task.deniedInside === true ? (node ?? hold) : (hold ?? node)) ?? END;
}

async function follow(
  def: GraphDefinition,
  snapshot: Snapshot,
  source: string,
  edge: EdgeSpec,
): Promise<string[]> {
  if (edge.kind === "static") return [edge.to];
  const from = source === START ? "START" : `"${source}"`;
  let answer: unknown;
  try {
    answer = await edge.route(viewFor(snapshot, source));
  } catch (cause) {
    throw new EdgeFault(`the conditional edge from ${from} threw: ${errorText(cause)}`, { cause });
  }
  const names = Array.isArray(answer) ? (answer as unknown[]) : [answer];
  if (names.length !== 1) {
    throw new EdgeFault(
      `the conditional edge from ${from} gave ${names.length} names: running several nodes in one step is not supported yet`,
    );
  }
  return names.map((name) => target(def, from, edge, name));
}

function target(
  def: GraphDefinition,
  from: string,
  edge: EdgeSpec & { kind: "conditional" },
  name: unknown,
): string {
  const key = typeof name === "boolean" || typeof name === "number" ? String(name) : name;
  const mapped = edge.map === null ? key : edge.map.get(key as string);
  if (mapped === END || (typeof mapped === "string" && def.nodes.has(mapped))) return mapped;
  const known = edge.map === null ? [...def.nodes.keys(), END] : [...edge.map.keys()];
  const what = edge.map === null ? "which is not a node" : "which its map does not have";
  throw new EdgeFault(
    `the conditional edge from ${from} returned ${show(name)}, ${what}${didYouMean(typeof name === "string" ? name : show(name), known)}`,
  );
}
