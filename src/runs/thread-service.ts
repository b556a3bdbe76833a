/** Threads as things to make, look at, patch and delete. */
import type {
  CheckpointRecord,
  Checkpointer,
  Page,
  PageRequest,
  RunRecord,
  ThreadHead,
  ThreadRef,
} from "../checkpoint/checkpointer.js";
import { invalid, notFound } from "../errors.js";
import {
  eachTask,
  emptySnapshot,
  executionMeta,
  MOVES,
  opsBetween,
  patchThread,
  placeOf,
  type ExecutionMeta,
  type GraphDefinition,
  type Interrupt,
  type Message,
  type RunResult,
  type Snapshot,
  type ThreadStatus,
  type Values,
} from "../engine/index.js";
import type { Live } from "../events/index.js";
import { forkThread, noCheckpoint, type ForkRequest } from "./fork-thread.js";
import type { GraphRegistry } from "./graph-registry.js";
import { errorText } from "../lib/show.js";
import { judgeHold } from "./judge-hold.js";
import { asOpened, publicState, resultOf } from "./hydrate.js";
import { isoNow, newId } from "./ids.js";
import { checkInput, checkMetadata, type InputRequest } from "./request-input.js";
import { checkpointOf } from "./run-draft.js";
import { patchEvents, withCheckpoint, writeBetween, type Between } from "./between-runs.js";
import { busy, mismatch, noThread, threadExists } from "./refusals.js";
import type { RunReader } from "./run-reader.js";
import { withOutcomes } from "./task-records.js";
import { threadKey } from "./thread-key.js";
import { untilSettled } from "./until-settled.js";

/** A thread with what it waits for. */
export interface ThreadView {
  readonly head: ThreadHead;
  readonly interrupts: readonly Interrupt[];
}

/** A thread's state, now or at a checkpoint. */
export interface StateView {
  readonly threadId: string;
  readonly checkpointId: string | null;
  readonly status: ThreadStatus;
  readonly state: Values;
  readonly messages: readonly Message[];
  readonly executionMeta: ExecutionMeta;
  readonly nextNodes: readonly string[];
  readonly pending: readonly string[];
  readonly interrupts: readonly Interrupt[];
  readonly seq: number;
}

export interface RunView {
  readonly run: RunRecord;
  readonly result: RunResult;
}

export interface ThreadServiceDeps {
  readonly checkpointer: Checkpointer;
  readonly graphs: GraphRegistry;
  readonly live: Live;
  readonly reader: RunReader;
}

export class ThreadService {
  readonly #deps: ThreadServiceDeps;

  constructor(deps: ThreadServiceDeps) {
    this.#deps = deps;
  }

  /** Throws `thread_exists`, `not_found` for an unknown graph. */
  async create(
    tenant: string,
    of: {
      threadId?: string | undefined;
      graph?: string | undefined;
      metadata?: Record<string, unknown> | undefined;
    },
  ): Promise<ThreadView> {
    const ref = { tenant, threadId: of.threadId ?? newId() };
    if (of.graph !== undefined) this.#deps.graphs.get(of.graph);
    const metadata = checkMetadata(of.metadata, "metadata");
    const loaded = await this.#deps.checkpointer.load(ref);
    const written =
      loaded.head !== null
        ? null
        : await this.#deps.checkpointer.write({
            ref,
            guard: { by: "seq", from: loaded.seq },
            at: isoNow(),
            seq: loaded.seq,
            limit: loaded.seq,
            runId: null,
            create: { metadata },
            head: {
              graph: of.graph ?? null,
              status: "idle",
              step: 0,
              currentNode: null,
              nextNodes: [],
              interruptReason: null,
            },
            events: [],
            messages: [],
            open: [],
            decide: [],
            retext: [],
          });
    if (written?.outcome !== "committed") throw threadExists(ref.threadId);
    return this.get(ref);
  }

  /** A new thread, where this one was at a checkpoint; it runs nothing. Throws `not_found`, `thread_exists`. */
  async fork(ref: ThreadRef, of: ForkRequest): Promise<ThreadView> {
    const { checkpointer, graphs } = this.#deps;
    return this.get(await forkThread(checkpointer, ref, of, (name) => graphs.find(name)));
  }

  async get(ref: ThreadRef): Promise<ThreadView> {
    const head = await this.#head(ref);
    return { head, interrupts: await this.#deps.reader.openInterrupts(head) };
  }

  async list(
    tenant: string,
    filter: { statuses: readonly ThreadStatus[] | null; graph: string | null },
    page: PageRequest,
  ): Promise<Page<ThreadView>> {
    const found = await this.#deps.checkpointer.threads(tenant, filter, page);
    const items = await Promise.all(
      found.items.map(async (head) => ({ head, interrupts: await this.#deps.reader.openInterrupts(head) })),
    );
    return { items, next: found.next };
  }

  /** Throws `thread_busy` while a run is active. */
  async remove(ref: ThreadRef): Promise<void> {
    const outcome = await this.#deps.checkpointer.remove(ref);
    if (outcome === "missing") throw noThread(ref);
    if (outcome === "busy") throw await busy(this.#deps.checkpointer, await this.#head(ref));
    this.#deps.live.end(threadKey(ref));
  }

  async state(ref: ThreadRef, checkpointId?: string): Promise<StateView> {
    const loaded = await this.#deps.checkpointer.load(ref);
    if (loaded.head === null) throw noThread(ref);
    const { head } = loaded;
    if (checkpointId === undefined) {
      const interrupts = loaded.interrupts.filter(({ status }) => status === "open");
      // What has settled in a running step is kept, and in no state yet.
      const snapshot = withOutcomes(this.#withDefaults(head, loaded.snapshot), loaded.records);
      return view(ref, head.checkpointId, head.status, snapshot, { interrupts, ...head });
    }
    const found = await this.#deps.checkpointer.loadAt(ref, { id: checkpointId });
    if (found === null) throw noCheckpoint(checkpointId);
    const { record, snapshot } = found;
    const interrupts = (await this.#deps.checkpointer.openedAt(ref, record.seq)).map(asOpened);
    const currentNode = interrupts[0]?.node ?? record.nextNodes[0] ?? null;
    return view(ref, record.checkpointId, record.status, snapshot, { currentNode, interrupts, ...record });
  }

  /** Patches fields past their reducers and adds messages. Throws `thread_busy`, and 422 for what the state refuses. */
  patch(ref: ThreadRef, input: InputRequest, graph?: GraphDefinition): Promise<StateView> {
    return untilSettled(async () => {
      const loaded = await this.#deps.checkpointer.load(ref);
      if (loaded.head === null) throw noThread(ref);
      const { head } = loaded;
      if (!MOVES[head.status].edit) throw await busy(this.#deps.checkpointer, head);
      const def = this.#deps.graphs.choose(graph, head.graph);
      if (head.graph !== null && head.graph !== def.name) throw mismatch(head, def);
      const from = this.#withDefaults(head, loaded.snapshot);
      const { messages, fields } = checkInput(def, from.messages, input, "state", "patch");
      const { snapshot, messages: placed } = patchThread(def, from, fields, messages);
      // A thread that never ran gets its defaults with its first patch.
      const ops = opsBetween(loaded.snapshot.values, snapshot.values);
      const checkpoint = checkpointOf("patch", ops, snapshot.values, loaded.sinceValues);
      const events = patchEvents({ snapshot, ops, messages: placed }, head.step);
      const between: Between = {
        drafts: withCheckpoint(events, checkpoint.id),
        head: { graph: head.graph ?? def.name },
        position: snapshot.position,
        checkpoint,
        messages: placed,
        retext: await this.#retext(def, snapshot, loaded.interrupts),
      };
      const written = await writeBetween(this.#deps, loaded, between, def);
      return written === undefined ? undefined : this.state(ref);
    });
  }

  async messages(ref: ThreadRef, page: PageRequest): Promise<Page<Message>> {
    await this.#head(ref);
    return this.#deps.checkpointer.messages(ref, page);
  }

  async runs(ref: ThreadRef, page: PageRequest): Promise<Page<RunView>> {
    await this.#head(ref);
    const found = await this.#deps.checkpointer.runs(ref, page);
    return { items: await Promise.all(found.items.map((run) => this.#run(ref, run))), next: found.next };
  }

  async run(ref: ThreadRef, runId: string): Promise<RunView> {
    await this.#head(ref);
    const run = await this.#deps.checkpointer.run(ref, runId);
    if (run === null) throw notFound(`the thread has no run ${JSON.stringify(runId)}`);
    return this.#run(ref, run);
  }

  async checkpoints(ref: ThreadRef, page: PageRequest): Promise<Page<CheckpointRecord>> {
    await this.#head(ref);
    return this.#deps.checkpointer.checkpoints(ref, page);
  }

  async interrupt(tenant: string, id: string): Promise<Interrupt> {
    const interrupt = await this.#deps.checkpointer.interrupt(tenant, id);
    if (interrupt === null) throw notFound(`there is no interrupt ${JSON.stringify(id)}`);
    return interrupt;
  }

  interrupts(
    tenant: string,
    filter: { status: Interrupt["status"]; graph: string | null },
    page: PageRequest,
  ): Promise<Page<Interrupt>> {
    return this.#deps.checkpointer.interrupts(tenant, { ...filter, threadId: null }, page);
  }

  /** What open hold points say after a patch: nobody approves words that are no longer true. */
  async #retext(
    def: GraphDefinition,
    snapshot: Snapshot,
    rows: readonly Interrupt[],
  ): Promise<{ id: string; message: string; data: Interrupt["data"] }[]> {
    const open = rows.filter(
      ({ status, kind }) => status === "open" && (kind === "before" || kind === "after"),
    );
    const texts = open.map(async ({ id, taskId }) => {
      const place = placeOf(def, snapshot, taskId);
      if (place === null) return [];
      try {
        const ask = await judgeHold(place, snapshot);
        return ask === null ? [] : [{ id, message: ask.message, data: ask.data }];
      } catch (error) {
        throw invalid([
          {
            path: "state",
            message: `the hold point at ${place.task.node} cannot say what it asks with this state: ${errorText(error)}`,
          },
        ]);
      }
    });
    return (await Promise.all(texts)).flat();
  }

  /** A thread that never ran has its graph's defaults. */
  #withDefaults(head: ThreadHead, snapshot: Snapshot): Snapshot {
    if (head.checkpointId !== null) return snapshot;
    const def = head.graph === null ? undefined : this.#deps.graphs.find(head.graph);
    return def === undefined ? snapshot : emptySnapshot(def);
  }

  async #run(ref: ThreadRef, run: RunRecord): Promise<RunView> {
    return { run, result: await resultOf(this.#deps.checkpointer, ref, run) };
  }

  async #head(ref: ThreadRef): Promise<ThreadHead> {
    const head = await this.#deps.checkpointer.thread(ref);
    if (head === null) throw noThread(ref);
    return head;
  }
}

function view(
  ref: ThreadRef,
  checkpointId: string | null,
  status: ThreadStatus,
  snapshot: Snapshot,
  of: {
    currentNode: string | null;
    nextNodes: readonly string[];
    interrupts: readonly Interrupt[];
    seq: number;
  },
): StateView {
  const first = of.interrupts[0];
  return {
    threadId: ref.threadId,
    checkpointId,
    status,
    state: publicState(snapshot.values),
    messages: snapshot.messages,
    executionMeta: executionMeta({
      status,
      currentNode: of.currentNode,
      step: snapshot.step,
      interruptedNode: first?.node ?? null,
      interruptReason: first?.reason ?? null,
      interruptData: first?.data ?? null,
    }),
    nextNodes: of.nextNodes,
    pending: [...eachTask(snapshot.position.tasks)].flatMap(({ stage, node }) =>
      stage === "done" ? [node] : [],
    ),
    interrupts: of.interrupts,
    seq: of.seq,
  };
}
