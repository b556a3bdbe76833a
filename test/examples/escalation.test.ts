import { beforeEach, describe, expect, it } from "vitest";
import { escalation } from "../../examples/escalation.js";

const CLEAR = "Where is the delivery of order 1042?";
const VAGUE = "It does not work";

let threadId: string;
beforeEach(() => {
  threadId = `escalation-${crypto.randomUUID()}`;
});

const ask = (message: string) => escalation.invoke({ messages: [message] }, { threadId });
const words = (result: { messages: readonly { content: unknown }[] }) => result.messages.at(-1)?.content;
const done = (topic: string, order: string) =>
  `Thank you! Your question (${topic}) about order ${order} is with the right people now.`;

it("goes through without a person where it is sure and nothing is missing", async () => {
  const result = await ask(CLEAR);
  expect(result).toMatchObject({ status: "completed", state: { topic: "delivery" } });
  expect(words(result)).toBe(done("delivery", "1042"));
});

describe("escalation", () => {
  it.each([
    ["no topic is known", VAGUE, { topic: "unknown", confidence: 0.2 }],
    ["several topics are meant", "Refund the invoice of order 3", { topic: "invoice", confidence: 0.45 }],
    ["the text is long", `${CLEAR} ${"I wonder ".repeat(20)}`, { topic: "delivery", confidence: 0.9 }],
  ])("to a person where %s", async (_why, message, data) => {
    const result = await ask(message);
    expect(result).toMatchObject({
      status: "interrupted_before",
      currentNode: "SMART_ESCALATION",
      interrupts: [{ kind: "manual", node: "SMART_ESCALATION", data }],
      state: { topic: "unknown" },
    });
    expect(result.interruptReason).toMatch(/^Low confidence \(0\.\d\d\) or high complexity \(\d\.\d\d\)$/);
  });

  it("asks once, and goes on with what the node found when it is approved", async () => {
    await ask("Refund the invoice of order 3");
    const result = await escalation.resume({ decision: "approve" }, { threadId });
    expect(result.status).toBe("completed");
    expect(words(result)).toBe(done("invoice", "3"));
  });

  it("goes on with the topic that the person set, and then asks for the order", async () => {
    await ask(VAGUE);
    const edited = await escalation.resume({ decision: "edit", state: { topic: "refund" } }, { threadId });
    expect(edited).toMatchObject({
      status: "interrupted_before",
      currentNode: "REPLY",
      interrupts: [
        { kind: "request", message: "Which order is it about?", data: { topic: "refund", text: VAGUE } },
      ],
    });
    const result = await escalation.resume({ decision: "respond", data: { order: "77" } }, { threadId });
    expect(words(result)).toBe(done("refund", "77"));
  });

  it("ends with a denial: the node does not run again", async () => {
    await ask(VAGUE);
    const result = await escalation.resume({ decision: "deny" }, { threadId });
    expect(result).toMatchObject({ status: "completed", messages: [], state: { topic: "unknown" } });
  });

  it("forgets the person's topic when the next message comes", async () => {
    await ask(`${VAGUE}, order 1`);
    await escalation.resume({ decision: "edit", state: { topic: "refund" } }, { threadId });
    expect(await ask(CLEAR)).toMatchObject({ status: "completed", state: { topic: "delivery" } });
  });
});

describe("the missing order", () => {
  const MISSING = "Where is my parcel?";

  it("is asked for, with the form of the answer", async () => {
    const [interrupt] = (await ask(MISSING)).interrupts;
    expect(interrupt).toMatchObject({
      kind: "request",
      decisions: ["respond", "deny"],
      responseSchema: { type: "object", required: ["order"] },
    });
    const result = await escalation.resume({ decision: "respond", data: { order: "1042" } }, { threadId });
    expect(words(result)).toBe(done("delivery", "1042"));
  });

  it.each([
    ["data that does not fit", { decision: "respond", data: { order: "the red one" } }],
    ["no data", { decision: "respond" }],
    ["a decision that is not offered", { decision: "approve", data: { order: "1042" } }],
  ] as const)("is not taken from %s", async (_what, answer) => {
    await ask(MISSING);
    await expect(escalation.resume(answer, { threadId })).rejects.toMatchObject({
      code: "validation_failed",
    });
    expect((await escalation.getState({ threadId })).interrupts).toHaveLength(1);
  });

  it("may be refused: the run ends without a reply", async () => {
    await ask(MISSING);
    const result = await escalation.resume({ decision: "deny", reason: "nobody knows" }, { threadId });
    expect(result).toMatchObject({
      status: "completed",
      decision: { decision: "deny", reason: "nobody knows" },
      messages: [],
    });
  });
});
