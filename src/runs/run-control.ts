import type { StopMode, StopRequest, ThreadRef } from "../checkpoint/checkpointer.js";
import type { RunResult } from "../engine/index.js";
import { Cutoff, type Cut } from "../lib/cutoff.js";
import { deferred } from "../lib/deferred.js";

/**
 * The handle on a run that executes in this process: how a stop or a lost lease reaches it. The row in the database is the
 * truth; this is the fast path.
 */
export class RunControl {
  readonly #cut = new Cutoff();
  readonly #ended = deferred<RunResult | null>();
  readonly #gone = new Cutoff();
  #stop: StopRequest | null = null;
  /** Paths of nodes that a stop gave up. */
  readonly abandoned: (readonly string[])[] = [];
  /** The database says that this process owns the run. */
  claimed = false;
  /** When the database was last asked whether the run is this process's, and said so: milliseconds since 1970. */
  ownedAt = Date.now();
  /** Where the run is to stop when nobody reads it: since when that counts here (`performance.now()`), and the run's place. */
  unread: { readonly ref: ThreadRef; readonly epoch: number; readonly since: number } | null = null;
  /** What made the run fail, where that was thrown in this process. */
  cause: unknown = undefined;

  constructor(
    readonly key: string,
    readonly runId: string,
  ) {
    // A run may end with nobody waiting.
    this.#ended.promise.catch(() => undefined);
  }

  /** Aborts when nodes must not go on: a stop `now`, or a lost lease. */
  get cut(): Cut {
    return this.#cut;
  }

  get stop(): StopRequest | null {
    return this.#stop;
  }

  /** Another process has the run, or nobody: nothing more may be written. */
  get lost(): boolean {
    return this.#gone.aborted;
  }

  /** Aborts with `lost`. */
  get gone(): Cut {
    return this.#gone;
  }

  /** The run's result; null when it goes on elsewhere. */
  get ended(): Promise<RunResult | null> {
    return this.#ended.promise;
  }

  /** The database, asked then, says that the run is this process's, and whether somebody stopped it. */
  own(at: number, stop: StopRequest | null): void {
    this.ownedAt = at;
    if (stop !== null) this.requestStop(stop);
  }

  requestStop(stop: StopRequest): void {
    if (this.#stop !== null && !(this.#stop.mode === "after_step" && stop.mode === "now")) return;
    this.#stop = stop;
    if (stop.mode === "now") this.#cut.abort(new DOMException("The run was stopped.", "AbortError"));
  }

  lose(): void {
    this.#gone.abort();
    this.#cut.abort(new DOMException("The run went on in another process.", "AbortError"));
  }

  end(result: RunResult | null): void {
    this.#ended.resolve(result);
  }

  fail(error: unknown): void {
    this.#ended.reject(error);
  }
}

export const seenStop = (stop: StopRequest | null): StopMode | null => stop?.mode ?? null;

/** The runs that execute in this process, by thread. */
export class StopRegistry {
  readonly #controls = new Map<string, RunControl>();

  open(control: RunControl): void {
    this.#controls.set(`${control.key}\n${control.runId}`, control);
  }

  /** One that was lost and unwinds late does not close that of the run's next claim. */
  close(control: RunControl): void {
    if (this.find(control.key, control.runId) !== control) return;
    this.#controls.delete(`${control.key}\n${control.runId}`);
  }

  find(key: string, runId: string): RunControl | undefined {
    return this.#controls.get(`${key}\n${runId}`);
  }

  all(): RunControl[] {
    return [...this.#controls.values()];
  }

  get size(): number {
    return this.#controls.size;
  }
}
