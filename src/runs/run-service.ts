/** Starts, resumes and stops runs: the one way in, for the library and for HTTP. */
import type { StopRequest, ThreadRef } from "../checkpoint/checkpointer.js";
import { invalid } from "../errors.js";
import { isActive, isInterrupted, type GraphDefinition, type RunInput } from "../engine/index.js";
import { acceptRun, asRequest } from "./accept-run.js";
import { Accepting, type Arrival } from "./accepting.js";
import { lookOnce, type Found } from "./found.js";
import { isoNow, newId } from "./ids.js";
import { withWish } from "./on-disconnect.js";
import { queuedRequest } from "./queued-request.js";
import { freshRun } from "./queued-run.js";
import { repeatedStart } from "./repeated-request.js";
import { busy, refuseRun, refuseWhenDraining } from "./refusals.js";
import { checkConfig, checkInput, type CheckedConfig } from "./request-input.js";
import type {
  EnterRequest,
  ResumeRequest,
  RunHandle,
  RunServiceDeps,
  StartRequest,
  StopOf,
  StopReceipt,
  Waiting,
} from "./requests.js";
import { Resumption } from "./resume-run.js";
import { RunReader } from "./run-reader.js";
import { stopRun } from "./stop-run.js";
import { threadKey } from "./thread-key.js";
import { untilSettled } from "./until-settled.js";
import { extended } from "../lib/extended.js";

export class RunService {
  /** Results and events of runs. */
  readonly reader: RunReader;
  readonly #deps: RunServiceDeps;
  readonly #resumption: Resumption;
  readonly #accepting = new Accepting();

  constructor(deps: RunServiceDeps) {
    this.#deps = deps;
    this.reader = new RunReader(deps);
    this.#resumption = new Resumption(deps, this.reader);
  }

  /**
   * Starts a run at START, or makes it wait. Refusals in order: not_found, invalid, graph_mismatch, thread_interrupted,
   * thread_busy.
   */
  start(request: StartRequest): Promise<RunHandle> {
    return this.#accepting.during(request.ref, () => this.#start(request));
  }

  /** Starts a run, or goes on where the thread waits: as the library's `invoke` means it. The thread is read once for both. */
  enter(request: EnterRequest): Promise<RunHandle | Waiting> {
    const { ref, graph, input, config } = request;
    return this.#accepting.during(ref, async () => {
      refuseWhenDraining(this.#deps.worker);
      const found = await this.#deps.checkpointer.load(ref);
      const { head } = found;
      if (head === null || !isInterrupted(head.status)) return this.#start(request, found);
      return this.#resumption.resume(
        { ref, graph, goOn: input, seen: head.seq, config, by: "anonymous" },
        found,
      );
    });
  }

  async #start(request: StartRequest, found?: Found): Promise<RunHandle> {
    const { ref, onBusy = "reject" } = request;
    const look = lookOnce(this.#deps.checkpointer, ref, found);
    return untilSettled(
      async () => {
        refuseWhenDraining(this.#deps.worker);
        const loaded = await look();
        const { head } = loaded;
        const def = this.#deps.graphs.choose(request.graph, head?.graph ?? null);
        const context = loaded.head === null ? [] : loaded.snapshot.messages;
        const input = checkInput(def, context, request.input ?? {}, "input");
        const config = withWish(checkConfig(def, request.config ?? {}), request.onDisconnect);
        const runId = newId();
        const fresh = asRequest(() => freshRun(def, loaded, { runId, input, config }));
        const missing = def.state.missing(fresh.change.snapshot.values);
        if (missing.length > 0)
          throw invalid(missing.map((fault) => ({ ...fault, path: `input.${fault.path}` })));
        if (head !== null) refuseRun(head, def, await this.reader.openInterrupts(head));
        const isBusy = head !== null && isActive(head.status);
        if (isBusy && onBusy === "reject") throw await busy(this.#deps.checkpointer, head);
        if (isBusy || !this.#deps.worker.hasRoom)
          return this.#enqueue(request, def, { runId, input, config });
        return acceptRun(this.#deps, this.reader, ref, loaded, extended(fresh, { key: request.key }));
      },
      () => repeatedStart(this.#deps, this.reader, request),
    );
  }

  /** Makes a run wait for its thread, or for a process that has room; undefined when the thread moved meanwhile. */
  async #enqueue(
    { ref, onBusy = "reject", by = "anonymous", key }: StartRequest,
    def: GraphDefinition,
    of: { runId: string; input: RunInput; config: CheckedConfig },
  ): Promise<RunHandle | undefined> {
    const { checkpointer, live, worker } = this.#deps;
    const { runId, input, config } = of;
    const at = isoNow();
    const stop: StopRequest | null =
      onBusy === "stop" ? { mode: "now", reason: "another run takes its place", by, at } : null;
    const queued = await checkpointer.enqueue({
      ref,
      runId,
      graph: def.name,
      recursionLimit: config.recursionLimit,
      metadata: config.metadata,
      request: queuedRequest(input, config),
      at,
      free: onBusy === "reject",
      stop,
      ...(key === undefined ? {} : { key }),
    });
    if (queued.outcome !== "queued") return undefined;
    if (stop !== null && queued.stopped !== null) worker.requestStop(threadKey(ref), queued.stopped, stop);
    if (queued.dropped.length > 0) live.wake(threadKey(ref));
    worker.workWaits();
    return this.reader.handle(ref, runId, queued.seq);
  }

  /** Answers interrupts, or continues a stopped or failed thread. */
  resume(request: ResumeRequest): Promise<RunHandle | Waiting> {
    return this.#accepting.during(request.ref, () => this.#resumption.resume(request));
  }

  /** The deadline of an interrupt has come; false where it is no longer open. */
  expire(ref: ThreadRef, interruptId: string): Promise<boolean> {
    return this.#resumption.expire(ref, interruptId);
  }

  /** A request that may begin a run of the thread has come, and is not read yet. */
  arrive(ref: ThreadRef): Arrival {
    return this.#accepting.arrive(ref);
  }

  /** Ends the current run, or cancels what the thread waits for; what came before it and is not decided yet is waited for. */
  async stop(ref: ThreadRef, of: StopOf): Promise<StopReceipt> {
    await this.#accepting.decided(ref, this.#deps.options.stopWaitMs);
    return stopRun(this.#deps, this.reader, ref, of);
  }
}
