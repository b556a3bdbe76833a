import { didYouMean } from "../lib/nearest.js";
import { END, START } from "./command.js";
import type { EdgeSpec, GraphDefinition } from "./definition.js";

/** What the builder collected, before it is a definition: names may repeat or be unknown. */
export interface GraphParts extends Pick<GraphDefinition, "nodes" | "edges" | "before" | "after"> {
  readonly duplicates: readonly string[];
}

/** Every fault of a graph at once, as sentences (design: engine, section 1). */
export function checkGraph({ nodes, edges, before, after, duplicates }: GraphParts): string[] {
  const faults: string[] = duplicates.map((name) => `node "${name}" is added twice`);
  const known = [...nodes.keys()];
  const unknown = (name: string): string => `"${name}" is not a node${didYouMean(name, known)}`;

  for (const [source, list] of edges) {
    if (source === END) faults.push("END has no edges: nothing follows it");
    else if (source !== START && !nodes.has(source))
      faults.push(`an edge begins at ${source}: ${unknown(source)}`);
    for (const target of list.flatMap(targetsOf)) {
      if (target === START) faults.push(`the edge from "${source}" leads to START: name the node instead`);
      else if (target !== END && !nodes.has(target))
        faults.push(`the edge from "${source}" leads nowhere: ${unknown(target)}`);
    }
  }
  for (const [name, holds] of [
    ["interruptBefore", before],
    ["interruptAfter", after],
  ] as const) {
    for (const hold of holds.values()) {
      if (!nodes.has(hold.node)) faults.push(`${name}: ${unknown(hold.node)}`);
      if (hold.onDeny !== undefined && hold.onDeny !== END && !nodes.has(hold.onDeny)) {
        faults.push(`${name} of "${hold.node}": onDeny: ${unknown(hold.onDeny)}`);
      }
    }
  }
  for (const node of nodes.values()) {
    const { onDeny } = node.options;
    if (onDeny !== undefined && onDeny !== END && !nodes.has(onDeny))
      faults.push(`onDeny of "${node.name}": ${unknown(onDeny)}`);
  }
  if ((edges.get(START) ?? []).length === 0) {
    faults.push(
      `the graph has no entry: add an edge from START${known[0] === undefined ? "" : `, as addEdge(START, "${known[0]}")`}`,
    );
  }
  return faults.length > 0 ? faults : checkWays({ nodes, edges, before, after, duplicates });
}

/** Reachability on declared ways; where a node may go anywhere (by Command or an unmapped edge) neither fault is raised. */
function checkWays(parts: GraphParts): string[] {
  const { nodes } = parts;
  const reached = new Set<string>();
  const queue: string[] = [START];
  let anywhere = false;
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (reached.has(name) || name === END) continue;
    reached.add(name);
    const ways = waysFrom(parts, name);
    if (ways === null) anywhere = true;
    else queue.push(...ways);
  }
  if (anywhere) return [];

  const faults: string[] = [];
  for (const name of nodes.keys()) {
    if (!reached.has(name)) faults.push(`node "${name}" cannot be reached from START`);
  }
  const ends = new Set<string>([END]);
  for (let grew = true; grew;) {
    grew = false;
    for (const name of reached) {
      if (!ends.has(name) && (waysFrom(parts, name) ?? []).some((to) => ends.has(to))) {
        ends.add(name);
        grew = true;
      }
    }
  }
  for (const name of nodes.keys()) {
    if (reached.has(name) && !ends.has(name)) faults.push(`node "${name}" has no way to END`);
  }
  return faults;
}

/** Where `name` may go, or null for anywhere. A denial's way is one too. */
function waysFrom({ nodes, edges, before, after }: GraphParts, name: string): string[] | null {
  const list = edges.get(name) ?? [];
  if (list.length === 0 || list.some((edge) => edge.kind === "conditional" && edge.map === null)) return null;
  const denials = [before.get(name)?.onDeny, after.get(name)?.onDeny, nodes.get(name)?.options.onDeny];
  return [...list.flatMap(targetsOf), ...denials.filter((to) => to !== undefined)];
}

function targetsOf(edge: EdgeSpec): string[] {
  if (edge.kind === "static") return [edge.to];
  return edge.map === null ? [] : [...edge.map.values()];
}
