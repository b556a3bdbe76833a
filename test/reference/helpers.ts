import {
  END,
  InMemoryCheckpointer,
  START,
  StateGraph,
  type CompileOptions,
  type NodeFunction,
} from "holdpoint";
import { z } from "zod";

/** A state of one number and one list that a reducer appends to. */
export const stateSchema = z.object({
  amount: z.number().default(0),
  log: z.array(z.string()).default([]),
});
type Schema = typeof stateSchema;
export type Node = NodeFunction<Schema>;

/** Nodes one after the other, named as given: from START to END. */
export function line(nodes: Record<string, Node>, compile: CompileOptions<Schema, never> = {}) {
  const graph = new StateGraph({
    state: stateSchema,
    reducers: { log: (current, update: string[]) => [...current, ...update] },
  });
  const names = Object.keys(nodes);
  for (const [name, node] of Object.entries(nodes)) graph.addNode(name, node as () => undefined);
  names.forEach((name, i) => graph.addEdge(i === 0 ? START : (names[i - 1] ?? START), name));
  graph.addEdge(names.at(-1) ?? START, END);
  return graph.compile({ checkpointer: new InMemoryCheckpointer(), ...compile });
}
