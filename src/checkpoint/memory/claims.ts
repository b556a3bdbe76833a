import type { Claim, WorkerInfo } from "../checkpointer.js";
import { takeFromQueue } from "./queue.js";
import type { StoredThread } from "./stored-thread.js";

/** Runs that were given up, or whose worker is dead, then runs from the queue: so many, and all of the former that are to stop. */
export function takeRuns(
  threads: readonly StoredThread[],
  worker: WorkerInfo,
  graphs: readonly string[],
  dead: ReadonlySet<string>,
  limit: number,
): Claim[] {
  const claims: Claim[] = [];
  let left = limit;
  for (const thread of threads) {
    const { head, worker: owner } = thread;
    if (head.status !== "running" || head.graph === null || head.runId === null) continue;
    if (!graphs.includes(head.graph) || (owner !== null && !dead.has(owner))) continue;
    const run = thread.runs.get(head.runId);
    if (run?.stop == null) {
      if (left <= 0) continue;
      left--;
    }
    const crashed = owner !== null || thread.inFlight;
    thread.worker = worker.id;
    thread.inFlight = true;
    thread.head = { ...head, epoch: head.epoch + 1, seq: head.limit };
    if (run !== undefined && crashed) thread.runs.set(run.runId, { ...run, lostCount: run.lostCount + 1 });
    const ref = { tenant: head.tenant, threadId: head.threadId };
    claims.push({ ref, runId: head.runId, graph: head.graph, epoch: head.epoch + 1, crashed });
  }
  return [...claims, ...takeQueued(threads, worker, graphs, left)];
}

/** Those first whose threads have waited longest. */
function takeQueued(
  threads: readonly StoredThread[],
  worker: WorkerInfo,
  graphs: readonly string[],
  limit: number,
): Claim[] {
  const ready = threads
    .filter(({ head }) => head.status === "queued" && head.graph !== null && graphs.includes(head.graph))
    .sort((a, b) => a.readyAt - b.readyAt);
  return ready.slice(0, limit).flatMap((thread) => takeFromQueue(thread, worker) ?? []);
}
