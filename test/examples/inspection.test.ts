import { beforeEach, expect, it } from "vitest";
import { inspection } from "../../examples/inspection.js";

const MIXED = "Great service, but slow and expensive!";

let threadId: string;
beforeEach(() => {
  threadId = `inspection-${crypto.randomUUID()}`;
});

const start = () => inspection.invoke({ messages: [MIXED] }, { threadId });

it("pauses after each major step with what came out of it, and goes on to the end", async () => {
  expect(await start()).toMatchObject({
    status: "interrupted_after",
    currentNode: "PREPROCESS",
    nextNodes: ["MODEL_INFERENCE"],
    state: { words: ["great", "service", "but", "slow", "and", "expensive"], score: 0 },
  });
  const second = await inspection.invoke({}, { threadId });
  expect(second).toMatchObject({ status: "interrupted_after", currentNode: "MODEL_INFERENCE" });
  expect(second.state.score).toBeCloseTo(-1 / 3);
  const last = await inspection.resume({}, { threadId });
  expect(last).toMatchObject({ status: "completed", interrupted: false });
  expect(last.messages.at(-1)?.content).toBe("The text is negative (-0.33).");
});

it("gives the model the words that a person has corrected", async () => {
  await start();
  const words = ["great", "service"];
  expect(await inspection.resume({ decision: "edit", state: { words } }, { threadId })).toMatchObject({
    currentNode: "MODEL_INFERENCE",
    state: { words, score: 1 },
  });
});

it("reports the score that a person has corrected, also without a decision", async () => {
  await start();
  await inspection.resume({}, { threadId });
  const result = await inspection.resume({ state: { score: 0 } }, { threadId });
  expect(result.messages.at(-1)?.content).toBe("The text is mixed (0.00).");
});

it("refuses a correction that is no score", async () => {
  await start();
  await inspection.resume({}, { threadId });
  await expect(
    inspection.resume({ decision: "edit", state: { score: 7 } }, { threadId }),
  ).rejects.toMatchObject({ code: "validation_failed" });
  expect((await inspection.getState({ threadId })).status).toBe("interrupted_after");
});
