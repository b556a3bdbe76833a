/** A write as `write_v3` (migrations/0020_by_key.sql) takes it, and `write_all_v1` (0018_groups.sql, 0019_group_plans.sql) those of a group. */
import { taskIds, type Interrupt, type PlacedMessage, type Position } from "../../../engine/index.js";
import { HoldpointError } from "../../../errors.js";
import type { CheckpointWrite, RequestKey, RunStart, Write } from "../../checkpointer.js";
import type { InterruptBody } from "../rows.js";
import { eventsText, positionText, type LogPlace } from "../short-form.js";

/**
 * The arguments of the function, in order, as a group has each of them in an array. The words of users are JSON texts that nothing
 * has to read: as parts of one JSON they would be escaped and parsed once more. `plain` is a text too, in which no control character
 * stands as it is: JSON, an array of JSON, a word of ours.
 */
export const WRITE_TYPES = [
  "text", // tenant
  "text", // thread
  "text", // run
  "bigint", // from
  "bigint", // epoch
  "text", // sees
  "timestamptz", // at
  "bigint", // seq
  "bigint", // limit
  "text", // graph
  "plain", // status
  "integer", // step
  "plain", // current node
  "plain", // next nodes
  "plain", // interrupt reason
  "plain", // events
  "plain", // places of messages
  "plain", // bodies of messages
  "plain", // position
  "plain", // tasks
  "plain", // checkpoint: id
  "plain", // source
  "plain", // path
  "plain", // ops
  "plain", // values
  "bigint", // bytes since the values were whole
  "bigint", // size of the values
  "jsonb", // what few writes have
] as const;

export interface WriteRow {
  readonly values: readonly (string | null)[];
  /** Characters of all values, about. */
  readonly size: number;
  /** The epoch that the write is fenced by. */
  readonly epoch: number;
}

/** Bytes of one write at the most: what is read back as one JSON must fit into it. */
const MOST_BYTES = 256 * 1024 * 1024 - 1;

export const text = (value: unknown): string => JSON.stringify(value);
const textOr = (value: unknown): string | null =>
  value === null || value === undefined ? null : JSON.stringify(value);

/** One write, as the function takes it; in the short form where everybody reads it. Throws HoldpointError `not_storable`. */
export function writeRow(given: Write, isShort: boolean): WriteRow {
  const { ref, guard, head, checkpoint, position } = given;
  const messages = lastOfEach(given.messages);
  const epoch = guard.by === "run" ? guard.epoch : null;
  const values = [
    ref.tenant,
    ref.threadId,
    given.runId,
    String(guard.from),
    epoch === null ? null : String(epoch),
    guard.by === "run" ? guard.seesStop : null,
    given.at,
    String(given.seq),
    String(given.limit),
    head.graph,
    head.status,
    String(head.step),
    textOr(head.currentNode),
    text(head.nextNodes),
    textOr(head.interruptReason),
    isShort ? eventsText(given.events, placeOf(given, messages)) : text(given.events),
    `{${messages.map(({ pos }) => pos).join(",")}}`,
    arrayOf(messages.map(({ message }) => text(message))),
    position === undefined ? null : isShort ? positionText(position) : text(position),
    position === undefined ? null : arrayOf(tasksJson(position)),
    ...checkpointValues(checkpoint),
    rest(given),
  ];
  return { values, size: storable(values), epoch: epoch ?? 0 };
}

/** Of two at one place in one write, the later one counts. */
const lastOfEach = (messages: readonly PlacedMessage[]): readonly PlacedMessage[] =>
  messages.length < 2 ? messages : [...new Map(messages.map((placed) => [placed.pos, placed])).values()];

/** The row that the write's events are logged in, as it will be read. */
const placeOf = ({ seq, at, checkpoint, head }: Write, messages: readonly PlacedMessage[]): LogPlace =>
  checkpoint === undefined
    ? { seq, at, checkpointId: null, step: null, nextNodes: [], messages }
    : { seq, at, checkpointId: checkpoint.id, step: head.step, nextNodes: head.nextNodes, messages };

const checkpointValues = (checkpoint: CheckpointWrite | undefined): (string | null)[] =>
  checkpoint === undefined
    ? [null, null, null, null, null, null, null]
    : [
        checkpoint.id,
        checkpoint.source,
        text(checkpoint.path),
        text(checkpoint.ops),
        textOr(checkpoint.values),
        String(checkpoint.sinceValues.bytes),
        String(checkpoint.sinceValues.size),
      ];

/** What few writes have; null for a step of a run that goes on, which the function writes by a shorter way. */
function rest(given: Write): string | null {
  const { create, start, end, open, decide, retext } = given;
  const isPlain =
    (create ?? start ?? end ?? given.key) === undefined &&
    open.length + decide.length + retext.length === 0 &&
    given.drop !== true;
  if (isPlain) return isStep(given) ? null : "{}";
  // What is undefined JSON leaves out.
  return JSON.stringify({
    create: create && { metadata: text(create.metadata) },
    start: start && startJson(start),
    end: end && { status: end.status, outcome: text(end) },
    open: open.length === 0 ? undefined : open.map(openJson),
    decide: decide.length === 0 ? undefined : decide.map(decideJson),
    retext: retext.length === 0 ? undefined : retext.map(retextJson),
    drop: given.drop === true ? true : undefined,
    key: given.key && keyJson(given.key),
  });
}

const isStep = ({ guard, head, checkpoint, position, seq }: Write): boolean =>
  guard.by === "run" &&
  seq > guard.from &&
  head.status === "running" &&
  checkpoint !== undefined &&
  position !== undefined;

/** What no text of the database can be: a NUL, or half of a sign. */
const UNSTORABLE = /\0|\p{Surrogate}/u;

/** Characters of a write. The database would cut the connection over what is too large, and store other signs for half ones. */
function storable(values: readonly (string | null)[]): number {
  let size = 0;
  for (const value of values) size += value?.length ?? 0;
  // Of what is no JSON (tenant, thread, run and graph); in JSON such signs are escaped.
  const odd = [values[0], values[1], values[2], values[9]].find((name) => UNSTORABLE.test(name ?? ""));
  const isLarge =
    size > MOST_BYTES / 3 &&
    values.reduce((sum, value) => sum + Buffer.byteLength(value ?? ""), 0) > MOST_BYTES;
  if (odd !== undefined || isLarge)
    throw new HoldpointError(
      "not_storable",
      `the database does not take it: ${isLarge ? "a write of this size exceeds the maximum of 256 MB" : `${JSON.stringify(odd)} is not a text`}`,
    );
  return size;
}

/** What parts plain texts, and what stands for null among them: nothing in them has to be quoted. */
const PART = "\x1e";
const NULL = "\x1d";
/** The way back from `joined`, in the database. */
export const APART = String.raw`E'\x1e', E'\x1d'`;
export const joined = (items: readonly (string | null)[]): string =>
  items.map((item) => item ?? NULL).join(PART);

/** An array as PostgreSQL reads it. */
export const arrayOf = (items: readonly (string | null)[]): string =>
  `{${items.map((item) => (item === null ? "NULL" : quoted(item))).join(",")}}`;

/**
 * In an array a backslash means only that the next sign is itself. JSON's quotes are the same where nothing but quotes and
 * backslashes needs one, as in JSON texts: 5 us for 560 characters instead of 16.
 */
const quoted = (item: string): string =>
  CONTROL.test(item) ? `"${item.replace(/["\\]/g, "\\$&")}"` : JSON.stringify(item);
const CONTROL = /[\0-\x1f]/;

/** As the functions of the database take it. */
export const keyJson = ({ key, body, expiresAt }: RequestKey): Record<string, string> => ({
  key,
  body,
  expires_at: expiresAt,
});

export const tasksJson = (position: Position): string[] => taskIds(position).map((id) => text(id));

export const headJson = (head: Write["head"]): Record<string, unknown> => ({
  graph: head.graph,
  status: head.status,
  step: head.step,
  current_node: textOr(head.currentNode),
  next_nodes: text(head.nextNodes),
  interrupt_reason: textOr(head.interruptReason),
});

export function checkpointJson(checkpoint: CheckpointWrite): Record<string, unknown> {
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

const decideJson = ({
  id,
  status,
  answer,
  resumedBy,
  at,
}: Write["decide"][number]): Record<string, unknown> => ({
  id,
  status,
  answer: textOr(answer),
  decided: answer?.decision ?? null,
  decided_by: textOr(answer?.by),
  resumed_by: resumedBy,
  at,
});

const retextJson = ({ id, message, data }: Write["retext"][number]): Record<string, unknown> => ({
  id,
  message: text(message),
  data: text(data),
});
