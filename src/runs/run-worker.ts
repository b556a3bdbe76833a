/**
 * This process as an owner of runs: its heartbeat, what it takes over, and the runs that execute in it.
 *
 * W1. It beats before it claims, and as long as it works on anything.
 * W2. What the database says it owns and it does not execute, it gives back; what it executes and no longer owns, it aborts.
 * W3. A run that it has claimed is executing here or waits here for a free place.
 * W4. Where its own heartbeat was late, others' may have been: it takes nobody's runs until they had time to renew.
 */
import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type {
  Checkpointer,
  Claim,
  Owned,
  TaskRecord,
  ThreadRef,
  WorkerInfo,
} from "../checkpoint/checkpointer.js";
import type { GraphDefinition, Logger, RunResult } from "../engine/index.js";
import type { Live } from "../events/index.js";
import { executeRun } from "./execute-run.js";
import type { GraphRegistry } from "./graph-registry.js";
import { handOver } from "./hand-over.js";
import { newId } from "./ids.js";
import { OnceStore, type EffectsUnderWay } from "./once-store.js";
import type { RuntimeOptions } from "./runtime-options.js";
import type { RunJob } from "./run-job.js";
import { RunControl, StopRegistry } from "./run-control.js";
import { threadKey } from "./thread-key.js";

export interface WorkerDeps {
  readonly checkpointer: Checkpointer;
  readonly graphs: GraphRegistry;
  readonly live: Live;
  readonly log: Logger;
  readonly options: RuntimeOptions;
}

/** Milliseconds after which a heartbeat that failed is tried again, where the next is not due before. */
const BEAT_AGAIN_MS = 500;

/** Milliseconds for each of the last words to a database that may not answer. */
const LAST_WORD_MS = 2000;

/** How many runs are remembered of which it is not known whether they are this worker's. */
const MOST_UNSURE = 10_000;

const nameOf = (key: string, runId: string): string => `${key}\n${runId}`;

export class RunWorker {
  readonly info: WorkerInfo;
  readonly registry = new StopRegistry();
  readonly #deps: WorkerDeps;
  readonly #effects: EffectsUnderWay = new Map();
  readonly #waiting: (() => void)[] = [];
  /** What may be this worker's and has not begun here, with whether a node may have been in flight before. */
  readonly #unbegun = new Map<string, boolean>();
  readonly #leaving = new AbortController();
  #executing = 0;
  #draining = false;
  #beating: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #lastBeat = 0;
  /** The first heartbeat since the last gap of a lease. */
  #steadySince = -Infinity;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    this.info = { id: newId(), leaseMs: deps.options.leaseMs };
    // Every reader that waits listens.
    setMaxListeners(0, this.#leaving.signal);
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Aborts when nobody here may be kept waiting any more. */
  get leaving(): AbortSignal {
    return this.#leaving.signal;
  }

  /** The first heartbeat, and everything that can be taken over now; then on a timer that keeps no process alive. */
  async start(): Promise<void> {
    await this.#beat();
    this.#schedule(this.#deps.options.heartbeatMs);
  }

  #schedule(ms: number): void {
    const { heartbeatMs } = this.#deps.options;
    this.#timer = setTimeout(() => {
      this.#beating = this.#beat()
        .then(
          () => heartbeatMs,
          (error: unknown) => {
            this.#deps.log.warn({ err: error }, "the heartbeat failed; it is tried again");
            return Math.min(heartbeatMs, BEAT_AGAIN_MS);
          },
        )
        .then((next) => {
          this.#beating = null;
          if (this.#timer !== null) this.#schedule(next);
        });
    }, ms);
    this.#timer.unref();
  }

  /** Ends the heartbeat once every run has come to a pause, its end or a place to be handed over, at most after `ms`. */
  async drain(ms: number): Promise<void> {
    this.#draining = true;
    // Those that wait for a place have not begun: they are handed over as they are.
    for (const granted of this.#waiting.splice(0)) {
      this.#executing++;
      granted();
    }
    await within(ms, this.#allEnded());
    for (const control of this.registry.all()) control.lose();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await within(LAST_WORD_MS, this.#beating ?? Promise.resolve());
    if (this.#unbegun.size > 0)
      await within(
        LAST_WORD_MS,
        this.#settle().catch(() => undefined),
      );
  }

  async #allEnded(): Promise<void> {
    // One that was being accepted when the drain began comes late.
    while (this.registry.size > 0) await Promise.allSettled(this.registry.all().map(({ ended }) => ended));
  }

  /** Lets all go who wait here for runs, wherever those execute. */
  leave(): void {
    this.#leaving.abort();
    this.#deps.live.close();
  }

  /** The last act, after `drain`: what it still owns is taken over at once, without waiting for its lease to pass. */
  async retire(): Promise<void> {
    const { checkpointer, log } = this.#deps;
    await within(
      LAST_WORD_MS,
      checkpointer
        .retire(this.info.id)
        .catch((error: unknown) =>
          log.warn({ err: error }, "the storage was not told of the end: runs wait for the lease to pass"),
        ),
    );
  }

  /** A control must be open before the write that starts its run, so that a stop in between finds it. */
  open(ref: ThreadRef, runId: string): RunControl {
    const control = new RunControl(threadKey(ref), runId);
    this.registry.open(control);
    return control;
  }

  /** What the database says of a run that may be this worker's: its epoch, or null where it is not. */
  async owned(control: RunControl): Promise<{ readonly epoch: number } | null> {
    const owned = await this.#deps.checkpointer.beat(this.info);
    const found = owned.find(({ ref, runId }) => threadKey(ref) === control.key && runId === control.runId);
    if (found === undefined) return null;
    if (found.stop !== null) control.requestStop(found.stop);
    return { epoch: found.epoch };
  }

  /** Ends the control of a run that does not begin here; one that turns out to be accepted is given back as such. */
  forgo(control: RunControl, { isUnsure }: { isUnsure: boolean }): void {
    if (isUnsure) this.#note(control, false);
    this.registry.close(control);
    control.end(null);
  }

  #note({ key, runId }: RunControl, inFlight: boolean): void {
    const [oldest] = this.#unbegun.keys();
    if (oldest !== undefined && this.#unbegun.size >= MOST_UNSURE) this.#unbegun.delete(oldest);
    this.#unbegun.set(nameOf(key, runId), inFlight);
  }

  /** Executes a run that this worker owns. Its control ends with it. */
  execute(job: RunJob, def: GraphDefinition, control: RunControl, records: readonly TaskRecord[] = []): void {
    control.claimed = true;
    this.#unbegun.delete(nameOf(control.key, control.runId));
    const run = async (): Promise<RunResult | null> => {
      const { checkpointer, live, log, options } = this.#deps;
      const placed = await this.#place(control.cut);
      try {
        if (this.#draining && control.stop === null) {
          await handOver(checkpointer, job, control, { inFlight: job.crashedAt !== null });
          return null;
        }
        const once = new OnceStore(
          {
            checkpointer,
            ref: job.ref,
            epoch: job.epoch,
            effects: this.#effects,
            onLost: () => {
              log.warn(
                { thread_id: job.ref.threadId, run_id: job.run.runId },
                "the run's lease is lost: another process goes on with it",
              );
              control.lose();
            },
          },
          records,
        );
        return await executeRun(job, control, {
          def,
          checkpointer,
          live,
          once,
          records,
          log,
          options,
          draining: () => this.#draining,
        });
      } finally {
        if (placed) this.#free();
      }
    };
    run().then(
      (result) => {
        this.registry.close(control);
        control.end(result);
        // Its readers find it again where it goes on.
        if (result === null && this.#draining) this.#deps.live.end(control.key);
      },
      (error: unknown) => {
        // W2 gives it back at the next heartbeat, as one whose attempt may have acted.
        this.registry.close(control);
        this.#deps.log.error(
          { err: error, thread_id: job.ref.threadId, run_id: job.run.runId },
          "the run failed inside Holdpoint",
        );
        control.fail(error);
      },
    );
  }

  async #beat(): Promise<void> {
    const { checkpointer, graphs, options } = this.#deps;
    await this.#settle();
    if (this.#draining) return;
    const free = options.concurrency - this.#executing;
    if (free <= 0) return;
    const others = Date.now() - this.#steadySince >= options.leaseMs;
    const claims = await checkpointer.claim(this.info, graphs.names(), free, others);
    await Promise.all(claims.map((claim) => this.#takeOver(claim)));
  }

  /** Renews the lease, and sets what the database says right with what executes here. */
  async #settle(): Promise<void> {
    const { checkpointer, log, options } = this.#deps;
    const executing = this.registry.all().filter((control) => control.claimed);
    const owned = await checkpointer.beat(this.info);
    const now = Date.now();
    const gap = this.#lastBeat === 0 ? 0 : now - this.#lastBeat;
    this.#lastBeat = now;
    if (gap > options.leaseMs) {
      this.#steadySince = now;
      log.warn({ ms: gap }, "the heartbeat was late: runs may have gone on in another process");
    }
    await this.#reconcile(executing, owned);
  }

  /** `executing` was read before `owned`: what began in between is not judged. */
  async #reconcile(executing: readonly RunControl[], owned: readonly Owned[]): Promise<void> {
    const mine = new Map(owned.map((each) => [nameOf(threadKey(each.ref), each.runId), each]));
    for (const control of executing) {
      const found = mine.get(nameOf(control.key, control.runId));
      if (found === undefined) {
        if (this.registry.find(control.key, control.runId) !== undefined) control.lose();
      } else if (found.stop !== null) control.requestStop(found.stop);
    }
    for (const [name, { ref, runId, epoch }] of mine) {
      if (this.registry.find(threadKey(ref), runId) !== undefined) continue;
      await this.#deps.checkpointer.release(ref, epoch, { inFlight: this.#unbegun.get(name) ?? true });
      this.#unbegun.delete(name);
    }
  }

  async #takeOver(claim: Claim): Promise<void> {
    const control = this.open(claim.ref, claim.runId);
    try {
      await this.#goOn(claim, control);
    } catch (error) {
      // W2 gives it back at the next heartbeat.
      this.#note(control, claim.crashed);
      this.registry.close(control);
      control.end(null);
      throw error;
    }
  }

  async #goOn(claim: Claim, control: RunControl): Promise<void> {
    const { checkpointer, graphs, log } = this.#deps;
    const loaded = await checkpointer.load(claim.ref);
    const def = graphs.find(claim.graph);
    if (
      loaded.head === null ||
      loaded.run === null ||
      def === undefined ||
      loaded.head.epoch !== claim.epoch
    ) {
      this.registry.close(control);
      control.end(null);
      return;
    }
    log.info(
      { thread_id: claim.ref.threadId, run_id: claim.runId, crashed: claim.crashed },
      "took over a run",
    );
    if (loaded.run.stop !== null) control.requestStop(loaded.run.stop);
    const { head, run, snapshot, interrupts, sinceValues, records } = loaded;
    const messages = await checkpointer.runMessages(claim.ref, claim.runId);
    const crashedAt = claim.crashed ? head.updatedAt : null;
    const job: RunJob = {
      ref: claim.ref,
      run,
      epoch: claim.epoch,
      loaded: { snapshot, interrupts, sinceValues, seq: head.seq, limit: head.limit },
      messages,
      crashedAt,
    };
    this.execute(job, def, control, records);
  }

  /** Waits for a free place; false where a stop ends the waiting, and the run, before. */
  async #place(cut: AbortSignal): Promise<boolean> {
    if (this.#executing < this.#deps.options.concurrency) {
      this.#executing++;
      return true;
    }
    return new Promise((resolve) => {
      const granted = (): void => {
        cut.removeEventListener("abort", onCut);
        resolve(true);
      };
      const onCut = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(granted), 1);
        resolve(false);
      };
      if (cut.aborted) {
        resolve(false);
        return;
      }
      this.#waiting.push(granted);
      cut.addEventListener("abort", onCut, { once: true });
    });
  }

  #free(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#executing--;
    else next();
  }
}

/** Waits for `work`, at most so many milliseconds. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const timeout = new AbortController();
  const late = sleep(ms, undefined, { signal: timeout.signal }).catch(() => undefined);
  await Promise.race([work, late]);
  timeout.abort();
}
