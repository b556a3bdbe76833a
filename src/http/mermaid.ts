import { END, START, type GraphDefinition } from "../engine/index.js";

/** A picture of a graph as mermaid text: hold points are marked, conditional ways are dotted. */
export function mermaid(def: GraphDefinition): string {
  const ids = new Map([START, END, ...def.nodes.keys()].map((name, i) => [name, `n${i}`]));
  const id = (name: string): string => ids.get(name) ?? name;
  const lines = ["flowchart TD", `  ${id(START)}([start])`, `  ${id(END)}([end])`];
  for (const name of def.nodes.keys()) {
    const marks = [def.before.has(name) ? "held before" : "", def.after.has(name) ? "held after" : ""].filter(
      (mark) => mark !== "",
    );
    const label = quote(marks.length === 0 ? name : `${name}<br/>${marks.join(", ")}`);
    lines.push(marks.length === 0 ? `  ${id(name)}[${label}]` : `  ${id(name)}{{${label}}}`);
  }
  for (const [source, edges] of def.edges) {
    for (const edge of edges) {
      if (edge.kind === "static") lines.push(`  ${id(source)} --> ${id(edge.to)}`);
      else if (edge.map === null) lines.push(`  ${id(source)} -. anywhere .-> ${id(END)}`);
      else for (const [key, to] of edge.map) lines.push(`  ${id(source)} -. ${quote(key)} .-> ${id(to)}`);
    }
  }
  for (const [source, to] of denials(def)) lines.push(`  ${id(source)} -. denied .-> ${id(to)}`);
  return `${lines.join("\n")}\n`;
}

function denials(def: GraphDefinition): [string, string][] {
  return [...def.nodes.keys()].flatMap((name): [string, string][] => {
    const to =
      def.before.get(name)?.onDeny ?? def.after.get(name)?.onDeny ?? def.nodes.get(name)?.options.onDeny;
    return to === undefined ? [] : [[name, to]];
  });
}

const quote = (text: string): string => `"${text.replaceAll('"', "#quot;")}"`;
