/**
 * What is stored of tasks while they run: `once` results, and outcomes of tasks whose step still waits for others, so that
 * a crash repeats only what was in flight.
 */
import type { Checkpointer, TaskRecord, ThreadRef } from "../checkpoint/checkpointer.js";
import { eachTask, keepResult, type Snapshot, type Task } from "../engine/index.js";
import type { Json } from "../lib/json.js";
import { patiently } from "./patiently.js";
import type { TaskOutcome } from "./task-outcome.js";
import { extended } from "../lib/extended.js";

/** Keys of outcomes begin with NUL, those of `once` never do: whose name begins so has one sign more in front of it. */
const OUTCOME = "\u0000outcome:";
const isOnceKey = (stored: string): boolean => !stored.startsWith("\u0000");

/** A `once` key as it is stored. */
export const storedKey = (key: string): string => (/^[\u0000\u0001]/.test(key) ? `\u0001${key}` : key);
const givenKey = (stored: string): string => (stored.startsWith("\u0001") ? stored.slice(1) : stored);

/** The keys of a task's `once` results. */
export const onceKeys = (records: Iterable<TaskRecord>, taskId: string): string[] =>
  [...records]
    .filter((record) => record.taskId === taskId && isOnceKey(record.key))
    .map((record) => givenKey(record.key));

/** An outcome belongs to the attempts before it: a later attempt of the task does not find it. */
const outcomeKey = (attemptsBefore: number): string => `${OUTCOME}${attemptsBefore}`;

export interface RecordDeps {
  readonly checkpointer: Checkpointer;
  readonly ref: ThreadRef;
  readonly epoch: number;
}

/** Stores a record, however long the database is away; false = another process has the run. */
export async function storeRecord(
  { checkpointer, ref, epoch }: RecordDeps,
  record: TaskRecord,
): Promise<boolean> {
  return patiently(() => checkpointer.record(ref, epoch, record));
}

/** Stores what a task came to; false = another process has the run. What nobody knows the outcome of is not stored. */
export async function storeOutcome(deps: RecordDeps, task: Task, outcome: TaskOutcome): Promise<boolean> {
  if (outcome.kind === "abandoned" || outcome.kind === "timeout" || outcome.kind === "refused") return true;
  const { task: _task, ...rest } = outcome;
  const value = { ...rest, ...(outcome.kind === "failed" ? { cause: null } : {}) } as unknown as Json;
  return storeRecord(deps, { taskId: task.id, key: outcomeKey(task.attempts), value });
}

/** What an earlier process stored of this task's attempt. */
export function storedOutcome(records: readonly TaskRecord[], task: Task): TaskOutcome | undefined {
  if (records.length === 0) return undefined;
  const key = outcomeKey(task.attempts);
  const found = records.find((record) => record.taskId === task.id && record.key === key);
  return found === undefined ? undefined : (extended(found.value as object, { task }) as TaskOutcome);
}

/** A snapshot with the results that are stored beside it: tasks that are done while others of their step are not. */
export function withOutcomes(snapshot: Snapshot, records: readonly TaskRecord[]): Snapshot {
  let kept = snapshot;
  for (const task of eachTask(snapshot.position.tasks)) {
    const begun = task.stage === "due" || task.stage === "cleared";
    const outcome = begun ? storedOutcome(records, task) : undefined;
    if (outcome?.kind === "done") kept = keepResult(kept, task, outcome.output, outcome);
  }
  return kept;
}
