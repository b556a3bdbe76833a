/** Starts, resumes and stops runs: the one way in, for the library and for HTTP. */
import type {
  Checkpointer,
  Loaded,
  RunRecord,
  StopMode,
  StopRequest,
  ThreadHead,
  ThreadRef,
  Write,
} from "../checkpoint/checkpointer.js";
import { HoldpointError, invalid, notFound } from "../errors.js";
import {
  addMessages,
  begin,
  draft,
  isInterrupted,
  isTerminal,
  mergeFields,
  MOVES,
  nextNodes,
  opsBetween,
  patchValues,
  START,
  unionHolds,
  UpdateFault,
  type Answer,
  type AnswerRequest,
  type Change,
  type Draft,
  type GraphDefinition,
  type Interrupt,
  type RunEvent,
  type RunHolds,
  type RunResult,
  type Values,
} from "../engine/index.js";
import { tail, type Live } from "../events/index.js";
import { allAnswers, bindAnswers, makeAnswer, standings, type Bound, type Standing } from "./answers.js";
import type { GraphRegistry } from "./graph-registry.js";
import { readEvents, resultOf } from "./hydrate.js";
import { isoNow, newId } from "./ids.js";
import type { RuntimeOptions } from "./options.js";
import {
  checkConfig,
  checkInput,
  type InputRequest,
  type CheckedConfig,
  type RunConfig,
} from "./request-input.js";
import type { RunControl } from "./run-control.js";
import { checkpointOf, messageEvent } from "./run-draft.js";
import { BLOCK, placeEvents, toStored } from "./run-stream.js";
import type { RunWorker } from "./run-worker.js";
import { threadKey } from "./thread-key.js";

export interface StartRequest {
  readonly ref: ThreadRef;
  /** By name, or itself: the library runs the very graph that was called. */
  readonly graph?: string | GraphDefinition | undefined;
  readonly input?: InputRequest | undefined;
  readonly config?: RunConfig | undefined;
}

export interface ResumeRequest extends AnswerRequest {
  readonly ref: ThreadRef;
  /** The library's own; over HTTP the thread's. */
  readonly graph?: GraphDefinition | undefined;
  readonly answers?: readonly AnswerRequest[] | undefined;
  readonly config?: RunConfig | undefined;
  /** The library's "go on": merged in as a run's input is, and taken only at one plain pause. */
  readonly goOn?: InputRequest | undefined;
  readonly by: string;
}

/** What a stop did. */
export interface StopReceipt {
  readonly threadId: string;
  readonly runId: string | null;
  readonly ok: true;
  readonly running: boolean;
  readonly status?: "stopped" | "stopping";
  readonly reason?: "not-running";
  readonly node: string | null;
  readonly step: number;
  readonly abandoned: readonly (readonly string[])[];
  readonly cancelledInterrupts: readonly string[];
  readonly dropped: readonly string[];
  readonly seq: number;
}

/** A run that was accepted. */
export interface RunHandle {
  readonly kind: "run";
  readonly threadId: string;
  readonly runId: string;
  /** Its events are those above this, its answers' among them. */
  readonly after: number;
  readonly outcome: () => Promise<RunResult>;
  /** To its terminal event. */
  readonly events: (signal?: AbortSignal) => AsyncGenerator<RunEvent, void, undefined>;
  /** What made it fail, where that was thrown in this process. */
  readonly cause: () => unknown;
}

/** An answer that was taken while others are missing: the thread as it stands. */
export interface Waiting {
  readonly kind: "waiting";
  readonly result: RunResult;
}

export interface RunServiceDeps {
  readonly checkpointer: Checkpointer;
  readonly graphs: GraphRegistry;
  readonly live: Live;
  readonly worker: RunWorker;
  readonly options: RuntimeOptions;
}

/** How often a request tries again when the thread moved under it; each time somebody else got further. */
const TRIES = 200;

export class RunService {
  readonly #deps: RunServiceDeps;

  constructor(deps: RunServiceDeps) {
    this.#deps = deps;
  }

  /** Starts a run at START. Refusals in order: not_found, invalid, graph_mismatch, thread_interrupted, thread_busy. */
  async start(request: StartRequest): Promise<RunHandle> {
    const { ref } = request;
    return this.#untilSettled(async () => {
      this.#refuseWhenDraining();
      const loaded = await this.#deps.checkpointer.load(ref);
      const { head } = loaded;
      const def = this.#deps.graphs.choose(request.graph, head?.graph ?? null);
      const context = loaded.head === null ? [] : loaded.snapshot.messages;
      const input = checkInput(def, context, request.input ?? {}, "input");
      const config = checkConfig(def, request.config ?? {});
      const runId = newId();
      const change = beginChecked(() =>
        begin(
          def,
          loaded.head === null || head?.checkpointId === null ? null : loaded.snapshot,
          input,
          runId,
          config.holds,
        ),
      );
      const missing = def.state.missing(change.snapshot.values);
      if (missing.length > 0)
        throw invalid(missing.map((fault) => ({ ...fault, path: `input.${fault.path}` })));
      if (head !== null) refuseRun(head, def, await this.#openInterrupts(head));

      const started = draft(
        "start",
        {
          input: { ...input.fields, ...(input.messages.length === 0 ? {} : { messages: input.messages }) },
          resumes: false,
        },
        { content: "The run begins." },
      );
      return this.#begin(ref, loaded, {
        def,
        runId,
        change,
        source: "input",
        before: [],
        events: [started, ...input.messages.map((message) => messageEvent(message))],
        decide: [],
        decision: null,
        resumes: false,
        config,
      });
    });
  }

  /** Answers interrupts, or continues a stopped or failed thread. */
  async resume(request: ResumeRequest): Promise<RunHandle | Waiting> {
    const { ref } = request;
    const own = ownAnswer(request);
    if (request.answers !== undefined && own !== null) {
      throw invalid([{ path: "answers", message: "either one decision or a list of answers, not both" }]);
    }
    if (request.answers?.length === 0)
      throw invalid([{ path: "answers", message: "a list of answers has at least one" }]);
    let bound: Bound[] | null = null;
    return this.#untilSettled(async () => {
      this.#refuseWhenDraining();
      const loaded = await this.#deps.checkpointer.load(ref);
      if (loaded.head === null) throw notFound(`there is no thread ${JSON.stringify(ref.threadId)}`);
      const { head } = loaded;
      const named = request.answers ?? (own?.interruptId === undefined ? null : [own]);
      const interrupted = isInterrupted(head.status);
      // Named interrupts answer for themselves, whatever became of the thread since.
      if (bound === null && (interrupted || named !== null)) {
        bound = bindAnswers(
          named ?? [own ?? {}],
          loaded.interrupts.filter(({ status }) => status === "open"),
          request.answers !== undefined,
        );
      }
      if (bound !== null) {
        const standing = await standings(this.#deps.checkpointer, ref, bound, request.by);
        if (standing.every((each) => each.kind === "repeated"))
          return this.#firstOutcome(ref, head, standing);
        if (interrupted) return this.#answer(request, loaded, standing);
      }
      return this.#continue(request, own, loaded);
    });
  }

  /** Ends the current run, or cancels what the thread waits for. */
  async stop(
    ref: ThreadRef,
    of: { mode?: StopMode; reason?: string | undefined; by: string },
  ): Promise<StopReceipt> {
    const { checkpointer, worker, options } = this.#deps;
    const stop: StopRequest = { mode: of.mode ?? "now", reason: of.reason ?? null, by: of.by, at: isoNow() };
    return this.#untilSettled(async () => {
      const requested = await checkpointer.requestStop(ref, stop);
      if (requested.was === "missing") throw notFound(`there is no thread ${JSON.stringify(ref.threadId)}`);
      if (requested.was === "running") {
        const control = worker.registry.find(threadKey(ref), requested.runId);
        control?.requestStop(stop);
        const run = await this.#ended(ref, requested.runId, control, options.stopWaitMs);
        const head = await checkpointer.thread(ref);
        const status = run?.status === "stopped" ? "stopped" : "stopping";
        const abandoned = control?.abandoned ?? [];
        const last = run?.outcome ?? null;
        return {
          ...receipt(ref, head, requested.runId),
          running: true,
          status,
          node: last?.currentNode ?? head?.currentNode ?? null,
          step: last?.step ?? head?.step ?? 0,
          abandoned,
          seq: run?.lastSeq ?? head?.seq ?? 0,
        };
      }
      const loaded = await checkpointer.load(ref);
      if (loaded.head === null) return undefined;
      const { head } = loaded;
      if (head.status === "running" || head.status === "queued") return undefined;
      if (!isInterrupted(head.status))
        return { ...receipt(ref, head, head.runId), running: false, reason: "not-running" };
      return this.#cancel(ref, loaded, stop);
    });
  }

  /** The events of a thread above `after`, to the terminal event of `runId`, or as long as `idle` lets it. */
  events(
    ref: ThreadRef,
    after: number,
    of: { until?: string; idle?: () => Promise<boolean>; signal?: AbortSignal | undefined },
  ): AsyncGenerator<RunEvent, void, undefined> {
    const { checkpointer, live, options, worker } = this.#deps;
    const key = threadKey(ref);
    const all = tail({
      key,
      live,
      after,
      read: (cursor) => readEvents(checkpointer, ref, cursor),
      // What happens here arrives by itself; the look at the log is for what other processes do.
      pollMs: () =>
        worker.registry.all().some((control) => control.key === key) ? options.leaseMs : options.pollMs,
      signal: of.signal ?? new AbortController().signal,
      ...(of.idle === undefined ? {} : { idle: of.idle }),
    });
    return of.until === undefined ? all : untilTerminal(all, of.until);
  }

  /**
   * Where a reader begins: after its cursor, or at the start of the current or last run. `nothing` says that there is
   * nothing newer and nothing runs. Throws `not_found`, `cursor_ahead`.
   */
  async attach(
    ref: ThreadRef,
    cursor: number | null,
  ): Promise<{ head: ThreadHead; after: number; nothing: boolean }> {
    const { checkpointer } = this.#deps;
    const head = await checkpointer.thread(ref);
    if (head === null) throw notFound(`there is no thread ${JSON.stringify(ref.threadId)}`);
    if (cursor !== null && cursor > head.limit) {
      throw new HoldpointError(
        "cursor_ahead",
        `the thread has come to ${head.seq}; the cursor ${cursor} is ahead of it`,
        { seq: head.seq },
      );
    }
    const run = cursor === null && head.runId !== null ? await checkpointer.run(ref, head.runId) : null;
    const after = cursor ?? (run === null ? head.seq : run.firstSeq - 1);
    const quiet = head.status !== "running" && head.status !== "queued";
    const nothing = quiet && (await checkpointer.log(ref, after, 1)).length === 0;
    return { head, after, nothing };
  }

  /** Whether the thread was deleted. */
  async isGone(ref: ThreadRef): Promise<boolean> {
    return (await this.#deps.checkpointer.thread(ref)) === null;
  }

  /** Waits for a run, wherever it executes. */
  async outcome(ref: ThreadRef, runId: string, control?: RunControl): Promise<RunResult> {
    const here = control === undefined ? null : await control.ended.catch(() => null);
    if (here !== null) return here;
    const run = await this.#ended(ref, runId, undefined, Infinity);
    if (run === null) throw notFound("the run is gone: its thread was deleted");
    return resultOf(this.#deps.checkpointer, ref, run);
  }

  async #answer(
    request: ResumeRequest,
    loaded: Loaded,
    standing: readonly Standing[],
  ): Promise<RunHandle | Waiting | undefined> {
    const { ref, by } = request;
    const { head } = loaded;
    const def = this.#graphOf(loaded, request.graph);
    const open = standing.flatMap((each) => (each.kind === "open" ? [each] : []));
    const answers = open.map((each) => makeAnswer(def, loaded.snapshot.messages, each, by));
    const config = checkConfig(def, request.config ?? {});
    const all = allAnswers(loaded, answers);
    const runId = all === null ? null : newId();
    const decided = open.map(({ interrupt }, i): Interrupt => {
      const decision = answers[i] ?? null;
      return {
        ...interrupt,
        status: "resolved",
        decision,
        decidedAt: decision?.at ?? null,
        resumedBy: runId,
      };
    });
    const decisions = decided.map((interrupt) => decisionEvent(interrupt));
    const decide = decided.map(({ id, decision, decidedAt }) => ({
      id,
      status: "resolved" as const,
      answer: decision,
      resumedBy: runId,
      at: decidedAt ?? isoNow(),
    }));

    if (all === null || runId === null) {
      const events = placeEvents(decisions, head.seq, ref.threadId, head.runId);
      const written = await this.#between(loaded, { events, head: headOf(head), decide });
      return written ? this.#waiting(ref, head.runId) : undefined;
    }
    const merged = checkInput(def, loaded.snapshot.messages, request.goOn ?? {}, "input");
    const change = answered(
      def,
      loaded,
      [...all, { messages: merged.messages, state: null }],
      merged.fields,
      config.holds,
    );
    const started = draft(
      "start",
      { input: startInput([...all, { messages: merged.messages, state: merged.fields }]), resumes: true },
      { content: "The run goes on." },
    );
    const patched = patchEvents(change, head.step);
    return this.#begin(
      ref,
      {
        ...loaded,
        interrupts: loaded.interrupts.map((row) => decided.find(({ id }) => id === row.id) ?? row),
      },
      {
        def,
        runId,
        change,
        source: "patch",
        before: decisions,
        events: [started, ...patched],
        decide,
        decision: all.find(({ decision }) => decision === "deny") ?? all.at(-1) ?? null,
        resumes: true,
        config,
      },
    );
  }

  /** A stopped or failed thread goes on where it was; `state` and `messages` are applied first, like a patch. */
  async #continue(
    request: ResumeRequest,
    own: AnswerRequest | null,
    loaded: Loaded,
  ): Promise<RunHandle | undefined> {
    const { ref } = request;
    const { head } = loaded;
    if (MOVES[head.status].resume !== "continue") throw notResumable(head);
    if (own?.decision !== undefined || own?.data !== undefined || own?.reason !== undefined) {
      throw new HoldpointError(
        "not_resumable",
        `no interrupt is open: the thread is ${head.status}; resume it without a decision to go on`,
        { thread_status: head.status },
      );
    }
    const def = this.#graphOf(loaded, request.graph);
    const input = checkInput(
      def,
      loaded.snapshot.messages,
      { messages: own?.messages, fields: own?.state },
      "",
    );
    const config = checkConfig(def, request.config ?? {});
    const answer = { messages: input.messages, state: input.fields };
    const change = answered(def, loaded, [answer], {}, config.holds);
    const started = draft(
      "start",
      { input: startInput([answer]), resumes: true },
      { content: "The run goes on." },
    );
    return this.#begin(ref, loaded, {
      def,
      runId: newId(),
      change,
      source: "patch",
      before: [],
      events: [started, ...patchEvents(change, head.step)],
      decide: [],
      decision: null,
      resumes: true,
      config,
    });
  }

  /** The one write that accepts a run and claims it; undefined when the thread moved meanwhile. */
  async #begin(
    ref: ThreadRef,
    loaded: Loaded | { head: null; seq: number },
    of: Beginning,
  ): Promise<RunHandle | undefined> {
    const { checkpointer, live, worker } = this.#deps;
    const head = loaded.head;
    const from = loaded.head?.seq ?? ("seq" in loaded ? loaded.seq : 0);
    const since = loaded.head === null ? { bytes: 0, size: 0 } : loaded.sinceValues;
    const { change, runId } = of;
    const changed =
      change.ops.length > 0 || change.messages.length > 0 || head?.checkpointId === null || head === null;
    const checkpoint =
      of.source === "input" || changed
        ? checkpointOf(of.source, change.ops, change.snapshot.values, since)
        : undefined;
    const drafts = [
      ...of.before,
      ...of.events.map((event) => (typeof event === "function" ? event(checkpoint?.id ?? "") : event)),
    ];
    const events = placeEvents(drafts, from, ref.threadId, runId);
    const seq = from + events.length;
    const limit = seq + BLOCK;
    const at = isoNow();
    const next = nextNodes(change.snapshot);
    const step = change.snapshot.step;
    const run: RunRecord = {
      runId,
      threadId: ref.threadId,
      graph: of.def.name,
      status: "running",
      resumes: of.resumes,
      recursionLimit: of.config.recursionLimit,
      metadata: of.config.metadata,
      decision: of.decision,
      firstSeq: from + of.before.length + 1,
      lastSeq: null,
      firstStep: step,
      lostCount: 0,
      outcome: null,
      stop: null,
      createdAt: at,
      startedAt: at,
      endedAt: null,
    };
    const control = worker.open(ref, runId);
    const abort = (): void => {
      worker.registry.close(control);
      control.end(null);
    };
    let written;
    try {
      written = await checkpointer.write({
        ref,
        guard: { by: "seq", from },
        at,
        seq,
        limit,
        runId,
        ...(head === null ? { create: { metadata: {} } } : {}),
        head: {
          graph: of.def.name,
          status: "running",
          step,
          currentNode: next[0] ?? null,
          nextNodes: next,
          interruptReason: null,
        },
        position: change.snapshot.position,
        ...(checkpoint === undefined ? {} : { checkpoint }),
        start: { ...run, worker: worker.info.id },
        events: events.map(toStored),
        messages: change.messages,
        open: [],
        decide: of.decide,
        retext: [],
      });
    } catch (error) {
      abort();
      throw error;
    }
    if (written.outcome !== "committed") {
      abort();
      return undefined;
    }
    live.publish({ key: threadKey(ref), graph: of.def }, events, seq);
    worker.execute(
      {
        ref,
        run,
        epoch: written.epoch,
        loaded: {
          snapshot: change.snapshot,
          interrupts: loaded.head === null ? [] : loaded.interrupts,
          sinceValues: checkpoint?.sinceValues ?? since,
          seq,
          limit,
        },
        messages: change.messages.map(({ message }) => message),
        crashedAt: null,
      },
      of.def,
      control,
      loaded.head === null ? [] : loaded.records,
    );
    return this.#handle(ref, runId, from, control);
  }

  #handle(ref: ThreadRef, runId: string, after: number, control?: RunControl): RunHandle {
    return {
      kind: "run",
      threadId: ref.threadId,
      runId,
      after,
      outcome: () => this.outcome(ref, runId, control),
      events: (signal) => this.events(ref, after, { until: runId, signal }),
      cause: () => control?.cause,
    };
  }

  /** Cancels what a paused thread waits for. */
  async #cancel(ref: ThreadRef, loaded: Loaded, stop: StopRequest): Promise<StopReceipt | undefined> {
    const { head } = loaded;
    const open = loaded.interrupts.filter(({ status }) => status === "open");
    const cancelled = open.map((interrupt): Interrupt => ({
      ...interrupt,
      status: "cancelled",
      decidedAt: stop.at,
    }));
    const events = placeEvents(cancelled.map(decisionEvent), head.seq, ref.threadId, head.runId);
    const decide = open.map(({ id }) => ({
      id,
      status: "cancelled" as const,
      answer: null,
      resumedBy: null,
      at: stop.at,
    }));
    const seq = await this.#between(loaded, {
      events,
      head: { ...headOf(head), status: "stopped", interruptReason: null },
      decide,
    });
    if (seq === null) return undefined;
    return {
      ...receipt(ref, head, head.runId),
      running: false,
      status: "stopped",
      cancelledInterrupts: open.map(({ id }) => id),
      seq,
    };
  }

  /** A write between runs that starts none; the new seq, or null when the thread moved. */
  async #between(
    loaded: Loaded,
    of: { events: RunEvent[]; head: Write["head"]; decide: Write["decide"] },
  ): Promise<number | null> {
    const { checkpointer, live } = this.#deps;
    const { head } = loaded;
    const ref = { tenant: head.tenant, threadId: head.threadId };
    const seq = head.seq + Math.max(1, of.events.length);
    const written = await checkpointer.write({
      ref,
      guard: { by: "seq", from: head.seq },
      at: isoNow(),
      seq,
      limit: seq,
      runId: head.runId,
      head: of.head,
      events: of.events.map(toStored),
      messages: [],
      open: [],
      decide: of.decide,
      retext: [],
    });
    if (written.outcome !== "committed") return null;
    live.publish(
      { key: threadKey(ref), graph: this.#deps.graphs.find(head.graph ?? "") ?? null },
      of.events,
      seq,
    );
    return seq;
  }

  /** The outcome of the request that these answers repeat. */
  async #firstOutcome(
    ref: ThreadRef,
    head: ThreadHead,
    standing: readonly Standing[],
  ): Promise<RunHandle | Waiting> {
    const runId = standing.map(({ interrupt }) => interrupt.resumedBy).find((id) => id !== null) ?? null;
    if (runId === null) return this.#waiting(ref, head.runId);
    const run = await this.#deps.checkpointer.run(ref, runId);
    if (run === null) throw notFound("the run that this answer started is gone");
    const control = this.#deps.worker.registry.find(threadKey(ref), runId);
    return this.#handle(ref, runId, run.firstSeq - standing.length - 1, control);
  }

  async #waiting(ref: ThreadRef, runId: string | null): Promise<Waiting> {
    const run = runId === null ? null : await this.#deps.checkpointer.run(ref, runId);
    if (run === null) throw notFound(`there is no thread ${JSON.stringify(ref.threadId)}`);
    const result = await resultOf(this.#deps.checkpointer, ref, run);
    const head = await this.#deps.checkpointer.thread(ref);
    return {
      kind: "waiting",
      result: {
        ...result,
        interrupts: head === null ? [] : await this.#openInterrupts(head),
        seq: head?.seq ?? result.seq,
      },
    };
  }

  async #openInterrupts(head: ThreadHead): Promise<readonly Interrupt[]> {
    if (!isInterrupted(head.status)) return [];
    const filter = { status: "open" as const, graph: null, threadId: head.threadId };
    const page = await this.#deps.checkpointer.interrupts(head.tenant, filter, { limit: 200, cursor: null });
    return page.items.toReversed();
  }

  /** The thread's graph as loaded. Throws `graph_changed` where a node that is next is gone. */
  #graphOf(loaded: Loaded, asked: GraphDefinition | undefined): GraphDefinition {
    if (asked !== undefined && asked.name !== loaded.head.graph) throw mismatch(loaded.head, asked);
    const def = asked ?? this.#deps.graphs.get(loaded.head.graph ?? "");
    const gone = loaded.snapshot.position.tasks.find(({ node }) => node !== START && !def.nodes.has(node));
    if (gone !== undefined) {
      throw new HoldpointError(
        "graph_changed",
        `the thread waits at "${gone.node}", which the loaded graph "${def.name}" no longer has; load one that has it, or start a new run`,
        { node: gone.node },
      );
    }
    return def;
  }

  /** The run once it has ended, or as it stands after `ms`; null when it is gone. */
  async #ended(
    ref: ThreadRef,
    runId: string,
    control: RunControl | undefined,
    ms: number,
  ): Promise<RunRecord | null> {
    const { checkpointer, options } = this.#deps;
    const until = Date.now() + ms;
    const wait = (time: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, time));
    if (control !== undefined) {
      const timeout = new AbortController();
      const timer = setTimeout(() => timeout.abort(), Math.min(ms, 2 ** 31 - 1));
      const late = new Promise<void>((resolve) => timeout.signal.addEventListener("abort", () => resolve()));
      await Promise.race([control.ended.then(() => undefined).catch(() => undefined), late]);
      clearTimeout(timer);
    }
    for (;;) {
      const run = await checkpointer.run(ref, runId);
      if (run === null || run.endedAt !== null || Date.now() >= until) return run;
      await wait(Math.min(options.pollMs, Math.max(1, until - Date.now())));
    }
  }

  #refuseWhenDraining(): void {
    if (this.#deps.worker.draining)
      throw new HoldpointError("shutting_down", "this process is shutting down; send the request again");
  }

  /** Tries until nobody came between reading and writing; undefined means that somebody did. */
  async #untilSettled<T>(attempt: () => Promise<T | undefined>): Promise<T> {
    for (let i = 0; i < TRIES; i++) {
      const settled = await attempt();
      if (settled !== undefined) return settled;
    }
    throw new HoldpointError(
      "thread_busy",
      "the thread changes faster than this request can be applied; try again",
    );
  }
}

interface Beginning {
  readonly def: GraphDefinition;
  readonly runId: string;
  readonly change: Change;
  readonly source: "input" | "patch";
  /** Events before the run's `start`. */
  readonly before: readonly Draft[];
  /** From `start` on; a function gets the id of the checkpoint. */
  readonly events: readonly (Draft | ((checkpointId: string) => Draft))[];
  readonly decide: Write["decide"];
  readonly decision: Answer | null;
  readonly resumes: boolean;
  readonly config: CheckedConfig;
}

async function* untilTerminal(
  events: AsyncGenerator<RunEvent, void, undefined>,
  runId: string,
): AsyncGenerator<RunEvent, void, undefined> {
  for await (const event of events) {
    yield event;
    if (event.runId === runId && isTerminal(event.eventType)) return;
  }
}

function beginChecked<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof UpdateFault) throw invalid([{ path: "input", message: error.message }]);
    throw error;
  }
}

/** Why a thread does not take a run now. */
function refuseRun(head: ThreadHead, def: GraphDefinition, open: readonly Interrupt[]): void {
  if (head.graph !== null && head.graph !== def.name) {
    throw mismatch(head, def);
  }
  if (isInterrupted(head.status)) {
    const detail =
      "the thread waits for a decision; a message is never an approval: answer by POST …/resume, or end it by POST …/stop";
    throw new HoldpointError("thread_interrupted", detail, { interrupts: open });
  }
  if (!MOVES[head.status].run) throw busy(head);
}

function mismatch(head: ThreadHead, def: GraphDefinition): HoldpointError {
  const detail = `the thread belongs to the graph "${head.graph ?? ""}", not to "${def.name}"; use another thread`;
  return new HoldpointError("graph_mismatch", detail, { graph: head.graph });
}

export function busy(head: ThreadHead): HoldpointError {
  return new HoldpointError(
    "thread_busy",
    `the run ${head.runId ?? ""} is active on this thread; wait for its end or stop it`,
    { run_id: head.runId },
  );
}

function notResumable(head: ThreadHead): HoldpointError {
  if (head.status === "running" || head.status === "queued") return busy(head);
  return new HoldpointError(
    "not_resumable",
    `the thread is ${head.status}: there is nothing to resume; start a run instead`,
    { thread_status: head.status },
  );
}

/** The answer that a resume gives beside its thread, or null where it says nothing. */
function ownAnswer({
  interruptId,
  decision,
  reason,
  data,
  state,
  messages,
}: ResumeRequest): AnswerRequest | null {
  const own = {
    interruptId,
    decision,
    reason,
    data,
    state,
    messages: messages?.length === 0 ? undefined : messages,
  };
  return Object.values(own).every((value) => value === undefined) ? null : own;
}

/** The thread after its answers: messages first, then patches, in task order; the position is the plan's to move. */
function answered(
  def: GraphDefinition,
  loaded: Loaded,
  answers: readonly Pick<Answer, "messages" | "state">[],
  merged: Values,
  holds: Partial<RunHolds>,
): Change {
  const { snapshot } = loaded;
  const { context, placed } = addMessages(
    snapshot.messages,
    answers.flatMap(({ messages }) => messages),
  );
  const patch = Object.assign({}, ...answers.map(({ state }) => state ?? {})) as Record<string, never>;
  const { values } = patchValues(snapshot.values, patch);
  const after = beginChecked(() => mergeFields(def, values, merged));
  const position = { ...snapshot.position, holds: unionHolds(snapshot.position.holds, holds) };
  return {
    snapshot: { ...snapshot, values: after, messages: context, position },
    ops: opsBetween(snapshot.values, after),
    messages: placed,
  };
}

function startInput(answers: readonly Pick<Answer, "messages" | "state">[]): Record<string, unknown> {
  const messages = answers.flatMap((answer) => answer.messages);
  const fields = Object.assign({}, ...answers.map(({ state }) => state ?? {})) as Record<string, unknown>;
  return { ...fields, ...(messages.length === 0 ? {} : { messages }) };
}

/** Messages, and `update` where a patch changed fields. */
export function patchEvents(change: Change, step: number): (Draft | ((checkpointId: string) => Draft))[] {
  const messages = change.messages.map(({ message }) => messageEvent(message));
  if (change.ops.length === 0) return messages;
  const changed = change.ops.map(([, field]) => field);
  const next = nextNodes(change.snapshot);
  return [
    ...messages,
    (checkpointId) =>
      draft(
        "update",
        { step, checkpointId, changed, nextNodes: next },
        { content: "The state was patched." },
      ),
  ];
}

function decisionEvent(interrupt: Interrupt): Draft {
  const { decision } = interrupt;
  const said =
    interrupt.status === "cancelled"
      ? "cancelled by a stop"
      : decision === null
        ? interrupt.status
        : `${decision.decision ?? "go on"}, by ${decision.by}`;
  return draft(
    "decision",
    { interrupt, decision },
    { nodeName: interrupt.node, path: interrupt.path, content: said },
  );
}

const headOf = ({
  graph,
  status,
  step,
  currentNode,
  nextNodes: next,
  interruptReason,
}: ThreadHead): Write["head"] => ({ graph, status, step, currentNode, nextNodes: next, interruptReason });

function receipt(ref: ThreadRef, head: ThreadHead | null, runId: string | null): StopReceipt {
  return {
    threadId: ref.threadId,
    runId,
    ok: true,
    running: false,
    node: head?.currentNode ?? null,
    step: head?.step ?? 0,
    abandoned: [],
    cancelledInterrupts: [],
    dropped: [],
    seq: head?.seq ?? 0,
  };
}
