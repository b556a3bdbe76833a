/** Waits for runs and reads their events, wherever they execute. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Checkpointer, RunRecord, ThreadHead, ThreadRef } from "../checkpoint/checkpointer.js";
import { HoldpointError, isAway, notFound } from "../errors.js";
import {
  isActive,
  isInterrupted,
  isTerminal,
  pausedAt,
  type Interrupt,
  type RunEvent,
  type RunResult,
} from "../engine/index.js";
import { deferred } from "../lib/deferred.js";
import { oneByOne, tailBatches, type Live } from "../events/index.js";
import { asOpened, resultOf } from "./hydrate.js";
import { stopsUnread } from "./on-disconnect.js";
import { patiently } from "./patiently.js";
import { OwnEvents } from "./own-events.js";
import type { Readers } from "./readers.js";
import type { RuntimeOptions } from "./runtime-options.js";
import { noThread } from "./refusals.js";
import type { RunHandle, Waiting, WaitingThen } from "./requests.js";
import type { RunControl } from "./run-control.js";
import type { RunWorker } from "./run-worker.js";
import { unlogged } from "./run-stream.js";
import { terminalEvent } from "./terminal-event.js";
import { threadKey } from "./thread-key.js";
import { ThreadReads } from "./thread-reads.js";
import { extended } from "../lib/extended.js";

export interface RunReaderDeps {
  readonly checkpointer: Checkpointer;
  readonly live: Live;
  readonly readers: Readers;
  readonly worker: RunWorker;
  readonly options: RuntimeOptions;
}

/** Events that were deleted when they got old, by their numbers. */
export interface Gap {
  readonly from: number;
  readonly to: number;
}

type Batches = AsyncGenerator<readonly RunEvent[], void, undefined>;

/** What is read of a thread's events, and how long. */
export interface Reading {
  /** To the terminal event of this run. */
  readonly until?: string;
  /** From its first event: what comes before, where it had to wait, is of other runs. */
  readonly own?: boolean;
  /** The run may be so old that its events are gone. */
  readonly mayBeOld?: boolean;
  readonly idle?: () => Promise<boolean>;
  readonly signal?: AbortSignal | undefined;
  /** A run that stops when nobody reads it, where that is known. */
  readonly wished?: string | null | Promise<string | null>;
}

export class RunReader {
  readonly #deps: RunReaderDeps;
  readonly #reads: ThreadReads;

  constructor(deps: RunReaderDeps) {
    this.#deps = deps;
    this.#reads = new ThreadReads(deps.checkpointer, deps.live);
  }

  /** The events of a thread above `after`, to the terminal event of a run, or as long as `idle` lets it. */
  events(ref: ThreadRef, after: number, of: Reading): AsyncGenerator<RunEvent, void, undefined> {
    return oneByOne(this.batches(ref, after, of), of.signal);
  }

  /** The same: those together that are there together. */
  batches(ref: ThreadRef, after: number, of: Reading): Batches {
    return this.#deps.readers.during(ref, this.#batches(ref, after, of), of.wished ?? null);
  }

  #batches(ref: ThreadRef, after: number, of: Reading): Batches {
    const { until, own = false, mayBeOld = false } = of;
    if (until === undefined) return this.#tail(ref, after, of);
    const mine = new OwnEvents(until, own);
    const idle = async (): Promise<boolean> => !mine.begun && (await this.#isNotLogged(ref, until));
    const all = this.#tail(ref, after, extended(of, { idle }));
    return this.#untilTerminal(mayBeOld ? this.#unlessGone(all, ref, until) : all, ref, until, mine);
  }

  async *#tail(
    ref: ThreadRef,
    after: number,
    { idle, signal }: { idle?: () => Promise<boolean>; signal?: AbortSignal | undefined },
  ): Batches {
    const { live, options, worker } = this.#deps;
    const key = threadKey(ref);
    const over = new AbortController();
    const give = (): void => over.abort();
    // A reader waits for its storage as long as anybody waits for the reader.
    const waiting = <T>(work: () => Promise<T>, instead: T): Promise<T> =>
      patiently(work, { signal: over.signal }).catch((error: unknown) => {
        if (over.signal.aborted && isAway(error)) return instead;
        throw error;
      });
    signal?.addEventListener("abort", give);
    worker.leaving.addEventListener("abort", give);
    try {
      yield* tailBatches({
        key,
        live,
        after,
        read: (cursor) => waiting<readonly RunEvent[] | null>(() => this.#reads.log(ref, cursor), null),
        ahead: (cursor) => waiting(() => this.#reads.ahead(ref, cursor), null),
        // What happens here arrives by itself; the look at the log is for what other processes do.
        pollMs: () =>
          worker.registry.all().some((control) => control.key === key) ? options.leaseMs : this.#lookMs(),
        signal: signal ?? new AbortController().signal,
        ...(idle === undefined ? {} : { idle: () => waiting(idle, true) }),
      });
    } finally {
      signal?.removeEventListener("abort", give);
      worker.leaving.removeEventListener("abort", give);
    }
  }

  /** Nothing where the run's own events are gone: those behind them are of other runs. */
  async *#unlessGone(batches: Batches, ref: ThreadRef, runId: string): Batches {
    if (!(await this.#isNotLogged(ref, runId))) yield* batches;
  }

  async *#untilTerminal(batches: Batches, ref: ThreadRef, runId: string, mine: OwnEvents): Batches {
    for await (const all of batches) {
      const batch = mine.of(all);
      const last = batch.findIndex((event) => event.runId === runId && isTerminal(event.eventType));
      yield last === -1 ? batch : batch.slice(0, last + 1);
      if (last !== -1) return;
    }
    if (!(await this.#isNotLogged(ref, runId))) return;
    // Whoever waits for its end is told outside the numbers.
    const result = await this.current(ref, runId);
    yield [unlogged(terminalEvent(result), ref.threadId, runId)];
  }

  /** Whether the run has ended and the log has nothing of that: it was dropped before it began, or its events are gone. */
  async #isNotLogged(ref: ThreadRef, runId: string): Promise<boolean> {
    const { checkpointer } = this.#deps;
    const run = await checkpointer.run(ref, runId);
    if (run?.endedAt == null) return false;
    if (run.startedAt === null) return true;
    const head = await checkpointer.thread(ref);
    return run.lastSeq !== null && run.lastSeq <= (head?.logFloor ?? 0);
  }

  /**
   * Where a reader begins: after its cursor, or at the start of the current or last run. `nothing` says that there is
   * nothing newer and nothing runs; `gap` are numbers behind the cursor whose events are gone; `wished` is the current run
   * where it stops when nobody reads it. Throws `not_found`, `cursor_ahead`.
   */
  async attach(
    ref: ThreadRef,
    cursor: number | null,
  ): Promise<{
    head: ThreadHead;
    after: number;
    nothing: boolean;
    gap: Gap | null;
    wished: string | null;
  }> {
    const { checkpointer } = this.#deps;
    const head = await checkpointer.thread(ref);
    if (head === null) throw noThread(ref);
    if (cursor !== null && cursor > head.limit) {
      throw new HoldpointError(
        "cursor_ahead",
        `the thread has come to ${head.seq}; the cursor ${cursor} is ahead of it`,
        { seq: head.seq },
      );
    }
    const isAsked = cursor === null || isActive(head.status);
    const run = isAsked && head.runId !== null ? await checkpointer.run(ref, head.runId) : null;
    // One that was taken from the queue a moment ago has no number yet.
    const after = cursor ?? (run === null || run.request !== null ? head.seq : run.firstSeq - 1);
    const nothing = !isActive(head.status) && (await checkpointer.log(ref, after, 1)).length === 0;
    const gap = after < head.logFloor ? { from: after + 1, to: head.logFloor } : null;
    return { head, after, nothing, gap, wished: run !== null && stopsUnread(run) ? run.runId : null };
  }

  /** Whether no run is active on the thread and none waits, or it was deleted. */
  async isQuiet(ref: ThreadRef): Promise<boolean> {
    const head = await this.#reads.head(ref);
    return head === null || !isActive(head.status);
  }

  /** Whether the thread was deleted. */
  async isGone(ref: ThreadRef): Promise<boolean> {
    return (await this.#reads.head(ref)) === null;
  }

  /**
   * Waits for a run, wherever it executes and however long the storage is away. Throws `shutting_down` where it goes on in
   * another process while this one leaves.
   */
  async outcome(ref: ThreadRef, runId: string, control?: RunControl): Promise<RunResult> {
    const { checkpointer, worker } = this.#deps;
    const here = control === undefined ? null : await control.ended.catch(() => null);
    if (here !== null) return here;
    if (control !== undefined && worker.draining) throw goesOnElsewhere(ref, runId);
    try {
      const run = await this.ended(ref, runId, undefined, Infinity);
      if (run === null) throw notFound("the run is gone: its thread was deleted");
      if (run.endedAt === null) throw goesOnElsewhere(ref, runId);
      return await patiently(() => resultOf(checkpointer, ref, run), { signal: worker.leaving });
    } catch (error) {
      throw worker.leaving.aborted && isAway(error) ? goesOnElsewhere(ref, runId) : error;
    }
  }

  /** A run that was accepted before, from its first event on. Throws `not_found` where it is gone with its thread. */
  async again(ref: ThreadRef, runId: string | null): Promise<RunHandle> {
    const { checkpointer, worker } = this.#deps;
    // The head first: a run that waits now begins above it.
    const head = await checkpointer.thread(ref);
    const run = runId === null ? null : await checkpointer.run(ref, runId);
    if (run === null || head === null)
      throw notFound("the run of this request is gone: its thread was deleted");
    const control = worker.registry.find(threadKey(ref), run.runId);
    return this.handle(ref, run.runId, await this.#before(ref, head, run), control);
  }

  /** The number below all events of a run; those of the answers that began it were committed with its start. */
  async #before(ref: ThreadRef, head: ThreadHead, run: RunRecord): Promise<number> {
    if (run.request !== null) return head.seq;
    const [entry] = await this.#deps.checkpointer.log(ref, run.firstSeq - 1, 1);
    const [first] = entry?.runId === run.runId ? entry.events : [];
    if (first !== undefined) return Math.min(first.seq, run.firstSeq) - 1;
    // One that was dropped before it began has none: what is there is other runs'.
    return run.startedAt === null ? head.seq : run.firstSeq - 1;
  }

  handle(ref: ThreadRef, runId: string, after: number, control?: RunControl): RunHandle {
    const batches = (signal?: AbortSignal): Batches => {
      const isElsewhere = control === undefined;
      const wished = isElsewhere ? this.#wished(ref, runId) : null;
      return this.batches(ref, after, { until: runId, own: true, mayBeOld: isElsewhere, signal, wished });
    };
    return {
      kind: "run",
      threadId: ref.threadId,
      runId,
      after,
      outcome: () => this.outcome(ref, runId, control),
      outcomeWithin: async (ms) => {
        const run = await this.ended(ref, runId, control, ms);
        return run?.endedAt == null ? null : resultOf(this.#deps.checkpointer, ref, run);
      },
      current: () => this.current(ref, runId),
      events: (signal) => oneByOne(batches(signal), signal),
      batches,
      attend: () => {
        const seat = this.#deps.readers.add(ref, runId);
        const look = (): void => void this.#wished(ref, runId).then((id) => seat.wants(id));
        if (control === undefined) look();
        else control.ended.then((result) => (result === null ? look() : undefined), look);
        return () => seat.leave();
      },
      cause: () => control?.cause,
    };
  }

  /** The run, where it stops when nobody reads it. */
  async #wished(ref: ThreadRef, runId: string): Promise<string | null> {
    const { checkpointer, worker } = this.#deps;
    const read = (): Promise<RunRecord | null> => checkpointer.run(ref, runId);
    const run = await patiently(read, { signal: worker.leaving }).catch(() => null);
    return run !== null && stopsUnread(run) ? runId : null;
  }

  /** The run as it stands. */
  async current(ref: ThreadRef, runId: string): Promise<RunResult> {
    const run = await this.#deps.checkpointer.run(ref, runId);
    if (run === null) throw notFound("the run is gone: its thread was deleted");
    return resultOf(this.#deps.checkpointer, ref, run);
  }

  /** The thread as it stands, for an answer that is not the last one. */
  async waiting(ref: ThreadRef, runId: string | null): Promise<Waiting> {
    const run = runId === null ? null : await this.#deps.checkpointer.run(ref, runId);
    if (run === null) throw noThread(ref);
    const result = await resultOf(this.#deps.checkpointer, ref, run);
    const head = await this.#deps.checkpointer.thread(ref);
    const open = head === null ? [] : await this.openInterrupts(head);
    return { kind: "waiting", result: asWaiting(result, open, head?.seq ?? result.seq) };
  }

  /** What `waiting` gave then. */
  async waitedFor(ref: ThreadRef, { runId, interrupts, seq }: WaitingThen): Promise<Waiting> {
    const { checkpointer } = this.#deps;
    const run = await checkpointer.run(ref, runId);
    if (run === null) throw noThread(ref);
    const result = await resultOf(checkpointer, ref, run);
    const asked = await Promise.all(interrupts.map((id) => checkpointer.interrupt(ref.tenant, id)));
    const open = asked.flatMap((interrupt) => (interrupt === null ? [] : [asOpened(interrupt)]));
    return { kind: "waiting", result: asWaiting(result, open, seq) };
  }

  /** What a thread waits for, in the order it was asked. */
  async openInterrupts(head: ThreadHead): Promise<readonly Interrupt[]> {
    if (!isInterrupted(head.status)) return [];
    const filter = { status: "open" as const, graph: null, threadId: head.threadId };
    const page = await this.#deps.checkpointer.interrupts(head.tenant, filter, { limit: 200, cursor: null });
    return page.items.toReversed();
  }

  /** The run once it has ended, or as it stands after `ms` or when this process leaves; null when it is gone. */
  async ended(
    ref: ThreadRef,
    runId: string,
    control: RunControl | undefined,
    ms: number,
  ): Promise<RunRecord | null> {
    const { worker } = this.#deps;
    const until = Date.now() + ms;
    const wait = (time: number, signal: AbortSignal): Promise<void> =>
      sleep(Math.min(time, 2 ** 31 - 1), undefined, { signal }).catch(() => undefined);
    if (control !== undefined) {
      const settled = new AbortController();
      const stop = (): void => settled.abort();
      worker.leaving.addEventListener("abort", stop);
      control.ended.then(stop, stop);
      await wait(ms, settled.signal);
      worker.leaving.removeEventListener("abort", stop);
    }
    return this.#endedElsewhere(ref, runId, until);
  }

  /** Looks at the row of a run until it has ended: when there is a hint, when its end happens here, and now and then. */
  async #endedElsewhere(ref: ThreadRef, runId: string, until: number): Promise<RunRecord | null> {
    const { checkpointer, live, worker } = this.#deps;
    let news = deferred();
    // Before the first look: what comes in between is not missed.
    const look = (): void => news.resolve();
    const subscription = live.subscribe(threadKey(ref), look);
    worker.leaving.addEventListener("abort", look);
    let seenEnd = false;
    try {
      for (;;) {
        const run = await patiently(() => checkpointer.run(ref, runId), {
          signal: worker.leaving,
          forMs: Math.max(1, until - Date.now()),
        });
        if (run === null || run.endedAt !== null || Date.now() >= until || worker.leaving.aborted) return run;
        const next = Date.now() + Math.min(this.#lookMs(), Math.max(1, until - Date.now()));
        for (;;) {
          const { events, lost, behind, ended } = subscription.take(Infinity);
          const isOver = events.some((event) => event.runId === runId && isTerminal(event.eventType));
          const isNews = isOver || lost || behind || (ended && !seenEnd) || isAborted(worker.leaving);
          seenEnd ||= ended;
          if (isNews || Date.now() >= next) break;
          const timer = setTimeout(() => news.resolve(), next - Date.now());
          await news.promise;
          clearTimeout(timer);
          news = deferred();
        }
      }
    } finally {
      subscription.close();
      worker.leaving.removeEventListener("abort", look);
    }
  }

  /** Milliseconds to the next look at what other processes wrote. */
  #lookMs(): number {
    const { checkpointer, options } = this.#deps;
    return checkpointer.hears ? options.slowPollMs : options.pollMs;
  }
}

/** What a run that paused is told as while some of what it asked is answered. */
const asWaiting = (result: RunResult, interrupts: readonly Interrupt[], seq: number): RunResult => ({
  ...result,
  interrupts,
  seq,
  ...pausedAt(interrupts),
});

// It changes while this waits, which the type checker cannot know.
const isAborted = (signal: AbortSignal): boolean => signal.aborted;

function goesOnElsewhere({ threadId }: ThreadRef, runId: string): HoldpointError {
  return new HoldpointError(
    "shutting_down",
    `this process shuts down and the run ${runId} goes on in another one: do not start it again, ask for it by its id`,
    { thread_id: threadId, run_id: runId },
  );
}
