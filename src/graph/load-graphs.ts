import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { GraphError } from "../errors.js";
import { CompiledGraph } from "./compiled-graph.js";

/** A graph of a module, under the name that the server gives it. */
export interface LoadedGraph {
  readonly name: string;
  readonly graph: CompiledGraph;
  readonly file: string;
}

/** A graph module that does not load; its message names the file and the reason. */
export class GraphModuleError extends Error {}

const KINDS = [".ts", ".js", ".mjs"];

/**
 * Loads the graph modules of files and folders. They import `holdpoint` (and zod) from wherever they lie: this process's own
 * copies answer, so that there is one of each. Throws GraphModuleError.
 */
export async function loadGraphs(paths: readonly string[]): Promise<LoadedGraph[]> {
  const own = import.meta.url;
  // Only the server needs the loader: the library is imported without it.
  const { createJiti } = await import("jiti");
  const jiti = createJiti(own, {
    interopDefault: false,
    moduleCache: true,
    fsCache: false,
    alias: {
      holdpoint: fileURLToPath(new URL(`../index${extname(own)}`, own)),
      ...ours(ZOD),
    },
  });
  const loaded: LoadedGraph[] = [];
  for (const file of paths.flatMap(filesOf)) {
    let module: Record<string, unknown>;
    try {
      module = await jiti.import(file);
    } catch (error) {
      throw new GraphModuleError(`The graph module ${file} does not load: ${reasonOf(error)}`, {
        cause: error,
      });
    }
    const graphs = Object.entries(module).flatMap(([name, value]) =>
      value instanceof CompiledGraph ? [entryOf(value as CompiledGraph, name, file)] : [],
    );
    const unique = graphs.filter(({ graph }, i) => graphs.findIndex((other) => other.graph === graph) === i);
    if (unique.length === 0) {
      throw new GraphModuleError(
        `The graph module ${file} exports no compiled graph: export what graph.compile() returns.`,
      );
    }
    loaded.push(...unique);
  }
  for (const [i, { name, file }] of loaded.entries()) {
    const other = loaded.slice(0, i).find((each) => each.name === name);
    if (other !== undefined)
      throw new GraphModuleError(
        `Two graphs are called "${name}", in ${other.file} and ${file}: give one another name by compile({ name }).`,
      );
  }
  return loaded;
}

/** Ways of importing zod, all to one copy: the loader would look for `zod/v4` inside the file that `zod` leads to. */
const ZOD = ["zod", "zod/v4", "zod/v4/core", "zod/v4-mini", "zod/v4/mini", "zod/mini", "zod/v3"];

const ours = (names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, fileURLToPath(import.meta.resolve(name))]));

function entryOf(graph: CompiledGraph, exported: string, file: string): LoadedGraph {
  return { name: nameOf(graph, exported, file), graph, file };
}

function nameOf(graph: CompiledGraph, exported: string, file: string): string {
  if (graph.named) return graph.definition.name;
  return exported === "default" ? basename(file, extname(file)) : exported;
}

function filesOf(path: string): string[] {
  const full = resolve(path);
  if (!existsSync(full))
    throw new GraphModuleError(`There are no graph modules at ${full}: there is no such file or folder.`);
  if (!statSync(full).isDirectory()) return [full];
  const files = readdirSync(full)
    .filter((name) => KINDS.includes(extname(name)) && !name.endsWith(".d.ts") && !name.startsWith("."))
    .sort()
    .map((name) => join(full, name));
  if (files.length === 0)
    throw new GraphModuleError(
      `The folder ${full} has no graph modules (files ending in ${KINDS.join(", ")}).`,
    );
  return files;
}

function reasonOf(error: unknown): string {
  if (error instanceof GraphError) return error.message;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
