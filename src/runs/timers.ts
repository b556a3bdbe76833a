/**
 * What this process does by the clock: deadlines of interrupts, and sweeps of what is old. What it keeps:
 *
 * D1. Every timer is a row that one process claims. One that dies with it is due again after a while, for any other.
 * D2. A deadline answers as a person does, by the same write with one winner: whoever decides first takes its row away.
 * D3. A sweep is put off by whoever has done it: it is done once in the whole cluster each time.
 */
import type { Checkpointer, ThreadRef, Timer, TimerKind } from "../checkpoint/checkpointer.js";
import type { Logger, RunEvent } from "../engine/index.js";
import type { Live } from "../events/index.js";
import type { GraphRegistry } from "./graph-registry.js";
import type { RuntimeOptions } from "./runtime-options.js";
import { threadKey } from "./thread-key.js";

export interface TimersDeps {
  readonly checkpointer: Checkpointer;
  readonly graphs: GraphRegistry;
  readonly live: Live;
  readonly log: Logger;
  readonly options: RuntimeOptions;
  /** Answers an interrupt whose deadline has come; false where it is no longer open. */
  readonly expire: (ref: ThreadRef, interruptId: string) => Promise<boolean>;
}

/** Claimed at once. */
const CLAIMS = 50;
/** Deleted by one statement, so that none of them is long. */
const BATCH = { keys: 1000, threads: 100, events: 100, inbox: 1000, live: 1000 };
/** A process that was silent for a week does not come back. */
const SILENT_MS = 7 * 86_400_000;
/** A timer cannot wait longer. */
const LONGEST = 2 ** 31 - 1;

export class Timers {
  readonly #deps: TimersDeps;
  readonly #sweeps = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;
  /** When the next look is, as this process's clock has it. */
  #next = Infinity;
  #ended = false;

  constructor(deps: TimersDeps) {
    this.#deps = deps;
  }

  /** Looks now, and from then on when something is due, and now and then for what other processes have made. */
  start(): void {
    this.#lookAt(Date.now());
  }

  /** A run of this process may have opened an interrupt that is due before the next look. */
  notice(event: RunEvent): void {
    if (event.eventType !== "interrupted") return;
    for (const { expiresAt } of event.data.result.interrupts)
      if (expiresAt !== null) this.#lookAt(Date.parse(expiresAt));
  }

  /** Begins nothing more; settles once what is under way is done. */
  async end(): Promise<void> {
    this.#ended = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#looking;
    await Promise.all(this.#sweeps);
  }

  /** Looks at this time at the latest. */
  #lookAt(at: number): void {
    if (this.#ended || at >= this.#next) return;
    this.#next = at;
    if (this.#looking === null) this.#schedule();
  }

  #schedule(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const ms = Math.min(Math.max(1, this.#next - Date.now()), LONGEST);
    this.#timer = setTimeout(() => {
      this.#next = Infinity;
      this.#looking = this.#look().then((next) => {
        this.#looking = null;
        if (this.#ended) return;
        this.#next = Math.min(this.#next, next);
        this.#schedule();
      });
    }, ms);
    // A script that has come to its end is not kept alive.
    this.#timer.unref();
  }

  /** Does what is due; when to look again. */
  async #look(): Promise<number> {
    const { checkpointer, graphs, log, options } = this.#deps;
    const slow = Date.now() + options.heartbeatMs;
    try {
      const claim = { kinds: this.#kinds(), graphs: graphs.names(), limit: CLAIMS, holdMs: this.#holdMs };
      const { due, nextMs } = await checkpointer.upkeep.dueTimers(claim);
      await Promise.all(due.map((timer) => this.#act(timer)));
      return due.length === CLAIMS ? 0 : Math.min(slow, Date.now() + (nextMs ?? Infinity));
    } catch (error) {
      log.warn({ err: error }, "what is due could not be looked up; it is tried again");
      return slow;
    }
  }

  /** What a process holds and does not do is taken by another one after so long. */
  get #holdMs(): number {
    return 3 * this.#deps.options.leaseMs;
  }

  /** A process that is told to keep everything leaves the sweeps to those that are not. */
  #kinds(): TimerKind[] {
    const { retentionMs, eventRetentionMs } = this.#deps.options;
    return [
      "interrupt",
      "sweep-keys",
      "sweep-workers",
      "sweep-inbox",
      ...(retentionMs === null ? [] : (["sweep-threads"] as const)),
      ...(eventRetentionMs === null ? [] : (["sweep-events"] as const)),
    ];
  }

  async #act(timer: Timer): Promise<void> {
    const { log } = this.#deps;
    const about = { kind: timer.kind, thread_id: timer.ref.threadId, id: timer.id };
    const failed = (error: unknown): void =>
      log.warn({ err: error, ...about }, "what is due could not be done; it is tried again");
    if (timer.kind === "interrupt") {
      await this.#expire(timer).catch(failed);
      return;
    }
    // Deadlines do not wait for it.
    const sweep = this.#sweep(timer).catch(failed);
    this.#sweeps.add(sweep);
    void sweep.then(() => this.#sweeps.delete(sweep));
  }

  async #expire(timer: Timer): Promise<void> {
    const { checkpointer, expire, log } = this.#deps;
    if (this.#ended) return;
    if (await expire(timer.ref, timer.id))
      log.info({ thread_id: timer.ref.threadId, interrupt_id: timer.id }, "an interrupt expired");
    else await checkpointer.upkeep.endTimer(timer);
  }

  /** One batch after the other, as long as this process has the row; then it is due again after a while. */
  async #sweep(timer: Timer): Promise<void> {
    const { upkeep } = this.#deps.checkpointer;
    let mine: Timer | null = timer;
    let after: ThreadRef | null = null;
    for (let more = true; more;) {
      if (this.#ended) return;
      mine = await upkeep.moveTimer(mine, this.#holdMs);
      if (mine === null) return;
      ({ more, after } = await this.#batch(timer.kind, after));
    }
    await upkeep.moveTimer(mine, this.#deps.options.sweepMs);
  }

  async #batch(
    kind: TimerKind,
    after: ThreadRef | null,
  ): Promise<{ more: boolean; after: ThreadRef | null }> {
    const { checkpointer, live, log, options } = this.#deps;
    const { upkeep } = checkpointer;
    const { retentionMs, eventRetentionMs } = options;
    if (kind === "sweep-keys")
      return { more: (await upkeep.sweepKeys(BATCH.keys)) === BATCH.keys, after: null };
    if (kind === "sweep-inbox")
      return { more: await upkeep.sweepInbox(eventRetentionMs ?? retentionMs, BATCH.inbox), after: null };
    if (kind === "sweep-workers") {
      await upkeep.sweepWorkers(SILENT_MS);
      // What processes left that died in the middle of a step.
      return { more: (await checkpointer.liveEdge?.sweep(BATCH.live)) === BATCH.live, after: null };
    }
    if (kind === "sweep-events" && eventRetentionMs !== null) {
      const next = await upkeep.sweepEvents(eventRetentionMs, BATCH.events, after);
      return { more: next !== null, after: next };
    }
    if (kind === "sweep-threads" && retentionMs !== null) {
      const gone = await upkeep.sweepThreads(retentionMs, BATCH.threads);
      for (const ref of gone) live.end(threadKey(ref));
      if (gone.length > 0) log.info({ threads: gone.length }, "threads past their retention were deleted");
      return { more: gone.length === BATCH.threads, after: null };
    }
    return { more: false, after: null };
  }
}
