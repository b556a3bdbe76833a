/** `node lib/profile.mjs FILE...`: where the time of a CPU profile went, by function and by file. */
import { readFileSync } from "node:fs";

const TOP = 40;
for (const file of process.argv.slice(2)) {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, "utf8"));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parent = new Map();
  for (const node of nodes) for (const child of node.children ?? []) parent.set(child, node.id);
  const self = new Map();
  const total = new Map();
  const add = (map, key, us) => map.set(key, (map.get(key) ?? 0) + us);
  const nameOf = ({ callFrame: { functionName, url, lineNumber } }) =>
    `${functionName === "" ? "(anonymous)" : functionName} ${url.replace(/^.*\/(node_modules|dist)\//, "$1/")}:${lineNumber + 1}`;
  let all = 0;
  samples.forEach((id, i) => {
    const us = timeDeltas[i] ?? 0;
    const name = nameOf(byId.get(id));
    if (name.startsWith("(idle)")) return;
    all += us;
    add(self, name, us);
    const seen = new Set();
    for (let at = id; at !== undefined; at = parent.get(at)) {
      const each = nameOf(byId.get(at));
      if (!seen.has(each)) add(total, each, us);
      seen.add(each);
    }
  });
  const print = (title, map) => {
    console.log(`\n${title} (${(all / 1e6).toFixed(1)} s busy)`);
    for (const [name, us] of [...map].sort((a, b) => b[1] - a[1]).slice(0, TOP))
      console.log(`${((us / all) * 100).toFixed(1).padStart(6)} %  ${name}`);
  };
  console.log(`\n# ${file}`);
  print("own time", self);
  print("with callees", total);
}
