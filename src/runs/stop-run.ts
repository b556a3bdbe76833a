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
  const { checkpointer } = deps;
  const stop: StopRequest = { mode: of.mode ?? "now", reason: of.reason ?? null, by: of.by, at: isoNow() };
  return untilSettled(async () => {
    const requested = await checkpointer.requestStop(ref, stop);
    switch (requested.was) {
      case "missing":
        throw noThread(ref);
      case "running":
        return stopRunning(deps, reader, ref, stop, requested);
      case "queued": {
        const head = await checkpointer.thread(ref);
        const { dropped } = requested;
        return { ...receipt(ref, head, head?.runId ?? null), running: false, status: "stopped", dropped };
      }
      case "interrupted": {
        const loaded = await checkpointer.load(ref);
        return loaded.head === null || !isInterrupted(loaded.head.status)
          ? undefined
          : cancel(deps, ref, loaded, stop);
      }
      default: {
        const head = await checkpointer.thread(ref);
        return { ...receipt(ref, head, head?.runId ?? null), running: false, reason: "not-running" };
      }
    }
  });
}

/** Waits, for a while, until the run that was asked to stop has ended. */
async function stopRunning(
  { checkpointer, worker, options }: RunServiceDeps,
  reader: RunReader,
  ref: ThreadRef,
  stop: StopRequest,
  { runId, dropped }: { readonly runId: string; readonly dropped: readonly string[] },
): Promise<StopReceipt> {
  const control = worker.registry.find(threadKey(ref), runId);
  control?.requestStop(stop);
  const run = await reader.ended(ref, runId, control, options.stopWaitMs);
  const head = await checkpointer.thread(ref);
  const last = run?.outcome ?? null;
  return {
    ...receipt(ref, head, runId),
    running: true,
    status: run?.status === "stopped" ? "stopped" : "stopping",
    node: last?.currentNode ?? head?.currentNode ?? null,
    step: last?.step ?? head?.step ?? 0,
    abandoned: control?.abandoned ?? [],
    dropped,
    seq: run?.lastSeq ?? head?.seq ?? 0,
  };
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
  const written = await writeBetween(deps, loaded, {
    drafts: cancelled.map((interrupt) => decisionEvent(interrupt)),
    head: { status: "stopped", interruptReason: null },
    decide,
    drop: true,
  });
  if (written === undefined) return undefined;
  return {
    ...receipt(ref, head, head.runId),
    running: false,
    status: "stopped",
    cancelledInterrupts: open.map(({ id }) => id),
    dropped: written.dropped,
    seq: written.seq,
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
