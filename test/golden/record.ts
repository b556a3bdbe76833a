/** Runs a case on the memory adapter and writes down what it did, with ids and times made the same each time. */
import { RunError, InMemoryCheckpointer, type CompiledGraph } from "holdpoint";
import type { Checkpointer, Loaded, ThreadRef } from "../../src/checkpoint/checkpointer.js";
import type { Runtime } from "../../src/runs/index.js";
import { readEvents } from "../../src/runs/hydrate.js";
import { latch } from "../support/latch.js";
import type { Action, GoldenCase } from "./cases.js";

// Recordings are compared as JSON.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Plain = any;

/** Where a thread stands between two turns, as the build that recorded it stored it. */
export interface Stored {
  readonly head: Loaded["head"];
  readonly run: Loaded["run"];
  readonly snapshot: Loaded["snapshot"];
  readonly interrupts: Loaded["interrupts"];
  readonly records: Loaded["records"];
}

/** One action, and all that came of it. */
export interface Turn {
  readonly action: Action;
  /** What nodes gave, in the order in which they came back. */
  readonly outputs: readonly Plain[];
  readonly events: readonly Plain[];
  readonly result: Plain;
  /** Left out where nothing can go on from there. */
  readonly stored?: Stored;
}

export interface Recording {
  readonly about: string;
  readonly turns: readonly Turn[];
}

/** The thread of every recording. */
const RECORDED: ThreadRef = { tenant: "default", threadId: "golden" };

/** A thread to go on with, and behind which turn it stands. */
export interface From {
  readonly runtime: Runtime;
  readonly ref: ThreadRef;
  readonly turn: number;
}

/** Plays all actions of a case, or those that are left. */
export async function play(of: GoldenCase, from: From | null = null): Promise<Turn[]> {
  const checkpointer = from?.runtime.checkpointer ?? new InMemoryCheckpointer();
  const ref = from?.ref ?? RECORDED;
  const began = latch();
  let outputs: Plain[] = [];
  const graph = watched(of.build({ checkpointer, began: () => began.open() }), (output) =>
    outputs.push(output),
  );
  if (from !== null) graph.bind(from.runtime, graph.definition.name);
  const turns: Turn[] = [];
  for (const action of of.actions.slice(from?.turn ?? 0)) {
    outputs = [];
    const before = (await checkpointer.thread(ref))?.seq ?? 0;
    const result = await perform(graph, { checkpointer, ref }, action, began.opened);
    const events = (await readEvents(checkpointer, ref, before)).map(
      ({ event, eventType, nodeName, path, content, data, metadata }) => ({
        event,
        eventType,
        nodeName,
        path,
        content,
        data,
        metadata,
      }),
    );
    const loaded = await checkpointer.load(ref);
    const { head } = loaded;
    const goesOn = head !== null && head.status !== "completed";
    const stored = goesOn && loaded.head !== null ? { stored: storedOf(loaded) } : {};
    turns.push({ action, outputs, events, result, ...stored });
  }
  return turns;
}

const storedOf = ({ head, run, snapshot, interrupts, records }: Loaded): Stored => ({
  head,
  run,
  snapshot,
  interrupts,
  records,
});

/** The graph with what each of its nodes gives told to `tell`, at every depth. */
function watched(graph: CompiledGraph, tell: (output: Plain) => void): CompiledGraph {
  watch(graph.definition.nodes as never, tell);
  return graph;
}

function watch(nodes: Map<string, Plain>, tell: (output: Plain) => void): void {
  for (const [name, spec] of nodes) {
    if (spec.kind === "graph") {
      watch(spec.graph.nodes as never, tell);
      continue;
    }
    const run = async (state: Plain, ctx: Plain): Promise<unknown> => {
      const output: unknown = await spec.run(state, ctx);
      tell({ path: ctx.path, output: output ?? null });
      return output;
    };
    nodes.set(name, { ...spec, run });
  }
}

async function perform(
  graph: CompiledGraph,
  { checkpointer, ref }: { readonly checkpointer: Checkpointer; readonly ref: ThreadRef },
  action: Action,
  began: Promise<void>,
): Promise<Plain> {
  const thread = { threadId: ref.threadId };
  try {
    switch (action.do) {
      case "invoke": {
        const run = graph.invoke(action.input, thread);
        if (action.stopAt === undefined) return await run;
        await began;
        const { abandoned, status } = await graph.stop(thread);
        return { ...(await run), receipt: { abandoned, status } };
      }
      case "go on":
        return await graph.resume(action.state === undefined ? {} : { state: action.state }, thread);
      case "answer": {
        const loaded = await checkpointer.load(ref);
        const open = loaded.head === null ? [] : loaded.interrupts.filter(({ status }) => status === "open");
        const answers = action.answers.map(({ to, ...rest }) => ({ interruptId: open[to]?.id, ...rest }));
        return await graph.resume(
          { answers },
          { ...thread, ...(action.by === undefined ? {} : { by: action.by }) },
        );
      }
    }
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    const { code, message, node, step } = error;
    return { error: { code, message, node, step } };
  }
}

const ID = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const TIME = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z/g;

/** With ids numbered by when they are first met, all times the same, and workers without a name. */
export function normalised<T>(value: T): T {
  const ids = new Map<string, string>();
  const text = JSON.stringify(value)
    .replace(TIME, "2026-01-01T00:00:00.000Z")
    .replace(ID, (id) => {
      const known = ids.get(id) ?? `00000000-0000-7000-8000-${String(ids.size + 1).padStart(12, "0")}`;
      ids.set(id, known);
      return known;
    });
  return JSON.parse(text) as T;
}

let names = 0;

/** The same thread under ids and a name of its own, so that several stand in one database. */
export function renamed(stored: Stored): { readonly ref: ThreadRef; readonly stored: Stored } {
  const ref = { ...RECORDED, threadId: `${RECORDED.threadId}-${++names}` };
  const text = JSON.stringify(stored)
    .replaceAll("00000000-0000-7000-", `${String(names).padStart(8, "0")}-0000-7000-`)
    .replaceAll(`"threadId":"${RECORDED.threadId}"`, `"threadId":"${ref.threadId}"`);
  return { ref, stored: JSON.parse(text) as Stored };
}

/**
 * What of a turn is a promise: without ids, times and numbers of events, which differ where a thread went on elsewhere; and
 * without what older recordings could not say.
 */
export function promised({ action, outputs, events, result }: Turn): Plain {
  const text = JSON.stringify({ action, outputs, events, result }, (key, value: unknown) =>
    key === "seq" || key === "threadId" || (key === "expiresAt" && value === null) ? undefined : value,
  );
  return JSON.parse(text.replace(TIME, "time").replace(ID, "id"));
}
