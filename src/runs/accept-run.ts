import type {
  CheckpointWrite,
  Loaded,
  RunRecord,
  SinceValues,
  ThreadRef,
  Write,
  Written,
} from "../checkpoint/checkpointer.js";
import { invalid } from "../errors.js";
import {
  nextNodes,
  UpdateFault,
  type Answer,
  type Change,
  type Draft,
  type GraphDefinition,
  type Snapshot,
} from "../engine/index.js";
import { withCheckpoint, type PatchDraft } from "./between-runs.js";
import { isoNow } from "./ids.js";
import type { CheckedConfig } from "./request-input.js";
import type { RunHandle, RunServiceDeps } from "./requests.js";
import type { RunControl } from "./run-control.js";
import { checkpointOf } from "./run-draft.js";
import type { RunJob } from "./run-job.js";
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
  /** From `start` on. */
  readonly events: readonly PatchDraft[];
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
  loaded: Loaded | NoThread,
  of: Beginning,
): Promise<RunHandle | undefined> {
  const { checkpointer, live, worker } = deps;
  const { def, runId, change } = of;
  const before = loaded.head === null ? { ...NOTHING, seq: loaded.seq } : { ...loaded, seq: loaded.head.seq };
  const checkpoint = checkpointFor(loaded, of, before.sinceValues);
  const drafts = [...of.before, ...withCheckpoint(of.events, checkpoint?.id)];
  const events = placeEvents(drafts, before.seq, ref.threadId, runId);
  const seq = before.seq + events.length;
  const limit = seq + BLOCK;
  const run = newRun(ref, of, before.seq);
  const control = worker.open(ref, runId);
  const written = await writeFor(worker, control, () =>
    checkpointer.write({
      ref,
      guard: { by: "seq", from: before.seq },
      at: run.createdAt,
      seq,
      limit,
      runId,
      ...(loaded.head === null ? { create: { metadata: {} } } : {}),
      head: headAt(def, change.snapshot),
      position: change.snapshot.position,
      ...(checkpoint === undefined ? {} : { checkpoint }),
      start: { ...run, worker: worker.info.id },
      events: events.map(toStored),
      messages: change.messages,
      open: [],
      decide: of.decide,
      retext: [],
    }),
  );
  if (written === null) return undefined;
  live.publish({ key: threadKey(ref), graph: def, base: before.seq }, events, seq);
  const { interrupts, records } = before;
  const sinceValues = checkpoint?.sinceValues ?? before.sinceValues;
  const job: RunJob = {
    ref,
    run,
    epoch: written.epoch,
    loaded: { snapshot: change.snapshot, interrupts, sinceValues, seq, limit },
    messages: change.messages.map(({ message }) => message),
    crashedAt: null,
  };
  worker.execute(job, def, control, records);
  return reader.handle(ref, runId, before.seq, control);
}

interface NoThread {
  readonly head: null;
  readonly seq: number;
}

/** What there is of a thread that is made by its first run. */
const NOTHING: Pick<Loaded, "interrupts" | "records" | "sinceValues"> = {
  interrupts: [],
  records: [],
  sinceValues: { bytes: 0, size: 0 },
};

/** A fresh run begins at a checkpoint; one that goes on has its thread's, unless its answer changed something. */
function checkpointFor(
  { head }: Loaded | NoThread,
  { source, change: { ops, messages, snapshot } }: Beginning,
  since: SinceValues,
): CheckpointWrite | undefined {
  const first = head === null || head.checkpointId === null;
  const changed = ops.length > 0 || messages.length > 0;
  if (source !== "input" && !first && !changed) return undefined;
  return checkpointOf(source, ops, snapshot.values, since);
}

/** Its control ends where the write does not go through; null when the thread moved. */
async function writeFor(
  worker: RunServiceDeps["worker"],
  control: RunControl,
  write: () => Promise<Written>,
): Promise<(Written & { outcome: "committed" }) | null> {
  let written: Written | null = null;
  try {
    written = await write();
    return written.outcome === "committed" ? written : null;
  } finally {
    if (written?.outcome !== "committed") {
      worker.registry.close(control);
      control.end(null);
    }
  }
}

function headAt(def: GraphDefinition, snapshot: Snapshot): Write["head"] {
  const next = nextNodes(snapshot);
  return {
    graph: def.name,
    status: "running",
    step: snapshot.step,
    currentNode: next[0] ?? null,
    nextNodes: next,
    interruptReason: null,
  };
}

/** A run that begins above `seq`. */
function newRun(ref: ThreadRef, of: Beginning, seq: number): RunRecord {
  const at = isoNow();
  return {
    runId: of.runId,
    threadId: ref.threadId,
    graph: of.def.name,
    status: "running",
    resumes: of.resumes,
    recursionLimit: of.config.recursionLimit,
    metadata: of.config.metadata,
    decision: of.decision,
    firstSeq: seq + of.before.length + 1,
    lastSeq: null,
    firstStep: of.change.snapshot.step,
    lostCount: 0,
    outcome: null,
    stop: null,
    createdAt: at,
    startedAt: at,
    endedAt: null,
  };
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
