import type { Loaded, StopMode, StopRequest, ThreadHead, ThreadRef } from "../checkpoint/checkpointer.js";
import { isInterrupted, type Interrupt } from "../engine/index.js";
import { decisionEvent, writeBetween } from "./between-runs.js";
import { isoNow } from "./ids.js";
import { noThread } from "./refusals.js";
import type { RunServiceDeps, StopReceipt } from "./requests.js";
import type { RunReader } from "./run-reader.js";
import { threadKey } from "./thread-key.js";
import { untilSettled } from "./until-settled.js";

/** Ends the current run, or cancels what the thread waits for. */
export async function stopRun(
  deps: RunServiceDeps,
  reader: RunReader,
  ref: ThreadRef,
  of: { mode?: StopMode; reason?: string | undefined; by: string },
): Promise<StopReceipt> {
  const { checkpointer, worker, options } = deps;
  const stop: StopRequest = { mode: of.mode ?? "now", reason: of.reason ?? null, by: of.by, at: isoNow() };
  return untilSettled(async () => {
    const requested = await checkpointer.requestStop(ref, stop);
    if (requested.was === "missing") throw noThread(ref);
    if (requested.was === "running") {
      const control = worker.registry.find(threadKey(ref), requested.runId);
      control?.requestStop(stop);
      const run = await reader.ended(ref, requested.runId, control, options.stopWaitMs);
      const head = await checkpointer.thread(ref);
      const status = run?.status === "stopped" ? "stopped" : "stopping";
      const abandoned = control?.abandoned ?? [];
      const last = run?.outcome ?? null;
      return {
        ...receipt(ref, head, requested.runId),
        running: true,
        status,
        node: last?.currentNode ?? head?.currentNode ?? null,
        step: last?.step ?? head?.step ?? 0,
        abandoned,
        seq: run?.lastSeq ?? head?.seq ?? 0,
      };
    }
    const loaded = await checkpointer.load(ref);
    if (loaded.head === null) return undefined;
    const { head } = loaded;
    if (head.status === "running" || head.status === "queued") return undefined;
    if (!isInterrupted(head.status))
      return { ...receipt(ref, head, head.runId), running: false, reason: "not-running" };
    return cancel(deps, ref, loaded, stop);
  });
}

/** Cancels what a paused thread waits for. */
async function cancel(
  deps: RunServiceDeps,
  ref: ThreadRef,
  loaded: Loaded,
  stop: StopRequest,
): Promise<StopReceipt | undefined> {
  const { head } = loaded;
  const open = loaded.interrupts.filter(({ status }) => status === "open");
  const cancelled = open.map((interrupt): Interrupt => ({
    ...interrupt,
    status: "cancelled",
    decidedAt: stop.at,
  }));
  const decide = open.map(({ id }) => ({
    id,
    status: "cancelled" as const,
    answer: null,
    resumedBy: null,
    at: stop.at,
  }));
  const seq = await writeBetween(deps, loaded, {
    drafts: cancelled.map(decisionEvent),
    head: { status: "stopped", interruptReason: null },
    decide,
  });
  if (seq === undefined) return undefined;
  return {
    ...receipt(ref, head, head.runId),
    running: false,
    status: "stopped",
    cancelledInterrupts: open.map(({ id }) => id),
    seq,
  };
}

function receipt(ref: ThreadRef, head: ThreadHead | null, runId: string | null): StopReceipt {
  return {
    threadId: ref.threadId,
    runId,
    ok: true,
    running: false,
    node: head?.currentNode ?? null,
    step: head?.step ?? 0,
    abandoned: [],
    cancelledInterrupts: [],
    dropped: [],
    seq: head?.seq ?? 0,
  };
}
