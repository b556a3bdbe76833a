import {
  END,
  onDenyOf,
  Send,
  START,
  type EdgeSpec,
  type GraphDefinition,
  type Scope,
  type Target,
  type Task,
} from "../engine/index.js";
import { errorText, isInstance, show } from "../lib/show.js";
import { grown } from "../lib/grown.js";
import { didYouMean } from "../lib/nearest.js";
import { viewFor } from "./judge-hold.js";
import { sendTarget } from "./node-output.js";

/** An edge that threw or named no node; the message names the edge. */
export class EdgeFault extends Error {}

/** Where a task goes next if no user code and no check is needed to say so; else null. */
export function plainSuccessors({ def }: Scope, task: Task): readonly Target[] | null {
  if (task.denied !== undefined || task.goto !== undefined) return null;
  let targets: string[] = [];
  for (const edge of def.edges.get(task.node) ?? []) {
    if (edge.kind !== "static") return null;
    targets = grown(targets, edge.to);
  }
  return targets.length === 0 ? null : targets;
}

/** Where a task goes next: its denial's way, its Command's, or its edges'. Runs user code. Throws EdgeFault. */
export async function successors(scope: Scope, task: Task, step: number): Promise<readonly Target[]> {
  const { def } = scope;
  if (task.denied !== undefined) return [onDenyOf(def, task) ?? END];
  if (task.goto !== undefined) return stillThere(def, task, task.goto);
  const edges = def.edges.get(task.node) ?? [];
  if (edges.length === 0)
    throw new EdgeFault(`node "${task.node}" has no edge and returned no Command: nothing says where to go`);
  const targets = await Promise.all(edges.map((edge) => follow(scope, task, edge, step)));
  return targets.flat();
}

const nameOf = (target: Target): string => (typeof target === "string" ? target : target.node);

function stillThere(def: GraphDefinition, task: Task, targets: readonly Target[]): readonly Target[] {
  const gone = targets.map(nameOf).find((name) => name !== END && !def.nodes.has(name));
  if (gone === undefined) return targets;
  throw new EdgeFault(
    `the Command of "${task.node}" goes to "${gone}", which the loaded graph no longer has`,
  );
}

async function follow(scope: Scope, task: Task, edge: EdgeSpec, step: number): Promise<Target[]> {
  if (edge.kind === "static") return [edge.to];
  const from = task.node === START ? "START" : `"${task.node}"`;
  let answer: unknown;
  try {
    answer = await edge.route(viewFor(scope, task.node, step));
  } catch (cause) {
    throw new EdgeFault(`the conditional edge from ${from} threw: ${errorText(cause)}`, { cause });
  }
  const ways = Array.isArray(answer) ? (answer as unknown[]) : [answer];
  if (ways.length === 0)
    throw new EdgeFault(`the conditional edge from ${from} returned an empty list: return END to end here`);
  return ways.map((way) => {
    if (!isInstance(way, Send)) return target(scope.def, from, edge, way);
    const sent = sendTarget(scope.def, way);
    if (typeof sent === "string") throw new EdgeFault(`the conditional edge from ${from} sent to ${sent}`);
    return sent;
  });
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
