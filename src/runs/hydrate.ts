import { queuedMessages } from "./queued-request.js";
import { weightOf } from "../events/index.js";
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

/** Entries that are read at first, and how many there are to be at the most in what is given at once. */
const FIRST = 5;
const MOST = 100;
/** Bytes after which no more is read: a reader may be long in taking them. */
const ENOUGH = 262_144;

/** A thread's committed events above `after`, whole, or the first of them: the way back from what the log keeps. */
export async function readEvents(
  checkpointer: Checkpointer,
  ref: ThreadRef,
  after: number,
): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  let bytes = 0;
  let from = after;
  let left = MOST;
  // Each time more, as long as they are small.
  for (let limit = FIRST; limit > 0 && bytes < ENOUGH; limit = Math.min(limit * 4, left)) {
    const entries = await checkpointer.log(ref, from, limit);
    for (const entry of entries) {
      for (const stored of entry.events) {
        if (stored.seq <= after) continue;
        const event = await hydrate(checkpointer, ref, entry, stored);
        bytes += weightOf(event);
        events.push(event);
      }
    }
    from = entries.at(-1)?.seq ?? from;
    // Commits without events do not fill a page: an empty one says that there is nothing more.
    left = events.length === 0 ? MOST : left - entries.length;
    if (entries.length < limit) break;
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
    threadId: ref.threadId,
    runId: entry.runId,
    ...stored,
    data,
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
    return { input: messages.length === 0 ? input : { messages, ...input }, resumes: data.resumes };
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
  return makeResult(ref, run, outcome, { messages, interrupts: [], ...here });
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
