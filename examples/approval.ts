/**
 * The approval workflow: whatever was asked for is analysed, and executed only when a person agrees.
 *
 *   curl http://127.0.0.1:3000/threads/a1/run -d '{"graph":"approval","input":{"messages":["Delete all production data"]}}'
 *   curl http://127.0.0.1:3000/threads/a1/resume -d '{"decision":"deny","reason":"certainly not"}'
 *   curl http://127.0.0.1:3000/threads/a1/state             # "done" is empty: nothing was executed
 *
 * Ask again on the same thread and answer {"decision":"approve"}, or correct the action first:
 * {"decision":"edit","state":{"action":"Delete the staging data"}}.
 */
import { END, Message, START, StateGraph, type StateOf } from "holdpoint";
import { z } from "zod";

const State = z.object({
  action: z.string().default(""),
  risk: z.enum(["low", "high"]).default("low"),
  /** What was really executed on this thread, over all its runs. */
  done: z.array(z.string()).default([]),
});
type State = StateOf<typeof State>;

const DANGEROUS = /\b(?:all|delete|drop|production|shut ?down|transfer|wire)\b/i;

function analyzeRequest(state: State) {
  const request = state.context.findLast((message) => message.role === "user");
  if (request === undefined) throw new Error("there is no request to analyse: send a message");
  const action = Message.textOf(request);
  const risk = DANGEROUS.test(action) ? ("high" as const) : ("low" as const);
  return { action, risk, messages: `The request is "${action}", its risk is ${risk}.` };
}

/** The real thing would happen here. Only an approval brings the run to this line. */
function executeAction({ action }: State) {
  return { done: [action], messages: `Executed: ${action}` };
}

function finalizeAction({ done }: State): string {
  return `All finished. Executed on this thread so far: ${done.length}.`;
}

export const approval = new StateGraph({
  state: State,
  reducers: { done: (done, more: string[]) => [...done, ...more] },
})
  .addNode("ANALYZE_REQUEST", analyzeRequest)
  .addNode("EXECUTE_ACTION", executeAction)
  .addNode("FINALIZE", finalizeAction)
  .addEdge(START, "ANALYZE_REQUEST")
  .addEdge("ANALYZE_REQUEST", "EXECUTE_ACTION")
  .addEdge("EXECUTE_ACTION", "FINALIZE")
  .addEdge("FINALIZE", END)
  .compile({ name: "approval", interruptBefore: ["EXECUTE_ACTION"] });
