/**
 * A board of three: reviewers look at a text at the same time, each asks a person where it has a concern, and the board
 * decides when all three are through.
 *
 *   curl http://127.0.0.1:3000/threads/b1/run -d '{"graph":"review-board","input":{"messages":["We guarantee 100% uptime!!! The password is hunter2"]}}'
 *   curl http://127.0.0.1:3000/interrupts                   # three questions, of LEGAL, SECURITY and STYLE
 *   curl http://127.0.0.1:3000/interrupts/ID/decision -d '{"decision":"approve"}'                      # one of them: 202
 *   curl http://127.0.0.1:3000/interrupts/ID/decision -d '{"decision":"deny","reason":"take it out"}'  # another
 *   curl http://127.0.0.1:3000/interrupts/ID/decision -d '{"decision":"approve"}'                      # the last: 200
 *
 * Answer them in any order. "The new office opens on Monday." is published without a person.
 */
import {
  END,
  InterruptDenied,
  Message,
  START,
  StateGraph,
  type NodeContext,
  type StateOf,
  type UpdateOf,
} from "holdpoint";
import { z } from "zod";

const Opinion = z.object({ fine: z.boolean(), why: z.string() });
const State = z.object({
  text: z.string().default(""),
  /** By reviewer; each writes its own. */
  opinions: z.record(z.string(), Opinion).default({}),
  published: z.array(z.string()).default([]),
});
type State = StateOf<typeof State>;

function submit(state: State) {
  const last = state.context.findLast((message) => message.role === "user");
  return { text: last === undefined ? "" : Message.textOf(last) };
}

/** Stands for a model with a brief of its own. It is sure of what it does not find, and asks about what it finds. */
function reviewer(name: string, concern: RegExp, question: string) {
  return async ({ text }: State, ctx: NodeContext): Promise<UpdateOf<typeof State>> => {
    const [words] = concern.exec(text) ?? [];
    if (words === undefined) return { opinions: { [name]: { fine: true, why: "no concern" } } };
    try {
      const { by } = await ctx.interrupt({
        message: `${question}: "${words}"`,
        data: { reviewer: name, words },
        decisions: ["approve", "deny"],
      });
      return { opinions: { [name]: { fine: true, why: `allowed by ${by}` } } };
    } catch (error) {
      if (!(error instanceof InterruptDenied)) throw error;
      return { opinions: { [name]: { fine: false, why: error.answer.reason ?? "refused" } } };
    }
  };
}

function decide({ text, opinions, published }: State) {
  const against = Object.entries(opinions).filter(([, { fine }]) => !fine);
  if (against.length === 0) return { published: [...published, text], messages: "Published." };
  return { messages: `Not published. ${against.map(([name, { why }]) => `${name}: ${why}`).join("; ")}.` };
}

export const reviewBoard = new StateGraph({
  state: State,
  // The reviewers run in one step: without it the last one's opinion would be the only one.
  reducers: { opinions: (opinions, more: State["opinions"]) => ({ ...opinions, ...more }) },
})
  .addNode("SUBMIT", submit)
  .addNode(
    "LEGAL",
    reviewer("legal", /\b(?:guarantee|promise)\b.*?(?=[.!?]|$)/i, "Is this promise ours to make"),
  )
  .addNode("SECURITY", reviewer("security", /\b(?:key|password|token)\b.*/i, "May everybody read this"))
  .addNode("STYLE", reviewer("style", /[!?]{2,}/, "Is this how we speak"))
  .addNode("BOARD", decide)
  .addEdge(START, "SUBMIT")
  .addEdge("SUBMIT", "LEGAL")
  .addEdge("SUBMIT", "SECURITY")
  .addEdge("SUBMIT", "STYLE")
  .addEdge("LEGAL", "BOARD")
  .addEdge("SECURITY", "BOARD")
  .addEdge("STYLE", "BOARD")
  .addEdge("BOARD", END)
  .compile({ name: "review-board" });
