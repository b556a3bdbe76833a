/**
 * What a node holds in its hands while it runs. What it keeps:
 *
 * C1. A call of `ctx.interrupt` that has no answer never returns in this attempt, so that no try/catch of the node can go
 *     on unapproved. The task counts as paused one macrotask later, when all calls of that tick are known.
 * C2. Calls are told apart by their order (or their key), so that the k-th call gets the k-th answer, also in loops.
 *     A call that asks what another of them asked before is refused by name: the answer is not its own.
 * C3. A `once` result is stored before the node gets it; an attempt that is over begins none.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import {
  answerTo,
  draft,
  InterruptDenied,
  OFFERED,
  type Answer,
  type Ask,
  type Interrupt,
  type InterruptRequest,
  type Logger,
  type ManualInterrupt,
  type NodeContext,
  type Task,
} from "../engine/index.js";
import { show } from "../lib/show.js";
import { jsonCopy, jsonFault, type Json } from "../lib/json.js";
import { expiryOf } from "./expiry.js";
import { asJsonSchema } from "./response-schema.js";
import { orderFault } from "./call-order.js";
import type { OnceStore } from "./once-store.js";
import type { RunStream } from "./run-stream.js";

export interface AttemptDeps {
  readonly threadId: string;
  readonly runId: string;
  readonly rows: readonly Interrupt[];
  readonly stream: RunStream;
  readonly once: OnceStore;
  readonly log: Logger;
}

interface AttemptPlace {
  readonly task: Task;
  readonly step: number;
}

/** A new one each time: one for all would keep every attempt that waits on it. */
const never = (): Promise<never> => new Promise<never>(() => undefined);

/** A question inside an effect would wait for the effect, which waits for the answer. */
const inEffect = new AsyncLocalStorage<boolean>();

/** Keys are parts of the storage's own keys. */
function checkKey(key: string): void {
  if (typeof key !== "string" || key.length > 200)
    throw new TypeError("a key is a string of at most 200 characters");
}

/** One attempt of one task, as the runner sees it. */
export class Attempt {
  readonly #task: Task;
  readonly #step: number;
  readonly #number: number;
  readonly #deps: AttemptDeps;
  readonly #onPaused: () => void;
  /** Made when the node looks at its signal: most never do. */
  #controller: AbortController | null = null;
  #aborted: { readonly reason: unknown } | null = null;
  readonly #effects: Promise<unknown>[] = [];
  readonly #asks: Ask[] = [];
  /** What was asked in this attempt, answered or not. */
  readonly #said: Ask[] = [];
  #misordered: Error | null = null;
  #calls = 0;
  #closed = false;
  /** It has sent deltas: a later attempt must say `restart`. */
  streamed = false;

  /** `number` counts from 1; `onPaused` is called one macrotask after a question without an answer. */
  constructor({ task, step }: AttemptPlace, number: number, deps: AttemptDeps, onPaused: () => void) {
    this.#task = task;
    this.#step = step;
    this.#number = number;
    this.#deps = deps;
    this.#onPaused = onPaused;
  }

  /** The node has looked at its signal, which earns it a grace. */
  get looked(): boolean {
    return this.#controller !== null;
  }

  get asks(): readonly Ask[] {
    return this.#asks;
  }

  /** Its calls came in another order than those that were answered: it has failed, whatever its node makes of that. */
  get misordered(): Error | null {
    return this.#misordered;
  }

  get closed(): boolean {
    return this.#closed;
  }

  abort(reason: unknown): void {
    this.#aborted ??= { reason };
    this.#controller?.abort(reason);
  }

  /** The node looks at it. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#aborted !== null) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  /** From here on nothing that the node does has effect. */
  close(): void {
    this.#closed = true;
  }

  /** Effects of `once` that are under way, settled. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#effects);
  }

  emitDelta(messageId: string, text: string): void {
    if (this.#closed || text === "") return;
    this.streamed = true;
    this.#emit(draft("delta", { messageId, part: "text" }, { event: "streaming", content: text }));
  }

  setInterrupt(of: ManualInterrupt): void {
    const { log } = this.#deps;
    const task = this.#task;
    if (of.node !== undefined && of.node !== task.node) {
      log.warn(
        { node: task.node, named: of.node },
        "setInterrupt pauses the node that calls it; the other name moves nothing",
      );
    }
    const ask = this.#manualAsk(of);
    if (this.#answerTo(ask) === null && !this.#closed) this.#asks.push(ask);
  }

  context(): NodeContext {
    return Object.freeze(new AttemptContext(this, this.#task, this.#step, this.#number, this.#deps));
  }

  #emit(event: ReturnType<typeof draft>): void {
    const task = this.#task;
    this.#deps.stream.emit(task.id, { ...event, nodeName: task.node, path: task.path });
  }

  emitCustom(name: string, value: unknown): void {
    if (typeof name !== "string") throw new TypeError(`emit: the name ${show(name)} is not a string`);
    const fault = jsonFault(value ?? null, "value");
    if (fault !== null) throw new TypeError(`emit("${name}"): ${fault.path} is not JSON: ${fault.problem}`);
    if (!this.#closed)
      this.#emit(draft("custom", { name, value: jsonCopy(value ?? null) }, { event: "node_execution" }));
  }

  async interrupt(request: InterruptRequest): Promise<Answer> {
    if (inEffect.getStore() === true) throw new Error("ctx.interrupt inside ctx.once: ask first, then act");
    if (this.#closed) return never();
    const ask = this.#requestAsk(request);
    const answer = this.#answerTo(ask);
    if (answer !== null) {
      if (answer.decision === "deny") throw new InterruptDenied(answer);
      return answer;
    }
    // Calls of one key are one question.
    if (!this.#asks.some(({ key }) => key === ask.key)) this.#asks.push(ask);
    setImmediate(this.#onPaused);
    return never();
  }

  /** Throws where it would be the answer to another question. */
  #answerTo(ask: Ask): Answer | null {
    const task = this.#task;
    const { rows } = this.#deps;
    const fault = orderFault(task, ask, rows, this.#said);
    if (fault !== null) {
      this.#misordered ??= new Error(fault);
      throw this.#misordered;
    }
    this.#said.push(ask);
    return answerTo(rows, task, ask);
  }

  async once<T>(key: string, effect: () => T | Promise<T>): Promise<T> {
    const task = this.#task;
    const { once } = this.#deps;
    checkKey(key);
    const over = (): Error => new Error(`once("${key}"): this attempt of ${task.node} is over`);
    if (!once.has(task.id, key)) {
      if (this.#asks.some((ask) => ask.kind === "request")) return never();
      if (this.#misordered !== null) throw this.#misordered;
      if (this.#closed) throw over();
    }
    const work = once.run(task.id, key, () => {
      // It may have waited for its lease.
      if (this.#closed) throw over();
      return inEffect.run(true, effect);
    });
    this.#effects.push(work);
    const result = await work;
    return result === null ? never() : (result.value as T);
  }

  #requestAsk(request: InterruptRequest): Ask {
    if (request.key !== undefined) checkKey(request.key);
    if (typeof request.message !== "string")
      throw new TypeError("ctx.interrupt needs a message: the question, for people");
    const { data = {} } = request;
    const fault = jsonFault(data, "data");
    if (fault !== null) throw new TypeError(`ctx.interrupt: ${fault.path} is not JSON: ${fault.problem}`);
    if (request.decisions?.length === 0)
      throw new TypeError("ctx.interrupt: decisions is empty: nobody could answer");
    for (const decision of request.decisions ?? []) {
      if (!OFFERED.request.includes(decision))
        throw new TypeError(
          `ctx.interrupt: "${decision}" is not a decision; there are ${OFFERED.request.join(", ")}`,
        );
    }
    const decisions = request.decisions ?? OFFERED.request;
    const responseSchema = asJsonSchema(request.responseSchema);
    const { expiry, faults } = expiryOf(request, { decisions, responseSchema });
    if (faults.length > 0) throw new TypeError(`ctx.interrupt: ${faults.join("; ")}`);
    return {
      key: request.key === undefined ? `#${this.#calls++}` : `=${request.key}`,
      kind: "request",
      pauses: "before",
      reason: request.message,
      message: request.message,
      data: jsonCopy(data as Json),
      responseSchema,
      decisions,
      named: false,
      plain: false,
      ...expiry,
    };
  }

  #manualAsk(of: ManualInterrupt): Ask {
    const { reason, data = {} } = of;
    if (typeof reason !== "string") throw new TypeError("setInterrupt needs a reason: the words, for people");
    const fault = jsonFault(data, "data");
    if (fault !== null) throw new TypeError(`setInterrupt: ${fault.path} is not JSON: ${fault.problem}`);
    const statuses: readonly string[] = ["interrupted_before", "interrupted_after"];
    if (!statuses.includes(of.status))
      throw new TypeError(
        `setInterrupt: status is ExecutionStatus.INTERRUPTED_BEFORE or INTERRUPTED_AFTER, not ${show(of.status)}`,
      );
    return {
      key: `#${this.#calls++}`,
      kind: "manual",
      pauses: of.status === "interrupted_after" ? "after" : "before",
      reason,
      message: reason,
      data: jsonCopy(data as Json),
      responseSchema: null,
      decisions: OFFERED.manual,
      named: false,
      plain: true,
    };
  }
}

const ATTEMPT = Symbol("attempt");
/** One function for all: also of a copy, a wrapper and an heir, and so that all of them have one shape. */
const SIGNAL = {
  enumerable: true,
  get(this: AttemptContext): AbortSignal {
    return this[ATTEMPT].signal;
  },
};

/** What the node holds. A class, so that all of them have one shape: a getter in a literal makes a new one each time. */
class AttemptContext implements NodeContext {
  declare readonly [ATTEMPT]: Attempt;
  declare readonly signal: AbortSignal;
  readonly threadId: string;
  readonly runId: string;
  readonly step: number;
  readonly attempt: number;
  readonly node: string;
  readonly path: readonly string[];
  readonly answer: Answer | undefined;
  readonly idempotencyKey: string;
  readonly log: Logger;
  // Own members that need no `this`: nodes take them apart.
  readonly emit: NodeContext["emit"];
  readonly interrupt: NodeContext["interrupt"];
  readonly once: NodeContext["once"];

  constructor(
    attempt: Attempt,
    task: Task,
    step: number,
    number: number,
    { threadId, runId, log }: AttemptDeps,
  ) {
    Object.defineProperty(this, ATTEMPT, { value: attempt });
    Object.defineProperty(this, "signal", SIGNAL);
    this.threadId = threadId;
    this.runId = runId;
    this.step = step;
    this.attempt = number;
    this.node = task.node;
    this.path = task.path;
    this.answer = task.answer;
    this.idempotencyKey = task.id;
    this.log = log;
    this.emit = (name, value) => attempt.emitCustom(name, value);
    this.interrupt = (request) => attempt.interrupt(request);
    this.once = (key, effect) => attempt.once(key, effect);
  }
}
