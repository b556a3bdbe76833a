import { createHash } from "node:crypto";
import type { Answer, Interrupt, Message, Position, StateOp, Values } from "../../engine/index.js";
import type {
  CheckpointRecord,
  DecisionRecord,
  LogEntry,
  RunRecord,
  SinceValues,
  TaskRecord,
  ThreadHead,
} from "../checkpointer.js";

/** One commit, as the adapter keeps it. */
export interface StoredEntry extends LogEntry {
  readonly epoch: number;
  readonly checkpoint:
    | (CheckpointRecord & {
        readonly ops: readonly StateOp[];
        readonly values: Values | null;
        readonly position: Position;
      })
    | null;
}

interface StoredMessage {
  readonly pos: number;
  readonly seq: number;
  readonly runId: string | null;
  readonly message: Message;
}

/** All that is kept of one thread. Replaced or pushed to by the adapter alone. */
export interface StoredThread {
  head: ThreadHead;
  worker: string | null;
  /** Its owner may be inside a node; false only where it was handed over between two. */
  inFlight: boolean;
  /** When it became `queued`, as a number that grows. */
  readyAt: number;
  position: Position;
  values: Values;
  context: readonly Message[];
  sinceValues: SinceValues;
  readonly runs: Map<string, RunRecord>;
  readonly entries: StoredEntry[];
  readonly messages: StoredMessage[];
  readonly interrupts: Interrupt[];
  readonly records: Map<string, TaskRecord>;
}

/** What is left of a deleted thread: numbers that are never used again, and who decided what. */
export interface Tombstone {
  readonly seq: number;
  readonly epoch: number;
  readonly decisions: readonly { readonly interrupt: Interrupt; readonly answer: Answer }[];
}

/** What is told of a decision whose thread is gone. */
export function decisionRecord({ interrupt, answer }: Tombstone["decisions"][number]): DecisionRecord {
  return {
    interruptId: interrupt.id,
    threadId: interrupt.threadId,
    node: interrupt.node,
    decision: answer.decision,
    by: answer.by,
    at: answer.at,
    digest: createHash("sha256").update(JSON.stringify(answer)).digest("hex"),
  };
}

/** What is told of a checkpoint, without how it is kept. */
export function recordOf({
  ops: _ops,
  values: _values,
  position: _position,
  ...record
}: NonNullable<StoredEntry["checkpoint"]>): CheckpointRecord {
  return record;
}
