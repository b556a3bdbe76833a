/** The parts that writes are made of. What is left out is plain. */
import type { CheckpointWrite, StoredEvent, ThreadRef } from "../../src/checkpoint/checkpointer.js";
import {
  bornIn,
  dueTask,
  NO_HOLDS,
  type Answer,
  type Ask,
  type FinalStatus,
  type Interrupt,
  type Message,
  type Outcome,
  type PlacedMessage,
  type Position,
  type Task,
} from "../../src/engine/index.js";
import { newId } from "../../src/runs/ids.js";

let ticks = 0;
/** A time that no earlier write has, so that "newest first" has one meaning. */
export const tick = (): string => new Date(Date.UTC(2026, 0, 1) + ticks++).toISOString();

/** A thread that no other test knows, in a tenant of its own. */
export function freshRef(): ThreadRef {
  const id = newId();
  return { tenant: `tenant-${id}`, threadId: `thread-${id}` };
}

/** A run as its owner knows it: what its next write builds on. */
export interface Run {
  readonly ref: ThreadRef;
  readonly runId: string;
  readonly graph: string;
  readonly epoch: number;
  readonly seq: number;
  readonly step: number;
}

export type EventOf = Partial<Omit<StoredEvent, "seq">>;

/** Events in their places behind `from`. */
export function eventsFrom(from: number, list: readonly EventOf[]): StoredEvent[] {
  return list.map((of, i) => ({
    seq: from + i + 1,
    event: "graph_execution",
    eventType: "custom",
    nodeName: null,
    path: [],
    content: "",
    data: {},
    metadata: {},
    timestamp: tick(),
    ...of,
  }));
}

export function messageOf(of: Partial<Message> = {}): Message {
  return { id: newId(), role: "user", content: "hello", created_at: tick(), ...of };
}

export const placed = (pos: number, of: Partial<Message> = {}): PlacedMessage => ({
  pos,
  message: messageOf(of),
});

export function positionAt(runId: string, step: number, node = "WORK"): Position {
  return { tasks: [dueTask(bornIn(runId), step, 0, node)], holds: NO_HOLDS };
}

export function checkpointOf(of: Partial<CheckpointWrite> = {}): CheckpointWrite {
  const sinceValues = { bytes: 0, size: 0 };
  return { id: newId(), source: "step", path: [], ops: [], values: null, sinceValues, ...of };
}

/** What makes an interrupt different from a plain hold point before WORK. */
export type InterruptOf = Partial<Omit<Interrupt, "seq" | "runId" | "threadId" | "status">>;

export function answerTo(interrupt: Pick<Interrupt, "id">, of: Partial<Answer> = {}): Answer {
  return {
    interruptId: interrupt.id,
    decision: "approve",
    reason: null,
    data: null,
    state: null,
    messages: [],
    by: "ann",
    at: tick(),
    ...of,
  };
}

export function outcomeOf(status: FinalStatus, of: Partial<Outcome> = {}): Outcome {
  return {
    status,
    interrupted: false,
    interruptReason: null,
    decision: null,
    currentNode: null,
    nextNodes: [],
    step: 0,
    error: null,
    ...of,
  };
}

export function interruptOf(run: Run, seq: number, of: InterruptOf): Interrupt {
  const node = of.node ?? "WORK";
  return {
    id: newId(),
    taskId: dueTask(bornIn(run.runId), run.step, 0, node).id,
    threadId: run.ref.threadId,
    runId: run.runId,
    graph: run.graph,
    node,
    path: [node],
    status: "open",
    seq,
    key: "before",
    kind: "before",
    pauses: "before",
    reason: `interrupt_before: ${node}`,
    message: "Go on?",
    data: { amount: 1 },
    responseSchema: null,
    decisions: ["approve", "edit", "deny"],
    named: false,
    plain: true,
    createdAt: tick(),
    expiresAt: null,
    decidedAt: null,
    decision: null,
    resumedBy: null,
    ...of,
  };
}

/** The tasks that wait for these interrupts, each with what it asks. */
export function waitingTasks(open: readonly Interrupt[]): Task[] {
  const ids = [...new Set(open.map(({ taskId }) => taskId))];
  return ids.flatMap((id) => {
    const own = open.filter(({ taskId }) => taskId === id);
    const node = own[0]?.node ?? "WORK";
    return [{ id, node, path: [node], stage: "due", judged: true, attempts: 0, asks: own.map(askOf) }];
  });
}

function askOf(interrupt: Interrupt): Ask {
  const { key, kind, pauses, reason, message, data, responseSchema, decisions, named, plain } = interrupt;
  return { key, kind, pauses, reason, message, data, responseSchema, decisions, named, plain };
}
