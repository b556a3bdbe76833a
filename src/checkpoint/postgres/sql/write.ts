import type {
  Enqueue,
  Enqueued,
  Fork,
  Forked,
  RequestKey,
  StopOutcome,
  StopRequest,
  ThreadRef,
  Written,
} from "../../checkpointer.js";
import type { Database } from "../database.js";
import {
  APART,
  arrayOf,
  checkpointJson,
  headJson,
  joined,
  keyJson,
  tasksJson,
  text,
  WRITE_TYPES,
  type WriteRow,
} from "./write-row.js";

/** The function of the database behind every write of a thread. */
const WRITE = "holdpoint.write_v3";
const ONE = `SELECT ${WRITE}(${WRITE_TYPES.map((_, i) => `$${i + 1}`).join(", ")}) AS answer`;
/** The same for a group: its answers come in the order of the members, and so the locks are taken. */
const WRITE_ALL = "holdpoint.write_all_v1";
const SEVERAL = `SELECT w.answer FROM ROWS FROM (${WRITE_ALL}(${WRITE_TYPES.map(several).join(", ")})) AS w (answer)`;

/** An argument of a group. Plain texts are joined and cut apart, which costs both sides less than an array's quotes do. */
function several(type: (typeof WRITE_TYPES)[number], i: number): string {
  const argument = `$${i + 1}`;
  return type === "plain" ? `string_to_array(${argument}, ${APART})` : `${argument}::${type}[]`;
}

/** Atomic changes of threads as `writeRow` gives them, in one round trip and one transaction; answers in the same order. */
export async function writeAll(database: Database, writes: readonly WriteRow[]): Promise<readonly Written[]> {
  const [first] = writes;
  const rows =
    writes.length === 1 && first !== undefined
      ? await database.query<Answered<Answer>>(ONE, first.values, { name: WRITE })
      : await database.query<Answered<Answer>>(
          SEVERAL,
          WRITE_TYPES.map((type, i) => {
            const items = writes.map(({ values }) => values[i] ?? null);
            return type === "plain" ? joined(items) : arrayOf(items);
          }),
          { name: WRITE_ALL },
        );
  if (rows.length !== writes.length) throw new Error(`${rows.length} answers to ${writes.length} writes`);
  return rows.map((row, i) => writtenOf(answerOf(row), writes[i]?.epoch ?? 0));
}

/** JSON that a function gives is a value already where the driver reads it, and text where it does not. */
interface Answered<T extends object> {
  readonly answer: T | string;
}

const answerOf = <T extends object>({ answer }: Answered<T>): T =>
  typeof answer === "string" ? (JSON.parse(answer) as T) : answer;

/** What goes without saying is left out: the epoch that the write came with, no queue. */
const writtenOf = (answer: Answer, epoch: number): Written => {
  if (answer.outcome === "stopping")
    return { outcome: "stopping", stop: JSON.parse(answer.stop) as StopRequest };
  if (answer.outcome !== "committed") return answer;
  return {
    outcome: "committed",
    epoch: answer.epoch ?? epoch,
    queued: answer.queued ?? false,
    dropped: answer.dropped ?? [],
  };
};

type Committed = Extract<Written, { outcome: "committed" }>;
type Answer =
  | Exclude<Written, { outcome: "stopping" | "committed" }>
  | { outcome: "stopping"; stop: string }
  | ({ outcome: "committed" } & Partial<Committed>);

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
