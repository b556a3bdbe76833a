import type { Loaded, RunRecord, ThreadRef, Write } from "../checkpoint/checkpointer.js";
import { invalid } from "../errors.js";
import {
  nextNodes,
  UpdateFault,
  type Answer,
  type Change,
  type Draft,
  type GraphDefinition,
} from "../engine/index.js";
import { isoNow } from "./ids.js";
import type { CheckedConfig } from "./request-input.js";
import type { RunHandle, RunServiceDeps } from "./requests.js";
import { checkpointOf } from "./run-draft.js";
import type { RunReader } from "./run-reader.js";
import { BLOCK, placeEvents, toStored } from "./run-stream.js";
import { threadKey } from "./thread-key.js";

/** A run that is about to begin, and what begins it. */
export interface Beginning {
  readonly def: GraphDefinition;
  readonly runId: string;
  readonly change: Change;
  readonly source: "input" | "patch";
  /** Events before the run's `start`. */
  readonly before: readonly Draft[];
  /** From `start` on; a function gets the id of the checkpoint. */
  readonly events: readonly (Draft | ((checkpointId: string) => Draft))[];
  readonly decide: Write["decide"];
  readonly decision: Answer | null;
  readonly resumes: boolean;
  readonly config: CheckedConfig;
}

/** The one write that accepts a run and claims it; undefined when the thread moved meanwhile. */
export async function acceptRun(
  deps: RunServiceDeps,
  reader: RunReader,
  ref: ThreadRef,
  loaded: Loaded | { head: null; seq: number },
  of: Beginning,
): Promise<RunHandle | undefined> {
  const { checkpointer, live, worker } = deps;
  const head = loaded.head;
  const from = loaded.head?.seq ?? ("seq" in loaded ? loaded.seq : 0);
  const since = loaded.head === null ? { bytes: 0, size: 0 } : loaded.sinceValues;
  const { change, runId } = of;
  const changed =
    change.ops.length > 0 || change.messages.length > 0 || head?.checkpointId === null || head === null;
  const checkpoint =
    of.source === "input" || changed
      ? checkpointOf(of.source, change.ops, change.snapshot.values, since)
      : undefined;
  const drafts = [
    ...of.before,
    ...of.events.map((event) => (typeof event === "function" ? event(checkpoint?.id ?? "") : event)),
  ];
  const events = placeEvents(drafts, from, ref.threadId, runId);
  const seq = from + events.length;
  const limit = seq + BLOCK;
  const at = isoNow();
  const next = nextNodes(change.snapshot);
  const step = change.snapshot.step;
  const run: RunRecord = {
    runId,
    threadId: ref.threadId,
    graph: of.def.name,
    status: "running",
    resumes: of.resumes,
    recursionLimit: of.config.recursionLimit,
    metadata: of.config.metadata,
    decision: of.decision,
    firstSeq: from + of.before.length + 1,
    lastSeq: null,
    firstStep: step,
    lostCount: 0,
    outcome: null,
    stop: null,
    createdAt: at,
    startedAt: at,
    endedAt: null,
  };
  const control = worker.open(ref, runId);
  const abort = (): void => {
    worker.registry.close(control);
    control.end(null);
  };
  let written;
  try {
    written = await checkpointer.write({
      ref,
      guard: { by: "seq", from },
      at,
      seq,
      limit,
      runId,
      ...(head === null ? { create: { metadata: {} } } : {}),
      head: {
        graph: of.def.name,
        status: "running",
        step,
        currentNode: next[0] ?? null,
        nextNodes: next,
        interruptReason: null,
      },
      position: change.snapshot.position,
      ...(checkpoint === undefined ? {} : { checkpoint }),
      start: { ...run, worker: worker.info.id },
      events: events.map(toStored),
      messages: change.messages,
      open: [],
      decide: of.decide,
      retext: [],
    });
  } catch (error) {
    abort();
    throw error;
  }
  if (written.outcome !== "committed") {
    abort();
    return undefined;
  }
  live.publish({ key: threadKey(ref), graph: of.def }, events, seq);
  worker.execute(
    {
      ref,
      run,
      epoch: written.epoch,
      loaded: {
        snapshot: change.snapshot,
        interrupts: loaded.head === null ? [] : loaded.interrupts,
        sinceValues: checkpoint?.sinceValues ?? since,
        seq,
        limit,
      },
      messages: change.messages.map(({ message }) => message),
      crashedAt: null,
    },
    of.def,
    control,
    loaded.head === null ? [] : loaded.records,
  );
  return reader.handle(ref, runId, from, control);
}

/** What a reducer refuses of a request is the request's fault. */
export function asRequest<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof UpdateFault) throw invalid([{ path: "input", message: error.message }]);
    throw error;
  }
}
