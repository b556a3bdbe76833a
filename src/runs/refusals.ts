import type { Checkpointer, ThreadHead, ThreadRef } from "../checkpoint/checkpointer.js";
import { HoldpointError, notFound } from "../errors.js";
import { isInterrupted, type GraphDefinition, type Interrupt } from "../engine/index.js";

export const noThread = (ref: ThreadRef): HoldpointError =>
  notFound(`there is no thread ${JSON.stringify(ref.threadId)}`);

export const threadExists = (threadId: string): HoldpointError =>
  new HoldpointError("thread_exists", `there is a thread ${JSON.stringify(threadId)} already`, {
    thread_id: threadId,
  });

/** Why a thread takes no run, not even one that would wait. */
export function refuseRun(head: ThreadHead, def: GraphDefinition, open: readonly Interrupt[]): void {
  if (head.graph !== null && head.graph !== def.name) {
    throw mismatch(head, def);
  }
  if (isInterrupted(head.status)) {
    const detail =
      "the thread waits for a decision; a message is never an approval: answer by POST …/resume, or end it by POST …/stop";
    throw new HoldpointError("thread_interrupted", detail, { interrupts: open });
  }
}

export function mismatch(head: ThreadHead, def: GraphDefinition): HoldpointError {
  const detail = `the thread belongs to the graph "${head.graph ?? ""}", not to "${def.name}"; use another thread`;
  return new HoldpointError("graph_mismatch", detail, { graph: head.graph });
}

/** What makes a thread busy: the run that is active, or of a thread that is queued the one that begins next. */
export async function busy(checkpointer: Checkpointer, head: ThreadHead): Promise<HoldpointError> {
  const isQueued = head.status === "queued";
  const runId = isQueued ? await nextOf(checkpointer, head) : head.runId;
  const run = runId === null ? "a run" : `the run ${runId}`;
  return new HoldpointError(
    "thread_busy",
    `${run} ${isQueued ? "waits to begin" : "is active"} on this thread; wait for its end or stop it`,
    { run_id: runId },
  );
}

async function nextOf(
  checkpointer: Checkpointer,
  { tenant, threadId, queued }: ThreadHead,
): Promise<string | null> {
  const { items } = await checkpointer.runs(
    { tenant, threadId },
    { limit: Math.max(1, queued), cursor: null },
  );
  return items.findLast(({ status }) => status === "queued")?.runId ?? null;
}

export function notResumable(head: ThreadHead): HoldpointError {
  return new HoldpointError(
    "not_resumable",
    `the thread is ${head.status}: there is nothing to resume; start a run instead`,
    { thread_status: head.status },
  );
}

/** Throws `shutting_down`. */
export function refuseWhenDraining(worker: { readonly draining: boolean }): void {
  if (worker.draining)
    throw new HoldpointError("shutting_down", "this process is shutting down; send the request again");
}
