import { addMessages, applyOps, NO_HOLDS, type Interrupt } from "../../engine/index.js";
import { deepFreeze } from "../../lib/deep-freeze.js";
import type { Mutable } from "../../lib/mutable.js";
import type { RunRecord, ThreadHead, ThreadRef, Write } from "../checkpointer.js";
import { dropQueue, nextReady, statusWithQueue } from "./queue.js";
import type { StoredThread } from "./stored-thread.js";

export function newThread(
  ref: ThreadRef,
  write: Pick<Write, "create" | "at">,
  seq: number,
  epoch: number,
): StoredThread {
  return {
    head: {
      tenant: ref.tenant,
      threadId: ref.threadId,
      graph: null,
      status: "idle",
      metadata: write.create?.metadata ?? {},
      runId: null,
      epoch,
      seq,
      limit: seq,
      step: 0,
      checkpointId: null,
      currentNode: null,
      nextNodes: [],
      interruptReason: null,
      logFloor: 0,
      queued: 0,
      createdAt: write.at,
      updatedAt: write.at,
    },
    worker: null,
    inFlight: false,
    readyAt: 0,
    position: { tasks: [], holds: NO_HOLDS },
    values: {},
    context: Object.freeze([]),
    sinceValues: { bytes: 0, size: 0 },
    runs: new Map(),
    entries: [],
    messages: [],
    interrupts: [],
    records: new Map(),
  };
}

/** Applies a write whose guard has passed; the queued runs that it dropped. Nothing in here can fail half-way. */
export function applyWrite(thread: StoredThread, given: Write): readonly string[] {
  // Callers get what is stored here: what they do to it must change nothing.
  const write = deepFreeze(given);
  const { head } = thread;
  const epoch = write.start !== undefined && write.guard.by === "seq" ? head.epoch + 1 : head.epoch;
  applyRun(thread, write);
  if (write.position !== undefined) thread.position = write.position;
  applyCheckpoint(thread, write, epoch);
  if (write.messages.length > 0)
    thread.context = addMessages(
      thread.context,
      write.messages.map(({ message }) => message),
    ).context;
  for (const { pos, message } of write.messages)
    thread.messages.push({ pos, message, seq: write.seq, runId: write.runId });
  thread.interrupts.push(...write.open);
  for (const decided of write.decide) {
    replaceInterrupt(thread, decided.id, {
      status: decided.status,
      decision: decided.answer,
      resumedBy: decided.resumedBy,
      decidedAt: decided.at,
    });
  }
  for (const { id, message, data } of write.retext) {
    if (thread.interrupts.some((each) => each.id === id && each.status === "open"))
      replaceInterrupt(thread, id, { message, data });
  }
  const dropped =
    write.drop === true ? dropQueue(thread, { step: write.head.step, seq: write.seq, at: write.at }) : [];
  const { queued } = thread.head;
  const status = statusWithQueue(write.head.status, queued);
  if (status === "queued") thread.readyAt = nextReady();
  const next: Mutable<ThreadHead> = { ...head };
  next.graph = write.head.graph;
  next.status = status;
  next.step = write.head.step;
  next.currentNode = write.head.currentNode;
  next.nextNodes = write.head.nextNodes;
  next.interruptReason = write.head.interruptReason;
  next.queued = queued;
  if (write.start !== undefined) next.runId = write.start.runId;
  next.epoch = epoch;
  next.seq = write.seq;
  next.limit = write.limit;
  if (write.checkpoint !== undefined) next.checkpointId = write.checkpoint.id;
  next.updatedAt = write.at;
  thread.head = next;
  return dropped;
}

/** Its beginning, its end, and that it got further. */
function applyRun(thread: StoredThread, write: Write): void {
  const { start, end, guard } = write;
  const known = write.runId === null ? undefined : thread.runs.get(write.runId);
  if (start !== undefined && guard.by === "seq") {
    thread.runs.set(start.runId, startedRun(thread, write, start));
    thread.worker = start.worker;
  } else if (start !== undefined && known !== undefined) {
    const { firstSeq, firstStep } = start;
    thread.runs.set(known.runId, { ...known, firstSeq, firstStep, request: null, startedAt: write.at });
  }
  if (start !== undefined) thread.inFlight = start.worker !== null;
  if (end !== undefined && known !== undefined) {
    thread.runs.set(known.runId, {
      ...known,
      status: end.status,
      outcome: end,
      firstSeq: known.request === null ? known.firstSeq : write.seq,
      lastSeq: write.seq,
      request: null,
      endedAt: write.at,
    });
    thread.worker = null;
  }
  const run = write.runId === null ? undefined : thread.runs.get(write.runId);
  if (write.checkpoint !== undefined && run !== undefined && run.lostCount > 0)
    thread.runs.set(run.runId, { ...run, lostCount: 0 });
}

function applyCheckpoint(thread: StoredThread, write: Write, epoch: number): void {
  const { checkpoint, head } = write;
  if (checkpoint !== undefined) {
    thread.values = applyOps(thread.values, checkpoint.ops);
    thread.sinceValues = checkpoint.sinceValues;
  }
  if (write.seq === write.guard.from) return;
  thread.entries.push({
    seq: write.seq,
    runId: write.runId,
    epoch,
    checkpointId: checkpoint?.id ?? null,
    events: write.events,
    messages: write.messages,
    checkpoint:
      checkpoint === undefined
        ? null
        : {
            checkpointId: checkpoint.id,
            parentId: thread.head.checkpointId,
            runId: write.runId,
            seq: write.seq,
            step: head.step,
            path: checkpoint.path,
            status: head.status,
            nextNodes: head.nextNodes,
            source: checkpoint.source,
            createdAt: write.at,
            ops: checkpoint.ops,
            values: checkpoint.values,
            position: thread.position,
          },
  });
}

function startedRun(thread: StoredThread, write: Write, start: NonNullable<Write["start"]>): RunRecord {
  return {
    runId: start.runId,
    threadId: thread.head.threadId,
    graph: start.graph,
    status: "running",
    resumes: start.resumes,
    recursionLimit: start.recursionLimit,
    metadata: start.metadata,
    decision: start.decision,
    firstSeq: start.firstSeq,
    lastSeq: null,
    firstStep: start.firstStep,
    lostCount: 0,
    outcome: null,
    stop: null,
    request: null,
    createdAt: write.at,
    startedAt: write.at,
    endedAt: null,
  };
}

function replaceInterrupt(thread: StoredThread, id: string, change: Partial<Interrupt>): void {
  const at = thread.interrupts.findIndex((interrupt) => interrupt.id === id);
  const known = thread.interrupts[at];
  if (known !== undefined) thread.interrupts[at] = { ...known, ...change };
}
