/**
 * A chat that streams its reply word by word and can be stopped half-way: what was said so far is kept.
 *
 *   curl -N http://127.0.0.1:3000/threads/c1/stream -d '{"graph":"chat","input":{"messages":["Tell me about stopping"]}}'
 *   curl -X POST http://127.0.0.1:3000/threads/c1/stop      # in a second terminal, while it talks
 *   curl http://127.0.0.1:3000/threads/c1/messages          # the half reply is there
 *
 * CHAT_DELAY_MS=500 makes it talk slower. Any number of readers may follow: curl -N http://127.0.0.1:3000/threads/c1/stream
 */
import { setTimeout as pause } from "node:timers/promises";
import { END, Message, START, StateGraph, type NodeContext, type StateOf } from "holdpoint";
import { z } from "zod";

const State = z.object({});
const DelayMs = z.coerce.number().min(0).default(80);

/** Stands for a model: the same words to the same question. */
function replyTo(question: string): string {
  return (
    `You said: "${question}". I am no model, only an example, so I will tell you about stopping instead. ` +
    "Every word of this reply is sent as a delta the moment it is yielded. A stop aborts the signal of this node; " +
    "the node looks at it between two words, and returns what it has said so far. That becomes its message, " +
    "so that the next turn of the conversation knows how far this one came."
  );
}

async function* talk(state: StateOf<typeof State>, ctx: NodeContext): AsyncGenerator<string, string> {
  const delayMs = DelayMs.parse(process.env.CHAT_DELAY_MS);
  const question = state.context.findLast((message) => message.role === "user");
  const words = replyTo(question === undefined ? "" : Message.textOf(question)).split(/(?<= )/);
  let said = "";
  for (const word of words) {
    said += word;
    yield word;
    await pause(delayMs, undefined, { signal: ctx.signal }).catch(() => undefined); // A stop ends the pause.
    if (ctx.signal.aborted) break;
  }
  return said;
}

export const chat = new StateGraph({ state: State })
  .addNode("CHAT", talk)
  .addEdge(START, "CHAT")
  .addEdge("CHAT", END)
  .compile({ name: "chat" });
