/**
 * Agents that hand a customer over to each other: each answers what it knows and says by a `Command` who is next. Nobody is
 * passed round for ever: after six turns a person is promised.
 *
 *   curl http://127.0.0.1:3000/threads/h1/run -d '{"graph":"handoff","input":{"messages":["My parcel is late, the app crashes and I want a refund"]}}'
 *   curl http://127.0.0.1:3000/threads/h1/messages          # three agents, each with its part
 *   curl http://127.0.0.1:3000/threads/h2/run -d '{"graph":"handoff","input":{"messages":["Is your parrot for sale?"]}}'
 *
 * GET /graphs/handoff has a picture of it: `holdpoint graph handoff` prints the same.
 */
import { Command, END, Message, START, StateGraph, type StateOf, type UpdateOf } from "holdpoint";
import { z } from "zod";

const MAX_TURNS = 6;

const State = z.object({
  /** What nobody has answered yet. */
  open: z.array(z.string()).default([]),
  turns: z.int().min(0).default(0),
});
type State = StateOf<typeof State>;
type Agent = "BILLING" | "DELIVERY" | "TECH";

/** What each knows, and whom it takes to know the rest. */
const AGENTS: Readonly<Record<Agent, { knows: RegExp; says: string; next: Agent }>> = {
  BILLING: { knows: /refund|invoice/, says: "the money is on its way back", next: "DELIVERY" },
  DELIVERY: { knows: /parcel|delivery/, says: "it comes tomorrow", next: "TECH" },
  TECH: { knows: /app|login|crash/, says: "please install version 2", next: "BILLING" },
};

/** Each part of the last message is something to answer. */
function receive(state: State) {
  const last = state.context.findLast((message) => message.role === "user");
  const parts = (last === undefined ? "" : Message.textOf(last)).toLowerCase().split(/,|\band\b|[.!?]/);
  const open = parts.map((part) => part.trim()).filter((part) => part !== "");
  return new Command({ update: { open, turns: 0 }, goto: open.length === 0 ? END : "BILLING" });
}

/** Stands for a model with one task and two colleagues. */
function agent(name: Agent) {
  const { knows, says, next } = AGENTS[name];
  return ({ open, turns }: State): Command<UpdateOf<typeof State>> => {
    const mine = open.filter((part) => knows.test(part));
    const rest = open.filter((part) => !knows.test(part));
    const goto = rest.length === 0 ? END : turns + 1 < MAX_TURNS ? next : "PROMISE";
    const messages = mine.map((part) => `${name}: about "${part}": ${says}.`);
    return new Command({ update: { open: rest, turns: turns + 1, messages }, goto });
  };
}

function promise({ open }: State): string {
  return `Nobody here knows about "${open.join('", "')}". A person will call you.`;
}

export const handoff = new StateGraph({ state: State })
  .addNode("RECEIVE", receive)
  .addNode("BILLING", agent("BILLING"))
  .addNode("DELIVERY", agent("DELIVERY"))
  .addNode("TECH", agent("TECH"))
  .addNode("PROMISE", promise)
  .addEdge(START, "RECEIVE")
  .addEdge("PROMISE", END)
  .compile({ name: "handoff" });
