/** Makes a thread of a checkpoint. */
import type { Checkpointer, ThreadRef } from "../checkpoint/checkpointer.js";
import { notFound } from "../errors.js";
import { forkPosition, nextNodes, type GraphDefinition, type Snapshot } from "../engine/index.js";
import { isoNow, newId } from "./ids.js";
import { noThread, threadExists } from "./refusals.js";
import { outcomeOf } from "./run-outcome.js";
import { withOutcomes } from "./task-records.js";
import { Cutoff } from "../lib/cutoff.js";

/** What a fork is made of, and the id of the new thread. */
export interface ForkRequest {
  readonly checkpointId: string;
  /** Default: a new id. */
  readonly threadId?: string | undefined;
}

/** Makes the thread, and runs nothing. Throws `not_found`, `thread_exists`. */
export async function forkThread(
  checkpointer: Checkpointer,
  ref: ThreadRef,
  { checkpointId, threadId = newId() }: ForkRequest,
  graphOf: (name: string) => GraphDefinition | undefined,
): Promise<ThreadRef> {
  const found = await snapshotAt(checkpointer, ref, checkpointId);
  const snapshot = { ...found.snapshot, position: forkPosition(found.snapshot.position) };
  const status = snapshot.position.tasks.length === 0 ? "completed" : "stopped";
  const def = found.graph === null ? undefined : graphOf(found.graph);
  const { values, position, step } = snapshot;
  const outcome = await checkpointer.fork({
    ref,
    checkpointId,
    threadId,
    at: isoNow(),
    head: {
      graph: found.graph,
      status,
      step,
      interruptReason: null,
      ...(await placeOf(def, snapshot, status)),
    },
    position,
    checkpoint: {
      id: newId(),
      source: "fork",
      path: [],
      ops: [],
      values,
      sinceValues: { bytes: 0, size: JSON.stringify(values).length },
    },
  });
  if (outcome === "missing") throw noCheckpoint(checkpointId);
  if (outcome === "exists") throw threadExists(threadId);
  return { tenant: ref.tenant, threadId };
}

export const noCheckpoint = (id: string): Error =>
  notFound(`the thread has no checkpoint ${JSON.stringify(id)}`);

/**
 * The thread as it was at a checkpoint. At the one where it stands, the results of tasks that have settled since are part of it:
 * they are kept beside it until their step closes.
 */
async function snapshotAt(
  checkpointer: Checkpointer,
  ref: ThreadRef,
  checkpointId: string,
): Promise<{ readonly graph: string | null; readonly snapshot: Snapshot }> {
  const head = await checkpointer.thread(ref);
  if (head === null) throw noThread(ref);
  if (head.checkpointId === checkpointId) {
    const loaded = await checkpointer.load(ref);
    if (loaded.head !== null && loaded.head.checkpointId === checkpointId)
      return { graph: head.graph, snapshot: withOutcomes(loaded.snapshot, loaded.records) };
  }
  const found = await checkpointer.loadAt(ref, { id: checkpointId });
  if (found === null) throw noCheckpoint(checkpointId);
  return { graph: head.graph, snapshot: found.snapshot };
}

/** Where it stands, for people: what a stopped run would say of it. */
async function placeOf(
  def: GraphDefinition | undefined,
  snapshot: Snapshot,
  status: "stopped" | "completed",
): Promise<{ currentNode: string | null; nextNodes: readonly string[] }> {
  if (def === undefined) {
    const next = nextNodes(snapshot);
    return { currentNode: next[0] ?? null, nextNodes: next };
  }
  const of = { status, open: [], error: null, decision: null };
  const { currentNode, nextNodes: next } = await outcomeOf(def, snapshot, of, new Cutoff());
  return { currentNode, nextNodes: next };
}
