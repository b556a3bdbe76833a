import type { RunEvent } from "holdpoint";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { chat } from "../../examples/chat.js";

/** So long that no reply to it ends before a stop. */
const LONG = `${"word ".repeat(20_000)}last`;

let threadId: string;
beforeEach(() => {
  threadId = `chat-${crypto.randomUUID()}`;
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** Talks, and stops the run as soon as `deltas` words were heard. */
async function stoppedAfter(deltas: number, message: string) {
  const events: RunEvent[] = [];
  let heard = "";
  let stop: Promise<{ status?: string }> | undefined;
  for await (const event of chat.stream({ messages: [message] }, { threadId })) {
    events.push(event);
    if (event.eventType !== "delta") continue;
    heard += event.content;
    if (--deltas === 0) stop = chat.stop({ threadId });
  }
  return { events, heard, receipt: await stop };
}

const reply = (events: RunEvent[]) =>
  events.flatMap((event) =>
    event.eventType === "message" && event.data.message.role === "assistant" ? [event.data.message] : [],
  );

it("streams the reply word by word, and its message is the words together", async () => {
  vi.stubEnv("CHAT_DELAY_MS", "0");
  const { events, heard } = await stoppedAfter(Infinity, "Hello there");
  const deltas = events.filter((event) => event.eventType === "delta");
  expect(deltas.length).toBeGreaterThan(30);
  expect(deltas[0]?.content).toBe("You ");
  expect(heard).toContain('You said: "Hello there".');
  expect(events.at(-1)?.eventType).toBe("end");

  const messages = reply(events);
  expect(messages).toHaveLength(1);
  expect(messages[0]?.content).toBe(heard);
  expect(deltas.every((event) => event.data.messageId === messages[0]?.id)).toBe(true);
});

it("keeps what was said when it is stopped half-way", async () => {
  vi.stubEnv("CHAT_DELAY_MS", "1");
  const { events, heard, receipt } = await stoppedAfter(5, LONG);
  expect(receipt).toMatchObject({ ok: true, running: true, status: "stopped", node: "CHAT", abandoned: [] });
  expect(events.at(-1)).toMatchObject({ eventType: "stopped", data: { result: { status: "stopped" } } });

  const [kept] = reply(events);
  expect(kept?.content).toBe(heard);
  expect(heard).toMatch(/^You said: "word word /);
  expect(heard).not.toContain("last");
  const { executionMeta } = await chat.getState({ threadId });
  expect(executionMeta.status).toBe("stopped");
});

it("does not wait for the next word when it is stopped", async () => {
  vi.stubEnv("CHAT_DELAY_MS", "60000");
  const { events, receipt } = await stoppedAfter(1, "Hello");
  expect(receipt).toMatchObject({ status: "stopped", abandoned: [] });
  expect(reply(events).map(({ content }) => content)).toEqual(["You "]);
});

it("talks on after a stop, on a new message", async () => {
  vi.stubEnv("CHAT_DELAY_MS", "60000");
  await stoppedAfter(1, "Hello");
  vi.stubEnv("CHAT_DELAY_MS", "0");
  const result = await chat.invoke({ messages: ["Again"] }, { threadId });
  expect(result.status).toBe("completed");
  expect(result.messages.at(-1)?.content).toMatch(/^You said: "Again"/);
});

it("names a delay that is no number", async () => {
  vi.stubEnv("CHAT_DELAY_MS", "soon");
  await expect(chat.invoke({ messages: ["Hello"] }, { threadId })).rejects.toMatchObject({
    code: "node_failed",
    node: "CHAT",
  });
});
