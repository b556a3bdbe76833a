import type { Loaded, StopOutcome, StopRequest, ThreadHead, ThreadRef } from "../checkpoint/checkpointer.js";
import { notFound } from "../errors.js";
import { isInterrupted, type Interrupt } from "../engine/index.js";
import type { Json } from "../lib/json.js";
import { decisionEvent, writeBetween } from "./between-runs.js";
import { isoNow } from "./ids.js";
import { noThread } from "./refusals.js";
import { keptAnswer } from "./repeated-request.js";
import { acceptedBefore, cameAt } from "./request-key.js";
import type { RunServiceDeps, StopOf, StopReceipt } from "./requests.js";
import type { RunReader } from "./run-reader.js";
import { threadKey } from "./thread-key.js";
import { untilSettled } from "./until-settled.js";

const MANY = { limit: 200, cursor: null };

/** Ends the current run, or cancels what the thread waits for. */
export async function stopRun(
  deps: RunServiceDeps,
  reader: RunReader,
  ref: ThreadRef,
  { mode = "now", reason, by, key }: StopOf,
): Promise<StopReceipt> {
  const stop: StopRequest = {
    mode,
    reason: reason ?? null,
    by,
    at: key === undefined ? isoNow() : cameAt(key),
  };
  return untilSettled(async () => {
    const met = await deps.checkpointer.requestStop(ref, stop, key);
    if (met.was === "repeated") return repeatedStop(deps, reader, ref, key);
    // Whoever waits for a run that was dropped learns it now: it has no events.
    if ("dropped" in met && met.dropped.length > 0) deps.live.wake(threadKey(ref));
    const receipt = await receiptOf(deps, reader, ref, { stop, key, met });
    if (met.was === "interrupted") deps.live.wake(threadKey(ref));
    if (receipt !== undefined) await keepReceipt(deps, ref, key, receipt);
    return receipt;
  });
}

async function receiptOf(
  deps: RunServiceDeps,
  reader: RunReader,
  ref: ThreadRef,
  { stop, key, met }: { stop: StopRequest; key: StopOf["key"]; met: StopOutcome },
): Promise<StopReceipt | undefined> {
  const { checkpointer, worker } = deps;
  switch (met.was) {
    case "missing":
      throw noThread(ref);
    case "running":
      worker.requestStop(threadKey(ref), met.runId, stop);
      return whenStopped(deps, reader, ref, met);
    case "queued": {
      const head = await checkpointer.thread(ref);
      const { dropped } = met;
      return { ...newReceipt(ref, head, head?.runId ?? null), running: false, status: "stopped", dropped };
    }
    case "interrupted": {
      const loaded = await checkpointer.load(ref);
      return loaded.head === null || !isInterrupted(loaded.head.status)
        ? undefined
        : cancel(deps, ref, loaded, { stop, key });
    }
    default: {
      const head = await checkpointer.thread(ref);
      return { ...newReceipt(ref, head, head?.runId ?? null), running: false, reason: "not-running" };
    }
  }
}

/** What the stop of this key did, or still does: it was accepted before. Undefined where the key has just expired. */
async function repeatedStop(
  deps: RunServiceDeps,
  reader: RunReader,
  ref: ThreadRef,
  key: StopOf["key"],
): Promise<StopReceipt | undefined> {
  const { checkpointer } = deps;
  const used = key === undefined ? null : await acceptedBefore(checkpointer, ref.tenant, key);
  if (used === null || key === undefined) return undefined;
  const { runId } = used;
  await requireRun(deps, ref, runId);
  // It waits for the same end as the first coming, wherever that is.
  const now = runId === null ? null : await whenStopped(deps, reader, ref, { runId });
  const kept = (await keptAnswer(deps, ref, key, used)) as unknown as StopReceipt | null;
  if (kept !== null) {
    await requireRun(deps, ref, kept.runId);
    return kept;
  }
  // Its process ended before it kept its answer. What it changed bears the time of its stop.
  const at = cameAt(used);
  const dropped = await droppedAt(deps, ref, at);
  const receipt = now === null ? await whatItDid(deps, ref, at, dropped) : { ...now, dropped };
  await keepReceipt(deps, ref, key, receipt);
  return receipt;
}

/** Throws `not_found` where the run is gone: there may be another thread of this id by now. */
async function requireRun(
  { checkpointer }: RunServiceDeps,
  ref: ThreadRef,
  runId: string | null,
): Promise<void> {
  if (runId !== null && (await checkpointer.run(ref, runId)) === null)
    throw notFound("the run of this request is gone: its thread was deleted");
}

/** The receipt of a stop that met no running run. */
async function whatItDid(
  { checkpointer }: RunServiceDeps,
  ref: ThreadRef,
  at: string,
  dropped: readonly string[],
): Promise<StopReceipt> {
  const filter = { status: "cancelled" as const, graph: null, threadId: ref.threadId };
  const cancelled = await checkpointer.interrupts(ref.tenant, filter, MANY);
  const head = await checkpointer.thread(ref);
  const ids = cancelled.items.filter(({ decidedAt }) => decidedAt === at).map(({ id }) => id);
  return {
    ...newReceipt(ref, head, head?.runId ?? null),
    running: false,
    ...(ids.length + dropped.length > 0 ? { status: "stopped" } : { reason: "not-running" }),
    cancelledInterrupts: ids.toReversed(),
    dropped,
  };
}

/** The queued runs that a stop dropped, in their order. */
async function droppedAt({ checkpointer }: RunServiceDeps, ref: ThreadRef, at: string): Promise<string[]> {
  const { items } = await checkpointer.runs(ref, MANY);
  return items
    .filter(({ startedAt, endedAt }) => startedAt === null && endedAt === at)
    .map(({ runId }) => runId)
    .toReversed();
}

/** One that the run has not ended by is not kept: the next coming waits for the end again. */
async function keepReceipt(
  { checkpointer }: RunServiceDeps,
  ref: ThreadRef,
  key: StopOf["key"],
  receipt: StopReceipt,
): Promise<void> {
  if (key === undefined || receipt.status === "stopping") return;
  await checkpointer.answerKey(ref.tenant, key.key, receipt as unknown as Json);
}

/** Waits, for a while, until the run that was asked to stop has ended. */
async function whenStopped(
  { checkpointer, worker, options }: RunServiceDeps,
  reader: RunReader,
  ref: ThreadRef,
  { runId, dropped = [] }: { readonly runId: string; readonly dropped?: readonly string[] },
): Promise<StopReceipt> {
  const control = worker.registry.find(threadKey(ref), runId);
  const run = await reader.ended(ref, runId, control, options.stopWaitMs);
  const head = await checkpointer.thread(ref);
  const last = run?.outcome ?? null;
  // It came to another end before the stop could take effect, as where its step failed.
  if (run?.endedAt != null && run.status !== "stopped")
    return { ...newReceipt(ref, head, runId), running: false, reason: "not-running", dropped };
  return {
    ...newReceipt(ref, head, runId),
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
  { stop, key }: { stop: StopRequest; key: StopOf["key"] },
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
    key,
  });
  if (written === undefined) return undefined;
  return {
    ...newReceipt(ref, head, head.runId),
    running: false,
    status: "stopped",
    cancelledInterrupts: open.map(({ id }) => id),
    dropped: written.dropped,
    seq: written.seq,
  };
}

function newReceipt(ref: ThreadRef, head: ThreadHead | null, runId: string | null): StopReceipt {
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
