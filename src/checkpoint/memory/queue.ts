import type { ThreadStatus } from "../../engine/index.js";
import type { Claim, Enqueue, RunRecord, StopRequest, WorkerInfo } from "../checkpointer.js";
import type { StoredThread } from "./stored-thread.js";

/** Far above every number that an event gets. */
const FIRST_PLACE = 2 ** 52;

/** Counts up at every thread that becomes ready: the queue is served in this order. */
let ready = 0;
export const nextReady = (): number => ++ready;

/** What the thread's status becomes: a run that waits starts when the thread is neither running nor interrupted. */
export function statusWithQueue(status: ThreadStatus, queued: number): ThreadStatus {
  const waits: readonly ThreadStatus[] = ["running", "interrupted_before", "interrupted_after"];
  return queued > 0 && !waits.includes(status) ? "queued" : status;
}

const waitingRuns = (thread: StoredThread): RunRecord[] =>
  [...thread.runs.values()]
    .filter(({ status }) => status === "queued")
    .sort((a, b) => a.firstSeq - b.firstSeq);

/** Adds a run that waits. */
export function addToQueue(thread: StoredThread, of: Enqueue): void {
  const places = waitingRuns(thread).map((run) => run.firstSeq);
  const { head } = thread;
  thread.runs.set(of.runId, {
    runId: of.runId,
    threadId: head.threadId,
    graph: of.graph,
    status: "queued",
    resumes: false,
    recursionLimit: of.recursionLimit,
    metadata: of.metadata,
    decision: null,
    firstSeq: (places.at(-1) ?? FIRST_PLACE) + 1,
    lastSeq: null,
    firstStep: head.step,
    lostCount: 0,
    outcome: null,
    stop: null,
    request: of.request,
    createdAt: of.at,
    startedAt: null,
    endedAt: null,
  });
  if (head.status !== "running" && head.status !== "queued") thread.readyAt = nextReady();
  const status = head.status === "running" ? "running" : "queued";
  thread.head = { ...head, graph: of.graph, status, queued: head.queued + 1, updatedAt: of.at };
}

/** Ends the runs that wait; they never began, and have no events. Their ids, in order. */
export function dropQueue(thread: StoredThread, of: { step: number; seq: number; at: string }): string[] {
  const waiting = waitingRuns(thread);
  for (const run of waiting) {
    thread.runs.set(run.runId, {
      ...run,
      status: "stopped",
      request: null,
      firstSeq: of.seq,
      lastSeq: of.seq,
      endedAt: of.at,
      outcome: {
        status: "stopped",
        interrupted: false,
        interruptReason: null,
        decision: null,
        currentNode: null,
        nextNodes: [],
        step: of.step,
        error: null,
      },
    });
  }
  thread.head = { ...thread.head, queued: 0 };
  return waiting.map(({ runId }) => runId);
}

/** Asks the active run to stop, and drops those that wait. */
export function stopAll(
  thread: StoredThread,
  stop: StopRequest,
): { stopped: string | null; dropped: readonly string[] } {
  const { step, seq } = thread.head;
  const dropped = dropQueue(thread, { step, seq, at: stop.at });
  return { stopped: stopRunning(thread, stop), dropped };
}

/** Asks the running run alone to stop: its id, or null where none is. */
export function stopRunning(thread: StoredThread, stop: StopRequest): string | null {
  const { runId, status } = thread.head;
  const run = status === "running" && runId !== null ? thread.runs.get(runId) : undefined;
  if (run === undefined) return null;
  if (run.stop === null || (run.stop.mode === "after_step" && stop.mode === "now"))
    thread.runs.set(run.runId, { ...run, stop });
  return run.runId;
}

/** Takes a thread's next run for a worker: running, and not begun. */
export function takeFromQueue(thread: StoredThread, worker: WorkerInfo): Claim | null {
  const { head } = thread;
  const [next] = waitingRuns(thread);
  if (next === undefined || head.graph === null) return null;
  const epoch = head.epoch + 1;
  thread.runs.set(next.runId, { ...next, status: "running" });
  thread.worker = worker.id;
  thread.inFlight = false;
  thread.head = {
    ...head,
    status: "running",
    runId: next.runId,
    epoch,
    seq: head.limit,
    queued: head.queued - 1,
  };
  const ref = { tenant: head.tenant, threadId: head.threadId };
  return { ref, runId: next.runId, graph: head.graph, epoch, crashed: false };
}
