/**
 * Escalation: a node that hands over to a person only when it is unsure, and one that asks for what is missing.
 *
 *   curl http://127.0.0.1:3000/threads/e1/run -d '{"graph":"escalation","input":{"messages":["It does not work"]}}'
 *   curl http://127.0.0.1:3000/threads/e1/resume -d '{"decision":"edit","state":{"topic":"delivery"}}'
 *   curl http://127.0.0.1:3000/threads/e1/resume -d '{"decision":"respond","data":{"order":"1042"}}'
 *
 * "Where is the delivery of order 1042?" goes through without a person. {"decision":"deny"} ends it at either pause.
 */
import { END, ExecutionStatus, Message, START, StateGraph, type NodeContext, type StateOf } from "holdpoint";
import { z } from "zod";

const State = z.object({
  topic: z.enum(["delivery", "invoice", "refund", "unknown"]).default("unknown"),
});
type State = StateOf<typeof State>;
type Topic = State["topic"];

/** What a person fills in. The server checks it before the node sees it. */
const Missing = z.object({ order: z.string().regex(/^\d+$/, "an order number is digits only") });

const HINTS: readonly [Topic, RegExp][] = [
  ["delivery", /\b(?:arrive|arrived|deliver|delivery|parcel|shipped)\b/i],
  ["invoice", /\b(?:bill|billed|invoice|receipt)\b/i],
  ["refund", /\b(?:money back|refund|return)\b/i],
];

/** Stands for a model's judgement: sure of one topic, unsure of none or several; long texts are complex. */
function assess(text: string) {
  const [topic = "unknown", ...others] = HINTS.filter(([, hint]) => hint.test(text)).map(([name]) => name);
  const confidence = topic === "unknown" ? 0.2 : 0.9 / (others.length + 1);
  const complexity = Math.min(1, text.split(/\s+/).length / 50);
  return { topic, confidence, complexity };
}

function smartEscalation(state: State, ctx: NodeContext) {
  const { topic, confidence, complexity } = assess(request(state));
  if (confidence < 0.7 || complexity > 0.8) {
    // Pauses before this node: once answered it runs again, and then this call does nothing.
    state.setInterrupt({
      reason: `Low confidence (${confidence.toFixed(2)}) or high complexity (${complexity.toFixed(2)})`,
      status: ExecutionStatus.INTERRUPTED_BEFORE,
      data: { topic, confidence, complexity },
    });
  }
  return { topic: ctx.answer?.decision === "edit" ? state.topic : topic };
}

async function reply(state: State, ctx: NodeContext): Promise<string> {
  const order = /\d+/.exec(request(state))?.[0] ?? (await askForOrder(state, ctx));
  return `Thank you! Your question (${state.topic}) about order ${order} is with the right people now.`;
}

/** Returns when somebody has answered, be it next week. A denial throws, and ends the run here. */
async function askForOrder(state: State, ctx: NodeContext): Promise<string> {
  const answer = await ctx.interrupt({
    message: "Which order is it about?",
    data: { topic: state.topic, text: request(state) },
    responseSchema: Missing,
    decisions: ["respond", "deny"],
  });
  return Missing.parse(answer.data).order;
}

function request(state: State): string {
  const last = state.context.findLast((message) => message.role === "user");
  return last === undefined ? "" : Message.textOf(last);
}

export const escalation = new StateGraph({ state: State })
  .addNode("SMART_ESCALATION", smartEscalation)
  .addNode("REPLY", reply)
  .addEdge(START, "SMART_ESCALATION")
  .addEdge("SMART_ESCALATION", "REPLY")
  .addEdge("REPLY", END)
  .compile({ name: "escalation" });
