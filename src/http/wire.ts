/** From the words of the library (camelCase) to those of the wire (snake_case). User data passes as it is. */
import type { z } from "zod";
import {
  MOVES,
  OFFERED,
  type Answer,
  type GraphDefinition,
  type Interrupt,
  type RunEvent,
  type RunFault,
  type RunResult,
} from "../engine/index.js";
import type {
  CheckpointRecord,
  InboxEvent,
  RunView,
  StateView,
  StopReceipt,
  ThreadView,
} from "../runs/index.js";
import { mermaid } from "./mermaid.js";
import type {
  checkpointModel,
  decisionModel,
  graphModel,
  inboxEventModel,
  interruptModel,
  runModel,
  runResultModel,
  stateModel,
  stopReceiptModel,
  threadModel,
} from "./schemas/models.js";
import type { eventModel } from "./schemas/events.js";

type Wire<T extends z.ZodType> = z.input<T>;

export function wireDecision(answer: Answer): Wire<typeof decisionModel> {
  const { interruptId, decision, reason, data, state, messages, by, at } = answer;
  return {
    interrupt_id: interruptId,
    decision,
    reason,
    data,
    state,
    messages: messages as Wire<typeof decisionModel>["messages"],
    by,
    at,
  };
}

export function wireInterrupt(interrupt: Interrupt): Wire<typeof interruptModel> {
  return {
    id: interrupt.id,
    thread_id: interrupt.threadId,
    run_id: interrupt.runId,
    graph: interrupt.graph,
    node: interrupt.node,
    path: [...interrupt.path],
    kind: interrupt.kind,
    status: interrupt.status,
    reason: interrupt.reason,
    message: interrupt.message,
    data: interrupt.data,
    response_schema: interrupt.responseSchema,
    decisions: [...interrupt.decisions],
    approvals_required: 1,
    approvals: [],
    tool_call_id: null,
    created_at: interrupt.createdAt,
    expires_at: interrupt.expiresAt,
    decided_at: interrupt.decidedAt,
    decision: interrupt.decision === null ? null : wireDecision(interrupt.decision),
  };
}

/** The state's own fields, and the summary under its name on the wire. */
function wireState({
  contextSummary = null,
  ...fields
}: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return { ...fields, context_summary: contextSummary };
}

const wireFault = ({ code, message, node, path, step, attempt }: RunFault) => ({
  code,
  message,
  node,
  path: [...path],
  step,
  attempt,
});

export function wireResult(result: RunResult): Wire<typeof runResultModel> {
  return {
    thread_id: result.threadId,
    run_id: result.runId,
    graph: result.graph,
    status: result.status,
    interrupted: result.interrupted,
    interrupt_reason: result.interruptReason,
    interrupts: result.interrupts.map(wireInterrupt),
    decision: result.decision === null ? null : wireDecision(result.decision),
    current_node: result.currentNode,
    next_nodes: [...result.nextNodes],
    step: result.step,
    messages: result.messages as Wire<typeof runResultModel>["messages"],
    state: wireState(result.state),
    error: result.error === null ? null : wireFault(result.error),
    seq: result.seq,
  };
}

export function wireRun({ run, result }: RunView): Wire<typeof runModel> {
  return {
    ...wireResult(result),
    created_at: run.createdAt,
    started_at: run.startedAt,
    ended_at: run.endedAt,
  };
}

export function wireInboxEvent(event: InboxEvent): Wire<typeof inboxEventModel> {
  const isCurrent = event.what === "current";
  const interrupt = isCurrent || event.interrupt === null ? null : wireInterrupt(event.interrupt);
  return {
    event: "inbox",
    event_type: event.what,
    interrupt_id: isCurrent ? null : event.interruptId,
    thread_id: isCurrent ? null : event.threadId,
    graph: isCurrent ? null : event.graph,
    interrupt,
    decision: interrupt?.decision ?? null,
    seq: event.seq,
    timestamp: event.at,
  };
}

export function wireThread({ head, interrupts }: ThreadView): Wire<typeof threadModel> {
  const self = `/threads/${head.threadId}`;
  return {
    thread_id: head.threadId,
    graph: head.graph,
    status: head.status,
    metadata: head.metadata,
    run_id: head.runId,
    current_node: head.currentNode,
    next_nodes: [...head.nextNodes],
    step: head.step,
    seq: head.seq,
    interrupts: interrupts.map(wireInterrupt),
    links: {
      self,
      state: `${self}/state`,
      messages: `${self}/messages`,
      checkpoints: `${self}/checkpoints`,
      runs: `${self}/runs`,
      stream: `${self}/stream`,
      ...(MOVES[head.status].resume === false ? {} : { resume: `${self}/resume` }),
      stop: `${self}/stop`,
    },
    created_at: head.createdAt,
    updated_at: head.updatedAt,
  };
}

export function wireCheckpoint(record: CheckpointRecord): Wire<typeof checkpointModel> {
  return {
    checkpoint_id: record.checkpointId,
    parent_id: record.parentId,
    run_id: record.runId,
    step: record.step,
    path: [...record.path],
    status: record.status,
    next_nodes: [...record.nextNodes],
    source: record.source,
    created_at: record.createdAt,
  };
}

export function wireStateView(view: StateView): Wire<typeof stateModel> {
  const { status, currentNode, step, interruptedNode, interruptReason, interruptData } = view.executionMeta;
  return {
    thread_id: view.threadId,
    checkpoint_id: view.checkpointId,
    status: view.status,
    state: wireState(view.state),
    execution_meta: {
      status,
      current_node: currentNode,
      step,
      interrupted_node: interruptedNode,
      interrupt_reason: interruptReason,
      interrupt_data: interruptData,
    },
    next_nodes: [...view.nextNodes],
    pending: [...view.pending],
    interrupts: view.interrupts.map(wireInterrupt),
    seq: view.seq,
  };
}

export function wireReceipt(receipt: StopReceipt): Wire<typeof stopReceiptModel> {
  return {
    thread_id: receipt.threadId,
    run_id: receipt.runId,
    ok: receipt.ok,
    running: receipt.running,
    ...(receipt.status === undefined ? {} : { status: receipt.status }),
    ...(receipt.reason === undefined ? {} : { reason: receipt.reason }),
    node: receipt.node,
    step: receipt.step,
    abandoned: receipt.abandoned.map((path) => [...path]),
    cancelled_interrupts: [...receipt.cancelledInterrupts],
    dropped: [...receipt.dropped],
    seq: receipt.seq,
  };
}

export function wireEvent(event: RunEvent): Wire<typeof eventModel> {
  return {
    event: event.event,
    event_type: event.eventType,
    node_name: event.nodeName,
    path: [...event.path],
    content: event.content,
    data: wireEventData(event),
    thread_id: event.threadId,
    run_id: event.runId,
    seq: event.seq,
    timestamp: event.timestamp,
    metadata: event.metadata,
    // The type and its data are of one event.
  } as Wire<typeof eventModel>;
}

function wireEventData(event: RunEvent): Record<string, unknown> {
  switch (event.eventType) {
    case "start":
      return {
        input: "contextSummary" in event.data.input ? wireState(event.data.input) : event.data.input,
        resumes: event.data.resumes,
      };
    case "delta":
      return { message_id: event.data.messageId, part: event.data.part };
    case "update": {
      const { step, checkpointId, changed, nextNodes } = event.data;
      return {
        step,
        checkpoint_id: checkpointId,
        changed: changed.map((name) => (name === "contextSummary" ? "context_summary" : name)),
        next_nodes: nextNodes,
      };
    }
    case "decision": {
      const { interrupt, decision } = event.data;
      return {
        interrupt: wireInterrupt(interrupt),
        decision: decision === null ? null : wireDecision(decision),
      };
    }
    case "interrupted":
      return { result: wireResult(event.data.result), interrupted: event.data.interrupted };
    case "stopped":
    case "error":
    case "end":
      return { result: wireResult(event.data.result) };
    case "progress":
    case "message":
    case "custom":
    case "restart":
      return { ...event.data };
  }
}

export function wireGraph(def: GraphDefinition): Wire<typeof graphModel> {
  const holds = (["before", "after"] as const).flatMap((where) =>
    [...def[where].values()].map((hold) => ({
      node: hold.node,
      where,
      conditional: hold.when !== undefined,
      decisions: [...(hold.decisions ?? OFFERED[where])],
      response_schema: hold.responseSchema ?? null,
      on_deny: hold.onDeny ?? null,
      expires_in_ms: hold.expiresIn ?? null,
      on_expiry: hold.onExpiry ?? null,
    })),
  );
  return {
    name: def.name,
    nodes: [...def.nodes.values()].map((node) => ({
      name: node.name,
      graph: node.kind === "graph" ? node.graph.name : null,
      timeout_ms: node.options.timeoutMs ?? null,
      retry_attempts: node.options.retry?.attempts ?? 1,
      on_crash:
        node.options.onCrash ?? (def.before.has(node.name) || def.after.has(node.name) ? "hold" : "rerun"),
    })),
    edges: [...def.edges].flatMap(([from, list]) =>
      list.flatMap((edge): Wire<typeof graphModel>["edges"] => {
        if (edge.kind === "static") return [{ from, to: edge.to, kind: edge.kind, when: null }];
        if (edge.map === null)
          return [{ from, to: null, kind: edge.kind, when: edge.label === "" ? null : edge.label }];
        return [...edge.map].map(([when, to]) => ({ from, to, kind: edge.kind, when }));
      }),
    ),
    hold_points: holds,
    state_schema: def.state.jsonSchema,
    mermaid: mermaid(def),
  };
}
