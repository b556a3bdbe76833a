import { checkGraph, type GraphParts } from "../../src/engine/check-graph.js";
import {
  bornIn,
  dueTask,
  NO_HOLDS,
  OFFERED,
  placeOf,
  type Answer,
  type Ask,
  type GraphDefinition,
  type Inner,
  type Interrupt,
  type Message,
  type NestedGraph,
  type NodeOptions,
  type Place,
  type Snapshot,
  type StateSpec,
  type Task,
  type TaskResult,
} from "../../src/engine/index.js";
import { deepFreeze } from "../../src/lib/deep-freeze.js";
import type { Json, JsonObject } from "../../src/lib/json.js";

/** A state of any fields, without a schema library: `n` and `list`, or those of `defaults`; the value `bad` is refused. */
export const anyState = (
  reducers: StateSpec["reducers"] = new Map(),
  defaults: JsonObject = { n: 0, list: [] },
): StateSpec => ({
  fields: Object.keys(defaults),
  reducers,
  check: (_field, value) =>
    value === "bad" ? { ok: false, message: "bad is refused" } : { ok: true, value: value as Json },
  defaults: () => defaults,
  missing: () => [],
  jsonSchema: {},
});

/** A reducer of lists. */
export const append = (current: unknown, update: unknown): unknown => [
  ...(current as unknown[]),
  ...(update as unknown[]),
];

/** A graph as a node, for `definition`. */
export const nested = (graph: GraphDefinition, options: NodeOptions = {}): NestedGraph => ({
  kind: "graph",
  name: "",
  graph,
  options,
});

/** Nodes by name, in the order of declaration: functions that never run here, or nested graphs. */
export function definition(
  nodes: Record<string, NodeOptions | NestedGraph>,
  of: Partial<Pick<GraphDefinition, "edges" | "before" | "after" | "state">> = {},
): GraphDefinition {
  return {
    name: "g",
    nodes: new Map(
      Object.entries(nodes).map(([name, of]) => [
        name,
        "kind" in of ? { ...of, name } : { kind: "function", name, run: () => undefined, options: of },
      ]),
    ),
    edges: of.edges ?? new Map(),
    before: of.before ?? new Map(),
    after: of.after ?? new Map(),
    state: of.state ?? anyState(),
    publishers: [],
  };
}

/** Frozen, as snapshots are: whoever changes one in place throws. */
export function snapshot(tasks: readonly Task[], of: Partial<Snapshot> = {}): Snapshot {
  return deepFreeze({
    step: 0,
    values: { n: 0, list: [] },
    messages: [],
    position: { tasks, holds: NO_HOLDS },
    ...of,
  });
}

export const task = (node: string, of: Partial<Task> = {}): Task => ({
  ...dueTask(bornIn("r"), 0, 0, node),
  ...of,
});

/** A task that has its result. */
export const done = (node: string, result: Partial<TaskResult> = {}, of: Partial<Task> = {}): Task =>
  task(node, { stage: "done", result: { updates: [], messages: [], ...result }, ...of });

/** A task of the nested graph that runs in `owner`. */
export const taskIn = (owner: Pick<Task, "id" | "path">, node: string, of: Partial<Task> = {}): Task => ({
  ...dueTask(owner, 0, 0, node),
  ...of,
});

/** A task whose nested graph has begun; its tasks are made under it. */
export function running(
  node: string,
  tasks: (owner: Task) => readonly Task[],
  of: Partial<Inner> = {},
  owner: Task = task(node, { stage: "cleared" }),
): Task {
  return {
    ...owner,
    inner: { values: { n: 0, list: [] }, messages: [], updates: [], tasks: tasks(owner), ...of },
  };
}

/** Where a task stands; there must be one of this id. */
export function placed(def: GraphDefinition, at: Snapshot, { id }: Pick<Task, "id">): Place {
  const place = placeOf(def, at, id);
  if (place === null) throw new Error(`no task ${id}`);
  return place;
}

export const message = (id: string, content = id): Message => ({ id, role: "user", content, created_at: "" });

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
  expiresAt: null,
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
