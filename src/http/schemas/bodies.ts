/** What clients send. Unknown keys are refused, so that a typo is never silently ignored. */
import { z } from "zod";
import { DECISIONS, INTERRUPT_STATUSES, THREAD_STATUSES, type NewMessage } from "../../engine/index.js";
import { MAX_RECURSION_LIMIT, newMessageSchema } from "../../runs/index.js";

const message = z.union([z.string(), newMessageSchema], {
  error: "a message is a string or { role, content, … }",
});
const messages = z.array(message);
/** Messages of a body; the run manager checks that their values are JSON. */
export type MessagesBody = readonly (string | NewMessage)[] | undefined;
const summary = z.string().nullable().optional();
/** Fields of the graph's state, checked by the graph; the summary is everybody's. */
const fields = z.looseObject({ context_summary: summary });
const bag = z.record(z.string(), z.unknown());
const names = z.union([z.array(z.string()), z.literal("*")], { error: 'a list of node names, or "*"' });

const config = z.strictObject({
  recursion_limit: z.number().int().min(1).max(MAX_RECURSION_LIMIT).optional(),
  interrupt_before: names.optional(),
  interrupt_after: names.optional(),
  metadata: bag.optional(),
});
export type ConfigBody = z.output<typeof config>;

export const runBody = z.strictObject({
  graph: z.string().optional(),
  input: z.looseObject({ messages: messages.optional(), context_summary: summary }).optional(),
  config: config.optional(),
  on_busy: z.enum(["reject", "enqueue", "stop"]).default("reject"),
  on_disconnect: z.enum(["continue", "stop"]).default("continue"),
});
export type RunBody = z.output<typeof runBody>;

const said = {
  decision: z.enum(DECISIONS).optional(),
  reason: z.string().optional(),
  data: z.unknown().optional(),
  state: fields.optional(),
  messages: messages.optional(),
};
export const resumeBody = z.strictObject({
  interrupt_id: z.string().optional(),
  ...said,
  answers: z.array(z.strictObject({ interrupt_id: z.string(), ...said })).optional(),
  goto: z.union([z.string(), z.array(z.string()), z.null()]).optional(),
  config: config.optional(),
});
export type ResumeBody = z.output<typeof resumeBody>;

export const decisionBody = z.strictObject({ ...said, config: config.optional() });
export type DecisionBody = z.output<typeof decisionBody>;

export const stopBody = z.strictObject({
  mode: z.enum(["now", "after_step"]).default("now"),
  reason: z.string().optional(),
});
export const threadBody = z.strictObject({
  thread_id: z.string().optional(),
  graph: z.string().optional(),
  metadata: bag.optional(),
});
export const forkBody = z.strictObject({ checkpoint_id: z.string(), thread_id: z.string().optional() });
export const patchBody = z.strictObject({ state: fields.optional(), messages: messages.optional() });

const page = {
  limit: z.coerce.number<string>().int().min(1).max(200).default(50).describe("How many at most"),
  cursor: z.string().optional().describe("The `next_cursor` of the page before"),
};
export const pageQuery = z.strictObject(page);
export type PageQuery = z.output<typeof pageQuery>;
export const threadsQuery = z.strictObject({
  ...page,
  status: z
    .enum([...THREAD_STATUSES, "interrupted"])
    .optional()
    .describe("Only threads of this status; `interrupted` is both interrupted ones"),
  graph: z.string().optional().describe("Only threads of this graph"),
});
export const interruptsQuery = z.strictObject({
  ...page,
  status: z.enum(INTERRUPT_STATUSES).default("open").describe("Only interrupts of this status"),
  graph: z.string().optional().describe("Only interrupts of this graph"),
});
export const stateQuery = z.strictObject({
  checkpoint: z.string().optional().describe("A `checkpoint_id`, for the state as it was then"),
});
export const streamQuery = z.strictObject({
  after: z
    .string()
    .optional()
    .describe("Only events above this `id`; 0 is the whole thread. A `Last-Event-ID` header wins over it"),
  follow: z.enum(["true", "false"]).optional().describe("`true`: stay open between runs, and never 204"),
});

export const inboxStreamQuery = z.strictObject({
  after: streamQuery.shape.after.describe(
    "Only changes above this `id`; 0 is all that is kept. A `Last-Event-ID` header wins over it",
  ),
  graph: interruptsQuery.shape.graph,
});

export const threadParams = z.object({
  id: z.string().describe("1 to 128 characters of A-Z a-z 0-9 . _ : -"),
});
export const runParams = z.object({
  id: z.string().describe("The thread's id"),
  run_id: z.string().describe("The run's id"),
});
export const interruptParams = z.object({ id: z.string().describe("The interrupt's id") });
export const graphParams = z.object({ name: z.string().describe("The graph's name") });
