/**
 * Inspection points: the run pauses after each major step, so that a person can look at what came out and correct it.
 *
 *   curl http://127.0.0.1:3000/threads/i1/run -d '{"graph":"inspection","input":{"messages":["Great service, but slow and expensive"]}}'
 *   curl http://127.0.0.1:3000/threads/i1/state             # the words that the model will see
 *   curl http://127.0.0.1:3000/threads/i1/resume -d '{}'    # fine: go on to the next pause
 *   curl http://127.0.0.1:3000/threads/i1/resume -d '{"decision":"edit","state":{"score":1}}'
 *
 * At the first pause, try {"decision":"edit","state":{"words":["great","service"]}} and see the score change.
 */
import { END, Message, START, StateGraph, type StateOf } from "holdpoint";
import { z } from "zod";

const State = z.object({
  words: z.array(z.string()).default([]),
  /** From -1, all bad, to 1, all good. */
  score: z.number().min(-1).max(1).default(0),
});
type State = StateOf<typeof State>;

const GOOD = new Set(["excellent", "fast", "friendly", "good", "great", "love"]);
const BAD = new Set(["awful", "bad", "broken", "expensive", "rude", "slow"]);

function preprocess(state: State) {
  const text = state.context.findLast((message) => message.role === "user");
  return {
    words:
      text === undefined
        ? []
        : (Message.textOf(text)
            .toLowerCase()
            .match(/[a-z]+/g) ?? []),
  };
}

/** Stands for a call of a model. */
function modelInference({ words }: State) {
  const good = words.filter((word) => GOOD.has(word)).length;
  const bad = words.filter((word) => BAD.has(word)).length;
  return { score: good + bad === 0 ? 0 : (good - bad) / (good + bad) };
}

function postprocess({ score }: State): string {
  const label = score > 0.2 ? "positive" : score < -0.2 ? "negative" : "mixed";
  return `The text is ${label} (${score.toFixed(2)}).`;
}

export const inspection = new StateGraph({ state: State })
  .addNode("PREPROCESS", preprocess)
  .addNode("MODEL_INFERENCE", modelInference)
  .addNode("POSTPROCESS", postprocess)
  .addEdge(START, "PREPROCESS")
  .addEdge("PREPROCESS", "MODEL_INFERENCE")
  .addEdge("MODEL_INFERENCE", "POSTPROCESS")
  .addEdge("POSTPROCESS", END)
  .compile({ name: "inspection", interruptAfter: ["PREPROCESS", "MODEL_INFERENCE"] });
