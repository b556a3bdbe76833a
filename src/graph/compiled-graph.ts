import { HoldpointError, invalid, RunError } from "../errors.js";
import type { Checkpointer, StopMode } from "../checkpoint/checkpointer.js";
import type { AnswerRequest, GraphDefinition, RunEvent, RunResult } from "../engine/index.js";
import {
  THREAD_ID,
  type CheckpointRecord,
  type InputRequest,
  type RunConfig,
  type RunHandle,
  type Runtime,
  type StateView,
  type StopReceipt,
  type Waiting,
} from "../runs/index.js";
import type { z } from "zod";
import { inMemory, libraryLog, runtimeFor } from "./runtime-for.js";
import type { GraphInput, RunOptions, StateSchema } from "./types.js";
import { extended } from "../lib/extended.js";

/** The library has one tenant. */
const TENANT = "default";

/** A result whose state is typed by the graph's schema. */
export type ResultOf<S extends StateSchema> = Omit<RunResult, "state"> & {
  readonly state: z.output<S> & { readonly contextSummary: string | null };
};
export type StateResultOf<S extends StateSchema> = Omit<StateView, "state"> & {
  readonly state: z.output<S> & { readonly contextSummary: string | null };
};

/** A page of a thread's checkpoints. */
export interface History {
  readonly items: readonly CheckpointRecord[];
  /** Where the next page begins; null after the last. */
  readonly nextCursor: string | null;
}

/** An answer, or several, and who gives it. */
export interface ResumeInput extends AnswerRequest {
  readonly answers?: readonly AnswerRequest[];
}

/** A graph that runs: the library's face of the run manager, which the server shares. */
export class CompiledGraph<S extends StateSchema = StateSchema> {
  /** Its plain description, for the server and for tools. */
  readonly definition: GraphDefinition;
  readonly #checkpointer: Checkpointer | undefined;
  #runtime: Runtime | null = null;

  constructor(definition: GraphDefinition, of: { checkpointer: Checkpointer | undefined; named: boolean }) {
    this.definition = definition;
    this.#checkpointer = of.checkpointer;
    this.named = of.named;
  }

  /** Its name was given to `compile`; else the server takes the export's. */
  readonly named: boolean;

  /** Puts the graph under a server's runtime; a checkpointer given to `compile` is set aside. Returns whether there was one. */
  bind(runtime: Runtime, name: string): { readonly setAside: boolean } {
    this.#runtime = runtime;
    runtime.register({ ...this.definition, name });
    return { setAside: this.#checkpointer !== undefined };
  }

  /**
   * Runs the thread to its next pause or end. On a paused thread it is the caller's "go on", whatever its messages say: it
   * passes one plain hold point or `setInterrupt`, and throws `decision_required` elsewhere. Throws RunError when the run
   * ends in `error`, HoldpointError when it is refused.
   */
  async invoke(input: GraphInput<S> = {}, options: RunOptions = {}): Promise<ResultOf<S>> {
    return this.#outcome(await this.#enter(input, options));
  }

  /** The same, as events while they happen. Leaving the loop does not stop the run. */
  async *stream(
    input: GraphInput<S> = {},
    options: RunOptions = {},
  ): AsyncGenerator<RunEvent, void, undefined> {
    const handle = await this.#enter(input, options);
    if (handle.kind === "waiting") return;
    yield* handle.events();
    await this.#outcome(handle);
  }

  /** Answers what the thread waits for, or continues it where it was stopped or failed. */
  async resume(
    answer: ResumeInput,
    options: RunOptions & { threadId: string; by?: string },
  ): Promise<ResultOf<S>> {
    const runtime = await this.#started();
    const { threadId, by = "anonymous", ...config } = options;
    const of = { ref: this.#ref(threadId), graph: this.definition, config: runConfig(config), by };
    const handle = await runtime.runs.resume(extended(answer, of));
    return this.#outcome(handle);
  }

  /** Ends the current run now (or after its step), or cancels what the thread waits for. */
  async stop(options: {
    threadId: string;
    mode?: StopMode;
    reason?: string;
    by?: string;
  }): Promise<StopReceipt> {
    const runtime = await this.#started();
    const { threadId, by = "anonymous", ...of } = options;
    return runtime.runs.stop(this.#ref(threadId), { by, ...of });
  }

  /** The thread as it stands, or as it stood at a checkpoint. Throws `not_found`. */
  async getState(options: { threadId: string; checkpointId?: string }): Promise<StateResultOf<S>> {
    const runtime = await this.#started();
    return (await runtime.threads.state(
      this.#ref(options.threadId),
      options.checkpointId,
    )) as StateResultOf<S>;
  }

  /** Patches fields past their reducers and adds messages, while no run is active. */
  async updateState(update: GraphInput<S>, options: { threadId: string }): Promise<StateResultOf<S>> {
    const runtime = await this.#started();
    const ref = this.#ref(options.threadId);
    return (await runtime.threads.patch(ref, inputOf(update), this.definition)) as StateResultOf<S>;
  }

  /** The thread's checkpoints, newest first: at most `limit` (default 50), from `cursor` on. Throws `not_found`. */
  async history(options: { threadId: string; limit?: number; cursor?: string }): Promise<History> {
    const runtime = await this.#started();
    const { threadId, limit = 50, cursor = null } = options;
    if (!Number.isInteger(limit) || limit < 1 || limit > 200)
      throw invalid([{ path: "limit", message: "a page has 1 to 200 items" }]);
    const { items, next } = await runtime.threads.checkpoints(this.#ref(threadId), { limit, cursor });
    return { items, nextCursor: next };
  }

  /**
   * A new thread, named by `to`, where this one was at a checkpoint. It runs nothing until it is resumed; then every hold point
   * and question on its way is asked again. The source is not changed, and may be running. Throws `not_found`, `thread_exists`.
   */
  async fork(options: { threadId: string; checkpointId: string; to?: string }): Promise<StateResultOf<S>> {
    const runtime = await this.#started();
    const { threadId, checkpointId, to } = options;
    const source = this.#ref(threadId);
    const made = await runtime.threads.fork(source, {
      checkpointId,
      threadId: to === undefined ? undefined : this.#ref(to).threadId,
    });
    return this.getState({ threadId: made.head.threadId });
  }

  async #enter(input: GraphInput<S>, options: RunOptions): Promise<RunHandle | Waiting> {
    const runtime = await this.#started();
    const { threadId = crypto.randomUUID(), ...config } = options;
    const ref = this.#ref(threadId);
    return runtime.runs.enter({
      ref,
      graph: this.definition,
      input: inputOf(input),
      config: runConfig(config),
    });
  }

  async #outcome(handle: RunHandle | Waiting): Promise<ResultOf<S>> {
    const result = handle.kind === "waiting" ? handle.result : await handle.outcome();
    if (result.status === "error" && result.error !== null) {
      const { code, message, node, step } = result.error;
      const cause = handle.kind === "run" ? handle.cause() : undefined;
      throw new RunError({
        code,
        message,
        node,
        step,
        threadId: result.threadId,
        runId: result.runId,
        cause,
      });
    }
    return result as ResultOf<S>;
  }

  async #started(): Promise<Runtime> {
    if (this.#runtime === null) {
      if (this.#checkpointer === undefined && hasHolds(this.definition)) {
        libraryLog.warn(
          { graph: this.definition.name },
          "hold points without a checkpointer: paused threads live in memory and end with the process",
        );
      }
      this.#runtime = runtimeFor(this.#checkpointer ?? inMemory());
      this.#runtime.register(this.definition);
    }
    await this.#runtime.start();
    return this.#runtime;
  }

  #ref(threadId: string): { tenant: string; threadId: string } {
    if (!THREAD_ID.test(threadId)) {
      throw new HoldpointError(
        "invalid_thread_id",
        `${JSON.stringify(threadId)} is no thread id: 1 to 128 characters of A-Z a-z 0-9 . _ : -`,
      );
    }
    return { tenant: TENANT, threadId };
  }
}

/** Of its own, or of a graph in it. */
function hasHolds({ before, after, nodes }: GraphDefinition): boolean {
  if (before.size + after.size > 0) return true;
  return [...nodes.values()].some((node) => node.kind === "graph" && hasHolds(node.graph));
}

function inputOf({ messages, ...fields }: GraphInput<StateSchema>): InputRequest {
  return { messages, fields: fields };
}

function runConfig({
  recursionLimit,
  interruptBefore,
  interruptAfter,
  metadata,
}: Omit<RunOptions, "threadId">): RunConfig {
  return { recursionLimit, interruptBefore, interruptAfter, metadata };
}
