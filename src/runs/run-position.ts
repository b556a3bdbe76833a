/** Where a run is: the thread as it stands, and the tasks that the run has given up. */
import type { ErrorCode } from "../errors.js";
import {
  denyTask,
  eachTask,
  keepResult,
  keepTask,
  loseAttempt,
  mayRepeat,
  placeOf,
  START,
  type Ask,
  type GraphDefinition,
  type LostAttempt,
  type RunFault,
  type Snapshot,
  type Task,
} from "../engine/index.js";
import type { TaskOutcome } from "./task-outcome.js";

/** Why a run fails by a task, and what was thrown. */
export interface Failure {
  readonly fault: RunFault;
  readonly cause: unknown;
}

/** What is known of a lost attempt beside its number. */
export type Lost = Omit<LostAttempt, "attempt">;

export class RunPosition {
  readonly def: GraphDefinition;
  snapshot: Snapshot;
  readonly #failures = new Map<string, Failure>();

  constructor(def: GraphDefinition, snapshot: Snapshot) {
    this.def = def;
    this.snapshot = snapshot;
  }

  /** By task id: nothing more happens to these in this run. */
  get failures(): ReadonlyMap<string, Failure> {
    return this.#failures;
  }

  /** The first failure in the order of the tasks: the one that the run ends with. */
  get failure(): Failure | undefined {
    for (const { id } of eachTask(this.snapshot.position.tasks)) {
      const failure = this.#failures.get(id);
      if (failure !== undefined) return failure;
    }
    return undefined;
  }

  /** Takes in what a task came to; `lost` is what is known of an attempt whose outcome nobody knows. */
  take(outcome: TaskOutcome, lost: () => Omit<Lost, "cause">): void {
    const { task, attempts } = outcome;
    switch (outcome.kind) {
      case "done":
        this.snapshot = keepResult(this.snapshot, task, outcome.output, outcome);
        break;
      case "asked":
        this.keep(outcome, outcome.asks);
        break;
      case "denied":
        this.snapshot = denyTask(this.snapshot, task, outcome.answer, attempts);
        break;
      case "failed":
        this.keep(outcome);
        this.fail(task, outcome.code, outcome.message, outcome.cause, attempts);
        break;
      case "refused":
        this.keep(outcome);
        if (outcome.acted) this.lose(task.id, { cause: "refused", ...lost() });
        this.fail(task, outcome.cause.code, outcome.message, outcome.cause, attempts);
        break;
      case "abandoned":
        this.keep(outcome);
        this.lose(task.id, { cause: "stop", ...lost() });
        break;
      case "timeout": {
        const asksFirst = outcome.retries && !this.#mayRepeat(task.id);
        this.keep(outcome);
        this.lose(task.id, { cause: "timeout", ...lost() });
        if (!asksFirst) this.fail(task, "node_timeout", outcome.message, undefined, attempts);
      }
    }
  }

  /** Keeps of an attempt that came to nothing what the next one must know. */
  keep(of: Pick<TaskOutcome, "task" | "attempts" | "streamed">, asks?: readonly Ask[]): void {
    const { task, attempts, streamed } = of;
    this.snapshot = keepTask(this.snapshot, task, {
      attempts,
      streamed,
      ...(asks === undefined ? {} : { asks }),
    });
  }

  /** Nobody knows the outcome of a task's last attempt: a person is asked first where it may not be repeated. */
  lose(taskId: string, lost: Lost): void {
    const place = placeOf(this.def, this.snapshot, taskId);
    if (place === null) return;
    this.snapshot = loseAttempt(this.snapshot, place, { attempt: place.task.attempts, ...lost });
  }

  /** Gives a task up: it keeps back its step, and the run ends `error` when nothing else can be done. */
  fail(task: Task, code: ErrorCode, message: string, cause?: unknown, attempt = task.attempts): void {
    this.#failures.set(task.id, { fault: this.fault(code, message, task, attempt), cause });
  }

  fault(code: ErrorCode, message: string, task: Task, attempt: number): RunFault {
    // START is a place, not a node.
    const at = task.node === START ? { node: null, path: [] } : { node: task.node, path: task.path };
    return { code, message, ...at, step: this.snapshot.step, attempt };
  }

  #mayRepeat(taskId: string): boolean {
    const place = placeOf(this.def, this.snapshot, taskId);
    return place === null || mayRepeat(place, this.snapshot.position.holds);
  }
}
