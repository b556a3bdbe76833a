/** Writes what a run has done: each write fenced by its epoch, numbered by its stream, and refused by a stop it has not seen. */
import type { SinceValues, Write, Written } from "../checkpoint/checkpointer.js";
import { isAway, refusalIn, type HoldpointError } from "../errors.js";
import {
  nextNodes,
  type Interrupt,
  type Message,
  type Opening,
  type Outcome,
  type RunResult,
  type Snapshot,
} from "../engine/index.js";
import type { JsonObject } from "../lib/json.js";
import type { Mutable } from "../lib/mutable.js";
import { makeResult } from "./hydrate.js";
import { isoNow, newId } from "./ids.js";
import { patiently } from "./patiently.js";
import { seenStop, type RunControl } from "./run-control.js";
import { RunDraft } from "./run-draft.js";
import type { ExecuteDeps, RunJob } from "./run-job.js";
import { BLOCK, RunStream, type Batch } from "./run-stream.js";
import type { TaskOutcome } from "./task-outcome.js";
import { terminalEvent } from "./terminal-event.js";
import { extended } from "../lib/extended.js";

const NONE: readonly never[] = Object.freeze([]);

/** The end of a run: what it came to, what it asks, and its result once the terminal event has its seq. */
interface Ending {
  readonly outcome: Outcome;
  readonly rows: readonly Interrupt[];
  readonly result: (seq: number) => RunResult;
}

/** A write that the database will never take. Nothing of it is stored, and nothing of it is kept here. */
export class RefusedWrite extends Error {
  constructor(
    readonly refusal: HoldpointError,
    /** Whose output and questions it was to store. */
    readonly taskIds: readonly string[],
    /** Where the thread stood at the last write. */
    readonly stored: Snapshot,
  ) {
    super(refusal.message, { cause: refusal });
  }
}

export class RunWriter {
  readonly draft = new RunDraft();
  readonly stream: RunStream;
  /** What tasks came to since the last commit. */
  taken: TaskOutcome[] = [];
  readonly #job: RunJob;
  readonly #control: RunControl;
  readonly #deps: ExecuteDeps;
  readonly #messages: Message[];
  #since: SinceValues;
  /** Where the thread stood at the last write. */
  #stored: Snapshot;
  #committedAt: string;
  #hasCommitted = false;

  constructor(job: RunJob, control: RunControl, deps: ExecuteDeps) {
    this.#job = job;
    this.#control = control;
    this.#deps = deps;
    this.#messages = [...job.messages];
    this.#since = job.loaded.sinceValues;
    this.#stored = job.loaded.snapshot;
    this.#committedAt = job.crashedAt ?? isoNow();
    this.stream = new RunStream({
      key: control.key,
      graph: deps.def,
      threadId: job.ref.threadId,
      runId: job.run.runId,
      seq: job.loaded.seq,
      limit: job.loaded.limit,
      live: deps.live,
      relay: deps.relay?.of(job.ref),
      reserve: (limit) => deps.checkpointer.reserve(job.ref, job.epoch, limit),
    });
  }

  /** When the attempt that is under way began at the latest: at the last commit. */
  get committedAt(): string {
    return this.#committedAt;
  }

  /** This process has written of the run: storage knows all that it knew then. */
  get hasCommitted(): boolean {
    return this.#hasCommitted;
  }

  /** Commits what was collected; more is to come. Throws RefusedWrite. */
  commit(snapshot: Snapshot): Promise<"committed" | "lost" | "stopping"> {
    const next = nextNodes(snapshot);
    return this.#write(snapshot, {
      status: "running",
      currentNode: next[0] ?? null,
      nextNodes: next,
      interruptReason: null,
    });
  }

  /** Ends the run, opening what it asks; the result, or why it was not written. Throws RefusedWrite. */
  async end(
    snapshot: Snapshot,
    outcome: Outcome,
    openings: readonly Opening[],
  ): Promise<RunResult | "lost" | "stopping"> {
    // What tasks have kept and ask is part of the history: it can be forked from here.
    if (snapshot.position !== this.#stored.position) this.draft.move();
    const rows = openings.map((opening) => this.#openInterrupt(opening));
    const result = (seq: number): RunResult =>
      makeResult(this.#job.ref, this.#job.run, outcome, {
        messages: this.#runMessages(),
        values: snapshot.values,
        interrupts: rows.map((row) => ({ ...row, seq })),
        seq,
      });
    const { status, currentNode, nextNodes: next, interruptReason } = outcome;
    const head = { status, currentNode, nextNodes: next, interruptReason };
    const written = await this.#write(snapshot, head, { outcome, rows, result });
    return written === "committed" ? result(this.stream.base) : written;
  }

  /** One fenced write of this run. */
  async #write(
    snapshot: Snapshot,
    head: Omit<Write["head"], "graph" | "step">,
    end?: Ending,
  ): Promise<"committed" | "lost" | "stopping"> {
    try {
      const { write, batch } = this.#prepare(snapshot, head, end);
      const { beforeCommit } = this.#deps.options.hooks;
      if (beforeCommit !== undefined) await beforeCommit(write);
      const outcome = this.#after(write, batch, await this.#persist(write));
      if (outcome === "committed") this.#stored = snapshot;
      return outcome;
    } catch (error) {
      if (isAway(error) && this.#control.lost) return this.#lost();
      const refusal = refusalIn(error);
      if (refusal === null) throw error;
      const asking = (end?.rows ?? []).map(({ taskId }) => taskId);
      const taskIds = [...this.draft.tasks.map(({ id }) => id), ...asking];
      this.draft.clear();
      this.stream.refused();
      throw new RefusedWrite(refusal, taskIds, this.#stored);
    }
  }

  #prepare(
    snapshot: Snapshot,
    head: Omit<Write["head"], "graph" | "step">,
    end?: Ending,
  ): { readonly write: Write; readonly batch: Batch } {
    const { ref, run, epoch } = this.#job;
    const { step, position } = snapshot;
    const { status, currentNode, nextNodes: next, interruptReason } = head;
    const checkpoint = this.draft.checkpoint(snapshot.values, this.#since);
    const drafts = this.draft.events({ step, checkpointId: checkpoint?.id ?? "", nextNodes: next });
    const batch = this.stream.prepare(
      end === undefined ? drafts : [...drafts, (seq: number) => terminalEvent(end.result(seq))],
    );
    const { seq } = batch;
    const write: Mutable<Write> = {
      ref,
      guard: {
        by: "run",
        from: this.stream.base,
        epoch,
        runId: run.runId,
        seesStop: seenStop(this.#control.stop),
      },
      at: isoNow(),
      seq,
      limit: end === undefined ? seq + BLOCK : seq,
      runId: run.runId,
      head: { status, currentNode, nextNodes: next, interruptReason, graph: run.graph, step },
      position,
      events: batch.stored,
      messages: this.draft.messages,
      open: end === undefined ? NONE : end.rows.map((row) => ({ ...row, seq })),
      decide: NONE,
      retext: NONE,
    };
    if (checkpoint !== undefined) write.checkpoint = checkpoint;
    if (end !== undefined) write.end = end.outcome;
    return { write, batch };
  }

  /** What a write means for what comes next. */
  #after(write: Write, batch: Batch, written: Written): "committed" | "lost" | "stopping" {
    if (written.outcome === "stopping") {
      this.stream.refused();
      this.#control.requestStop(written.stop);
      return "stopping";
    }
    if (written.outcome !== "committed") return this.#lost();
    for (const { message } of this.draft.messages) this.#messages.push(message);
    if (write.checkpoint !== undefined) this.#since = write.checkpoint.sinceValues;
    this.#committedAt = write.at;
    this.#hasCommitted = true;
    this.draft.clear();
    this.taken = [];
    this.stream.committed(batch, write.limit);
    if (written.queued) this.#deps.workWaits();
    return "committed";
  }

  #lost(): "lost" {
    const { ref, run, epoch } = this.#job;
    this.#deps.log.warn(
      { thread_id: ref.threadId, run_id: run.runId, epoch },
      "the run's lease is lost: another process goes on with it",
    );
    this.#control.lose();
    return "lost";
  }

  /** The database may go away and come back: what was done is not lost for it (a write sent twice is committed once). */
  #persist(write: Write): Promise<Written> {
    const { checkpointer, log } = this.#deps;
    return patiently(() => checkpointer.write(write), {
      signal: this.#control.gone,
      onAway: (error, retryMs) =>
        log.warn({ err: error, retry_ms: retryMs }, "a commit did not reach the database; it is sent again"),
    });
  }

  #openInterrupt({ task, ask }: Opening): Interrupt {
    const { ref, run } = this.#job;
    const createdAt = isoNow();
    const { expiresIn } = ask;
    const data =
      ask.kind === "crash"
        ? extended(ask.data as JsonObject, { once: this.#deps.once.keys(task.id) })
        : ask.data;
    return {
      id: newId(),
      taskId: task.id,
      threadId: ref.threadId,
      runId: run.runId,
      graph: run.graph,
      node: task.node,
      path: task.path,
      status: "open",
      seq: 0,
      createdAt,
      expiresAt: expiresIn === undefined ? null : new Date(Date.parse(createdAt) + expiresIn).toISOString(),
      decidedAt: null,
      decision: null,
      resumedBy: null,
      ...ask,
      data,
    };
  }

  /** A replaced message counts once, as it is now. */
  #runMessages(): Message[] {
    const all = [...this.#messages, ...this.draft.messages.map(({ message }) => message)];
    return [...new Map(all.map((message) => [message.id, message])).values()];
  }
}
