/** The wire's shapes, as the contract has them: one schema gives the check, the type and the OpenAPI description. */
import { z } from "zod";
import {
  DECISIONS,
  EXPIRIES,
  INTERRUPT_KINDS,
  INTERRUPT_STATUSES,
  ROLES,
  RUN_STATUSES,
  THREAD_STATUSES,
} from "../../engine/index.js";
import { INBOX_EVENTS } from "../../runs/index.js";

const id = z.string();
const time = z.iso.datetime();
const nullable = <T extends z.ZodType>(schema: T) => schema.nullable();
const json = z.unknown();
const object = z.record(z.string(), json);

/** Gives a schema its name in the description. */
export const model = <T extends z.ZodType>(name: string, schema: T): T => {
  z.globalRegistry.add(schema, { id: name });
  return schema;
};

export const messageModel = model(
  "Message",
  z.object({
    id,
    role: z.enum(ROLES),
    content: z.union([z.string(), z.array(object)]),
    name: z.string().optional(),
    tool_calls: z.array(json).optional(),
    tool_call_id: z.string().optional(),
    metadata: object.optional(),
    created_at: time,
  }),
);

export const decisionModel = model(
  "Decision",
  z.object({
    interrupt_id: id,
    decision: nullable(z.enum(DECISIONS)),
    reason: nullable(z.string()),
    data: json,
    state: nullable(object),
    messages: z.array(messageModel),
    by: z.string(),
    at: time,
  }),
);

export const interruptModel = model(
  "Interrupt",
  z.object({
    id,
    thread_id: id,
    run_id: id,
    graph: z.string(),
    node: z.string(),
    path: z.array(z.string()),
    kind: z.enum(INTERRUPT_KINDS),
    status: z.enum(INTERRUPT_STATUSES),
    reason: z.string(),
    message: z.string(),
    data: json,
    response_schema: json,
    decisions: z.array(z.enum(DECISIONS)),
    approvals_required: z.number().int(),
    approvals: z.array(decisionModel),
    tool_call_id: nullable(z.string()),
    created_at: time,
    expires_at: nullable(time),
    decided_at: nullable(time),
    decision: nullable(decisionModel),
  }),
);

const runErrorModel = model(
  "RunError",
  z.object({
    code: z.string(),
    message: z.string(),
    node: nullable(z.string()),
    path: z.array(z.string()),
    step: z.number().int(),
    attempt: z.number().int(),
  }),
);

const result = {
  thread_id: id,
  run_id: id,
  graph: z.string(),
  status: z.enum(RUN_STATUSES),
  interrupted: z.boolean(),
  interrupt_reason: nullable(z.string()),
  interrupts: z.array(interruptModel),
  decision: nullable(decisionModel),
  current_node: nullable(z.string()),
  next_nodes: z.array(z.string()),
  step: z.number().int(),
  messages: z.array(messageModel),
  state: object,
  error: nullable(runErrorModel),
  seq: z.number().int(),
};
export const runResultModel = model("RunResult", z.object(result));
export const runModel = model(
  "Run",
  z.object({ ...result, created_at: time, started_at: nullable(time), ended_at: nullable(time) }),
);

export const threadModel = model(
  "Thread",
  z.object({
    thread_id: id,
    graph: nullable(z.string()),
    status: z.enum(THREAD_STATUSES),
    metadata: object,
    run_id: nullable(id),
    current_node: nullable(z.string()),
    next_nodes: z.array(z.string()),
    step: z.number().int(),
    seq: z.number().int(),
    interrupts: z.array(interruptModel),
    links: z.record(z.string(), z.string()),
    created_at: time,
    updated_at: time,
  }),
);

export const stateModel = model(
  "State",
  z.object({
    thread_id: id,
    checkpoint_id: nullable(id),
    status: z.enum(THREAD_STATUSES),
    state: object,
    execution_meta: z.object({
      status: z.enum(THREAD_STATUSES),
      current_node: nullable(z.string()),
      step: z.number().int(),
      interrupted_node: nullable(z.string()),
      interrupt_reason: nullable(z.string()),
      interrupt_data: json,
    }),
    next_nodes: z.array(z.string()),
    pending: z.array(z.string()),
    interrupts: z.array(interruptModel),
    seq: z.number().int(),
  }),
);

export const checkpointModel = model(
  "Checkpoint",
  z.object({
    checkpoint_id: id,
    parent_id: nullable(id),
    run_id: nullable(id),
    step: z.number().int(),
    path: z.array(z.string()),
    status: z.enum(THREAD_STATUSES),
    next_nodes: z.array(z.string()),
    source: z.enum(["input", "step", "patch", "fork"]),
    created_at: time,
  }),
);

export const stopReceiptModel = model(
  "StopReceipt",
  z.object({
    thread_id: id,
    run_id: nullable(id),
    ok: z.literal(true),
    running: z.boolean(),
    status: z.enum(["stopped", "stopping"]).optional(),
    reason: z.literal("not-running").optional(),
    node: nullable(z.string()),
    step: z.number().int(),
    abandoned: z.array(z.array(z.string())),
    cancelled_interrupts: z.array(id),
    dropped: z.array(id),
    seq: z.number().int(),
  }),
);

export const graphModel = model(
  "Graph",
  z.object({
    name: z.string(),
    nodes: z.array(
      z.object({
        name: z.string(),
        graph: nullable(z.string()),
        timeout_ms: nullable(z.number()),
        retry_attempts: z.number().int(),
        on_crash: z.enum(["hold", "rerun"]),
      }),
    ),
    edges: z.array(
      z.object({
        from: z.string(),
        to: nullable(z.string()),
        kind: z.enum(["static", "conditional"]),
        when: nullable(z.string()),
      }),
    ),
    hold_points: z.array(
      z.object({
        node: z.string(),
        where: z.enum(["before", "after"]),
        conditional: z.boolean(),
        decisions: z.array(z.enum(DECISIONS)),
        response_schema: json,
        on_deny: nullable(z.string()),
        expires_in_ms: nullable(z.number().int()),
        on_expiry: nullable(z.enum(EXPIRIES)),
      }),
    ),
    state_schema: json,
    mermaid: z.string(),
  }),
);

export const inboxEventModel = model(
  "InboxEvent",
  z.object({
    event: z.literal("inbox"),
    event_type: z.enum(INBOX_EVENTS),
    interrupt_id: nullable(id),
    thread_id: nullable(id),
    graph: nullable(z.string()),
    interrupt: nullable(interruptModel),
    decision: nullable(decisionModel),
    seq: z.number().int(),
    timestamp: time,
  }),
);

export const problemModel = model(
  "Problem",
  z.looseObject({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.string(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  }),
);

/** A list, with the cursor of its next page. */
export const listOf = <T extends z.ZodType>(item: T) =>
  z.object({ items: z.array(item), next_cursor: nullable(z.string()) });
