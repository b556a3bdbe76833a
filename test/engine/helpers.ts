import { checkGraph, type GraphParts } from "../../src/engine/check-graph.js";
import {
  dueTask,
  NO_HOLDS,
  OFFERED,
  type Answer,
  type Ask,
  type GraphDefinition,
  type Interrupt,
  type NodeOptions,
  type Snapshot,
  type StateSpec,
  type Task,
} from "../../src/engine/index.js";
import type { Json } from "../../src/lib/json.js";

/** A state of any fields, without a schema library: numbers and lists pass, `bad` is refused. */
export const anyState = (reducers: StateSpec["reducers"] = new Map()): StateSpec => ({
  fields: ["n", "list"],
  reducers,
  check: (_field, value) =>
    value === "bad" ? { ok: false, message: "bad is refused" } : { ok: true, value: value as Json },
  defaults: () => ({ n: 0, list: [] }),
  missing: () => [],
  jsonSchema: {},
});

export function definition(
  nodes: Record<string, NodeOptions>,
  of: Partial<Pick<GraphDefinition, "edges" | "before" | "after" | "state">> = {},
): GraphDefinition {
  return {
    name: "g",
    nodes: new Map(
      Object.entries(nodes).map(([name, options]) => [name, { name, run: () => undefined, options }]),
    ),
    edges: of.edges ?? new Map(),
    before: of.before ?? new Map(),
    after: of.after ?? new Map(),
    state: of.state ?? anyState(),
    publishers: [],
  };
}

export function snapshot(tasks: readonly Task[], of: Partial<Snapshot> = {}): Snapshot {
  return { step: 0, values: { n: 0, list: [] }, messages: [], position: { tasks, holds: NO_HOLDS }, ...of };
}

export const task = (node: string, of: Partial<Task> = {}): Task => ({ ...dueTask("r", 0, 0, node), ...of });

export const ask = (of: Partial<Ask> = {}): Ask => ({
  key: "before",
  kind: "before",
  pauses: "before",
  reason: "why",
  message: "?",
  data: null,
  responseSchema: null,
  decisions: OFFERED[of.kind ?? "before"],
  named: false,
  plain: true,
  ...of,
});

export const answer = (of: Partial<Answer> = {}): Answer => ({
  interruptId: "i",
  decision: "approve",
  reason: null,
  data: null,
  state: null,
  messages: [],
  by: "ann",
  at: "2026-01-01T00:00:00.000Z",
  ...of,
});

/** The row of an ask; resolved where it has an answer. */
export const row = (
  of: Task,
  asked: Ask,
  decision: Answer | null,
  more: Partial<Interrupt> = {},
): Interrupt => ({
  ...asked,
  id: "i",
  taskId: of.id,
  threadId: "t",
  runId: "r",
  graph: "g",
  node: of.node,
  path: of.path,
  status: decision === null ? "open" : "resolved",
  seq: 1,
  createdAt: "2026-01-01T00:00:00.000Z",
  decidedAt: null,
  decision,
  resumedBy: null,
  ...more,
});

/** What a graph's builder collected. `edges` by source: a name, or the values of a conditional map, or null for no map. */
export function parts(
  names: readonly string[],
  edges: Record<string, (string | readonly string[] | null)[]>,
  of: Partial<GraphParts> = {},
): string[] {
  const def = definition(Object.fromEntries(names.map((name) => [name, {}])));
  return checkGraph({
    nodes: def.nodes,
    edges: new Map(
      Object.entries(edges).map(([source, list]) => [
        source,
        list.map((to) =>
          typeof to === "string"
            ? { kind: "static" as const, to }
            : {
                kind: "conditional" as const,
                route: () => "",
                map: to === null ? null : new Map(to.map((name) => [name, name])),
                label: "",
              },
        ),
      ]),
    ),
    before: new Map(),
    after: new Map(),
    duplicates: [],
    ...of,
  });
}
