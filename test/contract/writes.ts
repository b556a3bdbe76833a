/**
 * Builders of `Write` values, as the services make them. A test names what it is about; the rest is a plain thread of a
 * graph with one node, WORK, that is visited again and again.
 */
import type {
  CheckpointWrite,
  InterruptDecision,
  InterruptText,
  RunStart,
  StopMode,
  ThreadHead,
  ThreadRef,
  Write,
} from "../../src/checkpoint/checkpointer.js";
import {
  NO_HOLDS,
  type Answer,
  type FinalStatus,
  type Interrupt,
  type Outcome,
  type PlacedMessage,
  type Position,
} from "../../src/engine/index.js";
import type { JsonObject } from "../../src/lib/json.js";
import { newId } from "../../src/runs/ids.js";
import {
  checkpointOf,
  eventsFrom,
  interruptOf,
  outcomeOf,
  positionAt,
  tick,
  waitingTasks,
  type EventOf,
  type InterruptOf,
  type Run,
} from "./parts.js";

export * from "./parts.js";

/** How many numbers for live events a write of a run reserves. */
const BLOCK = 16;

/** Owns the runs of tests that are not about workers. */
export const WORKER = `worker-${newId()}`;

const nothing = { events: [], messages: [], open: [], decide: [], retext: [] };

/** Makes a thread without a run. It says nothing, so the thread's seq stays. */
export function createThread(
  ref: ThreadRef,
  of: { from?: number; metadata?: JsonObject; graph?: string | null; at?: string } = {},
): Write {
  const from = of.from ?? 0;
  return {
    ...nothing,
    ref,
    guard: { by: "seq", from },
    at: of.at ?? tick(),
    seq: from,
    limit: from,
    runId: null,
    create: { metadata: of.metadata ?? {} },
    head: {
      graph: of.graph ?? null,
      status: "idle",
      step: 0,
      currentNode: null,
      nextNodes: [],
      interruptReason: null,
    },
  };
}

export interface StartOf extends Partial<Omit<RunStart, "firstSeq" | "firstStep">> {
  readonly at?: string;
  readonly checkpoint?: CheckpointWrite;
  readonly position?: Position;
  readonly messages?: readonly PlacedMessage[];
  readonly decide?: readonly Answer[];
  /** Of the thread, where the start makes it. */
  readonly threadMetadata?: JsonObject;
}

/** Begins a run at `from`, and makes the thread where `head` is null. Answers go with it, each with its event before `start`. */
export function startRun(ref: ThreadRef, from: number, head: ThreadHead | null, of: StartOf = {}): Write {
  const { decide = [], messages = [], resumes = decide.length > 0 } = of;
  const runId = of.runId ?? newId();
  const graph = of.graph ?? head?.graph ?? "contract";
  const step = head?.step ?? 0;
  const events = eventsFrom(from, [
    ...decide.map(decisionEvent),
    { eventType: "start", data: { input: {}, resumes } },
  ]);
  const seq = from + events.length;
  return {
    ...nothing,
    ref,
    guard: { by: "seq", from },
    at: of.at ?? tick(),
    seq,
    limit: seq + BLOCK,
    runId,
    ...(head === null ? { create: { metadata: of.threadMetadata ?? {} } } : {}),
    head: { ...working(graph), step },
    position: of.position ?? positionAt(runId, step),
    checkpoint: of.checkpoint ?? checkpointOf({ source: resumes ? "patch" : "input" }),
    start: {
      runId,
      graph,
      resumes,
      recursionLimit: of.recursionLimit ?? 25,
      metadata: of.metadata ?? {},
      decision: of.decision ?? decide.at(-1) ?? null,
      firstSeq: from + decide.length + 1,
      firstStep: step,
      worker: of.worker ?? WORKER,
    },
    events,
    messages,
    decide: decide.map((answer) => resolution(answer, runId)),
  };
}

export interface StepOf {
  readonly at?: string;
  /** null = the step's write has none. */
  readonly checkpoint?: Partial<CheckpointWrite> | null;
  readonly position?: Position | null;
  readonly messages?: readonly PlacedMessage[];
  readonly events?: readonly EventOf[];
}

/** One step more; the run goes on. */
export function commitStep(run: Run, of: StepOf = {}): Write {
  const step = run.step + 1;
  const events = eventsFrom(run.seq, of.events ?? [{ eventType: "update", data: { step } }]);
  const seq = run.seq + Math.max(1, events.length);
  const position = of.position === undefined ? positionAt(run.runId, step) : of.position;
  return {
    ...nothing,
    ...ofRun(run, of.at),
    seq,
    limit: seq + BLOCK,
    head: { ...working(run.graph), step },
    ...(position === null ? {} : { position }),
    ...(of.checkpoint === null ? {} : { checkpoint: checkpointOf(of.checkpoint) }),
    events,
    messages: of.messages ?? [],
  };
}

/** Ends the run with open interrupts. */
export function pauseRun(run: Run, asked: readonly InterruptOf[] = [{}], of: StepOf = {}): Write {
  const ended = endRun(run, "interrupted_before", {
    position: null,
    events: [{ eventType: "interrupted" }],
    ...of,
  });
  const open = asked.map((each) => interruptOf(run, ended.seq, each));
  const reason = open[0]?.reason ?? null;
  const outcome = outcomeOf("interrupted_before", { interrupted: true, interruptReason: reason });
  return {
    ...ended,
    head: {
      ...ended.head,
      currentNode: open[0]?.node ?? null,
      nextNodes: [...new Set(open.map(({ node }) => node))],
      interruptReason: reason,
    },
    position: of.position ?? { tasks: waitingTasks(open), holds: NO_HOLDS },
    end: { ...outcome, step: ended.head.step, currentNode: open[0]?.node ?? null },
    open,
  };
}

/** The last write of a run; its step stays. */
export function endRun(
  run: Run,
  status: FinalStatus = "completed",
  of: StepOf & { readonly end?: Outcome } = {},
): Write {
  const left =
    status === "completed" ? { tasks: [], holds: NO_HOLDS } : positionAt(run.runId, run.step, "WORK");
  const position = of.position === undefined ? left : of.position;
  const nextNodes = position?.tasks.map(({ node }) => node) ?? [];
  const step = commitStep(run, { events: [{ eventType: "end" }], checkpoint: null, ...of, position });
  return {
    ...step,
    limit: step.seq,
    head: {
      graph: run.graph,
      status,
      step: run.step,
      currentNode: nextNodes[0] ?? null,
      nextNodes,
      interruptReason: null,
    },
    end: of.end ?? outcomeOf(status, { step: run.step, nextNodes }),
  };
}

/** The same write by a run that has seen such a stop. */
export function seeing(write: Write, seesStop: StopMode): Write {
  return write.guard.by === "run" ? { ...write, guard: { ...write.guard, seesStop } } : write;
}

/** Answers interrupts while others are missing: no run starts. */
export function decide(head: ThreadHead, answers: readonly Answer[]): Write {
  return {
    ...between(head, answers.map(decisionEvent)),
    decide: answers.map((answer) => resolution(answer, null)),
  };
}

/** Cancels interrupts, as a stop of a paused thread does. */
export function cancel(head: ThreadHead, interrupts: readonly Interrupt[]): Write {
  const write = between(
    head,
    interrupts.map(({ id }) => ({ eventType: "decision", data: { interruptId: id } })),
  );
  return {
    ...write,
    head: { ...write.head, status: "stopped", interruptReason: null },
    decide: interrupts.map(({ id }) => ({
      id,
      status: "cancelled",
      answer: null,
      resumedBy: null,
      at: write.at,
    })),
  };
}

/** Changes a thread's state between runs. */
export function patchThread(
  head: ThreadHead,
  of: {
    checkpoint?: CheckpointWrite;
    messages?: readonly PlacedMessage[];
    retext?: readonly InterruptText[];
  } = {},
): Write {
  return {
    ...between(head, [{ eventType: "update" }]),
    checkpoint: of.checkpoint ?? checkpointOf({ source: "patch" }),
    messages: of.messages ?? [],
    retext: of.retext ?? [],
  };
}

const decisionEvent = (answer: Answer): EventOf => ({
  eventType: "decision",
  data: { interruptId: answer.interruptId },
});

const resolution = (answer: Answer, resumedBy: string | null): InterruptDecision => ({
  id: answer.interruptId,
  status: "resolved",
  answer,
  resumedBy,
  at: answer.at,
});

const working = (graph: string): Omit<Write["head"], "step"> => ({
  graph,
  status: "running",
  currentNode: "WORK",
  nextNodes: ["WORK"],
  interruptReason: null,
});

const ofRun = (run: Run, at = tick()): Pick<Write, "ref" | "guard" | "at" | "runId"> => ({
  ref: run.ref,
  guard: { by: "run", from: run.seq, epoch: run.epoch, runId: run.runId, seesStop: null },
  at,
  runId: run.runId,
});

function between(head: ThreadHead, drafts: readonly EventOf[]): Write {
  const { tenant, threadId, graph, status, step, currentNode, nextNodes, interruptReason } = head;
  const events = eventsFrom(head.seq, drafts);
  const seq = head.seq + Math.max(1, events.length);
  return {
    ...nothing,
    ref: { tenant, threadId },
    guard: { by: "seq", from: head.seq },
    at: tick(),
    seq,
    limit: seq,
    runId: null,
    head: { graph, status, step, currentNode, nextNodes, interruptReason },
    events,
  };
}
