/** Answers what a thread waits for, for a person or a deadline, and continues one that was stopped or failed. */
import type { Loaded, ThreadHead, ThreadRef, Write } from "../checkpoint/checkpointer.js";
import { HoldpointError, invalid } from "../errors.js";
import {
  applySaid,
  draft,
  EXPIRY,
  isActive,
  isInterrupted,
  pausedAt,
  MOVES,
  scopesOf,
  START,
  unionHolds,
  type Answer,
  type AnswerRequest,
  type GraphDefinition,
  type Interrupt,
  type Position,
  type RunHolds,
  type Said,
  type Snapshot,
  type Values,
} from "../engine/index.js";
import { acceptRun, asRequest } from "./accept-run.js";
import { bindAnswers, givenAnswers, makeAnswers, standings, type Bound, type Standing } from "./answers.js";
import { decisionEvent, patchEvents, writeBetween } from "./between-runs.js";
import { isoNow, newId } from "./ids.js";
import { keepWaiting, repeatedResume } from "./repeated-request.js";
import { busy, mismatch, noThread, notResumable, refuseWhenDraining } from "./refusals.js";
import { checkConfig, checkInput, type CheckedConfig } from "./request-input.js";
import type { ResumeRequest, RunHandle, RunServiceDeps, Waiting } from "./requests.js";
import { lookOnce, type Found } from "./found.js";
import type { RunReader } from "./run-reader.js";
import { untilSettled } from "./until-settled.js";

export class Resumption {
  readonly #deps: RunServiceDeps;
  readonly #reader: RunReader;

  constructor(deps: RunServiceDeps, reader: RunReader) {
    this.#deps = deps;
    this.#reader = reader;
  }

  /** Answers interrupts, or continues a stopped or failed thread. `found` is the thread where it was just read. */
  async resume(request: ResumeRequest, found?: Found): Promise<RunHandle | Waiting> {
    const { ref } = request;
    const look = lookOnce(this.#deps.checkpointer, ref, found);
    const own = ownAnswer(request);
    if (request.answers !== undefined && own !== null) {
      throw invalid([{ path: "answers", message: "either one decision or a list of answers, not both" }]);
    }
    if (request.answers?.length === 0)
      throw invalid([{ path: "answers", message: "a list of answers has at least one" }]);
    let bound: Bound[] | null = null;
    let late = false;
    return untilSettled(
      async () => {
        refuseWhenDraining(this.#deps.worker);
        const loaded = await look();
        if (loaded.head === null) throw noThread(ref);
        const { head } = loaded;
        const named = request.answers ?? (own?.interruptId === undefined ? null : [own]);
        const interrupted = isInterrupted(head.status);
        // Named interrupts answer for themselves, whatever became of the thread since.
        // Nor does a bare answer mean a hold point that opened after it arrived.
        if (bound === null && interrupted && named === null && late) throw movedOn();
        if (request.seen !== undefined && bound === null && head.seq !== request.seen) throw movedOn();
        late = true;
        if (bound === null && (interrupted || named !== null)) {
          bound = bindAnswers(
            named ?? [own ?? {}],
            loaded.interrupts.filter(({ status }) => status === "open"),
            request.answers !== undefined,
          );
        }
        if (bound !== null) {
          const def = request.graph ?? this.#deps.graphs.find(head.graph ?? "");
          const standing = await standings(
            this.#deps.checkpointer,
            ref,
            loaded.interrupts,
            bound,
            request.by,
            def,
          );
          if (standing.every((each) => each.kind === "repeated"))
            return this.#firstOutcome(ref, head, standing);
          if (interrupted) return this.#answer(request, loaded, standing);
        }
        return this.#continue(request, own, loaded);
      },
      () => repeatedResume(this.#deps, this.#reader, request),
    );
  }

  /**
   * The deadline of an interrupt has come: it is answered as its hold point says, or fails its thread. False where it is no
   * longer open: a person or a stop came first.
   */
  async expire(ref: ThreadRef, interruptId: string): Promise<boolean> {
    return untilSettled(async () => {
      refuseWhenDraining(this.#deps.worker);
      const loaded = await this.#deps.checkpointer.load(ref);
      if (loaded.head === null || !isInterrupted(loaded.head.status)) return false;
      const interrupt = loaded.interrupts.find(({ id, status }) => id === interruptId && status === "open");
      if (interrupt === undefined) return false;
      const { onExpiry = "fail" } = interrupt;
      if (onExpiry === "fail") return (await this.#fail(ref, loaded, interrupt)) && true;
      const request = { interruptId, decision: onExpiry };
      const standing = {
        kind: "open" as const,
        interrupt,
        bound: { id: interruptId, request, path: "", byName: true },
      };
      return (await this.#answer({ ref, by: EXPIRY }, loaded, [standing], "expired")) && true;
    });
  }

  /** A run that ends at once with `interrupt_expired`: what it is told by is the row that expired without an answer. */
  #fail(ref: ThreadRef, loaded: Loaded, expired: Interrupt): Promise<RunHandle | undefined> {
    const def = this.#graphOf(loaded, undefined);
    const [runId, at] = [newId(), isoNow()];
    const open = loaded.interrupts.filter(({ status }) => status === "open");
    return this.#goOn(ref, loaded, {
      def,
      runId,
      decided: open.map((row) =>
        row.id === expired.id
          ? { ...row, status: "expired", decidedAt: at, resumedBy: runId }
          : { ...row, status: "cancelled", decidedAt: at },
      ),
      said: [],
      merged: {},
      decision: null,
      config: checkConfig(def, {}),
      key: undefined,
    });
  }

  async #answer(
    request: ResumeRequest,
    loaded: Loaded,
    standing: readonly Standing[],
    as: "resolved" | "expired" = "resolved",
  ): Promise<RunHandle | Waiting | undefined> {
    const { ref, by } = request;
    const { head } = loaded;
    const def = this.#graphOf(loaded, request.graph);
    const open = standing.flatMap((each) => (each.kind === "open" ? [each] : []));
    const answers = makeAnswers(def, loaded, open, by);
    const config = checkConfig(def, request.config ?? {});
    const { given, complete } = givenAnswers(loaded, answers);
    if (!complete) {
      const decided = open.map(({ interrupt }, i) => decide(interrupt, as, answers[i], null));
      const left = loaded.interrupts.filter(
        ({ id, status }) => status === "open" && decided.every((row) => row.id !== id),
      );
      const written = await writeBetween(this.#deps, loaded, {
        head: pausedAt(left),
        drafts: decided.map((row) => decisionEvent(row)),
        decide: decided.map(decisionOf),
        position: withHolds(loaded.snapshot.position, config.holds),
        key: request.key,
      });
      if (written === undefined) return undefined;
      const waiting = await this.#reader.waiting(ref, head.runId);
      await keepWaiting(this.#deps, ref, request.key, waiting);
      return waiting;
    }
    const runId = newId();
    const merged = checkInput(def, loaded.snapshot.messages, request.goOn ?? {}, "input");
    return this.#goOn(ref, loaded, {
      def,
      runId,
      decided: open.map(({ interrupt }, i) => decide(interrupt, as, answers[i], runId)),
      said: [...given, { messages: merged.messages, state: null, about: null }],
      merged: merged.fields,
      decision: (given.find(({ answer }) => answer.decision === "deny") ?? given.at(-1))?.answer ?? null,
      config,
      key: request.key,
    });
  }

  /** A stopped or failed thread goes on where it was; `state` and `messages` are applied first, like a patch. */
  async #continue(
    request: ResumeRequest,
    own: AnswerRequest | null,
    loaded: Loaded,
  ): Promise<RunHandle | undefined> {
    const { head, snapshot } = loaded;
    if (isActive(head.status)) throw await busy(this.#deps.checkpointer, head);
    if (MOVES[head.status].resume !== "continue") throw notResumable(head);
    if (own?.decision !== undefined || own?.data !== undefined || own?.reason !== undefined) {
      throw new HoldpointError(
        "not_resumable",
        `no interrupt is open: the thread is ${head.status}; resume it without a decision to go on`,
        { thread_status: head.status },
      );
    }
    const def = this.#graphOf(loaded, request.graph);
    const given = { messages: own?.messages, fields: own?.state };
    const { messages, fields } = checkInput(def, snapshot.messages, given, "", "patch");
    return this.#goOn(request.ref, loaded, {
      def,
      runId: newId(),
      decided: [],
      // What was answered before a stop stays given, and is said now.
      said: [...givenAnswers(loaded, []).given, { messages, state: fields, about: null }],
      merged: {},
      decision: null,
      config: checkConfig(def, request.config ?? {}),
      key: request.key,
    });
  }

  /** Begins the run that goes on where the thread is. */
  #goOn(ref: ThreadRef, loaded: Loaded, of: GoOn): Promise<RunHandle | undefined> {
    const { def, runId, decided, decision, config, key } = of;
    const change = asRequest(() => applySaid(def, loaded.snapshot, of.said, of.merged, config.holds));
    const input = startInput([...of.said, { messages: [], state: of.merged }]);
    const started = draft("start", { input, resumes: true }, { content: "The run goes on." });
    const interrupts = loaded.interrupts.map((row) => decided.find(({ id }) => id === row.id) ?? row);
    return acceptRun(
      this.#deps,
      this.#reader,
      ref,
      { ...loaded, interrupts },
      {
        def,
        runId,
        change,
        source: "patch",
        before: decided.map((row) => decisionEvent(row, "an expiry")),
        events: [started, ...patchEvents(change, loaded.head.step)],
        decide: decided.map(decisionOf),
        decision,
        resumes: true,
        config,
        key,
      },
    );
  }

  /** The outcome of the request that these answers repeat. */
  async #firstOutcome(
    ref: ThreadRef,
    head: ThreadHead,
    standing: readonly Standing[],
  ): Promise<RunHandle | Waiting> {
    const runId = standing.map(({ interrupt }) => interrupt.resumedBy).find((id) => id !== null) ?? null;
    if (runId === null) return this.#reader.waiting(ref, head.runId);
    return this.#reader.again(ref, runId);
  }

  /** The thread's graph as loaded. Throws `graph_changed` where a node that is next is gone. */
  #graphOf(loaded: Loaded, asked: GraphDefinition | undefined): GraphDefinition {
    if (asked !== undefined && asked.name !== loaded.head.graph) throw mismatch(loaded.head, asked);
    const def = asked ?? this.#deps.graphs.get(loaded.head.graph ?? "");
    const gone = goneFrom(def, loaded.snapshot);
    if (gone !== undefined) {
      throw new HoldpointError(
        "graph_changed",
        `the thread waits at "${gone}", which the loaded graph "${def.name}" no longer has; load one that has it, or start a new run`,
        { node: gone },
      );
    }
    return def;
  }
}

/** What a run goes on with. */
interface GoOn {
  readonly def: GraphDefinition;
  readonly runId: string;
  /** Interrupts that are answered by the write that begins it. */
  readonly decided: readonly Interrupt[];
  /** In this order, patches past the reducers. */
  readonly said: readonly Said[];
  /** Through the reducers, as a run's input. */
  readonly merged: Values;
  readonly decision: Answer | null;
  readonly config: CheckedConfig;
  readonly key: ResumeRequest["key"];
}

/** An interrupt with its answer. */
function decide(
  interrupt: Interrupt,
  status: "resolved" | "expired",
  decision: Answer | undefined,
  resumedBy: string | null,
): Interrupt {
  return {
    ...interrupt,
    status,
    decision: decision ?? null,
    decidedAt: decision?.at ?? null,
    resumedBy,
  };
}

const decisionOf = ({ id, status, decision, decidedAt, resumedBy }: Interrupt): Write["decide"][number] => ({
  id,
  status: status === "open" ? "resolved" : status,
  answer: decision,
  resumedBy,
  at: decidedAt ?? isoNow(),
});

/** A node that a task waits at and the graph no longer has, at any depth. */
function goneFrom(def: GraphDefinition, snapshot: Snapshot): string | undefined {
  for (const { def: graph, tasks } of scopesOf(def, snapshot)) {
    for (const { node, inner } of tasks) {
      if (node === START) continue;
      const kind = graph.nodes.get(node)?.kind;
      if (kind === undefined || (inner !== undefined && kind !== "graph")) return node;
    }
  }
  return undefined;
}

const movedOn = (): HoldpointError =>
  new HoldpointError(
    "thread_busy",
    "the thread moved on while this answer was on its way; look at what it asks now",
  );

/** The answer that a resume gives beside its thread, or null where it says nothing. */
function ownAnswer({
  interruptId,
  decision,
  reason,
  data,
  state,
  messages,
}: ResumeRequest): AnswerRequest | null {
  const own = {
    interruptId,
    decision,
    reason,
    data,
    state,
    messages: messages?.length === 0 ? undefined : messages,
  };
  return Object.values(own).every((value) => value === undefined) ? null : own;
}

/** A run's own hold points stay with the position, whatever the answer leads to. */
function withHolds(position: Position, holds: Partial<RunHolds>): Position {
  return { ...position, holds: unionHolds(position.holds, holds) };
}

function startInput(answers: readonly Pick<Answer, "messages" | "state">[]): Record<string, unknown> {
  const messages = answers.flatMap((answer) => answer.messages);
  const fields = Object.assign({}, ...answers.map(({ state }) => state ?? {})) as Record<string, unknown>;
  return { ...fields, ...(messages.length === 0 ? {} : { messages }) };
}
