import { queuedMessages } from "./queued-request.js";
import { deepFreeze } from "../lib/deep-freeze.js";
import type {
  Checkpointer,
  LogEntry,
  RunRecord,
  StoredEvent,
  ThreadRef,
} from "../checkpoint/checkpointer.js";
import {
  isTerminal,
  type Interrupt,
  type Message,
  type Outcome,
  type RunEvent,
  type RunResult,
  type Values,
} from "../engine/index.js";

/** A thread's committed events above `after`, whole: the way back from what the log keeps. */
export async function readEvents(
  checkpointer: Checkpointer,
  ref: ThreadRef,
  after: number,
  limit = 100,
): Promise<RunEvent[]> {
  const entries = await checkpointer.log(ref, after, limit);
  const events: RunEvent[] = [];
  for (const entry of entries) {
    for (const stored of entry.events) {
      if (stored.seq > after) events.push(await hydrate(checkpointer, ref, entry, stored));
    }
  }
  return events;
}

async function hydrate(
  checkpointer: Checkpointer,
  ref: ThreadRef,
  entry: LogEntry,
  stored: StoredEvent,
): Promise<RunEvent> {
  const data = await dataOf(checkpointer, ref, entry, stored);
  return deepFreeze({
    ...stored,
    data,
    threadId: ref.threadId,
    runId: entry.runId,
  }) as unknown as RunEvent;
}

async function dataOf(
  checkpointer: Checkpointer,
  ref: ThreadRef,
  entry: LogEntry,
  stored: StoredEvent,
): Promise<unknown> {
  const { eventType, data } = stored;
  if (eventType === "message" && data.message === undefined) {
    return { message: entry.messages.find(({ message }) => message.id === data.id)?.message };
  }
  if (eventType === "start") {
    const messages = entry.messages.map(({ message }) => message);
    const input = data.input as Values;
    return { input: messages.length === 0 ? input : { ...input, messages }, resumes: data.resumes };
  }
  if (eventType === "decision") {
    const interrupt = await checkpointer.interrupt(ref.tenant, data.interruptId as string);
    return { interrupt, decision: interrupt?.decision ?? null };
  }
  if (isTerminal(eventType) && entry.runId !== null) {
    const run = await checkpointer.run(ref, entry.runId);
    if (run === null) return {};
    const result = await resultOf(checkpointer, ref, run);
    return eventType === "interrupted"
      ? { result, interrupted: result.status === "interrupted_after" ? "after" : "before" }
      : { result };
  }
  return data;
}

/** A run's result from its rows: of an ended run as it ended, of an active one as it stands. */
export async function resultOf(
  checkpointer: Checkpointer,
  ref: ThreadRef,
  run: RunRecord,
): Promise<RunResult> {
  const messages =
    run.request === null ? await checkpointer.runMessages(ref, run.runId) : queuedMessages(run.request);
  if (run.outcome !== null && run.lastSeq !== null) {
    const at = await checkpointer.loadAt(ref, { seq: run.lastSeq });
    const opened = await checkpointer.openedAt(ref, run.lastSeq);
    return makeResult(ref, run, run.outcome, {
      messages,
      values: at?.snapshot.values ?? {},
      interrupts: opened.map(asOpened),
      seq: run.lastSeq,
    });
  }
  const loaded = await checkpointer.load(ref);
  const head = loaded.head;
  const outcome: Outcome = {
    status: run.status,
    interrupted: false,
    interruptReason: null,
    decision: run.decision,
    // One that waits has no place in the graph yet; the thread's is another run's.
    currentNode: run.request === null ? (head?.currentNode ?? null) : null,
    nextNodes: run.request === null ? (head?.nextNodes ?? []) : [],
    step: head?.step ?? 0,
    error: null,
  };
  const here =
    loaded.head === null
      ? { values: {}, seq: loaded.seq }
      : { values: loaded.snapshot.values, seq: loaded.head.seq };
  return makeResult(ref, run, outcome, { ...here, messages, interrupts: [] });
}

/** As it was when it opened: a reader that comes later sees what the first one saw. */
export function asOpened(interrupt: Interrupt): Interrupt {
  return { ...interrupt, status: "open", decidedAt: null, decision: null, resumedBy: null };
}

export function makeResult(
  ref: ThreadRef,
  run: Pick<RunRecord, "runId" | "graph">,
  outcome: Outcome,
  of: { messages: readonly Message[]; values: Values; interrupts: readonly Interrupt[]; seq: number },
): RunResult {
  return deepFreeze({
    threadId: ref.threadId,
    runId: run.runId,
    graph: run.graph,
    ...outcome,
    interrupts: of.interrupts,
    messages: of.messages,
    state: publicState(of.values),
    seq: of.seq,
  });
}

/** The graph's own fields and `contextSummary`, which is always there. */
export function publicState(values: Values): Values {
  return { contextSummary: null, ...values };
}
