/**
 * The one loop that awaits: plan, do what may be done, wait for a task, until the run pauses, stops, fails or ends. What it
 * keeps:
 *
 * E1. Nothing of a step is visible before the one write that commits it; a node is never run again for a write.
 * E2. Before a node begins, the way to it is committed: a takeover knows what may have been in flight.
 * E3. Every write may be refused by a stop that was accepted before it; the run then ends `stopped`, with what is done kept.
 * E4. A write that is fenced ends everything here: another process has the run.
 * E5. A task that fails, asks or is slow keeps back its own step only; how the run ends is judged when all have settled.
 * E6. A write that the database will never take fails the task that gave most of it; the run goes on from what is stored.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import {
  closeStep,
  dropResult,
  eachTask,
  leavesOf,
  mayRepeat,
  ownerId,
  pausedStatus,
  placeOf,
  plan,
  ResultFault,
  type FinalStatus,
  type Interrupt,
  type Opening,
  type Place,
  type Plan,
  type RunFault,
  type RunResult,
  type Scope,
  type Task,
} from "../engine/index.js";
import { refusalIn, type HoldpointError } from "../errors.js";
import { grown } from "../lib/grown.js";
import { isInstance } from "../lib/show.js";
import { handOver } from "./hand-over.js";
import { InFlight } from "./in-flight.js";
import type { RunControl } from "./run-control.js";
import type { ExecuteDeps, RunJob } from "./run-job.js";
import { stopsUnread } from "./on-disconnect.js";
import { outcomeOf } from "./run-outcome.js";
import { RunPosition, type Lost } from "./run-position.js";
import { runTask, type TaskDeps } from "./run-task.js";
import { RunWay } from "./run-way.js";
import { RefusedWrite, RunWriter } from "./run-writer.js";
import { largestOf, refusalText, refused, type TaskOutcome } from "./task-outcome.js";
import { storedOutcome, storeOutcome } from "./task-records.js";

interface RunName {
  readonly thread_id: string;
  readonly run_id: string;
}

let context: AsyncLocalStorage<RunName> | null = null;

/**
 * Says from now on whose code is running, for logging what it let fall. Only whoever logs that asks for it: every promise of the
 * process is followed then, which costs a durable step a tenth of its time.
 */
export function followRuns(): () => RunName | undefined {
  const followed = (context ??= new AsyncLocalStorage<RunName>());
  return () => followed.getStore();
}

/** Whether a run is the end that an interrupt came to which nobody answered in time: it does nothing else. */
const expiredInto = ({ status, decision, resumedBy }: Interrupt, runId: string): boolean =>
  status === "expired" && decision === null && resumedBy === runId;

/** Lost processes at one step after which a run gives up. */
const CRASH_LOOP = 3;

/** The run's result; null when another process goes on with it. */
export async function executeRun(
  job: RunJob,
  control: RunControl,
  deps: ExecuteDeps,
): Promise<RunResult | null> {
  if (deps.options.answersFirst) await new Promise<void>((resolve) => process.nextTick(resolve));
  const about = { thread_id: job.ref.threadId, run_id: job.run.runId };
  const { ref, epoch } = job;
  if (stopsUnread(job.run)) control.unread = { ref, epoch, since: performance.now() };
  const execution = new Execution(job, control, deps);
  return context === null ? execution.run() : context.run(about, () => execution.run());
}

class Execution {
  readonly #job: RunJob;
  readonly #control: RunControl;
  readonly #deps: ExecuteDeps;
  readonly #writer: RunWriter;
  readonly #rows: readonly Interrupt[];
  readonly #at: RunPosition;
  readonly #way: RunWay;
  readonly #taskDeps: TaskDeps;
  readonly #inFlight = new InFlight();
  /** A former process died, and what it was in the middle of has not been looked at. */
  #crashed: boolean;

  constructor(job: RunJob, control: RunControl, deps: ExecuteDeps) {
    this.#job = job;
    this.#control = control;
    this.#deps = deps;
    this.#rows = job.loaded.interrupts;
    this.#crashed = job.crashedAt !== null;
    this.#writer = new RunWriter(job, control, deps);
    this.#at = new RunPosition(deps.def, job.loaded.snapshot);
    this.#taskDeps = {
      rows: this.#rows,
      threadId: job.ref.threadId,
      runId: job.run.runId,
      control,
      stream: this.#writer.stream,
      once: deps.once,
      log: deps.log,
      graceMs: deps.options.graceMs,
    };
    this.#way = new RunWay(this.#at, { runId: job.run.runId, writer: this.#writer, cut: control.cut });
  }

  async run(): Promise<RunResult | null> {
    let result: RunResult | null = null;
    try {
      for (;;) {
        try {
          result = await this.#loop();
          return result;
        } catch (error) {
          if (!isInstance(error, RefusedWrite)) throw error;
          this.#undo(error);
        }
      }
    } finally {
      if (result === null) this.#writer.stream.abandon();
    }
  }

  async #loop(): Promise<RunResult | null> {
    const expired = this.#rows.find((row) => expiredInto(row, this.#job.run.runId));
    if (expired !== undefined) return this.#finish("error", { fault: this.#faultOf(expired) });
    while (!this.#isLost()) {
      const next = this.#plan();
      if (next.judge.length > 0 && (!this.#isStopped() || this.#crashed)) {
        if (await this.#way.judge(next.judge)) continue;
      }
      if (this.#crashed) {
        this.#crashed = false;
        const ended = this.#afterCrash(next);
        if (ended !== null) return this.#finish("error", { fault: ended });
        continue;
      }
      if (next.close[0] !== undefined) {
        // A checkpoint is of one step.
        if (!this.#writer.draft.closed || (await this.#writer.commit(this.#at.snapshot)) === "committed")
          this.#close(next.close[0]);
        continue;
      }
      if (!this.#isStopped() && next.leave.length + next.route.length + next.enter.length > 0) {
        if (!this.#way.advanceAtOnce(next)) await this.#way.advance(next);
        continue;
      }
      const begin = this.#isStopped() ? [] : this.#notBegun(next.execute);
      if (this.#failsAtLimit(begin)) continue;
      if (begin.length + this.#inFlight.size === 0) return this.#end(next);
      if (this.#writer.draft.dirty && !this.#isStopped()) {
        // E2; and a step that has closed beside tasks in flight is not kept back.
        const written = await this.#writer.commit(this.#at.snapshot);
        if (begin.length > 0 && (written !== "committed" || this.#isStopped())) continue;
      }
      if (begin.length > 0 && !this.#leaves) this.#begin(begin);
      else if (this.#inFlight.size === 0) {
        await handOver(this.#deps.checkpointer, this.#job, this.#control, { inFlight: false });
        continue;
      }
      if (this.#isLost()) break;
      await this.#inFlight.settled();
      if (!this.#isLost()) for (const outcome of this.#inFlight.take()) this.#take(outcome);
    }
    return null;
  }

  // Both change while the run waits, which the type checker cannot know of a property.
  #isLost(): boolean {
    return this.#control.lost;
  }

  #isStopped(): boolean {
    return this.#control.stop !== null;
  }

  #plan(): Plan {
    const at = this.#at;
    const next = plan(this.#deps.def, at.snapshot, this.#rows, this.#way.verdicts, at.failures, {
      passUnheld: !this.#isStopped() || this.#crashed,
    });
    at.snapshot = next.snapshot;
    return next;
  }

  #faultOf({ node, path, message, expiresAt, taskId }: Interrupt): RunFault {
    const { def, snapshot } = this.#at;
    return {
      code: "interrupt_expired",
      message: `nobody answered ${JSON.stringify(message)} until ${expiresAt ?? ""}; resume to be asked again`,
      node,
      path,
      step: snapshot.step,
      attempt: placeOf(def, snapshot, taskId)?.task.attempts ?? 0,
    };
  }

  /** Nothing can be done any more in this run. */
  #end({ open }: Plan): Promise<RunResult | null> {
    if (this.#control.stop !== null) return this.#finish("stopped", {});
    const { failure } = this.#at;
    if (failure !== undefined) {
      this.#control.cause = failure.cause;
      return this.#finish("error", { fault: failure.fault });
    }
    if (open.length > 0) return this.#finish(pausedStatus(open), { open });
    const [stuck] = this.#at.snapshot.position.tasks;
    if (stuck !== undefined) throw new Error(`nothing can be done, and ${stuck.node} is ${stuck.stage}`);
    return this.#finish("completed", {});
  }

  /**
   * The former process died. What it may have been in the middle of is what could begin without another write; what it had
   * stored the outcome of was over.
   */
  #afterCrash(next: Plan): RunFault | null {
    const lost: Task[] = [];
    for (const { scope, task } of next.execute) {
      if (this.#inFlight.has(task.id)) continue;
      const known = storedOutcome(this.#deps.records, task);
      // Taken at once: a stop, under which nothing begins, keeps what came back.
      if (known !== undefined) this.#take(known);
      // E2: one whose `when` let it pass only now has not begun.
      else if (!this.#way.hasJustPassed(scope, task)) lost.push(task);
    }
    for (const task of lost) this.#loseToCrash(task);
    const [first] = lost;
    const { lostCount } = this.#job.run;
    if (first === undefined || lostCount < CRASH_LOOP) return null;
    const names = lost.map(({ node }) => node).join(", ");
    const message = `the run lost ${lostCount} processes at ${names}; resume to try once more`;
    return this.#at.fault("crash_loop", message, first, first.attempts);
  }

  #loseToCrash(task: Task): void {
    this.#at.keep({ task, attempts: task.attempts + 1, streamed: true });
    this.#at.lose(task.id, { cause: "crash", ...this.#knownOf(task) });
  }

  /** A step of which every task has its result. */
  #close(scope: Scope): void {
    const at = this.#at;
    try {
      const change = closeStep(this.#deps.def, at.snapshot, ownerId(scope));
      at.snapshot = change.snapshot;
      this.#writer.draft.step(change);
    } catch (error) {
      if (!isInstance(error, ResultFault)) throw error;
      const { task } = error;
      this.#writer.stream.forget(task.id);
      at.snapshot = dropResult(at.snapshot, task);
      at.fail(task, "invalid_update", `${task.node}: ${error.message}`, error.cause ?? error);
    }
  }

  #notBegun(places: readonly Place[]): readonly Place[] {
    return this.#inFlight.size === 0 ? places : places.filter(({ task }) => !this.#inFlight.has(task.id));
  }

  /** Whether the run may take no further step: its tasks are given up then. */
  #failsAtLimit(places: readonly Place[]): boolean {
    const { recursionLimit: limit, firstStep } = this.#job.run;
    if (places.length === 0 || this.#at.snapshot.step - firstStep < limit) return false;
    const message = `the run took ${limit} steps, its limit; resume to go on`;
    for (const { task } of places) this.#at.fail(task, "recursion_limit", message);
    return true;
  }

  /** What another process goes on from is there, and nothing is known here that it would not know. */
  get #leaves(): boolean {
    return this.#deps.draining() && this.#isStored && this.#at.failure === undefined;
  }

  /** Begins nodes; the way to them is committed. */
  #begin(places: readonly Place[]): void {
    for (const place of places) this.#inFlight.start(place, this.#run(place));
  }

  /**
   * E6: back to what is stored, with all that tasks have come to since; of those whose output or questions the refused write
   * had, the one that gave most is given up. Throws where nobody is left to be given up.
   */
  #undo({ refusal, taskIds, stored }: RefusedWrite): void {
    const at = this.#at;
    const { taken } = this.#writer;
    const leaves = leavesOf(stored.position.tasks).map(({ id }) => id);
    const blamed = [taskIds, taken.map(({ task }) => task.id), leaves]
      .map((ids) => ids.filter((id) => at.failures.get(id)?.fault.code !== refusal.code))
      .find((ids) => ids.length > 0);
    if (blamed === undefined) throw refusal;
    at.snapshot = stored;
    this.#writer.taken = [];
    this.#crashed = this.#job.crashedAt !== null && !this.#writer.hasCommitted;
    // Their live events may be what is too much: those of a step go into the log with it or not at all.
    for (const { id } of eachTask(stored.position.tasks))
      if (!this.#inFlight.has(id)) this.#writer.stream.forget(id);
    const largest = largestOf(taken.filter(({ task }) => blamed.includes(task.id)));
    for (const outcome of taken) this.#take(outcome === largest ? refused(outcome, refusal) : outcome);
    for (const id of largest === undefined ? blamed : []) this.#giveUp(id, refusal);
  }

  /** Gives up a task that this process has not run. */
  #giveUp(taskId: string, refusal: HoldpointError): void {
    const at = this.#at;
    const place = placeOf(at.def, at.snapshot, taskId);
    if (place === null) return;
    const { scope, task } = place;
    const isNode = scope.def.nodes.get(task.node)?.kind === "function";
    if (this.#crashed && isNode && task.stage === "cleared") this.#loseToCrash(task);
    at.fail(task, refusal.code, refusalText(task, refusal), refusal);
  }

  /** Storage knows all that is known here: so it does from the first write on, or from the start after no crash. */
  get #isStored(): boolean {
    return this.#writer.hasCommitted || this.#job.crashedAt === null;
  }

  async #run(place: Place): Promise<TaskOutcome> {
    const { records, checkpointer } = this.#deps;
    const { ref, epoch } = this.#job;
    const { scope, task } = place;
    const { step, position } = this.#at.snapshot;
    const known = storedOutcome(records, task);
    if (known !== undefined) return known;
    const toRun = { scope, task, step, mayRepeat: mayRepeat(place, position.holds) };
    const outcome = await runTask(toRun, this.#taskDeps);
    // Of a step of one task the one write is enough; where others are in flight a crash must not repeat this one.
    const alone = place.scope.tasks.length === 1 && (outcome.kind === "done" || this.#inFlight.size === 1);
    if (alone || this.#control.lost) return outcome;
    try {
      if (!(await storeOutcome({ checkpointer, ref, epoch }, task, outcome))) this.#control.lose();
      return outcome;
    } catch (error) {
      const refusal = refusalIn(error);
      if (refusal === null) throw error;
      return refused(outcome, refusal);
    }
  }

  #take(outcome: TaskOutcome): void {
    const { task } = outcome;
    // Live events of an attempt that is not committed are void.
    if (outcome.kind !== "done") this.#writer.stream.forget(task.id);
    if (outcome.kind === "abandoned") this.#control.abandoned.push(task.path);
    this.#writer.taken = grown(this.#writer.taken, outcome);
    this.#at.take(outcome, () => this.#knownOf(task));
  }

  /** What a person is shown of an attempt whose outcome nobody knows. */
  #knownOf({ id }: Task): Omit<Lost, "cause"> {
    return { beganAt: this.#writer.committedAt, once: this.#deps.once.keys(id) };
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
      const decision = this.#way.denial ?? this.#job.run.decision;
      const ending = { status: final, open, error: fault ?? null, decision };
      const outcome = await outcomeOf(this.#deps.def, this.#at.snapshot, ending, this.#control.cut);
      // One that came meanwhile: the write would say that it has seen it.
      if (this.#isStopped() && final !== "stopped") continue;
      const ended = await this.#writer.end(this.#at.snapshot, outcome, open);
      if (ended === "lost") return null;
      if (ended !== "stopping") return ended;
    }
  }
}
