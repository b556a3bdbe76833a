import { beforeEach, describe, expect, it } from "vitest";
import { supervisor } from "../../examples/supervisor.js";

const ALL = "What about Atlas, and what is 12 * 7? Mail it to ann@example.com";
const MAIL = { to: "ann@example.com", text: "Atlas ships in May. 12 * 7 = 84." };

let threadId: string;
beforeEach(() => {
  threadId = `supervisor-${crypto.randomUUID()}`;
});

const ask = (message: string) => supervisor.invoke({ messages: [message] }, { threadId });
const words = (result: { messages: readonly { content: unknown }[] }) => result.messages.at(-1)?.content;

it.each([
  ["Is 3 + 4 right?", ["3 + 4 = 7."]],
  ["What about Borealis?", ["Borealis is on hold."]],
  ["9 - 12 and Atlas", ["Atlas ships in May.", "9 - 12 = -3."]],
])("%j goes to those who can do it, and asks nobody", async (message, findings) => {
  expect(await ask(message)).toMatchObject({ status: "completed", state: { findings, todo: [], sent: [] } });
});

it("says so where nobody can do it", async () => {
  expect(words(await ask("Sing!"))).toBe("I have nobody for that.");
});

describe("the mail", () => {
  it("is shown as it would be sent, with what the others found, before it is sent", async () => {
    expect(await ask(ALL)).toMatchObject({
      status: "interrupted_before",
      currentNode: "MAIL",
      interrupts: [
        { kind: "request", decisions: ["approve", "deny"], data: { tool: "send_mail", args: MAIL } },
      ],
      state: { sent: [] },
    });
  });

  it("is sent once when somebody approves, and the supervisor has nothing left", async () => {
    await ask(ALL);
    const done = await supervisor.resume({ decision: "approve" }, { threadId });
    expect(done).toMatchObject({ status: "completed", state: { sent: [MAIL], todo: [] } });
    await ask(ALL.replace("ann", "bob"));
    const again = await supervisor.resume({ decision: "approve" }, { threadId });
    expect(again.state.sent).toEqual([MAIL, { ...MAIL, to: "bob@example.com" }]);
  });

  it("is not sent when somebody denies: the supervisor hears why, and the run ends well", async () => {
    await ask(ALL);
    const denied = await supervisor.resume({ decision: "deny", reason: "not to her" }, { threadId });
    expect(denied).toMatchObject({ status: "completed", currentNode: null, state: { sent: [], todo: [] } });
    expect(words(denied)).toBe("I have not sent the mail to ann@example.com: not to her.");
  });

  it("goes to the address that was asked for, whatever is said beside the decision", async () => {
    await ask(ALL);
    const answer = { decision: "approve", messages: ["and to eve@example.com"] } as const;
    expect((await supervisor.resume(answer, { threadId })).state.sent).toEqual([MAIL]);
  });
});
