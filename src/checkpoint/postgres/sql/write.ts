import { taskIds, type Interrupt, type Position } from "../../../engine/index.js";
import type {
  CheckpointWrite,
  Enqueue,
  Enqueued,
  Fork,
  Forked,
  RequestKey,
  RunStart,
  StopOutcome,
  StopRequest,
  ThreadRef,
  Write,
  Written,
} from "../../checkpointer.js";
import type { Database } from "../database.js";
import type { InterruptBody } from "../rows.js";

/** The function of the database behind every write of a thread. */
const WRITE = "holdpoint.write_v2";

/** Atomic changes of threads as `writeArgument` gives them, in one round trip and one transaction; answers in the same order. */
export async function writeAll(database: Database, args: readonly string[]): Promise<readonly Written[]> {
  // The rows of a function come in order, and so the locks are taken: no ORDER BY, which might sort after the calls.
  const rows =
    args.length === 1
      ? await database.query<Answered<Answer>>(`SELECT ${WRITE}($1) AS answer`, args)
      : await database.query<Answered<Answer>>(
          `SELECT ${WRITE}(w) AS answer FROM jsonb_array_elements($1::jsonb) w`,
          [`[${args.join(",")}]`],
        );
  if (rows.length !== args.length) throw new Error(`${rows.length} answers to ${args.length} writes`);
  return rows.map((row) => writtenOf(answerOf(row)));
}

/** JSON that a function gives is a value already where the driver reads it, and text where it does not. */
interface Answered<T extends object> {
  readonly answer: T | string;
}

const answerOf = <T extends object>({ answer }: Answered<T>): T =>
  typeof answer === "string" ? (JSON.parse(answer) as T) : answer;

const writtenOf = (answer: Answer): Written =>
  answer.outcome === "stopping"
    ? { outcome: "stopping", stop: JSON.parse(answer.stop) as StopRequest }
    : answer;

type Answer = Exclude<Written, { outcome: "stopping" }> | { outcome: "stopping"; stop: string };

const text = (value: unknown): string => JSON.stringify(value);
const textOr = (value: unknown): string | null =>
  value === null || value === undefined ? null : JSON.stringify(value);

/** One write as the function takes it. What users wrote goes as JSON text inside the JSON. */
export function writeArgument(given: Write): string {
  const { ref, guard, head, checkpoint, start, end, position, create } = given;
  return JSON.stringify({
    tenant: ref.tenant,
    thread: ref.threadId,
    run: given.runId,
    guard:
      guard.by === "seq"
        ? { by: "seq", from: guard.from }
        : { by: "run", from: guard.from, epoch: guard.epoch, sees: guard.seesStop },
    at: given.at,
    seq: given.seq,
    limit: given.limit,
    head: headJson(head),
    events: text(given.events),
    // Of two at one place in one write, the later one counts.
    messages: [...new Map(given.messages.map(({ pos, message }) => [pos, text(message)]))],
    open: given.open.map(openJson),
    decide: given.decide.map(({ id, status, answer, resumedBy, at }) => ({
      id,
      status,
      answer: textOr(answer),
      decided: answer?.decision ?? null,
      decided_by: textOr(answer?.by),
      resumed_by: resumedBy,
      at,
    })),
    retext: given.retext.map(({ id, message, data }) => ({ id, message: text(message), data: text(data) })),
    ...(create === undefined ? {} : { create: { metadata: text(create.metadata) } }),
    ...(position === undefined ? {} : { position: text(position), tasks: tasksJson(position) }),
    ...(checkpoint === undefined ? {} : { checkpoint: checkpointJson(checkpoint) }),
    ...(start === undefined ? {} : { start: startJson(start) }),
    ...(end === undefined ? {} : { end: { status: end.status, outcome: text(end) } }),
    ...(given.drop === true ? { drop: true } : {}),
    ...(given.key === undefined ? {} : { key: keyJson(given.key) }),
  });
}

/** Makes a run wait, in one round trip. */
export async function enqueue(database: Database, given: Enqueue): Promise<Enqueued> {
  const { ref, runId, graph, at, free, stop, key } = given;
  const argument = {
    tenant: ref.tenant,
    thread: ref.threadId,
    run_id: runId,
    graph,
    at,
    free,
    recursion_limit: given.recursionLimit,
    metadata: text(given.metadata),
    request: text(given.request),
    ...(stop === null ? {} : { stop: text(stop) }),
    ...(key === undefined ? {} : { key: keyJson(key) }),
  };
  const [row] = await database.query<Answered<Enqueued>>("SELECT holdpoint.enqueue_v1($1) AS answer", [
    JSON.stringify(argument),
  ]);
  if (row === undefined) throw new Error("no answer to a run that is to wait");
  return answerOf(row);
}

/** A thread made of a checkpoint of another, in one round trip. */
export async function fork(database: Database, given: Fork): Promise<Forked> {
  const { ref, threadId, checkpointId, at, head, position, checkpoint } = given;
  const argument = {
    tenant: ref.tenant,
    source: ref.threadId,
    checkpoint_id: checkpointId,
    thread: threadId,
    at,
    head: headJson(head),
    position: text(position),
    tasks: tasksJson(position),
    checkpoint: checkpointJson(checkpoint),
  };
  const [row] = await database.query<{ outcome: Forked }>("SELECT holdpoint.fork_v1($1) AS outcome", [
    JSON.stringify(argument),
  ]);
  return row?.outcome ?? "missing";
}

/** Asks the thread's run to stop, and takes its queue with it. */
export async function requestStop(
  database: Database,
  ref: ThreadRef,
  stop: StopRequest,
  key?: RequestKey,
): Promise<StopOutcome> {
  const [row] = await database.query<Answered<StopAnswer>>(
    "SELECT holdpoint.request_stop_v2($1, $2, $3, $4, $5, $6) AS answer",
    [ref.tenant, ref.threadId, stop.mode, text(stop), stop.at, key === undefined ? null : text(keyJson(key))],
  );
  // An id that no text can be is no thread's.
  if (row === undefined) return { was: "missing" };
  const { was, run, epoch, dropped } = answerOf(row);
  switch (was) {
    case "running":
      return { was, runId: run, epoch, dropped };
    case "queued":
      return { was, dropped };
    default:
      return { was };
  }
}

interface StopAnswer {
  readonly was: StopOutcome["was"];
  readonly run: string;
  readonly epoch: number;
  readonly dropped: readonly string[];
}

/** As the functions of the database take it. */
const keyJson = ({ key, body, expiresAt }: RequestKey): Record<string, string> => ({
  key,
  body,
  expires_at: expiresAt,
});

const tasksJson = (position: Position): string[] => taskIds(position).map((id) => text(id));

const headJson = (head: Write["head"]): Record<string, unknown> => ({
  graph: head.graph,
  status: head.status,
  step: head.step,
  current_node: textOr(head.currentNode),
  next_nodes: text(head.nextNodes),
  interrupt_reason: textOr(head.interruptReason),
});

function checkpointJson(checkpoint: CheckpointWrite): Record<string, unknown> {
  return {
    id: checkpoint.id,
    source: checkpoint.source,
    path: text(checkpoint.path),
    ops: text(checkpoint.ops),
    values: textOr(checkpoint.values),
    since_bytes: checkpoint.sinceValues.bytes,
    values_size: checkpoint.sinceValues.size,
  };
}

function startJson(start: RunStart): Record<string, unknown> {
  return {
    run_id: start.runId,
    graph: start.graph,
    resumes: start.resumes,
    recursion_limit: start.recursionLimit,
    metadata: text(start.metadata),
    decision: textOr(start.decision),
    first_seq: start.firstSeq,
    first_step: start.firstStep,
    worker: start.worker,
  };
}

function openJson(interrupt: Interrupt): Record<string, unknown> {
  const { kind, pauses, reason, responseSchema, decisions, named, plain, path, expiresIn, onExpiry } =
    interrupt;
  const body: InterruptBody = {
    kind,
    pauses,
    reason,
    responseSchema,
    decisions,
    named,
    plain,
    path,
    ...(expiresIn === undefined ? {} : { expiresIn }),
    ...(onExpiry === undefined ? {} : { onExpiry }),
  };
  return {
    id: interrupt.id,
    run_id: interrupt.runId,
    graph: interrupt.graph,
    task_id: text(interrupt.taskId),
    key: text(interrupt.key),
    node: text(interrupt.node),
    body: text(body),
    message: text(interrupt.message),
    data: text(interrupt.data),
    created_at: interrupt.createdAt,
    expires_at: interrupt.expiresAt,
  };
}
