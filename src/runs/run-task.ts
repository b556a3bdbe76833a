/** Runs one task: its node, as often as its `retry` says. The only place where node functions are called. */
import {
  draft,
  InterruptDenied,
  UpdateFault,
  type Ask,
  type FunctionNode,
  type Interrupt,
  type Logger,
  type NodeState,
  type Place,
  type Task,
} from "../engine/index.js";
import { errorText, isInstance } from "../lib/show.js";
import { newId } from "./ids.js";
import { nodeView } from "./judge-hold.js";
import { Attempt } from "./node-context.js";
import { nodeOutput, type Streamed } from "./node-output.js";
import type { OnceStore } from "./once-store.js";
import type { RunControl } from "./run-control.js";
import type { RunStream } from "./run-stream.js";
import type { TaskOutcome } from "./task-outcome.js";
import { pause } from "../lib/cutoff.js";

/** What one attempt came to; whether it streamed is known to the attempt. */
type AttemptOutcome = DistributiveOmit<TaskOutcome, "task" | "attempts" | "streamed">;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** What the tasks of a run have in common. */
export interface TaskDeps {
  readonly rows: readonly Interrupt[];
  readonly threadId: string;
  readonly runId: string;
  readonly control: RunControl;
  readonly stream: RunStream;
  readonly once: OnceStore;
  readonly log: Logger;
  readonly graceMs: number;
}

/** A task that is to run. */
export interface TaskPlace extends Place {
  /** The thread's step. */
  readonly step: number;
  /** Whether an attempt whose outcome nobody knows may be repeated unasked. */
  readonly mayRepeat: boolean;
}

export async function runTask(at: TaskPlace, deps: TaskDeps): Promise<TaskOutcome> {
  const { scope, task, step } = at;
  const spec = scope.def.nodes.get(task.node);
  if (spec?.kind !== "function") {
    // Another release of the graph: whoever has one with the node can resume.
    const message = `the loaded graph "${scope.def.name}" has no node "${task.node}"`;
    const { attempts, streamed = false } = task;
    return { task, attempts, streamed, kind: "failed", code: "node_failed", message, cause: undefined };
  }
  const { attempts: tries = 1, delayMs = 0 } = spec.options.retry ?? {};
  let attempts = task.attempts;
  let streamed = task.streamed === true;
  for (let left = tries; ;) {
    attempts++;
    left--;
    const place = {
      event: "node_execution" as const,
      nodeName: task.node,
      path: task.path,
      content: `${task.node} begins`,
    };
    if (streamed) {
      const about = { step, node: task.node, path: task.path, attempt: attempts };
      deps.stream.emit(task.id, draft("restart", about, { ...place, content: "" }));
    }
    deps.stream.emit(task.id, draft("progress", { step, attempt: attempts }, place));
    const outcome = await runAttempt(spec, at, attempts, deps);
    streamed ||= outcome.streamed;
    const told = { task, attempts, ...outcome, streamed };
    if (told.kind === "timeout") {
      if (!at.mayRepeat) return { ...told, retries: left > 0 };
    } else if (told.kind !== "failed" || told.code === "invalid_update") {
      return told;
    }
    if (left <= 0 || deps.control.cut.aborted || deps.control.stop !== null) return told;
    deps.log.warn(
      { node: task.node, attempt: attempts, err: told.kind === "failed" ? told.cause : undefined, left },
      `${task.node} failed and is tried again: ${told.message}`,
    );
    deps.stream.forget(task.id);
    if (delayMs > 0) await pause(delayMs, deps.control.cut);
    if (isCut(deps)) return told;
  }
}

// It changes while the task waits, which the type checker cannot know.
const isCut = ({ control }: TaskDeps): boolean => control.cut.aborted;

type Attempted = AttemptOutcome & { readonly streamed: boolean };

/** What the first to settle says: the node, a question, its time, a stop. Nothing that its node does afterwards has effect. */
function runAttempt(spec: FunctionNode, at: TaskPlace, number: number, deps: TaskDeps): Promise<Attempted> {
  return new Promise((resolve) => new AttemptRun(spec, at, number, deps, resolve).begin());
}

class AttemptRun {
  readonly #spec: FunctionNode;
  readonly #at: TaskPlace;
  readonly #deps: TaskDeps;
  readonly #resolve: (outcome: Attempted) => void;
  readonly #attempt: Attempt;
  #grace: NodeJS.Timeout | undefined;
  #timeout: NodeJS.Timeout | undefined;
  readonly #onCut = (): void => this.#cutShort();

  constructor(
    spec: FunctionNode,
    at: TaskPlace,
    number: number,
    deps: TaskDeps,
    resolve: (outcome: Attempted) => void,
  ) {
    this.#spec = spec;
    this.#at = at;
    this.#deps = deps;
    this.#resolve = resolve;
    this.#attempt = new Attempt(at, number, deps, () => void this.#paused());
  }

  begin(): void {
    const state = nodeView(this.#at, this.#at.step, (of) => this.#attempt.setInterrupt(of));
    callNode(this.#spec, state, this.#attempt).then(
      (value) => this.#settle(this.#returned(state, value)),
      (error: unknown) => this.#settle(this.#threw(error)),
    );
    const { cut } = this.#deps.control;
    const { timeoutMs } = this.#spec.options;
    if (timeoutMs !== undefined) this.#timeout = setTimeout(() => this.#timedOut(timeoutMs), timeoutMs);
    // A stop that was there before comes first.
    if (cut.aborted) this.#cutShort();
    else cut.addEventListener("abort", this.#onCut);
  }

  #settle(outcome: AttemptOutcome): void {
    const attempt = this.#attempt;
    if (attempt.closed) return;
    attempt.close();
    const { cut } = this.#deps.control;
    cut.removeEventListener("abort", this.#onCut);
    clearTimeout(this.#grace);
    clearTimeout(this.#timeout);
    // In its grace only a node that returns counts: one that throws was cut off in the middle of something.
    const cutOff = cut.aborted && outcome.kind === "failed";
    this.#resolve({ streamed: attempt.streamed, ...(cutOff ? { kind: "abandoned" as const } : outcome) });
  }

  #returned(state: NodeState, { returned, streamed }: Returned): AttemptOutcome {
    const attempt = this.#attempt;
    if (attempt.misordered !== null || pausingBefore(attempt).length > 0) return this.#asked();
    try {
      const output = nodeOutput(this.#at.scope.def, state, returned, streamed);
      return { kind: "done", output, asks: attempt.asks };
    } catch (error) {
      return failed(this.#at.task, error);
    }
  }

  #threw(error: unknown): AttemptOutcome {
    const { misordered, asks } = this.#attempt;
    // What a node does beside a question that is open has no effect, its failing included.
    if (misordered !== null || asks.some((ask) => ask.kind === "request")) return this.#asked();
    if (isInstance(error, InterruptDenied)) return { kind: "denied", answer: error.answer };
    return failed(this.#at.task, error);
  }

  #asked(): AttemptOutcome {
    const { misordered } = this.#attempt;
    return misordered === null
      ? { kind: "asked", asks: pausingBefore(this.#attempt) }
      : failed(this.#at.task, misordered);
  }

  /** A result that is being stored belongs to this attempt: the next one, maybe elsewhere, must find it. */
  async #paused(): Promise<void> {
    await this.#attempt.settled();
    this.#settle(this.#asked());
  }

  /** A stop, or a lost lease. */
  #cutShort(): void {
    const { control, graceMs } = this.#deps;
    this.#attempt.abort(control.cut.reason);
    if (control.lost || !this.#attempt.looked) this.#abandon();
    else this.#grace = setTimeout(() => this.#abandon(), this.#spec.options.graceMs ?? graceMs);
  }

  #abandon(): void {
    const { name } = this.#spec;
    this.#deps.log.debug({ node: name }, `${name} is abandoned`);
    this.#settle({ kind: "abandoned" });
  }

  #timedOut(ms: number): void {
    const message = `${this.#spec.name} took longer than ${ms} ms`;
    this.#attempt.abort(new DOMException(message, "TimeoutError"));
    this.#settle({ kind: "timeout", message, retries: false });
  }
}

const pausingBefore = ({ asks }: Attempt): readonly Ask[] => asks.filter((ask) => ask.pauses === "before");

function failed(task: Task, error: unknown): AttemptOutcome {
  const code = isInstance(error, UpdateFault) ? "invalid_update" : "node_failed";
  return { kind: "failed", code, message: `${task.node}: ${errorText(error)}`, cause: error };
}

interface Returned {
  readonly returned: unknown;
  readonly streamed: Streamed | null;
}

const NOTHING: Returned = { returned: undefined, streamed: null };

/**
 * Calls the node. It is over a microtask after it has returned, also where that was at once: what it left to begin by then, a
 * question whose `await` was forgotten, is still part of it.
 */
async function callNode(spec: FunctionNode, state: NodeState, attempt: Attempt): Promise<Returned> {
  const returned: unknown = await spec.run(state, attempt.context());
  return isGenerator(returned) ? readToEnd(returned, attempt) : { returned, streamed: null };
}

/** Reads a generator, its yields sent as deltas. */
async function readToEnd(returned: AsyncGenerator | Generator, attempt: Attempt): Promise<Returned> {
  const messageId = newId();
  let text = "";
  for (let next = await returned.next(); ; next = await returned.next()) {
    if (next.done === true) return { returned: next.value, streamed: { messageId, text } };
    if (typeof next.value !== "string")
      throw new UpdateFault(`it yielded a ${typeof next.value}: a generator yields the pieces of its text`);
    if (attempt.closed) {
      // Nobody listens any more: let its `finally` run.
      await returned.return(undefined);
      return NOTHING;
    }
    text += next.value;
    attempt.emitDelta(messageId, next.value);
  }
}

function isGenerator(value: unknown): value is AsyncGenerator | Generator {
  return (
    typeof value === "object" &&
    value !== null &&
    "next" in value &&
    "return" in value &&
    (Symbol.asyncIterator in value || Symbol.iterator in value)
  );
}
