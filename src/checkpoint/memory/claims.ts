import type { Claim, WorkerInfo } from "../checkpointer.js";
import { takeFromQueue } from "./queue.js";
import type { StoredThread } from "./stored-thread.js";

/** Runs that were given up, or whose worker is dead. */
export function takeOver(
  threads: Iterable<StoredThread>,
  worker: WorkerInfo,
  graphs: readonly string[],
  dead: ReadonlySet<string>,
  limit: number,
): Claim[] {
  const claims: Claim[] = [];
  for (const thread of threads) {
    const { head, worker: owner } = thread;
    if (claims.length >= limit) break;
    if (head.status !== "running" || head.graph === null || head.runId === null) continue;
    if (!graphs.includes(head.graph) || (owner !== null && !dead.has(owner))) continue;
    const crashed = owner !== null || thread.inFlight;
    thread.worker = worker.id;
    thread.inFlight = true;
    thread.head = { ...head, epoch: head.epoch + 1, seq: head.limit };
    const run = thread.runs.get(head.runId);
    if (run !== undefined && crashed) thread.runs.set(run.runId, { ...run, lostCount: run.lostCount + 1 });
    const ref = { tenant: head.tenant, threadId: head.threadId };
    claims.push({ ref, runId: head.runId, graph: head.graph, epoch: head.epoch + 1, crashed });
  }
  return claims;
}

/** Runs from the queue, those first whose threads have waited longest. */
export function takeQueued(
  threads: Iterable<StoredThread>,
  worker: WorkerInfo,
  graphs: readonly string[],
  limit: number,
): Claim[] {
  const ready = [...threads]
    .filter(({ head }) => head.status === "queued" && head.graph !== null && graphs.includes(head.graph))
    .sort((a, b) => a.readyAt - b.readyAt);
  return ready.slice(0, Math.max(0, limit)).flatMap((thread) => takeFromQueue(thread, worker) ?? []);
}
