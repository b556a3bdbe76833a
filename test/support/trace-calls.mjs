// Preloaded into a server's process: tells which functions of dist ran between two SIGUSR2, in the order of their first
// call. Precise coverage says which; breakpoints whose condition notes the call and never holds say in which order.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { join } from "node:path";

const { TRACE_DIST, TRACE_INTO } = process.env;
const session = new Session();
session.connect();

/** Commands of one's own thread are answered at once. */
function ask(method, params) {
  let answer;
  session.post(method, params, (error, result) => {
    if (error) throw new Error(`${method}: ${error.message}`);
    answer = result;
  });
  return answer;
}

ask("Debugger.enable");
ask("Profiler.enable");
ask("Profiler.startPreciseCoverage", { callCount: true, detailed: true });

/** Every function met so far, by file: parents name their anonymous children. */
const known = new Map();
const watched = new Set();
globalThis.tracedCalls = [];
let taken = 0;

process.on("SIGUSR2", () => {
  const order = [...new Set(globalThis.tracedCalls)];
  const called = ask("Profiler.takePreciseCoverage").result.flatMap(calledOf);
  globalThis.tracedCalls.length = 0;
  const place = ({ id }) => (order.includes(id) ? order.indexOf(id) : Infinity);
  const calls = called.sort((a, b) => place(a) - place(b)).map(({ file, name }) => ({ file, name }));
  const into = join(TRACE_INTO, `${taken++}.json`);
  writeFileSync(`${into}.part`, JSON.stringify(calls));
  renameSync(`${into}.part`, into);
});

function calledOf({ url, scriptId, functions }) {
  if (!url.startsWith(TRACE_DIST)) return [];
  const text = readFileSync(new URL(url), "utf8");
  const file = `src/${url.slice(TRACE_DIST.length).replace(/\.js$/, ".ts")}`;
  const all = known.get(file) ?? new Map();
  known.set(file, all);
  for (const { functionName, ranges } of functions) {
    const [{ startOffset: start, endOffset: end }] = ranges;
    all.set(`${file}:${start}:${end}`, { name: functionName, start, end });
  }
  return functions.flatMap(({ ranges: [{ startOffset: start, endOffset: end, count }] }) => {
    const id = `${file}:${start}:${end}`;
    const name = nameOf([...all.values()], start, end);
    // The whole module and the fields of classes are no functions of ours.
    if (count === 0 || name === null) return [];
    if (!watched.has(id)) watch(id, scriptId, text, start, end);
    return [{ id, file, name }];
  });
}

/** Its own name, or that of the function around it. */
function nameOf(all, start, end) {
  const around = all
    .filter((each) => each.start <= start && each.end >= end && each.name !== "")
    .sort((a, b) => a.end - a.start - (b.end - b.start));
  const [nearest] = around;
  return nearest === undefined || nearest.name.startsWith("<") ? null : nearest.name.replace(/^[gs]et /, "");
}

function watch(id, scriptId, text, start, end) {
  watched.add(id);
  const at = (offset) => {
    const lines = text.slice(0, offset).split("\n");
    return { scriptId, lineNumber: lines.length - 1, columnNumber: lines.at(-1).length };
  };
  const { locations } = ask("Debugger.getPossibleBreakpoints", {
    start: at(start),
    end: at(end),
    restrictToFunction: true,
  });
  if (locations.length === 0) return;
  const condition = `void globalThis.tracedCalls.push(${JSON.stringify(id)})`;
  ask("Debugger.setBreakpoint", { location: locations[0], condition });
}
