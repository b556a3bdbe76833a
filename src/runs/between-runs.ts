/** Writes to a thread that no run is on: decisions without a run, cancellations, patches. */
import type { Checkpointer, Loaded, ThreadHead, Write } from "../checkpoint/checkpointer.js";
import {
  draft,
  nextNodes,
  type Change,
  type Draft,
  type GraphDefinition,
  type Interrupt,
  type Position,
} from "../engine/index.js";
import type { Live } from "../events/index.js";
import { isoNow } from "./ids.js";
import type { GraphRegistry } from "./graph-registry.js";
import { messageEvent } from "./run-draft.js";
import { placeEvents, toStored } from "./run-stream.js";
import { threadKey } from "./thread-key.js";

/** A draft, or what makes it once its checkpoint has an id. */
export type PatchDraft = Draft | ((checkpointId: string) => Draft);

export const withCheckpoint = (drafts: readonly PatchDraft[], checkpointId = ""): Draft[] =>
  drafts.map((draft) => (typeof draft === "function" ? draft(checkpointId) : draft));

export interface BetweenDeps {
  readonly checkpointer: Checkpointer;
  readonly live: Live;
  readonly graphs: GraphRegistry;
}

/** What is written to a thread between runs; what is left out stays as it is. */
export interface Between {
  readonly drafts: readonly Draft[];
  readonly head?: Partial<Write["head"]>;
  readonly position?: Position;
  readonly checkpoint?: Write["checkpoint"];
  readonly messages?: Write["messages"];
  readonly decide?: Write["decide"];
  readonly retext?: Write["retext"];
  readonly drop?: Write["drop"];
  readonly key?: Write["key"] | undefined;
}

/** A write between runs that starts none: the new seq, and the queued runs that it dropped; undefined when the thread moved. */
export async function writeBetween(
  { checkpointer, live, graphs }: BetweenDeps,
  loaded: Loaded,
  of: Between,
  graph: GraphDefinition | null = graphs.find(loaded.head.graph ?? "") ?? null,
): Promise<{ readonly seq: number; readonly dropped: readonly string[] } | undefined> {
  const { head } = loaded;
  const ref = { tenant: head.tenant, threadId: head.threadId };
  const events = placeEvents(of.drafts, head.seq, head.threadId, null);
  // Even a write without events moves the thread on: whoever read it before must read again.
  const seq = head.seq + Math.max(1, events.length);
  const written = await checkpointer.write({
    ref,
    guard: { by: "seq", from: head.seq },
    at: isoNow(),
    seq,
    limit: seq,
    runId: null,
    head: { ...headOf(head), ...of.head },
    ...(of.position === undefined ? {} : { position: of.position }),
    ...(of.checkpoint === undefined ? {} : { checkpoint: of.checkpoint }),
    events: events.map(toStored),
    messages: of.messages ?? [],
    open: [],
    decide: of.decide ?? [],
    retext: of.retext ?? [],
    ...(of.drop === undefined ? {} : { drop: of.drop }),
    ...(of.key === undefined ? {} : { key: of.key }),
  });
  if (written.outcome !== "committed") return undefined;
  live.publish({ key: threadKey(ref), graph, base: head.seq }, events, seq);
  return { seq, dropped: written.dropped };
}

/** Messages, and `update` where a patch changed fields. */
export function patchEvents(change: Change, step: number): PatchDraft[] {
  const messages = change.messages.map(({ message }) => messageEvent(message));
  if (change.ops.length === 0) return messages;
  const changed = change.ops.map(([, field]) => field);
  const next = nextNodes(change.snapshot);
  return [
    ...messages,
    (checkpointId) =>
      draft(
        "update",
        { step, checkpointId, changed, nextNodes: next },
        { content: "The state was patched." },
      ),
  ];
}

/** An interrupt was answered, expired or was cancelled. */
export function decisionEvent(interrupt: Interrupt, cancelledBy = "a stop"): Draft {
  const { decision } = interrupt;
  const said =
    interrupt.status === "cancelled"
      ? `cancelled by ${cancelledBy}`
      : decision === null
        ? interrupt.status
        : `${decision.decision ?? "go on"}, by ${decision.by}`;
  return draft(
    "decision",
    { interrupt, decision },
    { nodeName: interrupt.node, path: interrupt.path, content: said },
  );
}

/** The head as it is, for a write that leaves it. */
const headOf = ({
  graph,
  status,
  step,
  currentNode,
  nextNodes: next,
  interruptReason,
}: ThreadHead): Write["head"] => ({ graph, status, step, currentNode, nextNodes: next, interruptReason });
