/** Rows and what they mean. Rows never leave the adapter. */
import type {
  Answer,
  Interrupt,
  Message,
  Outcome,
  StateOp,
  ThreadStatus,
  Values,
} from "../../engine/index.js";
import { deepFreeze } from "../../lib/deep-freeze.js";
import type { Json, JsonObject } from "../../lib/json.js";
import type { CheckpointRecord, RunRecord, StopRequest, ThreadHead, UsedKey } from "../checkpointer.js";

export interface ThreadRow {
  tenant: string;
  thread_id: string;
  graph: string | null;
  status: ThreadStatus;
  metadata: string;
  run_id: string | null;
  epoch: number;
  seq: number;
  seq_limit: number;
  step: number;
  checkpoint_id: string | null;
  current_node: string | null;
  next_nodes: string;
  interrupt_reason: string | null;
  position: string;
  since_bytes: number;
  values_size: number;
  snapshot_seq: number;
  log_floor: number;
  queued: number;
  created_at: Date;
  updated_at: Date;
}

export interface RunRow {
  run_id: string;
  thread_id: string;
  graph: string;
  status: RunRecord["status"];
  resumes: boolean;
  recursion_limit: number;
  metadata: string;
  decision: string | null;
  first_seq: number;
  last_seq: number | null;
  first_step: number;
  lost_count: number;
  outcome: string | null;
  stop: string | null;
  request: string | null;
  created_at: Date;
  started_at: Date | null;
  ended_at: Date | null;
}

export interface LogRow {
  seq: number;
  run_id: string | null;
  events: string;
  messages: number[];
  checkpoint_id: string | null;
  step: number | null;
  next_nodes: string | null;
  created_at: Date;
}

export interface UsedKeyRow {
  body: string;
  thread_id: string;
  run_id: string | null;
  answer: string | null;
  expires_at: Date;
}

export interface CheckpointRow {
  seq: number;
  run_id: string | null;
  checkpoint_id: string;
  parent_id: string | null;
  step: number;
  path: string;
  status: ThreadStatus;
  next_nodes: string;
  source: CheckpointRecord["source"];
  created_at: Date;
}

export interface OpsRow {
  ops: string;
  vals: string | null;
}

export interface MessageRow {
  pos: number;
  seq: number;
  body: string;
}

export interface InterruptRow {
  id: string;
  thread_id: string;
  run_id: string;
  graph: string;
  seq: number;
  task_id: string;
  ask_key: string;
  node: string;
  status: Interrupt["status"];
  body: string;
  message: string;
  data: string;
  decision: string | null;
  resumed_by: string | null;
  created_at: Date;
  expires_at: Date | null;
  decided_at: Date | null;
}

// What these columns hold is what this code wrote: the type argument names it.
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
const read = <T>(json: string): T => JSON.parse(json) as T;
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
const readOr = <T>(json: string | null): T | null => (json === null ? null : read<T>(json));
// Inside JSON a time is a string.
const time = (at: Date | string): string => new Date(at).toISOString();
const timeOr = (at: Date | string | null): string | null => (at === null ? null : time(at));

export function threadOf(row: ThreadRow): ThreadHead {
  return {
    tenant: row.tenant,
    threadId: row.thread_id,
    graph: row.graph,
    status: row.status,
    metadata: read<JsonObject>(row.metadata),
    runId: row.run_id,
    epoch: row.epoch,
    seq: row.seq,
    limit: row.seq_limit,
    step: row.step,
    checkpointId: row.checkpoint_id,
    currentNode: readOr<string>(row.current_node),
    nextNodes: read<string[]>(row.next_nodes),
    interruptReason: readOr<string>(row.interrupt_reason),
    logFloor: row.log_floor,
    queued: row.queued,
    createdAt: time(row.created_at),
    updatedAt: time(row.updated_at),
  };
}

export function runOf(row: RunRow): RunRecord {
  return {
    runId: row.run_id,
    threadId: row.thread_id,
    graph: row.graph,
    status: row.status,
    resumes: row.resumes,
    recursionLimit: row.recursion_limit,
    metadata: read<JsonObject>(row.metadata),
    decision: readOr<Answer>(row.decision),
    firstSeq: row.first_seq,
    lastSeq: row.last_seq,
    firstStep: row.first_step,
    lostCount: row.lost_count,
    outcome: readOr<Outcome>(row.outcome),
    stop: readOr<StopRequest>(row.stop),
    request: readOr<Json>(row.request),
    createdAt: time(row.created_at),
    startedAt: timeOr(row.started_at),
    endedAt: timeOr(row.ended_at),
  };
}

export const usedKeyOf = (row: UsedKeyRow): UsedKey => ({
  body: row.body,
  threadId: row.thread_id,
  runId: row.run_id,
  answer: readOr<Json>(row.answer),
  expiresAt: time(row.expires_at),
});

export function checkpointOf(row: CheckpointRow): CheckpointRecord {
  return {
    checkpointId: row.checkpoint_id,
    parentId: row.parent_id,
    runId: row.run_id,
    seq: row.seq,
    step: row.step,
    path: read<string[]>(row.path),
    status: row.status,
    nextNodes: read<string[]>(row.next_nodes),
    source: row.source,
    createdAt: time(row.created_at),
  };
}

/** The part of an interrupt that is written once and never looked at by SQL. */
export type InterruptBody = Pick<
  Interrupt,
  | "kind"
  | "pauses"
  | "reason"
  | "responseSchema"
  | "decisions"
  | "named"
  | "plain"
  | "path"
  | "expiresIn"
  | "onExpiry"
>;

export function interruptOf(row: InterruptRow): Interrupt {
  return {
    id: row.id,
    taskId: read<string>(row.task_id),
    threadId: row.thread_id,
    runId: row.run_id,
    graph: row.graph,
    seq: row.seq,
    key: read<string>(row.ask_key),
    node: read<string>(row.node),
    status: row.status,
    message: read<string>(row.message),
    data: read<Interrupt["data"]>(row.data),
    decision: readOr<Answer>(row.decision),
    resumedBy: row.resumed_by,
    createdAt: time(row.created_at),
    expiresAt: timeOr(row.expires_at),
    decidedAt: timeOr(row.decided_at),
    ...read<InterruptBody>(row.body),
  };
}

export const messageOf = (row: Pick<MessageRow, "body">): Message => deepFreeze(read<Message>(row.body));
export const opsOf = (row: OpsRow): StateOp[] => read<StateOp[]>(row.ops);
export const valuesOf = (json: string): Values => read<Values>(json);
