import { addMessages, applyOps, NO_HOLDS, type Interrupt } from "../../engine/index.js";
import { deepFreeze } from "../../lib/deep-freeze.js";
import type { RunRecord, ThreadRef, Write } from "../checkpointer.js";
import type { StoredThread } from "./stored-thread.js";

export function newThread(
  ref: ThreadRef,
  write: Pick<Write, "create" | "at">,
  seq: number,
  epoch: number,
): StoredThread {
  return {
    head: {
      ...ref,
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
      createdAt: write.at,
      updatedAt: write.at,
    },
    worker: null,
    inFlight: false,
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

/** Applies a write whose guard has passed. Nothing in here can fail half-way. */
export function applyWrite(thread: StoredThread, given: Write): void {
  // Callers get what is stored here: what they do to it must change nothing.
  const write = deepFreeze(given);
  const { head } = thread;
  const epoch = write.start === undefined ? head.epoch : head.epoch + 1;
  if (write.start !== undefined) {
    thread.runs.set(write.start.runId, startedRun(thread, write, write.start));
    thread.worker = write.start.worker;
    thread.inFlight = true;
  }
  if (write.end !== undefined && write.runId !== null) {
    const ended = thread.runs.get(write.runId);
    if (ended !== undefined) {
      thread.runs.set(write.runId, {
        ...ended,
        status: write.end.status,
        outcome: write.end,
        lastSeq: write.seq,
        endedAt: write.at,
      });
    }
    thread.worker = null;
  }
  const run = write.runId === null ? undefined : thread.runs.get(write.runId);
  if (write.checkpoint !== undefined && run !== undefined)
    thread.runs.set(run.runId, { ...run, lostCount: 0 });
  if (write.position !== undefined) thread.position = write.position;
  applyCheckpoint(thread, write, epoch);
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
  thread.head = {
    ...head,
    ...write.head,
    runId: write.start?.runId ?? head.runId,
    epoch,
    seq: write.seq,
    limit: write.limit,
    checkpointId: write.checkpoint?.id ?? head.checkpointId,
    updatedAt: write.at,
  };
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
