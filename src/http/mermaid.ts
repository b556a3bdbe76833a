import { END, START, type EdgeSpec, type GraphDefinition, type NodeSpec } from "../engine/index.js";

/**
 * A picture of a graph as mermaid text: hold points are marked, nested graphs are boxes with their own nodes, ways that are
 * taken only sometimes are dotted. Where nothing says which way, it says so: it never draws a way that is not declared.
 */
export function mermaid(def: GraphDefinition): string {
  return ["flowchart TD", ...drawn(def, "n").map((line) => `  ${line}`), ""].join("\n");
}

/** The lines of one graph; ids begin with `prefix` and are numbered, since names may be anything. */
function drawn(def: GraphDefinition, prefix: string): string[] {
  const ids = new Map([START, END, ...def.nodes.keys()].map((name, i) => [name, `${prefix}${i}`]));
  const id = (name: string): string => ids.get(name) ?? name;
  const anywhere = `${prefix}${ids.size}`;
  const ways = [START, ...def.nodes.keys()].flatMap((name) => waysFrom(def, name));
  const lines = [
    `${id(START)}([start])`,
    `${id(END)}([end])`,
    ...[...def.nodes.values()].flatMap((node) => box(def, node, id(node.name))),
  ];
  if (ways.some(({ to }) => to === null)) {
    lines.push(`${anywhere}((anywhere))`);
    const reached = new Set(ways.map(({ to }) => to));
    const loose = [...def.nodes.keys(), END].filter((name) => !reached.has(name));
    lines.push(...loose.map((name) => `${anywhere} -.-> ${id(name)}`));
  }
  for (const { from, to, label } of ways) {
    const arrow = label === null ? "-->" : label === "" ? "-.->" : `-. ${quote(label)} .->`;
    lines.push(`${id(from)} ${arrow} ${to === null ? anywhere : id(to)}`);
  }
  return lines;
}

function box(def: GraphDefinition, node: NodeSpec, id: string): string[] {
  const marks = [
    ...(def.before.has(node.name) ? ["held before"] : []),
    ...(def.after.has(node.name) ? ["held after"] : []),
  ];
  const title = node.kind === "graph" ? `${node.name} (${node.graph.name})` : node.name;
  const label = `"${[escape(title), marks.join(", ")].filter((text) => text !== "").join("<br/>")}"`;
  if (node.kind === "graph")
    return [`subgraph ${id}[${label}]`, ...drawn(node.graph, `${id}_`).map((line) => `  ${line}`), "end"];
  return [marks.length === 0 ? `${id}[${label}]` : `${id}{{${label}}}`];
}

/** `to` is null where it may be any node; `label` is null for a way that is always taken. */
interface Way {
  readonly from: string;
  readonly to: string | null;
  readonly label: string | null;
}

function waysFrom(def: GraphDefinition, from: string): Way[] {
  const edges = def.edges.get(from) ?? [];
  const denials = [def.before.get(from), def.after.get(from), def.nodes.get(from)?.options];
  const refused = new Set(denials.map((of) => of?.onDeny).filter((to) => to !== undefined));
  return [
    ...edges.flatMap((edge) => waysOf(from, edge)),
    // A node without edges says by a Command where it goes.
    ...(edges.length === 0 ? [{ from, to: null, label: "Command" }] : []),
    ...[...refused].map((to) => ({ from, to, label: "denied" })),
  ];
}

function waysOf(from: string, edge: EdgeSpec): Way[] {
  if (edge.kind === "static") return [{ from, to: edge.to, label: null }];
  if (edge.map === null) return [{ from, to: null, label: edge.label }];
  // A list of names says nothing by its keys.
  return [...edge.map].map(([key, to]) => ({ from, to, label: key === to ? "" : key }));
}

const quote = (text: string): string => `"${escape(text)}"`;

/** What mermaid or HTML could read as theirs becomes the code of its character. */
function escape(text: string): string {
  return text.replaceAll(/[^\p{L}\p{M}\p{N} _.,:()?!/+-]/gu, (sign) => `#${sign.codePointAt(0)};`);
}
