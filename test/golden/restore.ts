/** Puts a thread into a checkpointer as a recording says that it stood. */
import type { Checkpointer, ThreadRef, Write } from "../../src/checkpoint/checkpointer.js";
import { opsBetween } from "../../src/engine/index.js";
import type { Stored } from "./record.js";

const WORKER = "recorded";
const NOTHING = { events: [], messages: [], open: [], decide: [], retext: [] };

/** Begins the run that led there, and ends it as it ended; what was answered meanwhile is answered. */
export async function restore(checkpointer: Checkpointer, ref: ThreadRef, stored: Stored): Promise<void> {
  const { head, run, snapshot, interrupts, records } = stored;
  if (head === null || run?.outcome == null) throw new Error("a recorded thread has a run that has ended");
  const { graph, status, step, currentNode, nextNodes, interruptReason } = head;
  const { runId, resumes, recursionLimit, metadata, decision, firstStep, createdAt: at } = run;
  await checkpointer.beat({ id: WORKER, leaseMs: 3_600_000 });
  const begun = await commit(checkpointer, {
    ...NOTHING,
    ref,
    guard: { by: "seq", from: 0 },
    at,
    seq: 1,
    limit: 1,
    runId,
    create: { metadata: head.metadata },
    head: {
      graph,
      status: "running",
      step: firstStep,
      currentNode: null,
      nextNodes: [],
      interruptReason: null,
    },
    start: {
      runId,
      graph: run.graph,
      resumes,
      recursionLimit,
      metadata,
      decision,
      firstSeq: 1,
      firstStep,
      worker: WORKER,
    },
  });
  for (const record of records) await checkpointer.record(ref, begun, record);
  await commit(checkpointer, {
    ...NOTHING,
    ref,
    guard: { by: "run", from: 1, epoch: begun, runId, seesStop: "now" },
    at,
    seq: 2,
    limit: 2,
    runId,
    head: { graph, status, step, currentNode, nextNodes, interruptReason },
    position: snapshot.position,
    checkpoint: {
      id: head.checkpointId ?? runId,
      source: "step",
      path: [],
      ops: opsBetween({}, snapshot.values),
      values: snapshot.values,
      sinceValues: { bytes: 0, size: JSON.stringify(snapshot.values).length },
    },
    end: run.outcome,
    messages: snapshot.messages.map((message, pos) => ({ pos, message })),
    open: interrupts.map((row) => ({
      ...row,
      status: "open",
      // Older recordings do not have it.
      expiresAt: (row as Partial<typeof row>).expiresAt ?? null,
      decision: null,
      decidedAt: null,
      resumedBy: null,
      seq: 2,
    })),
  });
  const decided = interrupts.filter((row) => row.status !== "open");
  if (decided.length === 0) return;
  await commit(checkpointer, {
    ...NOTHING,
    ref,
    guard: { by: "seq", from: 2 },
    at,
    seq: 3,
    limit: 3,
    runId,
    head: { graph, status, step, currentNode, nextNodes, interruptReason },
    decide: decided.map(({ id, status: was, decision: answer, resumedBy, decidedAt }) => ({
      id,
      status: was === "open" ? "resolved" : was,
      answer,
      resumedBy,
      at: decidedAt ?? at,
    })),
  });
}

async function commit(checkpointer: Checkpointer, write: Write): Promise<number> {
  const written = await checkpointer.write(write);
  if (written.outcome !== "committed") throw new Error(`a recorded thread was not taken: ${written.outcome}`);
  return written.epoch;
}
