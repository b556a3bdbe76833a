/** Writes to a thread that no run is on: decisions without a run, cancellations, patches. */
import type { Loaded, ThreadHead, Write } from "../checkpoint/checkpointer.js";
import {
  draft,
  nextNodes,
  type Change,
  type Draft,
  type Interrupt,
  type Position,
  type RunEvent,
} from "../engine/index.js";
import { isoNow } from "./ids.js";
import type { RunServiceDeps } from "./requests.js";
import { messageEvent } from "./run-draft.js";
import { toStored } from "./run-stream.js";
import { threadKey } from "./thread-key.js";

/** A write between runs that starts none; the new seq, or null when the thread moved. */
export async function writeBetween(
  { checkpointer, live, graphs }: Pick<RunServiceDeps, "checkpointer" | "live" | "graphs">,
  loaded: Loaded,
  of: { events: RunEvent[]; head: Write["head"]; decide: Write["decide"]; position?: Position },
): Promise<number | null> {
  const { head } = loaded;
  const ref = { tenant: head.tenant, threadId: head.threadId };
  const seq = head.seq + Math.max(1, of.events.length);
  const written = await checkpointer.write({
    ref,
    guard: { by: "seq", from: head.seq },
    at: isoNow(),
    seq,
    limit: seq,
    runId: null,
    head: of.head,
    ...(of.position === undefined ? {} : { position: of.position }),
    events: of.events.map(toStored),
    messages: [],
    open: [],
    decide: of.decide,
    retext: [],
  });
  if (written.outcome !== "committed") return null;
  live.publish({ key: threadKey(ref), graph: graphs.find(head.graph ?? "") ?? null }, of.events, seq);
  return seq;
}

/** Messages, and `update` where a patch changed fields. */
export function patchEvents(change: Change, step: number): (Draft | ((checkpointId: string) => Draft))[] {
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

/** An interrupt was answered or cancelled. */
export function decisionEvent(interrupt: Interrupt): Draft {
  const { decision } = interrupt;
  const said =
    interrupt.status === "cancelled"
      ? "cancelled by a stop"
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
export const headOf = ({
  graph,
  status,
  step,
  currentNode,
  nextNodes: next,
  interruptReason,
}: ThreadHead): Write["head"] => ({ graph, status, step, currentNode, nextNodes: next, interruptReason });
