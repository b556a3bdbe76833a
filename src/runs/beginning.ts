/** The write that begins a run, whether it was just accepted or has waited, and the job that goes on from it. */
import type {
  CheckpointWrite,
  Loaded,
  RequestKey,
  RunRecord,
  SinceValues,
  ThreadRef,
  Write,
} from "../checkpoint/checkpointer.js";
import {
  nextNodes,
  type Answer,
  type Change,
  type Draft,
  type GraphDefinition,
  type RunEvent,
  type Snapshot,
} from "../engine/index.js";
import { withCheckpoint, type PatchDraft } from "./between-runs.js";
import { isoNow } from "./ids.js";
import type { CheckedConfig } from "./request-input.js";
import { checkpointOf } from "./run-draft.js";
import type { RunJob } from "./run-job.js";
import { BLOCK, placeEvents, toStored } from "./run-stream.js";

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
  /** Of the request that begins it. */
  readonly key?: RequestKey | undefined;
}

/** What begins a run, once it is written. */
export interface Begun {
  readonly write: Write;
  readonly events: readonly RunEvent[];
  readonly job: (epoch: number) => RunJob;
}

/** `worker` null leaves the run for anybody to claim. */
export function beginning(
  ref: ThreadRef,
  loaded: Loaded | NoThread,
  of: Beginning,
  worker: string | null,
): Begun {
  const { def, runId, change } = of;
  const before = loaded.head === null ? { seq: loaded.seq, ...NOTHING } : { seq: loaded.head.seq, ...loaded };
  const checkpoint = checkpointFor(loaded, of, before.sinceValues);
  const drafts = [...of.before, ...withCheckpoint(of.events, checkpoint?.id)];
  const events = placeEvents(drafts, before.seq, ref.threadId, runId);
  const seq = before.seq + events.length;
  const limit = seq + BLOCK;
  const run = newRun(ref, of, before.seq);
  const { interrupts } = before;
  const sinceValues = checkpoint?.sinceValues ?? before.sinceValues;
  return {
    events,
    write: {
      ref,
      guard: { by: "seq", from: before.seq },
      at: run.startedAt ?? run.createdAt,
      seq,
      limit,
      runId,
      ...(loaded.head === null ? { create: { metadata: {} } } : {}),
      head: headAt(def, change.snapshot),
      position: change.snapshot.position,
      ...(checkpoint === undefined ? {} : { checkpoint }),
      start: { worker, ...run },
      events: events.map(toStored),
      messages: change.messages,
      open: [],
      decide: of.decide,
      retext: [],
      ...(of.key === undefined ? {} : { key: of.key }),
    },
    job: (epoch) => ({
      ref,
      run,
      epoch,
      loaded: { snapshot: change.snapshot, interrupts, sinceValues, seq, limit },
      messages: change.messages.map(({ message }) => message),
      crashedAt: null,
    }),
  };
}

export interface NoThread {
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
    request: null,
    createdAt: at,
    startedAt: at,
    endedAt: null,
  };
}
