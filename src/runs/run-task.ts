/** Runs one task: its node, as often as its `retry` says. The only place where node functions are called. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ErrorCode } from "../errors.js";
import {
  draft,
  executionMeta,
  InterruptDenied,
  stateView,
  UpdateFault,
  type Answer,
  type Ask,
  type GraphDefinition,
  type Interrupt,
  type Logger,
  type NodeOutput,
  type NodeSpec,
  type NodeState,
  type Snapshot,
  type Task,
} from "../engine/index.js";
import { deferred } from "../lib/deferred.js";
import { errorText, isInstance } from "../lib/show.js";
import { newId } from "./ids.js";
import { Attempt } from "./node-context.js";
import { nodeOutput, type Streamed } from "./node-output.js";
import type { OnceStore } from "./once-store.js";
import type { RunControl } from "./run-control.js";
import type { RunStream } from "./run-stream.js";

export type TaskOutcome = { readonly task: Task; readonly attempts: number } & (
  | { readonly kind: "done"; readonly output: NodeOutput; readonly asks: readonly Ask[] }
  | { readonly kind: "asked"; readonly asks: readonly Ask[]; readonly streamed: boolean }
  | { readonly kind: "denied"; readonly answer: Answer }
  | {
      readonly kind: "failed";
      readonly code: ErrorCode;
      readonly message: string;
      readonly cause: unknown;
      readonly streamed: boolean;
    }
  /** Nobody knows whether it acted; `retries` says that it would have been tried again. */
  | {
      readonly kind: "timeout";
      readonly message: string;
      readonly retries: boolean;
      readonly streamed: boolean;
    }
  | { readonly kind: "abandoned"; readonly streamed: boolean }
);

export interface TaskDeps {
  readonly def: GraphDefinition;
  readonly snapshot: Snapshot;
  readonly rows: readonly Interrupt[];
  readonly threadId: string;
  readonly runId: string;
  readonly control: RunControl;
  readonly stream: RunStream;
  readonly once: OnceStore;
  readonly log: Logger;
  readonly graceMs: number;
  /** Whether an attempt whose outcome nobody knows may be repeated unasked. */
  readonly mayRepeat: (task: Task) => boolean;
}

export async function runTask(task: Task, deps: TaskDeps): Promise<TaskOutcome> {
  const spec = deps.def.nodes.get(task.node);
  if (spec === undefined) throw new Error(`the graph "${deps.def.name}" has no node "${task.node}"`);
  const { attempts: tries = 1, delayMs = 0 } = spec.options.retry ?? {};
  let attempts = task.attempts;
  let streamed = task.streamed === true;
  for (let left = tries; ;) {
    attempts++;
    left--;
    const place = { nodeName: task.node, path: task.path, event: "node_execution" as const };
    if (streamed) {
      const about = { step: deps.snapshot.step, node: task.node, path: task.path, attempt: attempts };
      deps.stream.emit(task.id, draft("restart", about, place));
    }
    deps.stream.emit(
      task.id,
      draft(
        "progress",
        { step: deps.snapshot.step, attempt: attempts },
        { ...place, content: `${task.node} begins` },
      ),
    );
    const outcome = await runAttempt(spec, task, attempts, deps);
    const told = "streamed" in outcome ? { ...outcome, streamed: outcome.streamed || streamed } : outcome;
    if (told.kind === "timeout") {
      if (!deps.mayRepeat(task)) return { ...told, retries: left > 0 };
    } else if (told.kind !== "failed" || told.code === "invalid_update") {
      return told;
    }
    if (left <= 0 || deps.control.cut.aborted || deps.control.stop !== null) return told;
    deps.log.warn(
      { node: task.node, attempt: attempts, err: told.kind === "failed" ? told.cause : undefined, left },
      `${task.node} failed and is tried again: ${told.message}`,
    );
    deps.stream.forget(task.id);
    streamed = told.streamed;
    if (delayMs > 0) await sleep(delayMs, undefined, { signal: deps.control.cut }).catch(() => undefined);
    if (isCut(deps)) return told;
  }
}

// It changes while the task waits, which the type checker cannot know.
const isCut = ({ control }: TaskDeps): boolean => control.cut.aborted;

async function runAttempt(
  spec: NodeSpec,
  task: Task,
  attempts: number,
  deps: TaskDeps,
): Promise<TaskOutcome> {
  const { def, snapshot, control } = deps;
  const attempt = new Attempt({ ...deps, task, attempt: attempts, step: snapshot.step });
  const meta = executionMeta({ status: "running", currentNode: task.node, step: snapshot.step });
  const state = stateView(snapshot, meta, (of) => attempt.setInterrupt(of));
  const base = { task, attempts };

  const work = callNode(spec, state, attempt).then(({ returned, streamed }): TaskOutcome => {
    const early = attempt.asks.filter((ask) => ask.pauses === "before");
    if (early.length > 0) return { ...base, kind: "asked", asks: early, streamed: attempt.streamed };
    return { ...base, kind: "done", output: nodeOutput(def, state, returned, streamed), asks: attempt.asks };
  });
  const told = work.catch((error: unknown): TaskOutcome => {
    const questions = attempt.asks.filter((ask) => ask.kind === "request");
    if (questions.length > 0)
      return {
        ...base,
        kind: "asked",
        asks: attempt.asks.filter((ask) => ask.pauses === "before"),
        streamed: attempt.streamed,
      };
    if (isInstance(error, InterruptDenied)) return { ...base, kind: "denied", answer: error.answer };
    const code = isInstance(error, UpdateFault) ? "invalid_update" : "node_failed";
    return {
      ...base,
      kind: "failed",
      code,
      message: `${task.node}: ${errorText(error)}`,
      cause: error,
      streamed: attempt.streamed,
    };
  });
  const paused = attempt.paused.then(async (): Promise<TaskOutcome> => {
    // A result that is being stored belongs to this attempt: the next one, maybe elsewhere, must find it.
    await attempt.settled();
    return {
      ...base,
      kind: "asked",
      asks: attempt.asks.filter((ask) => ask.pauses === "before"),
      streamed: attempt.streamed,
    };
  });

  const timers: NodeJS.Timeout[] = [];
  const cut = cutShort(spec, base, attempt, told, deps, timers);
  try {
    const outcome = await Promise.race([told, paused, cut]);
    // In its grace only a node that returns counts: one that throws was cut off in the middle of something.
    const cutOff = control.cut.aborted && outcome.kind === "failed";
    return cutOff ? { ...base, kind: "abandoned", streamed: attempt.streamed } : outcome;
  } finally {
    attempt.close();
    for (const timer of timers) clearTimeout(timer);
  }
}

/** Settles when a timeout, a stop or a lost lease ends the attempt before its node does. */
function cutShort(
  spec: NodeSpec,
  base: { task: Task; attempts: number },
  attempt: Attempt,
  told: Promise<TaskOutcome>,
  { control, graceMs, log }: TaskDeps,
  timers: NodeJS.Timeout[],
): Promise<TaskOutcome> {
  const { promise, resolve } = deferred<TaskOutcome>();
  const { timeoutMs, graceMs: ownGrace } = spec.options;
  const abandon = (): void => {
    log.debug({ node: spec.name, attempt: base.attempts }, `${spec.name} is abandoned`);
    resolve({ ...base, kind: "abandoned", streamed: attempt.streamed });
  };
  const onCut = (): void => {
    attempt.abort(control.cut.reason);
    if (control.lost || !attempt.looked) {
      abandon();
      return;
    }
    timers.push(setTimeout(abandon, ownGrace ?? graceMs));
  };
  if (control.cut.aborted) onCut();
  else control.cut.addEventListener("abort", onCut, { once: true });
  void promise.then(() => control.cut.removeEventListener("abort", onCut));
  void told.then(() => control.cut.removeEventListener("abort", onCut));
  if (timeoutMs !== undefined) {
    timers.push(
      setTimeout(() => {
        attempt.abort(new DOMException(`${spec.name} took longer than ${timeoutMs} ms.`, "TimeoutError"));
        resolve({
          ...base,
          kind: "timeout",
          message: `${spec.name} took longer than ${timeoutMs} ms`,
          retries: false,
          streamed: attempt.streamed,
        });
      }, timeoutMs),
    );
  }
  return promise;
}

/** Calls the node; a generator is read to its end, its yields sent as deltas. */
async function callNode(
  spec: NodeSpec,
  state: NodeState,
  attempt: Attempt,
): Promise<{ returned: unknown; streamed: Streamed | null }> {
  const returned = await spec.run(state, attempt.context());
  if (!isGenerator(returned)) return { returned, streamed: null };
  const messageId = newId();
  let text = "";
  for (let next = await returned.next(); ; next = await returned.next()) {
    if (next.done === true) return { returned: next.value, streamed: { messageId, text } };
    if (typeof next.value !== "string")
      throw new UpdateFault(`it yielded a ${typeof next.value}: a generator yields the pieces of its text`);
    if (attempt.closed) {
      // Nobody listens any more: let its `finally` run.
      await returned.return(undefined);
      return { returned: undefined, streamed: null };
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
