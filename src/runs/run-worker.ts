/**
 * This process as an owner of runs: its heartbeat, what it takes over, and the runs that execute in it.
 *
 * W1. It beats before it claims, and as long as it lives.
 * W2. What the database says it owns and it does not execute, it gives back; what it executes and no longer owns, it aborts.
 * W3. A run that it has claimed is executing here or waits here for a free place.
 */
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
import { newId } from "./ids.js";
import { OnceStore, type EffectsUnderWay } from "./once-store.js";
import type { RuntimeOptions } from "./runtime-options.js";
import type { RunJob } from "./run-job.js";
import { RunControl, StopRegistry } from "./run-control.js";
import { threadKey } from "./thread-key.js";

/** Milliseconds between two looks that hints ask for, at the least. */
const HINT_GAP_MS = 20;

export interface WorkerDeps {
  readonly checkpointer: Checkpointer;
  readonly graphs: GraphRegistry;
  readonly live: Live;
  readonly log: Logger;
  readonly options: RuntimeOptions;
}

export class RunWorker {
  readonly info: WorkerInfo;
  readonly registry = new StopRegistry();
  readonly #deps: WorkerDeps;
  readonly #effects: EffectsUnderWay = new Map();
  readonly #waiting: (() => void)[] = [];
  #executing = 0;
  #draining = false;
  /** Heartbeats and claims, one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #hinted: "beat" | "claim" | null = null;
  #hintedAt = 0;
  #timer: NodeJS.Timeout | null = null;
  #lastBeat = 0;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    this.info = { id: newId(), leaseMs: deps.options.leaseMs };
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** The first heartbeat, and everything that can be taken over now; then on a timer that keeps no process alive. */
  async start(): Promise<void> {
    const first = this.#turn.then(() => this.#beat());
    this.#turn = first.catch(() => undefined);
    await first;
    const schedule = (): void => {
      this.#timer = setTimeout(() => {
        void this.#inTurn(() => this.#beat()).then(() => {
          if (!this.#draining) schedule();
        });
      }, this.#deps.options.heartbeatMs);
      this.#timer.unref();
    };
    schedule();
  }

  /** Hints were lost: what the database says of this worker's runs, and of runs that wait, is looked at now. */
  beatNow(): void {
    this.#hint("beat");
  }

  /** A hint: a run waits to be claimed. */
  lookForWork(): void {
    this.#hint("claim");
  }

  /** A hint: the run of the thread is to stop. Its row says how. */
  lookForStop(ref: ThreadRef): void {
    const key = threadKey(ref);
    for (const control of this.registry.all().filter((each) => each.key === key)) {
      this.#deps.checkpointer.run(ref, control.runId).then(
        (run) => {
          if (run !== null && run.stop !== null) control.requestStop(run.stop);
        },
        // The run's next commit, or the next heartbeat, meets it.
        () => undefined,
      );
    }
  }

  /** Ends the heartbeat once every run has come to a pause, its end or a place to be handed over, at most after `ms`. */
  async drain(ms: number): Promise<void> {
    this.#draining = true;
    const ended = Promise.allSettled(this.registry.all().map((control) => control.ended));
    const timeout = new AbortController();
    await Promise.race([ended, sleep(ms, undefined, { signal: timeout.signal }).catch(() => undefined)]);
    timeout.abort();
    for (const control of this.registry.all()) control.lose();
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#turn;
  }

  /** A control must be open before the write that starts its run, so that a stop in between finds it. */
  open(ref: ThreadRef, runId: string): RunControl {
    const control = new RunControl(threadKey(ref), runId);
    this.registry.open(control);
    return control;
  }

  /** Executes a run that this worker owns. Its control ends with it. */
  execute(job: RunJob, def: GraphDefinition, control: RunControl, records: readonly TaskRecord[] = []): void {
    control.claimed = true;
    const run = async (): Promise<RunResult | null> => {
      const placed = await this.#place(control.cut);
      try {
        const { checkpointer, live, log, options } = this.#deps;
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

  /** Hints come in swarms: what was asked for while it waits its turn is done once. */
  #hint(what: "beat" | "claim"): void {
    const isWaiting = this.#hinted !== null;
    if (this.#hinted !== "beat") this.#hinted = what;
    if (isWaiting) return;
    const act = async (): Promise<void> => {
      const asked = this.#hinted;
      this.#hinted = null;
      this.#hintedAt = Date.now();
      if (this.#draining) return;
      // W1: a worker that claims has beaten within its lease.
      const isAlive = Date.now() - this.#lastBeat < this.#deps.options.leaseMs / 2;
      await (asked === "claim" && isAlive ? this.#claim() : this.#beat());
    };
    const wait = Math.max(0, this.#hintedAt + HINT_GAP_MS - Date.now());
    setTimeout(() => void this.#inTurn(act), wait).unref();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn
      .then(work)
      .catch((error: unknown) =>
        this.#deps.log.warn({ err: error }, "the heartbeat failed; it is tried again"),
      );
    return this.#turn;
  }

  async #beat(): Promise<void> {
    const { checkpointer, log, options } = this.#deps;
    const executing = this.registry.all().filter((control) => control.claimed);
    const owned = await checkpointer.beat(this.info);
    const late = this.#lastBeat !== 0 && Date.now() - this.#lastBeat > options.leaseMs;
    if (late)
      log.warn(
        { ms: Date.now() - this.#lastBeat },
        "the heartbeat was late: runs may have gone on in another process",
      );
    this.#lastBeat = Date.now();
    await this.#reconcile(executing, owned);
    await this.#claim();
  }

  /** Takes over what waits, as far as there is room. */
  async #claim(): Promise<void> {
    const { checkpointer, graphs, options } = this.#deps;
    if (this.#draining) return;
    const free = options.concurrency - this.#executing;
    if (free <= 0) return;
    const claims = await checkpointer.claim(this.info, graphs.names(), free);
    await Promise.all(claims.map((claim) => this.#takeOver(claim)));
  }

  /** `executing` was read before `owned`: what began in between is not judged. */
  async #reconcile(executing: readonly RunControl[], owned: readonly Owned[]): Promise<void> {
    const mine = new Map(owned.map((each) => [`${threadKey(each.ref)}\n${each.runId}`, each]));
    for (const control of executing) {
      const found = mine.get(`${control.key}\n${control.runId}`);
      if (found === undefined) {
        if (this.registry.find(control.key, control.runId) !== undefined) control.lose();
      } else if (found.stop !== null) control.requestStop(found.stop);
    }
    for (const each of owned) {
      if (this.registry.find(threadKey(each.ref), each.runId) === undefined) {
        await this.#deps.checkpointer.release(each.ref, each.epoch, { inFlight: true });
      }
    }
  }

  async #takeOver(claim: Claim): Promise<void> {
    const control = this.open(claim.ref, claim.runId);
    try {
      await this.#goOn(claim, control);
    } catch (error) {
      // W2 gives it back at the next heartbeat.
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
