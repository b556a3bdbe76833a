/** Starts, resumes and stops runs: the one way in, for the library and for HTTP. */
import type { StopMode, ThreadRef } from "../checkpoint/checkpointer.js";
import { invalid } from "../errors.js";
import { begin, draft } from "../engine/index.js";
import { acceptRun, asRequest } from "./accept-run.js";
import { newId } from "./ids.js";
import { refuseRun, refuseWhenDraining } from "./refusals.js";
import { checkConfig, checkInput } from "./request-input.js";
import type {
  ResumeRequest,
  RunHandle,
  RunServiceDeps,
  StartRequest,
  StopReceipt,
  Waiting,
} from "./requests.js";
import { Resumption } from "./resume-run.js";
import { messageEvent } from "./run-draft.js";
import { RunReader } from "./run-reader.js";
import { stopRun } from "./stop-run.js";
import { untilSettled } from "./until-settled.js";

export class RunService {
  /** Results and events of runs. */
  readonly reader: RunReader;
  readonly #deps: RunServiceDeps;
  readonly #resumption: Resumption;

  constructor(deps: RunServiceDeps) {
    this.#deps = deps;
    this.reader = new RunReader(deps);
    this.#resumption = new Resumption(deps, this.reader);
  }

  /** Starts a run at START. Refusals in order: not_found, invalid, graph_mismatch, thread_interrupted, thread_busy. */
  async start(request: StartRequest): Promise<RunHandle> {
    const { ref } = request;
    return untilSettled(async () => {
      refuseWhenDraining(this.#deps.worker);
      const loaded = await this.#deps.checkpointer.load(ref);
      const { head } = loaded;
      const def = this.#deps.graphs.choose(request.graph, head?.graph ?? null);
      const context = loaded.head === null ? [] : loaded.snapshot.messages;
      const input = checkInput(def, context, request.input ?? {}, "input");
      const config = checkConfig(def, request.config ?? {});
      const runId = newId();
      const change = asRequest(() =>
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
      if (head !== null) refuseRun(head, def, await this.reader.openInterrupts(head));

      const started = draft(
        "start",
        {
          input: { ...input.fields, ...(input.messages.length === 0 ? {} : { messages: input.messages }) },
          resumes: false,
        },
        { content: "The run begins." },
      );
      return acceptRun(this.#deps, this.reader, ref, loaded, {
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
  resume(request: ResumeRequest): Promise<RunHandle | Waiting> {
    return this.#resumption.resume(request);
  }

  /** The deadline of an interrupt has come; false where it is no longer open. */
  expire(ref: ThreadRef, interruptId: string): Promise<boolean> {
    return this.#resumption.expire(ref, interruptId);
  }

  /** Ends the current run, or cancels what the thread waits for. */
  stop(
    ref: ThreadRef,
    of: { mode?: StopMode; reason?: string | undefined; by: string },
  ): Promise<StopReceipt> {
    return stopRun(this.#deps, this.reader, ref, of);
  }
}
