/**
 * The one loop that awaits: plan, run, route, commit, until the run pauses, stops, fails or ends. What it keeps:
 *
 * E1. Nothing of a step is visible before the one write that commits it; a node is never run again for a write.
 * E2. Before a node begins, the way to it is committed: a takeover knows what may have been in flight.
 * E3. Every write may be refused by a stop that was accepted before it; the run then ends `stopped`, with what is done kept.
 * E4. A write that is fenced ends everything here: another process has the run.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { ErrorCode } from "../errors.js";
import {
  applyOutput,
  denyTask,
  keepTask,
  loseAttempt,
  mayRepeat,
  needVerdicts,
  plan,
  START,
  takeRoutes,
  UpdateFault,
  type Ask,
  type FinalStatus,
  type Interrupt,
  type LostAttempt,
  type Opening,
  type Outcome,
  type Plan,
  type RunFault,
  type RunResult,
  type Snapshot,
  type Task,
} from "../engine/index.js";
import { errorText, isInstance } from "../lib/show.js";
import { judgeHold } from "./judge-hold.js";
import { nextNodesOf } from "./next-nodes.js";
import { CUT, orCut } from "./or-cut.js";
import { EdgeFault, successors } from "./successors.js";
import type { RunControl } from "./run-control.js";
import type { ExecuteDeps, RunJob } from "./run-job.js";
import { runTask, type TaskOutcome } from "./run-task.js";
import { RunWriter } from "./run-writer.js";

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

class Execution {
  readonly #job: RunJob;
  readonly #control: RunControl;
  readonly #deps: ExecuteDeps;
  readonly #writer: RunWriter;
  readonly #rows: readonly Interrupt[];
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
      const stop = this.#control.stop;
      const next = await this.#plan();
      if (next === null) continue;
      if ("fault" in next) return this.#finish("error", { fault: next.fault });
      // E2: a takeover must not ask `when` again of a node that has begun.
      const passed = this.#snapshot.position.tasks.some(
        (task) => task.stage === "due" && task.judged === undefined && this.#deps.def.before.has(task.node),
      );
      if (next.snapshot.step > this.#snapshot.step) this.#writer.draft.move(true);
      this.#snapshot = next.snapshot;
      if (passed && next.kind === "execute") this.#writer.draft.move();
      if (next.kind === "execute" && crashed && !this.#writer.draft.dirty) {
        crashed = false;
        this.#loseAll(next.tasks, "crash");
        if (this.#job.run.lostCount >= CRASH_LOOP)
          return this.#finish("error", { fault: this.#crashLoop(next.tasks) });
        if (this.#control.stop === null) continue;
      }
      if (stop !== null || this.#control.stop !== null) return this.#finish("stopped", {});
      switch (next.kind) {
        case "again":
          break;
        case "pause":
          return this.#finish(next.status, { open: next.open });
        case "end":
          return this.#finish("completed", {});
        case "route": {
          const fault = await this.#route(next.tasks);
          if (fault !== null) return this.#finish("error", { fault });
          break;
        }
        case "execute": {
          const ended = await this.#step(next.tasks);
          if (ended !== undefined) return ended;
          break;
        }
      }
    }
    return null;
  }

  /** What is next; null where a stop cut the asking short. */
  async #plan(): Promise<Plan | { fault: RunFault } | null> {
    const verdicts = new Map<string, Ask | null>();
    for (const task of needVerdicts(this.#snapshot, this.#rows)) {
      try {
        const asked = await orCut(this.#control.cut, judgeHold(this.#deps.def, this.#snapshot, task));
        // A stop: whether it holds will be asked when somebody resumes.
        if (asked === CUT) return this.#control.lost ? null : { kind: "again", snapshot: this.#snapshot };
        verdicts.set(task.id, asked);
      } catch (error) {
        this.#control.cause = error;
        return {
          fault: this.#fault("node_failed", `the hold point at ${task.node}: ${errorText(error)}`, task),
        };
      }
    }
    return plan(this.#snapshot, this.#rows, verdicts);
  }

  async #route(tasks: readonly Task[]): Promise<RunFault | null> {
    const routes = new Map<string, readonly string[]>();
    for (const task of tasks) {
      try {
        const to = await orCut(this.#control.cut, successors(this.#deps.def, this.#snapshot, task));
        if (to === CUT) return null;
        routes.set(task.id, to);
      } catch (error) {
        this.#control.cause = isInstance(error, EdgeFault) ? (error.cause ?? error) : error;
        return this.#fault("edge_failed", errorText(error), task);
      }
      this.#denial ??= task.denied ?? null;
    }
    const before = this.#snapshot.step;
    this.#snapshot = takeRoutes(this.#snapshot, routes, this.#job.run.runId);
    this.#writer.draft.move(this.#snapshot.step > before);
    return null;
  }

  /** Runs the tasks that are due. Returns what the run came to, or undefined to go on. */
  async #step(tasks: readonly Task[]): Promise<RunResult | null | undefined> {
    if (this.#snapshot.step - this.#job.run.firstStep >= this.#job.run.recursionLimit) {
      const limit = this.#job.run.recursionLimit;
      return this.#finish("error", {
        fault: this.#fault(
          "recursion_limit",
          `the run took ${limit} steps, its limit; resume to go on`,
          tasks[0],
        ),
      });
    }
    if (this.#writer.draft.dirty) {
      const written = await this.#writer.commit(this.#snapshot);
      if (written === "lost") return null;
      if (written !== "committed") return this.#finish("stopped", {});
      if (
        this.#deps.draining() &&
        (await this.#deps.checkpointer.release(this.#job.ref, this.#job.epoch, { inFlight: false }))
      ) {
        this.#control.lose();
        return null;
      }
    }
    const outcomes = await Promise.all(tasks.map((task) => runTask(task, this.#taskDeps())));
    if (this.#control.lost) return null;
    return this.#settle(outcomes);
  }

  async #settle(outcomes: readonly TaskOutcome[]): Promise<RunResult | null | undefined> {
    const faults = outcomes.flatMap((outcome) => this.#take(outcome) ?? []);
    if (outcomes.some(({ kind }) => kind === "abandoned")) return this.#finish("stopped", {});
    const [fault] = faults;
    return fault === undefined ? undefined : this.#finish("error", { fault });
  }

  /** Takes what a task came to into the snapshot; why the run fails by it, or null. */
  #take(given: TaskOutcome): RunFault | null {
    const { task, attempts } = given;
    const outcome = given.kind === "done" ? this.#apply(given) : given;
    if (outcome === null) return null;
    // Live events of an attempt that is not committed are void.
    this.#writer.stream.forget(task.id);
    switch (outcome.kind) {
      case "asked":
        this.#keep(outcome, outcome.asks);
        return null;
      case "denied":
        this.#snapshot = denyTask(this.#snapshot, task, outcome.answer, attempts);
        this.#writer.draft.move();
        return null;
      case "failed":
        this.#control.cause = outcome.cause;
        this.#keep(outcome);
        return this.#fault(outcome.code, outcome.message, task, attempts);
      case "abandoned":
        this.#keep(outcome);
        this.#lose(task.id, "stop");
        this.#control.abandoned.push(task.path);
        return null;
      case "timeout": {
        this.#keep(outcome);
        this.#lose(task.id, "timeout");
        const asksFirst = outcome.retries && !mayRepeat(this.#deps.def, this.#snapshot, task);
        return asksFirst ? null : this.#fault("node_timeout", outcome.message, task, attempts);
      }
    }
  }

  /** Applies a node's output; where the state does not take it, the task has failed after all. */
  #apply(outcome: TaskOutcome & { kind: "done" }): (TaskOutcome & { kind: "failed" }) | null {
    const { task, attempts, streamed, output, asks } = outcome;
    try {
      const change = applyOutput(this.#deps.def, this.#snapshot, task, output, asks, attempts);
      this.#snapshot = change.snapshot;
      this.#writer.draft.step(change, task);
      return null;
    } catch (error) {
      if (!isInstance(error, UpdateFault)) throw error;
      const message = `${task.node}: ${error.message}`;
      const cause = error.cause ?? error;
      return { task, attempts, streamed, kind: "failed", code: "invalid_update", message, cause };
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
      const outcome = await this.#outcome(final, open, fault ?? null);
      const ended = await this.#writer.end(this.#snapshot, outcome, open);
      if (ended === "lost") return null;
      if (ended !== "stopping") return ended;
    }
  }

  async #outcome(status: FinalStatus, open: readonly Opening[], error: RunFault | null): Promise<Outcome> {
    // An edge that failed is not asked twice.
    const knows = status !== "completed" && error?.code !== "edge_failed";
    const next = knows ? await nextNodesOf(this.#deps.def, this.#snapshot, this.#control.cut) : [];
    const current = open[0]?.task.node ?? error?.node ?? this.#snapshot.position.tasks[0]?.node ?? null;
    return {
      status,
      interrupted: open.length > 0,
      interruptReason: open[0]?.ask.reason ?? null,
      decision: this.#decision(),
      currentNode: status === "completed" || current === START ? null : current,
      nextNodes: next,
      step: this.#snapshot.step,
      error,
    };
  }

  /** Of an answer that began this run and a denial inside it, the denial; it is one of the answers. */
  #decision(): Outcome["decision"] {
    return this.#denial ?? this.#job.run.decision;
  }

  #keep({ task, attempts, streamed }: AttemptsOf, asks?: readonly Ask[]): void {
    this.#snapshot = keepTask(this.#snapshot, task, {
      attempts,
      streamed,
      ...(asks === undefined ? {} : { asks }),
    });
  }

  #loseAll(tasks: readonly Task[], cause: LostAttempt["cause"]): void {
    for (const task of tasks) {
      this.#keep({ task, attempts: task.attempts + 1, streamed: true });
      this.#lose(task.id, cause);
    }
  }

  #lose(taskId: string, cause: LostAttempt["cause"]): void {
    const task = this.#snapshot.position.tasks.find(({ id }) => id === taskId);
    if (task === undefined) return;
    const lost = {
      attempt: task.attempts,
      beganAt: this.#writer.committedAt,
      cause,
      once: this.#deps.once.keys(taskId),
    };
    this.#snapshot = loseAttempt(this.#deps.def, this.#snapshot, task, lost);
  }

  #taskDeps(): Parameters<typeof runTask>[1] {
    const { def, once, log, options } = this.#deps;
    const { ref, run } = this.#job;
    const snapshot = this.#snapshot;
    return {
      def,
      snapshot,
      rows: this.#rows,
      threadId: ref.threadId,
      runId: run.runId,
      control: this.#control,
      stream: this.#writer.stream,
      once,
      log,
      graceMs: options.graceMs,
      mayRepeat: (task) => mayRepeat(def, snapshot, task),
    };
  }

  #fault(code: ErrorCode, message: string, task: Task | undefined, attempt?: number): RunFault {
    const node = task === undefined || task.node === START ? null : task.node;
    return {
      code,
      message,
      node,
      path: node === null ? [] : (task?.path ?? []),
      step: this.#snapshot.step,
      attempt: attempt ?? task?.attempts ?? 0,
    };
  }

  #crashLoop(tasks: readonly Task[]): RunFault {
    const count = this.#job.run.lostCount;
    return this.#fault(
      "crash_loop",
      `the run lost ${count} processes at ${tasks.map(({ node }) => node).join(", ")}; resume to try once more`,
      tasks[0],
    );
  }
}
