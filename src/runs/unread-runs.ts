/**
 * Stops the runs that are to stop when nobody reads them.
 *
 * U1. A run is stopped once neither this process nor, as the storage knows, any other has had a reader of it for the grace.
 * U2. What could not be asked in time does not count: after it, the grace begins anew. So it does where this process itself
 *     was not there, and with every claim of a run.
 * U3. A process that has readers of such a run which executes elsewhere says so, several times in a grace, and a last time
 *     when they leave.
 */
import type { Checkpointer, StopRequest } from "../checkpoint/checkpointer.js";
import type { Logger } from "../engine/index.js";
import { isoNow } from "./ids.js";
import type { Readers } from "./readers.js";
import type { RunControl } from "./run-control.js";
import type { RunWorker } from "./run-worker.js";
import type { RuntimeOptions } from "./runtime-options.js";
import { within } from "./within.js";

export interface UnreadRunsDeps {
  readonly checkpointer: Checkpointer;
  readonly readers: Readers;
  readonly worker: RunWorker;
  readonly log: Logger;
  readonly options: RuntimeOptions;
}

/** How often in a grace it looks. */
const LOOKS = 4;

/** Who stops them, for the record. */
const BY = "server";

/** Milliseconds for the last word, where the database may not answer. */
const LAST_MS = 500;

export class UnreadRuns {
  readonly #deps: UnreadRunsDeps;
  readonly #graceMs: number;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | null = null;
  #soon: NodeJS.Immediate | null = null;
  #looking: Promise<void> | null = null;
  #isAsked = false;
  #lookedAt = -Infinity;
  /** Absences count from here. */
  #since = -Infinity;

  constructor(deps: UnreadRunsDeps) {
    this.#deps = deps;
    this.#graceMs = deps.options.readerGraceMs;
    this.#everyMs = Math.max(1, this.#graceMs / LOOKS);
  }

  start(): void {
    this.#timer = setInterval(() => this.#ask(), this.#everyMs);
    this.#timer.unref();
    this.#deps.readers.onNews(() => {
      this.#soon ??= setImmediate(() => {
        this.#soon = null;
        this.#ask();
      });
    });
  }

  /** Says a last time who read here. */
  async end(): Promise<void> {
    if (this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#ask();
    await within(LAST_MS, this.#looking ?? Promise.resolve());
  }

  #ask(): void {
    this.#isAsked = true;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
  }

  async #look(): Promise<void> {
    while (this.#isAsked) {
      this.#isAsked = false;
      const now = performance.now();
      // U2
      if (now - this.#lookedAt > this.#graceMs) this.#since = now;
      this.#lookedAt = now;
      try {
        await this.#tell();
        await this.#judge(now);
        if (performance.now() - now > this.#graceMs / 2) this.#since = performance.now();
      } catch (error) {
        this.#since = performance.now();
        this.#deps.log.debug({ err: error }, "who reads could not be asked; it is asked again");
      }
    }
  }

  async #tell(): Promise<void> {
    const { checkpointer, readers, worker } = this.#deps;
    const { registry } = worker;
    const others = readers.ofOthers((key, runId) => registry.find(key, runId) !== undefined);
    if (others.length > 0) await checkpointer.presence.seen(worker.info.id, others);
  }

  async #judge(now: number): Promise<void> {
    const { checkpointer, readers, worker } = this.#deps;
    readers.forget(this.#graceMs, now);
    // Another process goes on with what is left at a shutdown, and its readers come back there.
    if (worker.draining) return;
    const unread = worker.registry.all().flatMap((control) => {
      const { key, runId, unread: run, stop, lost } = control;
      if (run === null || stop !== null || lost) return [];
      const ms = Math.min(readers.unreadFor(key, runId, now), now - run.since, now - this.#since);
      return ms > 0 ? [{ control, run, ms }] : [];
    });
    if (unread.length === 0) return;
    const unseen = await checkpointer.presence.unseenFor(
      unread.map(({ control, run }) => ({ ref: run.ref, runId: control.runId })),
    );
    // U2: an answer that was long in coming is old.
    if (performance.now() - now > this.#everyMs) return;
    for (const [i, { control, run, ms }] of unread.entries()) {
      const isUnread = Math.min(ms, unseen[i] ?? Infinity) >= this.#graceMs;
      // One that came while the storage was asked is there.
      if (isUnread && readers.unreadFor(control.key, control.runId, now) > 0) await this.#stop(control, run);
    }
  }

  async #stop(control: RunControl, { ref, epoch }: NonNullable<RunControl["unread"]>): Promise<void> {
    const { checkpointer, log } = this.#deps;
    const reason = `nobody has read the run for ${this.#graceMs / 1000} s, and its on_disconnect is "stop"`;
    const stop: StopRequest = { mode: "now", reason, by: BY, at: isoNow() };
    if (!(await checkpointer.presence.stopRun(ref, epoch, stop))) return;
    log.info({ thread_id: ref.threadId, run_id: control.runId }, `stopped: ${reason}`);
    control.requestStop(stop);
  }
}
