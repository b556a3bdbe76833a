import type { ThreadHead, ThreadRef } from "../checkpoint/checkpointer.js";
import type { OnBusy } from "./requests.js";
import { HoldpointError, notFound } from "../errors.js";
import { isInterrupted, MOVES, type GraphDefinition, type Interrupt } from "../engine/index.js";

export const noThread = (ref: ThreadRef): HoldpointError =>
  notFound(`there is no thread ${JSON.stringify(ref.threadId)}`);

export const threadExists = (threadId: string): HoldpointError =>
  new HoldpointError("thread_exists", `there is a thread ${JSON.stringify(threadId)} already`, {
    thread_id: threadId,
  });

/** Why a thread does not take a run now. */
export function refuseRun(
  head: ThreadHead,
  def: GraphDefinition,
  open: readonly Interrupt[],
  onBusy: OnBusy,
): void {
  if (head.graph !== null && head.graph !== def.name) {
    throw mismatch(head, def);
  }
  if (isInterrupted(head.status)) {
    const detail =
      "the thread waits for a decision; a message is never an approval: answer by POST …/resume, or end it by POST …/stop";
    throw new HoldpointError("thread_interrupted", detail, { interrupts: open });
  }
  if (!MOVES[head.status].run && onBusy === "reject") throw busy(head);
}

export function mismatch(head: ThreadHead, def: GraphDefinition): HoldpointError {
  const detail = `the thread belongs to the graph "${head.graph ?? ""}", not to "${def.name}"; use another thread`;
  return new HoldpointError("graph_mismatch", detail, { graph: head.graph });
}

export function busy(head: ThreadHead): HoldpointError {
  return new HoldpointError(
    "thread_busy",
    `the run ${head.runId ?? ""} is active on this thread; wait for its end or stop it`,
    { run_id: head.runId },
  );
}

export function notResumable(head: ThreadHead): HoldpointError {
  if (head.status === "running" || head.status === "queued") return busy(head);
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
