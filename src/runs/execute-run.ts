/**
 * The one loop that awaits: plan, run, route, commit, until the run pauses, stops, fails or ends. What it keeps:
 *
 * E1. Nothing of a step is visible before the one write that commits it; a node is never run again for a write.
 * E2. Before a node begins, the way to it is committed: a takeover knows what may have been in flight.
 * E3. Every write may be refused by a stop that was accepted before it; the run then ends `stopped`, with what is done kept.
 * E4. A write that is fenced ends everything here: another process has the run.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type {
  Checkpointer,
  Loaded,
  RunRecord,
  SinceValues,
  ThreadRef,
  Write,
  Written,
} from "../checkpoint/checkpointer.js";
import { HoldpointError, type ErrorCode } from "../errors.js";
import {
  applyOutput,
  denyTask,
  draft,
  END,
  keepTask,
  loseAttempt,
  mayRepeat,
  needVerdicts,
  nextNodes,
  plan,
  START,
  takeRoutes,
  UpdateFault,
  type Ask,
  type Draft,
  type FinalStatus,
  type GraphDefinition,
  type Interrupt,
  type Logger,
  type LostAttempt,
  type Message,
  type Opening,
  type Outcome,
  type Plan,
  type RunFault,
  type RunResult,
  type Snapshot,
  type Task,
} from "../engine/index.js";
import type { Live } from "../events/index.js";
import { makeResult } from "./hydrate.js";
import { judgeHold } from "./hold-points.js";
import { isoNow, newId } from "./ids.js";
import type { OnceStore } from "./once-store.js";
import type { RuntimeOptions } from "./options.js";
import { seenStop, type RunControl } from "./run-control.js";
import { RunDraft } from "./run-draft.js";
import { BLOCK, RunStream } from "./run-stream.js";
import { errorText, runTask, type TaskOutcome } from "./run-task.js";
import { EdgeFault, successors } from "./routes.js";

/** A claimed run and all that is needed to go on with it. */
export interface RunJob {
  readonly ref: ThreadRef;
  readonly run: RunRecord;
  readonly epoch: number;
  readonly loaded: Pick<Loaded, "snapshot" | "interrupts" | "sinceValues"> & {
    readonly seq: number;
    readonly limit: number;
  };
  /** What the run has added so far. */
  readonly messages: readonly Message[];
  /** Its former process died, maybe inside a node. */
  readonly crashedAt: string | null;
}

export interface ExecuteDeps {
  readonly def: GraphDefinition;
  readonly checkpointer: Checkpointer;
  readonly live: Live;
  readonly once: OnceStore;
  readonly log: Logger;
  readonly options: RuntimeOptions;
  /** Asked between steps: whether this process is shutting down. */
  readonly draining: () => boolean;
}

const context = new AsyncLocalStorage<{ threadId: string; runId: string }>();
/** The run whose code is running, for logging what it let fall. */
export const currentRun = (): { threadId: string; runId: string } | undefined => context.getStore();

/** Lost processes at one step after which a run gives up. */
const CRASH_LOOP = 3;

/** The run's result; null when another process goes on with it. */
export function executeRun(job: RunJob, control: RunControl, deps: ExecuteDeps): Promise<RunResult | null> {
  const about = { threadId: job.ref.threadId, runId: job.run.runId };
  return context.run(about, () => new Execution(job, control, deps).run());
}

class Execution {
  readonly #job: RunJob;
  readonly #control: RunControl;
  readonly #deps: ExecuteDeps;
  readonly #stream: RunStream;
  readonly #draft = new RunDraft();
  readonly #rows: readonly Interrupt[];
  readonly #messages: Message[];
  #snapshot: Snapshot;
  #since: SinceValues;
  /** The first denial given inside this run. */
  #denial: Outcome["decision"] = null;
  /** When the attempt that is under way began at the latest: the last commit. */
  #beganAt: string;

  constructor(job: RunJob, control: RunControl, deps: ExecuteDeps) {
    this.#job = job;
    this.#control = control;
    this.#deps = deps;
    this.#snapshot = job.loaded.snapshot;
    this.#since = job.loaded.sinceValues;
    this.#rows = job.loaded.interrupts;
    this.#messages = [...job.messages];
    this.#beganAt = job.crashedAt ?? isoNow();
    const { checkpointer, live } = deps;
    this.#stream = new RunStream({
      key: control.key,
      graph: deps.def,
      threadId: job.ref.threadId,
      runId: job.run.runId,
      seq: job.loaded.seq,
      limit: job.loaded.limit,
      live,
      reserve: (limit) => checkpointer.reserve(job.ref, job.epoch, limit),
    });
  }

  async run(): Promise<RunResult | null> {
    let crashed = this.#job.crashedAt !== null;
    while (!this.#control.lost) {
      const stop = this.#control.stop;
      const next = await this.#plan();
      if (next === null) continue;
      if ("fault" in next) return this.#finish("error", { fault: next.fault });
      this.#snapshot = next.snapshot;
      if (next.kind === "execute" && crashed && !this.#draft.dirty) {
        crashed = false;
        if (this.#job.run.lostCount >= CRASH_LOOP)
          return this.#finish("error", { fault: this.#crashLoop(next.tasks) });
        this.#loseAll(next.tasks, "crash");
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
        const asked = await this.#orCut(judgeHold(this.#deps.def, this.#snapshot, task));
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
        const to = await this.#orCut(successors(this.#deps.def, this.#snapshot, task));
        if (to === CUT) return null;
        routes.set(task.id, to);
      } catch (error) {
        this.#control.cause = error instanceof EdgeFault ? (error.cause ?? error) : error;
        return this.#fault("edge_failed", errorText(error), task);
      }
      this.#denial ??= task.denied ?? null;
    }
    const before = this.#snapshot.step;
    this.#snapshot = takeRoutes(this.#snapshot, routes, this.#job.run.runId);
    this.#draft.move(this.#snapshot.step > before);
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
    if (this.#draft.dirty) {
      const written = await this.#commit();
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
    let fault: RunFault | null = null;
    let abandoned = false;
    for (const outcome of outcomes) {
      if (outcome.kind === "done") {
        try {
          const change = applyOutput(
            this.#deps.def,
            this.#snapshot,
            outcome.task,
            outcome.output,
            outcome.asks,
            outcome.attempts,
          );
          this.#snapshot = change.snapshot;
          this.#draft.step(change, outcome.task);
          continue;
        } catch (error) {
          if (!(error instanceof UpdateFault)) throw error;
          this.#control.cause = error.cause ?? error;
          fault ??= this.#fault(
            "invalid_update",
            `${outcome.task.node}: ${error.message}`,
            outcome.task,
            outcome.attempts,
          );
          this.#keep(outcome.task, outcome.attempts, false);
          continue;
        }
      }
      this.#stream.forget(outcome.task.id);
      if (outcome.kind === "asked")
        this.#keep(outcome.task, outcome.attempts, outcome.streamed, outcome.asks);
      else if (outcome.kind === "denied") {
        this.#snapshot = denyTask(this.#snapshot, outcome.task, outcome.answer, outcome.attempts);
        this.#draft.move();
      } else if (outcome.kind === "failed") {
        this.#control.cause = outcome.cause;
        fault ??= this.#fault(outcome.code, outcome.message, outcome.task, outcome.attempts);
        this.#keep(outcome.task, outcome.attempts, outcome.streamed);
      } else {
        this.#keep(outcome.task, outcome.attempts, outcome.streamed);
        this.#lose(outcome.task.id, outcome.kind === "timeout" ? "timeout" : "stop");
        if (outcome.kind === "abandoned") {
          abandoned = true;
          this.#control.abandoned.push(outcome.task.path);
        } else if (!outcome.retries || mayRepeat(this.#deps.def, this.#snapshot, outcome.task)) {
          fault ??= this.#fault("node_timeout", outcome.message, outcome.task, outcome.attempts);
        }
      }
    }
    if (abandoned) return this.#finish("stopped", {});
    return fault === null ? undefined : this.#finish("error", { fault });
  }

  /** Commits what was collected; more is to come. */
  async #commit(): Promise<"committed" | "lost" | "stopping"> {
    const checkpoint = this.#draft.checkpoint(this.#snapshot.values, this.#since);
    const next = nextNodes(this.#snapshot);
    const events = this.#draft.events({
      step: this.#snapshot.step,
      checkpointId: checkpoint?.id ?? "",
      nextNodes: next,
    });
    const head = {
      status: "running" as const,
      currentNode: next[0] ?? null,
      nextNodes: next,
      interruptReason: null,
    };
    return this.#write(events, { head, checkpoint, open: [] });
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
      const checkpoint = this.#draft.checkpoint(this.#snapshot.values, this.#since);
      const rows = open.map((opening) => this.#openInterrupt(opening));
      const outcome = await this.#outcome(final, open, fault ?? null);
      const result = (seq: number): RunResult =>
        makeResult(this.#job.ref, this.#job.run, outcome, {
          messages: this.#runMessages(),
          values: this.#snapshot.values,
          interrupts: rows.map((row) => ({ ...row, seq })),
          seq,
        });
      const events = this.#draft.events({
        step: this.#snapshot.step,
        checkpointId: checkpoint?.id ?? "",
        nextNodes: outcome.nextNodes,
      });
      const head = {
        status: final,
        currentNode: outcome.currentNode,
        nextNodes: outcome.nextNodes,
        interruptReason: outcome.interruptReason,
      };
      const written = await this.#write(events, { head, checkpoint, open: rows, end: outcome }, result);
      if (written === "lost") return null;
      if (written === "committed") return result(this.#stream.base);
    }
  }

  /** One fenced write of this run. `result` makes the terminal event's, once its seq is known. */
  async #write(
    events: readonly Draft[],
    of: {
      head: Omit<Write["head"], "graph" | "step">;
      checkpoint: Write["checkpoint"] | undefined;
      open: readonly Interrupt[];
      end?: Outcome;
    },
    result?: (seq: number) => RunResult,
  ): Promise<"committed" | "lost" | "stopping"> {
    const { options } = this.#deps;
    const { ref, run, epoch } = this.#job;
    const terminal =
      of.end === undefined || result === undefined ? [] : [(seq: number) => terminalEvent(result(seq))];
    const batch = this.#stream.prepare([...events, ...terminal]);
    const limit = of.end === undefined ? batch.seq + BLOCK : batch.seq;
    const open = of.open.map((interrupt) => ({ ...interrupt, seq: batch.seq }));
    const write: Write = {
      ref,
      guard: {
        by: "run",
        from: this.#stream.base,
        epoch,
        runId: run.runId,
        seesStop: seenStop(this.#control.stop),
      },
      at: isoNow(),
      seq: batch.seq,
      limit,
      runId: run.runId,
      head: { ...of.head, graph: run.graph, step: this.#snapshot.step },
      position: this.#snapshot.position,
      ...(of.checkpoint === undefined ? {} : { checkpoint: of.checkpoint }),
      ...(of.end === undefined ? {} : { end: of.end }),
      events: batch.stored,
      messages: this.#draft.messages,
      open,
      decide: [],
      retext: [],
    };
    await options.hooks.beforeCommit?.(write);
    const written = await this.#persist(write);
    if (written.outcome === "stopping") {
      this.#stream.refused();
      this.#control.requestStop(written.stop);
      return "stopping";
    }
    if (written.outcome !== "committed") {
      this.#deps.log.warn(
        { thread_id: ref.threadId, run_id: run.runId, epoch },
        "the run's lease is lost: another process goes on with it",
      );
      this.#control.lose();
      return "lost";
    }
    this.#messages.push(...this.#draft.messages.map(({ message }) => message));
    if (of.checkpoint !== undefined) this.#since = of.checkpoint.sinceValues;
    this.#beganAt = write.at;
    this.#draft.clear();
    this.#stream.committed(batch, limit);
    return "committed";
  }

  /** The database may go away and come back: what was done is not lost for it (a write sent twice is committed once). */
  async #persist(write: Write): Promise<Written> {
    for (let waitMs = 100; ; waitMs = Math.min(waitMs * 2, 5000)) {
      try {
        return await this.#deps.checkpointer.write(write);
      } catch (error) {
        if (!(error instanceof HoldpointError) || error.code !== "database_unavailable" || this.#control.lost)
          throw error;
        this.#deps.log.warn(
          { err: error, retry_ms: waitMs },
          "a commit did not reach the database; it is sent again",
        );
        await sleep(waitMs);
      }
    }
  }

  async #outcome(status: FinalStatus, open: readonly Opening[], error: RunFault | null): Promise<Outcome> {
    const next = status === "completed" ? [] : await this.#nextNodes();
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

  /** What comes next, for people: of a node whose output is there, what its edges give now. */
  async #nextNodes(): Promise<string[]> {
    const names: string[] = [];
    for (const task of this.#snapshot.position.tasks) {
      if (task.closed === undefined && task.denied === undefined) {
        if (task.node !== START) names.push(task.node);
        continue;
      }
      const to = await this.#orCut(
        successors(this.#deps.def, this.#snapshot, task).catch(() => []),
        NEXT_NODES_MS,
      );
      if (to !== CUT) names.push(...to.filter((name) => name !== END));
    }
    return names;
  }

  #openInterrupt({ task, ask }: Opening): Interrupt {
    const { ref, run } = this.#job;
    return {
      ...ask,
      id: newId(),
      taskId: task.id,
      threadId: ref.threadId,
      runId: run.runId,
      graph: run.graph,
      node: task.node,
      path: task.path,
      status: "open",
      seq: 0,
      createdAt: isoNow(),
      decidedAt: null,
      decision: null,
      resumedBy: null,
    };
  }

  #keep(task: Task, attempts: number, streamed: boolean, asks?: readonly Ask[]): void {
    this.#snapshot = keepTask(this.#snapshot, task, {
      attempts,
      streamed,
      ...(asks === undefined ? {} : { asks }),
    });
  }

  #loseAll(tasks: readonly Task[], cause: LostAttempt["cause"]): void {
    for (const task of tasks) {
      this.#keep(task, task.attempts + 1, true);
      this.#lose(task.id, cause);
    }
  }

  #lose(taskId: string, cause: LostAttempt["cause"]): void {
    const task = this.#snapshot.position.tasks.find(({ id }) => id === taskId);
    if (task === undefined) return;
    const lost = {
      attempt: task.attempts,
      beganAt: this.#beganAt,
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
      stream: this.#stream,
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

  /** A replaced message counts once, as it is now. */
  #runMessages(): Message[] {
    const all = [...this.#messages, ...this.#draft.messages.map(({ message }) => message)];
    return [...new Map(all.map((message) => [message.id, message])).values()];
  }

  /** User code that decides the way has no signal; a stop does not wait for it, or for `graceMs` at the most. */
  async #orCut<T>(work: Promise<T>, graceMs = 0): Promise<T | typeof CUT> {
    const { cut } = this.#control;
    if (cut.aborted) {
      work.catch(() => undefined);
      return Promise.race([work, sleep(graceMs, CUT, { ref: false })]);
    }
    let onCut: (() => void) | undefined;
    const aborted = new Promise<typeof CUT>((resolve) => {
      onCut = () => resolve(CUT);
      cut.addEventListener("abort", onCut);
    });
    try {
      return await Promise.race([work, aborted]);
    } finally {
      if (onCut !== undefined) cut.removeEventListener("abort", onCut);
      work.catch(() => undefined);
    }
  }
}

const CUT: unique symbol = Symbol("cut");
/** How long a run that was stopped waits for its edges to say what would have come next. */
const NEXT_NODES_MS = 50;

const TERMINAL = {
  interrupted_before: "interrupted",
  interrupted_after: "interrupted",
  completed: "end",
  error: "error",
  stopped: "stopped",
} as const satisfies Record<FinalStatus, string>;

function terminalEvent(result: RunResult): Draft {
  const type = TERMINAL[result.status as FinalStatus];
  const first = result.interrupts[0];
  const place = {
    nodeName: result.currentNode,
    path: first?.path ?? result.error?.path ?? [],
    metadata: { status: result.status },
  };
  switch (type) {
    case "interrupted":
      return draft(
        type,
        { result, interrupted: result.status === "interrupted_after" ? "after" : "before" },
        { ...place, content: first?.message ?? "" },
      );
    case "error":
      return draft(type, { result }, { ...place, content: result.error?.message ?? "" });
    case "stopped":
      return draft(type, { result }, { ...place, content: "The run was stopped." });
    case "end":
      return draft(type, { result }, { ...place, content: "The run is complete." });
  }
}
