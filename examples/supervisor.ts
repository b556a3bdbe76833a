/**
 * A supervisor that hands a request to specialists, one after the other, until nothing is left to do. One of them sends
 * mail, which it does only when a person agrees; a denial is news for the supervisor, not the end.
 *
 *   curl http://127.0.0.1:3000/threads/s1/run -d '{"graph":"supervisor","input":{"messages":["What about Atlas, and what is 12 * 7? Mail it to ann@example.com"]}}'
 *   curl http://127.0.0.1:3000/interrupts                   # the mail as it would be sent
 *   curl http://127.0.0.1:3000/threads/s1/resume -d '{"decision":"approve"}'
 *   curl http://127.0.0.1:3000/threads/s1/state             # "sent" has it
 *
 * Or answer {"decision":"deny","reason":"not to her"}. Without an address in the request nobody is asked.
 */
import { END, InterruptDenied, Message, START, StateGraph, type NodeContext, type StateOf } from "holdpoint";
import { z } from "zod";

const Specialist = z.enum(["research", "calculate", "mail"]);
const Mail = z.object({ to: z.string(), text: z.string() });
const State = z.object({
  request: z.string().default(""),
  /** Who is still to work on it; the first one is at it. */
  todo: z.array(Specialist).default([]),
  findings: z.array(z.string()).default([]),
  /** Every mail of this thread that was really sent. */
  sent: z.array(Mail).default([]),
});
type State = StateOf<typeof State>;

const FACTS: Readonly<Record<string, string>> = {
  atlas: "Atlas ships in May.",
  borealis: "Borealis is on hold.",
};
const TOPIC = /\b(?:atlas|borealis)\b/i;
const TERM = /(\d+)\s*([-+*])\s*(\d+)/;
const ADDRESS = /[\w.+-]+@[\w-]+(?:\.[\w-]+)+/;

/** Stands for a model's plan. The mail is last: it says what the others found. */
function planFor(request: string): State["todo"] {
  return [
    ...(TOPIC.test(request) ? (["research"] as const) : []),
    ...(TERM.test(request) ? (["calculate"] as const) : []),
    ...(ADDRESS.test(request) ? (["mail"] as const) : []),
  ];
}

/** Runs before, between and after the specialists. */
function supervise(state: State) {
  const last = state.context.at(-1);
  if (last?.role !== "user") return { todo: state.todo.slice(1) };
  const request = Message.textOf(last);
  const todo = planFor(request);
  const messages = todo.length === 0 ? "I have nobody for that." : `I will ask: ${todo.join(", ")}.`;
  return { request, todo, findings: [], messages };
}

const found = (state: State, finding: string) => ({
  findings: [...state.findings, finding],
  messages: finding,
});

function research(state: State) {
  const topic = TOPIC.exec(state.request)?.[0].toLowerCase() ?? "";
  return found(state, FACTS[topic] ?? `Nothing is known about ${topic}.`);
}

function calculate(state: State) {
  const [term = "", a = 0, sign, b = 0] = TERM.exec(state.request) ?? [];
  const [x, y] = [Number(a), Number(b)];
  return found(state, `${term} = ${sign === "*" ? x * y : sign === "+" ? x + y : x - y}.`);
}

async function mail(state: State, ctx: NodeContext) {
  const to = ADDRESS.exec(state.request)?.[0] ?? "";
  const args = { to, text: state.findings.join(" ") };
  try {
    await ctx.interrupt({
      message: `Send this mail to ${to}?`,
      data: { tool: "send_mail", args },
      decisions: ["approve", "deny"],
    });
  } catch (error) {
    if (!(error instanceof InterruptDenied)) throw error;
    return `I have not sent the mail to ${to}${error.answer.reason === null ? "" : `: ${error.answer.reason}`}.`;
  }
  const mails = await ctx.once("send", () => [...state.sent, args]); // The real thing would happen here.
  return { sent: mails, messages: `The mail to ${to} is sent.` };
}

export const supervisor = new StateGraph({ state: State })
  .addNode("SUPERVISOR", supervise)
  .addNode("RESEARCH", research)
  .addNode("CALCULATE", calculate)
  .addNode("MAIL", mail)
  .addEdge(START, "SUPERVISOR")
  .addConditionalEdges("SUPERVISOR", ({ todo }) => todo[0] ?? "done", {
    research: "RESEARCH",
    calculate: "CALCULATE",
    mail: "MAIL",
    done: END,
  })
  .addEdge("RESEARCH", "SUPERVISOR")
  .addEdge("CALCULATE", "SUPERVISOR")
  .addEdge("MAIL", "SUPERVISOR")
  .compile({ name: "supervisor" });
