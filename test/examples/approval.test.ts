import { beforeEach, expect, it } from "vitest";
import { approval } from "../../examples/approval.js";

let threadId: string;
beforeEach(() => {
  threadId = `approval-${crypto.randomUUID()}`;
});

const ask = (message: string) => approval.invoke({ messages: [message] }, { threadId });
const words = (result: { messages: readonly { content: unknown }[] }) =>
  result.messages.map(({ content }) => content);

it("analyses, then waits before it acts", async () => {
  const result = await ask("Delete all production data");
  expect(result).toMatchObject({
    status: "interrupted_before",
    interruptReason: "interrupt_before: EXECUTE_ACTION",
    currentNode: "EXECUTE_ACTION",
    state: { action: "Delete all production data", risk: "high", done: [] },
  });
  expect(words(result)[1]).toMatch(/risk is high/);
});

it("executes once when it is approved", async () => {
  await ask("Send the newsletter");
  const result = await approval.resume({ decision: "approve" }, { threadId });
  expect(result).toMatchObject({
    status: "completed",
    state: { risk: "low", done: ["Send the newsletter"] },
  });
  expect(words(result)).toEqual([
    "Executed: Send the newsletter",
    "All finished. Executed on this thread so far: 1.",
  ]);
});

it("does not execute when it is denied, and the next request is asked anew", async () => {
  await ask("Delete all production data");
  const denied = await approval.resume(
    { decision: "deny", reason: "certainly not", messages: ["DENIED: Operation cancelled"] },
    { threadId },
  );
  expect(denied).toMatchObject({
    status: "completed",
    decision: { decision: "deny", reason: "certainly not" },
    state: { done: [] },
  });
  expect(words(denied)).toEqual(["DENIED: Operation cancelled"]);

  expect((await ask("Delete the staging data")).status).toBe("interrupted_before");
  await approval.resume({ decision: "approve" }, { threadId });
  expect((await approval.getState({ threadId })).state.done).toEqual(["Delete the staging data"]);
});

it("executes what the person made of it", async () => {
  await ask("Delete all production data");
  const edit = { decision: "edit", state: { action: "Delete the staging data" } } as const;
  expect((await approval.resume(edit, { threadId })).state.done).toEqual(["Delete the staging data"]);
});

it("goes on as on the reference page: an invoke of the paused thread is its caller's go-on", async () => {
  await ask("Delete all production data");
  const result = await ask("APPROVED: Proceed with deletion");
  expect(result).toMatchObject({ status: "completed", state: { done: ["Delete all production data"] } });
});
