/**
 * This process as an owner of runs: its heartbeat, what it takes over, and the runs that execute in it.
 *
 * W1. It beats before it claims, and as long as it works on anything.
 * W2. What the database says it owns and it does not execute, it gives back; what it executes and no longer owns, it aborts.
 * W3. A run that it has claimed is executing here or waits here for a free place.
 * W4. Where its own heartbeat was late, others' may have been: it takes nobody's runs until they had time to renew.
 */
import { setMaxListeners } from "node:events";
import type {
  Checkpointer,
  Claim,
  Loaded,
  Owned,
  StopRequest,
  TaskRecord,
  ThreadRef,
  WorkerInfo,
} from "../checkpoint/checkpointer.js";
import type { GraphDefinition, Logger, RunResult } from "../engine/index.js";
import type { Live } from "../events/index.js";
import { ClaimLoop } from "./claim-loop.js";
import { executeRun } from "./execute-run.js";
import type { GraphRegistry } from "./graph-registry.js";
import { handOver } from "./hand-over.js";
import { Heartbeat } from "./heartbeat.js";
import { Hints } from "./hints.js";
import { newId } from "./ids.js";
import { Lease } from "./lease.js";
import { OnceStore, type EffectsUnderWay } from "./once-store.js";
import { patiently } from "./patiently.js";
import { Places } from "./places.js";
import type { Relay } from "./relay.js";
import type { RuntimeOptions } from "./runtime-options.js";
import type { ExecuteDeps, RunJob } from "./run-job.js";
import { beginQueued, endUnbegun } from "./queued-run.js";
import { RunControl, StopRegistry } from "./run-control.js";
import { threadKey } from "./thread-key.js";
import { nameOf, Unbegun } from "./unbegun.js";
import { within } from "./within.js";

export interface WorkerDeps {
  readonly checkpointer: Checkpointer;
  readonly graphs: GraphRegistry;
  readonly live: Live;
  readonly relay: Relay | null;
  readonly log: Logger;
  readonly options: RuntimeOptions;
}

/** Milliseconds for what a start and an end wait for, where the database may not answer. */
const PATIENCE_MS = 2000;
/** Milliseconds for the first heartbeat and the first look, where the storage goes away after it was opened. */
const START_MS = 30_000;

interface Claimed {
  readonly claim: Claim;
  /** Open before the next heartbeat looks at what this worker owns. */
  readonly control: RunControl;
}

export class RunWorker {
  readonly info: WorkerInfo;
  readonly registry = new StopRegistry();
  readonly hints: Hints;
  readonly #deps: WorkerDeps;
  readonly #effects: EffectsUnderWay = new Map();
  readonly #places: Places;
  readonly #claims: ClaimLoop<Claimed>;
  readonly #unbegun = new Unbegun();
  readonly #leaving = new AbortController();
  #draining = false;
  readonly #heartbeat: Heartbeat;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #lease: Lease;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    this.info = { id: newId(), leaseMs: deps.options.leaseMs };
    this.#lease = new Lease(deps.options.leaseMs, () => this.#settle());
    const warn = (error: unknown): void =>
      deps.log.warn({ err: error }, "the heartbeat failed; it is tried again");
    this.#heartbeat = new Heartbeat(deps.options.heartbeatMs, () => this.#beat(), warn);
    this.#places = new Places(deps.options.concurrency);
    this.#claims = new ClaimLoop({
      claim: (limit) => this.#inTurn(() => this.#claim(limit)),
      room: () => (this.#draining ? null : deps.options.concurrency - this.registry.size),
      take: (claimed) => this.#takeOver(claimed),
      log: deps.log,
    });
    this.hints = new Hints({
      checkpointer: deps.checkpointer,
      registry: this.registry,
      beat: () => void this.#beat().catch(warn),
      look: () => this.#claims.soon(),
    });
    // Every reader that waits listens.
    setMaxListeners(0, this.#leaving.signal);
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Whether a run that begins now would execute at once. */
  get hasRoom(): boolean {
    return this.registry.size < this.#deps.options.concurrency;
  }

  /** A run waits for a process that has room: this one, maybe. */
  workWaits(): void {
    this.#claims.soon();
  }

  /** A run is to stop, and its row says so. One that waits for a process with room is ended by this one, which needs none for that. */
  requestStop(key: string, runId: string, stop: StopRequest): void {
    const control = this.registry.find(key, runId);
    if (control === undefined) this.#claims.soon({ stopped: true });
    else control.requestStop(stop);
  }

  /** Aborts when nobody here may be kept waiting any more. */
  get leaving(): AbortSignal {
    return this.#leaving.signal;
  }

  /** The first heartbeat, and all that can be taken over now. `wasLate`: the storage was away, so others may yet renew. */
  async start({ wasLate = false } = {}): Promise<void> {
    if (wasLate) this.#lease.wasLate();
    await patiently(() => this.#settle(), { forMs: START_MS });
    await patiently(() => within(PATIENCE_MS, this.#claims.look()), { forMs: START_MS });
    this.#heartbeat.start();
  }

  /** Renews a lease that has lapsed, as after a long pause: what begins under it would be taken over at once. */
  async beFresh(): Promise<void> {
    if (this.#lease.isStale) await this.#settle();
  }

  /** Ends the heartbeat once every run has come to a pause, its end or a place to be handed over, at most after `ms`. */
  async drain(ms: number): Promise<void> {
    this.#draining = true;
    // Those that wait for a place have not begun: they are handed over as they are.
    this.#places.open();
    await within(ms, this.#allEnded());
    for (const control of this.registry.all()) control.lose();
    await within(PATIENCE_MS, this.#heartbeat.stop());
    if (this.#unbegun.size > 0)
      await within(
        PATIENCE_MS,
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
      PATIENCE_MS,
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
    if (isUnsure) this.#unbegun.note(control, false);
    this.#letGo(control);
  }

  /** The run does not go on here. */
  #letGo(control: RunControl): void {
    this.registry.close(control);
    control.end(null);
  }

  /** Executes a run that this worker owns. Its control ends with it. */
  execute(job: RunJob, def: GraphDefinition, control: RunControl, records: readonly TaskRecord[] = []): void {
    control.claimed = true;
    this.#unbegun.forget(nameOf(control.key, control.runId));
    const run = async (): Promise<RunResult | null> => {
      const { checkpointer } = this.#deps;
      // Of one that is to stop nothing begins.
      const placed = control.stop === null && (await this.#places.take(control.cut));
      try {
        if (this.#draining && control.stop === null) {
          await handOver(checkpointer, job, control, { inFlight: job.crashedAt !== null });
          return null;
        }
        return await executeRun(job, control, this.#executeDeps(job, def, control, records));
      } finally {
        if (placed) this.#places.free();
      }
    };
    run().then(
      (result) => {
        this.registry.close(control);
        control.end(result);
        this.#claims.freed();
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
        this.#claims.freed();
      },
    );
  }

  #executeDeps(
    job: RunJob,
    def: GraphDefinition,
    control: RunControl,
    records: readonly TaskRecord[],
  ): ExecuteDeps {
    const { checkpointer, live, relay, log, options } = this.#deps;
    const { ref, run, epoch } = job;
    const lease = this.#lease.of(control);
    const onLost = (): void => {
      log.warn(
        { thread_id: ref.threadId, run_id: run.runId },
        "the run's lease is lost: another process goes on with it",
      );
      control.lose();
    };
    return {
      def,
      checkpointer,
      live,
      relay,
      once: new OnceStore({ checkpointer, ref, epoch, effects: this.#effects, lease, onLost }, records),
      records,
      log,
      options,
      draining: () => this.#draining,
      workWaits: () => this.workWaits(),
    };
  }

  /** Waits for no run that is taken over: one whose writes are slow must not cost the others their lease. */
  async #beat(): Promise<void> {
    await this.#settle();
    if (!this.#draining) this.#claims.soon({ stopped: true });
  }

  /** Renews the lease, and sets what the database says right with what executes here. */
  #settle(): Promise<void> {
    return this.#inTurn(() => this.#renew());
  }

  async #renew(): Promise<void> {
    const { checkpointer, log } = this.#deps;
    const executing = this.registry.all().filter((control) => control.claimed);
    const sentAt = Date.now();
    const owned = await checkpointer.beat(this.info);
    const gap = this.#lease.beaten();
    if (gap !== null)
      log.warn({ ms: gap }, "the heartbeat was late: runs may have gone on in another process");
    await this.#reconcile(executing, owned, sentAt);
    this.#lease.renewed(sentAt);
  }

  /** `executing` was read before `owned`: what began in between is not judged. */
  async #reconcile(executing: readonly RunControl[], owned: readonly Owned[], at: number): Promise<void> {
    const mine = new Map(owned.map((each) => [nameOf(threadKey(each.ref), each.runId), each]));
    for (const control of executing) {
      const found = mine.get(nameOf(control.key, control.runId));
      if (found !== undefined) control.own(at, found.stop);
      else if (this.registry.find(control.key, control.runId) !== undefined) control.lose();
    }
    for (const [name, { ref, runId, epoch }] of mine) {
      if (this.registry.find(threadKey(ref), runId) !== undefined) continue;
      await this.#deps.checkpointer.release(ref, epoch, { inFlight: this.#unbegun.inFlight(name) ?? true });
      this.#unbegun.forget(name);
    }
  }

  async #claim(limit: number): Promise<readonly Claimed[]> {
    const { checkpointer, graphs } = this.#deps;
    // W1: one that slept renews first.
    if (this.#lease.isStale) await this.#renew();
    const sentAt = Date.now();
    const claims = await checkpointer.claim(this.info, graphs.names(), limit, this.#lease.isSteady(sentAt));
    return claims.map((claim) => {
      const control = this.open(claim.ref, claim.runId);
      control.ownedAt = sentAt;
      return { claim, control };
    });
  }

  /** One at a time: a heartbeat and a claim that cross would each misread what the other did. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work, work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #takeOver({ claim, control }: Claimed): Promise<void> {
    try {
      await this.#goOn(claim, control);
    } catch (error) {
      // W2 gives it back at the next heartbeat.
      this.#unbegun.note(control, claim.crashed);
      this.#letGo(control);
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
      this.#letGo(control);
      return;
    }
    log.info(
      { thread_id: claim.ref.threadId, run_id: claim.runId, crashed: claim.crashed },
      "took over a run",
    );
    if (loaded.run.stop !== null) control.requestStop(loaded.run.stop);
    const { head, run, snapshot, interrupts, sinceValues, records } = loaded;
    if (run.request !== null) {
      await this.#begin(claim, def, loaded, control);
      return;
    }
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

  /** Begins a run that has waited. */
  async #begin(claim: Claim, def: GraphDefinition, loaded: Loaded, control: RunControl): Promise<void> {
    const { checkpointer, live } = this.#deps;
    control.claimed = true;
    const deps = { checkpointer, live, worker: this.info.id };
    const begun = await beginQueued(deps, def, claim, loaded, control);
    if (begun !== null && "epoch" in begun) {
      this.execute(begun, def, control, loaded.records);
      return;
    }
    if (begun !== null) {
      const { fault, job } = begun;
      await endUnbegun(job, control, this.#executeDeps(job, def, control, []), fault);
    }
    this.#letGo(control);
  }
}
