/**
 * The one loop that awaits: plan, do what may be done, wait for a task, until the run pauses, stops, fails or ends. What it
 * keeps:
 *
 * E1. Nothing of a step is visible before the one write that commits it; a node is never run again for a write.
 * E2. Before a node begins, the way to it is committed: a takeover knows what may have been in flight.
 * E3. Every write may be refused by a stop that was accepted before it; the run then ends `stopped`, with what is done kept.
 * E4. A write that is fenced ends everything here: another process has the run.
 * E5. A task that fails, asks or is slow keeps back its own step only; how the run ends is judged when all have settled.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { ErrorCode } from "../errors.js";
import {
  closeStep,
  denyTask,
  draft,
  dropResult,
  eachTask,
  enterNested,
  keepResult,
  keepTask,
  leaveNested,
  loseAttempt,
  mayRepeat,
  ownerId,
  pausedStatus,
  placeOf,
  plan,
  ResultFault,
  START,
  takeRoutes,
  UpdateFault,
  verdictKey,
  type Ask,
  type FinalStatus,
  type Interrupt,
  type LostAttempt,
  type NestedGraph,
  type Opening,
  type Outcome,
  type Place,
  type Plan,
  type RunFault,
  type RunResult,
  type Scope,
  type Snapshot,
  type Target,
  type Task,
} from "../engine/index.js";
import { errorText, isInstance } from "../lib/show.js";
import { judgeHold } from "./judge-hold.js";
import { InFlight } from "./in-flight.js";
import { innerOutput, innerStart } from "./nested-run.js";
import { CUT, orCut } from "./or-cut.js";
import { EdgeFault, successors } from "./successors.js";
import type { RunControl } from "./run-control.js";
import type { ExecuteDeps, RunJob } from "./run-job.js";
import { outcomeOf } from "./run-outcome.js";
import { runTask, type TaskOutcome } from "./run-task.js";
import { RunWriter } from "./run-writer.js";
import { storedOutcome, storeOutcome } from "./task-records.js";

const context = new AsyncLocalStorage<{ thread_id: string; run_id: string }>();
/** The run whose code is running, for logging what it let fall. */
export const currentRun = (): { thread_id: string; run_id: string } | undefined => context.getStore();

/** Lost processes at one step after which a run gives up. */
const CRASH_LOOP = 3;

/** The run's result; null when another process goes on with it. */
export function executeRun(job: RunJob, control: RunControl, deps: ExecuteDeps): Promise<RunResult | null> {
  const about = { thread_id: job.ref.threadId, run_id: job.run.runId };
  return context.run(about, () => new Execution(job, control, deps).run());
}

type AttemptsOf = Pick<TaskOutcome, "task" | "attempts" | "streamed">;
/** Why the run fails by a task, and what was thrown. */
interface Failure {
  readonly fault: RunFault;
  readonly cause: unknown;
}

class Execution {
  readonly #job: RunJob;
  readonly #control: RunControl;
  readonly #deps: ExecuteDeps;
  readonly #writer: RunWriter;
  readonly #rows: readonly Interrupt[];
  readonly #inFlight = new InFlight();
  readonly #verdicts = new Map<string, Ask | null>();
  /** Tasks that this run has given up, by id. */
  readonly #failures = new Map<string, Failure>();
  #snapshot: Snapshot;
  /** The first denial given inside this run. */
  #denial: Outcome["decision"] = null;

  constructor(job: RunJob, control: RunControl, deps: ExecuteDeps) {
    this.#job = job;
    this.#control = control;
    this.#deps = deps;
    this.#snapshot = job.loaded.snapshot;
    this.#rows = job.loaded.interrupts;
    this.#writer = new RunWriter(job, control, deps);
  }

  async run(): Promise<RunResult | null> {
    let result: RunResult | null = null;
    try {
      result = await this.#loop();
      return result;
    } finally {
      if (result === null) this.#writer.stream.abandon();
    }
  }

  async #loop(): Promise<RunResult | null> {
    let crashed = this.#job.crashedAt !== null;
    while (!this.#control.lost) {
      const next = plan(this.#deps.def, this.#snapshot, this.#rows, this.#verdicts, this.#failures);
      this.#snapshot = next.snapshot;
      if (next.judge.length > 0 && (this.#control.stop === null || crashed)) {
        if (await this.#judge(next.judge)) continue;
      }
      if (crashed) {
        crashed = false;
        const ended = this.#afterCrash(next);
        if (ended !== null) return this.#finish("error", { fault: ended });
        continue;
      }
      if (next.close[0] !== undefined) {
        await this.#close(next.close[0]);
        continue;
      }
      if (this.#control.stop === null && (await this.#advance(next))) continue;
      if (this.#control.stop === null) {
        const begin = next.execute.filter(({ task }) => !this.#inFlight.has(task.id));
        if (begin.length > 0) {
          await this.#begin(begin);
          continue;
        }
      }
      if (this.#inFlight.size > 0) {
        await this.#settleNext();
        continue;
      }
      return this.#end(next);
    }
    return null;
  }

  /** Nothing can be done any more in this run. */
  #end({ open }: Plan): Promise<RunResult | null> {
    if (this.#control.stop !== null) return this.#finish("stopped", {});
    for (const { id } of eachTask(this.#snapshot.position.tasks)) {
      const failure = this.#failures.get(id);
      if (failure === undefined) continue;
      this.#control.cause = failure.cause;
      return this.#finish("error", { fault: failure.fault });
    }
    if (open.length > 0) return this.#finish(pausedStatus(open), { open });
    const [stuck] = this.#snapshot.position.tasks;
    if (stuck !== undefined) throw new Error(`nothing can be done, and ${stuck.node} is ${stuck.stage}`);
    return this.#finish("completed", {});
  }

  /** Looks at hold points. False where a stop cut the asking short: it will be asked when somebody resumes. */
  async #judge(places: readonly Place[]): Promise<boolean> {
    for (const place of places) {
      const { scope, task } = place;
      try {
        const asked = await orCut(this.#control.cut, judgeHold(place, this.#snapshot));
        if (asked === CUT) return false;
        this.#verdicts.set(verdictKey(task), asked);
        // E2: a takeover must not ask `when` again of a node that has begun.
        if (asked === null && task.stage === "due" && scope.def.before.has(task.node)) this.#writer.draft.move();
      } catch (error) {
        this.#fail(task, "node_failed", `the hold point at ${task.node}: ${errorText(error)}`, error);
      }
    }
    return true;
  }

  /**
   * The former process died. What it may have been in the middle of is what could begin without another write; what it had
   * stored the outcome of was over.
   */
  #afterCrash(next: Plan): RunFault | null {
    const lost: Task[] = [];
    for (const { task } of next.execute) {
      const known = storedOutcome(this.#deps.records, task);
      // Taken at once: a stop, under which nothing begins, keeps what came back.
      if (known === undefined) lost.push(task);
      else this.#take(known);
    }
    if (this.#writer.draft.dirty) return null;
    for (const task of lost) {
      this.#keep({ task, attempts: task.attempts + 1, streamed: true });
      this.#lose(task.id, "crash");
    }
    return lost.length > 0 && this.#job.run.lostCount >= CRASH_LOOP ? this.#crashLoop(lost) : null;
  }

  /** A step of which every task has its result; a checkpoint is of one step. */
  async #close(scope: Scope): Promise<void> {
    if (this.#writer.draft.closed && (await this.#writer.commit(this.#snapshot)) !== "committed") return;
    try {
      const change = closeStep(this.#deps.def, this.#snapshot, ownerId(scope));
      this.#snapshot = change.snapshot;
      this.#writer.draft.step(change);
    } catch (error) {
      if (!isInstance(error, ResultFault)) throw error;
      const { task } = error;
      this.#writer.stream.forget(task.id);
      this.#snapshot = dropResult(this.#snapshot, task);
      this.#fail(task, "invalid_update", `${task.node}: ${error.message}`, error.cause ?? error);
    }
  }

  /** What user code says of the way. True where something has changed. */
  async #advance({ leave, route, enter }: Plan): Promise<boolean> {
    for (const place of leave) await this.#leave(place);
    for (const scope of route) await this.#route(scope);
    for (const place of enter) await this.#enter(place);
    return leave.length + route.length + enter.length > 0;
  }

  async #leave(place: Place): Promise<void> {
    const nested = nestedAt(place);
    const made = await this.#orFail(place.task, "invalid_update", () =>
      innerOutput(place, nested, this.#snapshot.step),
    );
    if (made === CUT) return;
    const out = made === null ? null : { updates: [made.update], messages: made.messages };
    this.#snapshot = leaveNested(this.#snapshot, place, nested, out);
  }

  async #enter(place: Place): Promise<void> {
    const { task } = place;
    const nested = nestedAt(place);
    const { step } = this.#snapshot;
    const start = await this.#orFail(task, "invalid_update", () => innerStart(place, nested, step));
    if (start === CUT) return;
    const attempts = task.attempts + 1;
    this.#snapshot = enterNested(this.#snapshot, place, nested, { ...start, attempts });
    const about = { nodeName: task.node, path: task.path, event: "node_execution" as const };
    this.#writer.stream.emit(
      task.id,
      draft("progress", { step, attempt: attempts }, { ...about, content: `${task.node} begins` }),
    );
    this.#writer.draft.move();
  }

  async #route(scope: Scope): Promise<void> {
    const { step } = this.#snapshot;
    const routes = new Map<string, readonly Target[]>();
    for (const task of scope.tasks) {
      const to = await this.#orFail(task, "edge_failed", () => successors(scope, task, step));
      if (to !== CUT) routes.set(task.id, to);
    }
    if (routes.size < scope.tasks.length) return;
    this.#denial ??= scope.tasks.find(({ denied }) => denied !== undefined)?.denied ?? null;
    this.#snapshot = takeRoutes(this.#deps.def, this.#snapshot, ownerId(scope), routes, this.#job.run.runId);
    this.#writer.draft.move();
  }

  /** User code that is no node: where it throws, its task has failed; a stop does not wait for it. */
  async #orFail<T>(task: Task, code: ErrorCode, work: () => Promise<T>): Promise<T | typeof CUT> {
    try {
      return await orCut(this.#control.cut, work());
    } catch (error) {
      const edge = isInstance(error, EdgeFault);
      const about = edge || task.node === START ? "" : `${task.node}: `;
      const known = edge || isInstance(error, UpdateFault);
      this.#fail(task, known ? code : "node_failed", `${about}${errorText(error)}`, edge ? (error.cause ?? error) : error);
      return CUT;
    }
  }

  /** Begins nodes, once the way to them is committed. */
  async #begin(places: readonly Place[]): Promise<void> {
    const { recursionLimit: limit, firstStep } = this.#job.run;
    if (this.#snapshot.step - firstStep >= limit) {
      for (const { task } of places)
        this.#fail(task, "recursion_limit", `the run took ${limit} steps, its limit; resume to go on`);
      return;
    }
    if (this.#writer.draft.dirty) {
      if ((await this.#writer.commit(this.#snapshot)) !== "committed") return;
      if (this.#deps.draining() && this.#inFlight.size === 0 && (await this.#handOver())) return;
    }
    for (const place of places) this.#inFlight.start(place, this.#run(place));
  }

  /** Gives the run up for another process, between two steps. */
  async #handOver(): Promise<boolean> {
    const { checkpointer } = this.#deps;
    if (!(await checkpointer.release(this.#job.ref, this.#job.epoch, { inFlight: false }))) return false;
    this.#control.lose();
    return true;
  }

  async #run(place: Place): Promise<TaskOutcome> {
    const { once, log, options, records, checkpointer } = this.#deps;
    const { ref, run, epoch } = this.#job;
    const { task } = place;
    const known = storedOutcome(records, task);
    if (known !== undefined) return known;
    const outcome = await runTask(place, {
      step: this.#snapshot.step,
      rows: this.#rows,
      threadId: ref.threadId,
      runId: run.runId,
      control: this.#control,
      stream: this.#writer.stream,
      once,
      log,
      graceMs: options.graceMs,
      mayRepeat: mayRepeat(place, this.#snapshot.position.holds),
    });
    // Of a step of one task the one write is enough; where others are in flight a crash must not repeat this one.
    const alone = place.scope.tasks.length === 1;
    if (!alone && !this.#control.lost && !(await storeOutcome({ checkpointer, ref, epoch }, task, outcome)))
      this.#control.lose();
    return outcome;
  }

  /** Waits for tasks, and takes what they came to into the snapshot. */
  async #settleNext(): Promise<void> {
    // A step that has closed beside them is not kept back.
    if (this.#writer.draft.dirty && this.#control.stop === null) {
      if ((await this.#writer.commit(this.#snapshot)) === "lost") return;
    }
    const outcomes = await this.#inFlight.next();
    if (this.#control.lost) return;
    for (const outcome of outcomes) this.#take(outcome);
  }

  #take(outcome: TaskOutcome): void {
    const { task, attempts } = outcome;
    if (outcome.kind === "done") {
      this.#snapshot = keepResult(this.#snapshot, task, outcome.output, outcome);
      return;
    }
    // Live events of an attempt that is not committed are void.
    this.#writer.stream.forget(task.id);
    switch (outcome.kind) {
      case "asked":
        this.#keep(outcome, outcome.asks);
        break;
      case "denied":
        this.#snapshot = denyTask(this.#snapshot, task, outcome.answer, attempts);
        break;
      case "failed":
        this.#keep(outcome);
        this.#fail(task, outcome.code, outcome.message, outcome.cause, attempts);
        break;
      case "abandoned":
        this.#keep(outcome);
        this.#lose(task.id, "stop");
        this.#control.abandoned.push(task.path);
        break;
      case "timeout": {
        const asksFirst = outcome.retries && !this.#mayRepeat(task.id);
        this.#keep(outcome);
        this.#lose(task.id, "timeout");
        if (!asksFirst) this.#fail(task, "node_timeout", outcome.message, undefined, attempts);
      }
    }
  }

  /** Ends the run. A stop that was accepted before turns any other end into `stopped`. */
  async #finish(
    status: FinalStatus,
    of: { open?: readonly Opening[]; fault?: RunFault },
  ): Promise<RunResult | null> {
    let final: FinalStatus = status;
    let { open = [], fault } = of;
    for (;;) {
      if (this.#control.lost) return null;
      if (this.#control.stop !== null && final !== "stopped")
        [final, open, fault] = ["stopped", [], undefined];
      // Of an answer that began this run and a denial inside it, the denial; it is one of the answers.
      const decision = this.#denial ?? this.#job.run.decision;
      const ending = { status: final, open, error: fault ?? null, decision };
      const outcome = await outcomeOf(this.#deps.def, this.#snapshot, ending, this.#control.cut);
      const ended = await this.#writer.end(this.#snapshot, outcome, open);
      if (ended === "lost") return null;
      if (ended !== "stopping") return ended;
    }
  }

  #keep({ task, attempts, streamed }: AttemptsOf, asks?: readonly Ask[]): void {
    this.#snapshot = keepTask(this.#snapshot, task, {
      attempts,
      streamed,
      ...(asks === undefined ? {} : { asks }),
    });
  }

  #lose(taskId: string, cause: LostAttempt["cause"]): void {
    const place = placeOf(this.#deps.def, this.#snapshot, taskId);
    if (place === null) return;
    this.#snapshot = loseAttempt(this.#snapshot, place, {
      attempt: place.task.attempts,
      beganAt: this.#writer.committedAt,
      cause,
      once: this.#deps.once.keys(taskId),
    });
  }

  #mayRepeat(taskId: string): boolean {
    const place = placeOf(this.#deps.def, this.#snapshot, taskId);
    return place === null || mayRepeat(place, this.#snapshot.position.holds);
  }

  #fail(task: Task, code: ErrorCode, message: string, cause?: unknown, attempt = task.attempts): void {
    this.#failures.set(task.id, { fault: this.#fault(code, message, task, attempt), cause });
  }

  #fault(code: ErrorCode, message: string, task: Task | undefined, attempt = 0): RunFault {
    const node = task === undefined || task.node === START ? null : task.node;
    const path = node === null ? [] : (task?.path ?? []);
    return { code, message, node, path, step: this.#snapshot.step, attempt };
  }

  #crashLoop(tasks: readonly Task[]): RunFault {
    const count = this.#job.run.lostCount;
    const names = tasks.map(({ node }) => node).join(", ");
    const message = `the run lost ${count} processes at ${names}; resume to try once more`;
    return this.#fault("crash_loop", message, tasks[0], tasks[0]?.attempts);
  }
}

function nestedAt({ scope, task }: Place): NestedGraph {
  const spec = scope.def.nodes.get(task.node);
  if (spec?.kind !== "graph") throw new Error(`the node "${task.node}" is no graph`);
  return spec;
}
