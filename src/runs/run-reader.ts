/** Waits for runs and reads their events, wherever they execute. */
import type { Checkpointer, RunRecord, ThreadHead, ThreadRef } from "../checkpoint/checkpointer.js";
import { HoldpointError, notFound } from "../errors.js";
import { isInterrupted, isTerminal, type Interrupt, type RunEvent, type RunResult } from "../engine/index.js";
import { deferred } from "../lib/deferred.js";
import { tail, type Live } from "../events/index.js";
import { readEvents, resultOf } from "./hydrate.js";
import type { RuntimeOptions } from "./runtime-options.js";
import { noThread } from "./refusals.js";
import type { RunHandle, Waiting } from "./requests.js";
import type { RunControl } from "./run-control.js";
import type { RunWorker } from "./run-worker.js";
import { threadKey } from "./thread-key.js";

export interface RunReaderDeps {
  readonly checkpointer: Checkpointer;
  readonly live: Live;
  readonly worker: RunWorker;
  readonly options: RuntimeOptions;
}

export class RunReader {
  readonly #deps: RunReaderDeps;

  constructor(deps: RunReaderDeps) {
    this.#deps = deps;
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
        worker.registry.all().some((control) => control.key === key) ? options.leaseMs : this.#lookMs(),
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
    if (head === null) throw noThread(ref);
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
    const run = await this.ended(ref, runId, undefined, Infinity);
    if (run === null) throw notFound("the run is gone: its thread was deleted");
    return resultOf(this.#deps.checkpointer, ref, run);
  }

  handle(ref: ThreadRef, runId: string, after: number, control?: RunControl): RunHandle {
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

  /** The thread as it stands, for an answer that is not the last one. */
  async waiting(ref: ThreadRef, runId: string | null): Promise<Waiting> {
    const run = runId === null ? null : await this.#deps.checkpointer.run(ref, runId);
    if (run === null) throw noThread(ref);
    const result = await resultOf(this.#deps.checkpointer, ref, run);
    const head = await this.#deps.checkpointer.thread(ref);
    return {
      kind: "waiting",
      result: {
        ...result,
        interrupts: head === null ? [] : await this.openInterrupts(head),
        seq: head?.seq ?? result.seq,
      },
    };
  }

  /** What a thread waits for, in the order it was asked. */
  async openInterrupts(head: ThreadHead): Promise<readonly Interrupt[]> {
    if (!isInterrupted(head.status)) return [];
    const filter = { status: "open" as const, graph: null, threadId: head.threadId };
    const page = await this.#deps.checkpointer.interrupts(head.tenant, filter, { limit: 200, cursor: null });
    return page.items.toReversed();
  }

  /** The run once it has ended, or as it stands after `ms`; null when it is gone. */
  async ended(
    ref: ThreadRef,
    runId: string,
    control: RunControl | undefined,
    ms: number,
  ): Promise<RunRecord | null> {
    const until = Date.now() + ms;
    if (control !== undefined) {
      const timeout = new AbortController();
      const timer = setTimeout(() => timeout.abort(), Math.min(ms, 2 ** 31 - 1));
      const late = new Promise<void>((resolve) => timeout.signal.addEventListener("abort", () => resolve()));
      await Promise.race([control.ended.then(() => undefined).catch(() => undefined), late]);
      clearTimeout(timer);
    }
    return this.#endedElsewhere(ref, runId, until);
  }

  /** Looks at the row of a run until it has ended: when there is a hint, when its end happens here, and now and then. */
  async #endedElsewhere(ref: ThreadRef, runId: string, until: number): Promise<RunRecord | null> {
    const { checkpointer, live } = this.#deps;
    let news = deferred();
    // Before the first look: what comes in between is not missed.
    const subscription = live.subscribe(threadKey(ref), () => news.resolve());
    try {
      for (;;) {
        const run = await checkpointer.run(ref, runId);
        if (run === null || run.endedAt !== null || Date.now() >= until) return run;
        const next = Date.now() + Math.min(this.#lookMs(), Math.max(1, until - Date.now()));
        for (;;) {
          const { events, lost, behind, ended } = subscription.take(Infinity);
          const isOver = events.some((event) => event.runId === runId && isTerminal(event.eventType));
          if (isOver || lost || behind || ended || Date.now() >= next) break;
          const timer = setTimeout(() => news.resolve(), next - Date.now());
          await news.promise;
          clearTimeout(timer);
          news = deferred();
        }
      }
    } finally {
      subscription.close();
    }
  }

  /** Milliseconds to the next look at what other processes wrote. */
  #lookMs(): number {
    const { checkpointer, options } = this.#deps;
    return checkpointer.hears ? options.slowPollMs : options.pollMs;
  }
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
