import { parseArgs } from "node:util";
import { readSettings } from "../config.js";
import { loadGraphs } from "../graph/index.js";
import { mermaid } from "../http/index.js";
import { didYouMean } from "../lib/nearest.js";
import { UsageError } from "./usage-error.js";

const USAGE = `Prints the picture of a graph as mermaid text.

Usage: holdpoint graph NAME [--graphs FILES]

  --graphs   HOLDPOINT_GRAPHS: comma-separated files or folders of graph modules (default examples)`;

/** `holdpoint graph NAME`: needs no database. Throws UsageError with the names there are where NAME is none of them. */
export async function graph(args: readonly string[]): Promise<void> {
  const { names, help, flags } = parse(args);
  if (help) {
    console.log(USAGE);
    return;
  }
  const loaded = await loadGraphs(readSettings(flags).HOLDPOINT_GRAPHS);
  const known = loaded.map((each) => each.name);
  const [name, ...more] = names;
  const found = loaded.find((each) => each.name === name);
  if (found === undefined || more.length > 0)
    throw new UsageError(`${refusal(names, known)}\n\n${list(known)}`);
  await print(mermaid({ ...found.graph.definition, name: found.name }));
  // A graph module may keep the process alive, with a pool of connections or a timer.
  process.exit(0);
}

const list = (known: readonly string[]): string => `Graphs:\n${known.map((name) => `  ${name}`).join("\n")}`;

function refusal([name, ...more]: readonly string[], known: readonly string[]): string {
  if (name === undefined) return `Which graph? Name one: "holdpoint graph ${known[0] ?? "NAME"}".`;
  if (more.length > 0) return "One graph at a time.";
  return `There is no graph "${name}"${didYouMean(name, known)}`;
}

function parse(args: readonly string[]): {
  names: string[];
  help: boolean;
  flags: Readonly<Record<string, string>>;
} {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { graphs: { type: "string" }, help: { type: "boolean", short: "h" } },
      allowPositionals: true,
      strict: true,
    });
    const { graphs, help = false } = values;
    return { names: positionals, help, flags: graphs === undefined ? {} : { graphs } };
  } catch (error) {
    throw new UsageError(`${(error as Error).message} Run "holdpoint graph --help".`);
  }
}

/** Settled when all of it is written: a pipe may be slow, and an exit would cut it. */
function print(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error == null ? resolve() : reject(error)));
  });
}
