import { beforeEach, expect, it } from "vitest";
import { handoff } from "../../examples/handoff.js";

let threadId: string;
beforeEach(() => {
  threadId = `handoff-${crypto.randomUUID()}`;
});

const ask = (message: string) => handoff.invoke({ messages: [message] }, { threadId });
const words = (result: { messages: readonly { content: unknown }[] }) =>
  result.messages.slice(1).map(({ content }) => content);

it("each agent answers its part and hands the rest over", async () => {
  const result = await ask("My parcel is late, the app crashes and I want a refund");
  expect(result).toMatchObject({ status: "completed", state: { open: [], turns: 3 } });
  expect(words(result)).toEqual([
    'BILLING: about "i want a refund": the money is on its way back.',
    'DELIVERY: about "my parcel is late": it comes tomorrow.',
    'TECH: about "the app crashes": please install version 2.',
  ]);
});

it.each([
  ["Refund me", 1],
  ["Where is my parcel?", 2],
  ["I cannot login", 3],
])("%j ends with the first who knows it, after %d turns", async (message, turns) => {
  const result = await ask(message);
  expect(result).toMatchObject({ status: "completed", state: { open: [], turns } });
  expect(words(result)).toHaveLength(1);
});

it("passes nobody round for ever: after six turns a person is promised", async () => {
  const result = await ask("Is your parrot for sale?");
  expect(result).toMatchObject({
    status: "completed",
    state: { turns: 6, open: ["is your parrot for sale"] },
  });
  expect(words(result)).toEqual([
    'Nobody here knows about "is your parrot for sale". A person will call you.',
  ]);
});

it("counts anew for the next message, and says nothing to nothing", async () => {
  await ask("Is your parrot for sale?");
  expect(await ask("Refund me")).toMatchObject({ status: "completed", state: { turns: 1, open: [] } });
  expect(words(await ask("..."))).toEqual([]);
});

it("can be looked at on its way: a run may hold before an agent", async () => {
  const held = await handoff.invoke(
    { messages: ["I cannot login"] },
    { threadId, interruptBefore: ["DELIVERY"] },
  );
  expect(held).toMatchObject({ status: "interrupted_before", currentNode: "DELIVERY", state: { turns: 1 } });
  const done = await handoff.resume({ decision: "approve" }, { threadId });
  expect(done).toMatchObject({ status: "completed", state: { open: [], turns: 3 } });
});
