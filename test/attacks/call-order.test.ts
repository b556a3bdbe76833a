/** A node whose calls change their order between attempts: found and named, never given each other's answers. */
import { InMemoryCheckpointer, type NodeContext } from "holdpoint";
import { describe, expect, it } from "vitest";
import { failure } from "../support/latch.js";
import { line, type Node } from "../reference/helpers.js";

const thread = { threadId: "t" };
const BOTH = /ctx\.interrupt "Finance\?" is call 1 of ASK now, and was ctx\.interrupt "Legal\?".*`key`/;

/** A thread that was asked by one node and is gone on with by another of the same name: a new build. */
function builds(before: Node, after: Node) {
  const checkpointer = new InMemoryCheckpointer();
  return { old: line({ ASK: before }, { checkpointer }), now: line({ ASK: after }, { checkpointer }) };
}

const asks =
  (...messages: string[]): Node =>
  async (_state, ctx) => {
    const log: string[] = [];
    for (const message of messages) log.push(`${message} ${String((await ctx.interrupt({ message })).data)}`);
    return { log };
  };
const respond = (data: unknown) => ({ decision: "respond" as const, data });

describe("calls without a key", () => {
  it("that have changed places are refused, both named", async () => {
    const { old, now } = builds(asks("Legal?", "Finance?", "Board?"), asks("Finance?", "Legal?", "Board?"));
    await old.invoke({}, thread);
    await old.resume(respond(1), thread);
    await old.resume(respond(2), thread);
    const error = await failure(now.resume(respond(3), thread));
    expect(error).toMatchObject({ code: "node_failed", message: expect.stringMatching(BOTH) });
    // Nothing is lost: the build that asked goes on with what was answered.
    const done = await old.resume({}, thread);
    expect(done.state.log).toEqual(["Legal? 1", "Finance? 2", "Board? 3"]);
  });

  it("one of which came in front of the answered one are refused, as soon as that is asked again", async () => {
    const { old, now } = builds(asks("Legal?", "Board?"), asks("Finance?", "Legal?"));
    await old.invoke({}, thread);
    expect(await failure(now.resume(respond(1), thread))).toMatchObject({
      message: expect.stringMatching(BOTH),
    });
  });

  it("one of which is gone are refused", async () => {
    const { old, now } = builds(asks("Legal?", "Finance?"), asks("Finance?"));
    await old.invoke({}, thread);
    await old.resume(respond(1), thread);
    expect(await failure(now.resume(respond(2), thread))).toMatchObject({
      message: expect.stringMatching(BOTH),
    });
  });

  it("asked at once and in another order are refused", async () => {
    const both =
      (...messages: string[]): Node =>
      async (_state, ctx) => {
        const answers = await Promise.all(messages.map((message) => ctx.interrupt({ message })));
        return { log: answers.map(({ data }) => String(data)) };
      };
    const { old, now } = builds(both("Legal?", "Finance?"), both("Finance?", "Legal?"));
    const { interrupts } = await old.invoke({}, thread);
    const answers = interrupts.map(({ id }, i) => ({ interruptId: id, ...respond(i) }));
    expect(await failure(now.resume({ answers }, thread))).toMatchObject({
      message: expect.stringMatching(BOTH),
    });
  });

  it.each([
    ["request", "manual", /setInterrupt "Sure\?" is call 1 of ASK now, and was ctx\.interrupt "Really\?"/],
    ["manual", "request", /ctx\.interrupt "Really\?" is call 1 of ASK now, and was setInterrupt "Sure\?"/],
  ] as const)("of another kind (%s, then %s) are refused", async (first, then, message) => {
    const nodes: Record<string, Node> = {
      request: asks("Really?"),
      manual: (state) => state.setInterrupt({ reason: "Sure?", status: "interrupted_before" }),
    };
    const { old, now } = builds(nodes[first] as Node, nodes[then] as Node);
    await old.invoke({}, thread);
    expect(await failure(now.resume({ decision: "approve" }, thread))).toMatchObject({
      message: expect.stringMatching(message),
    });
  });

  it("fail their node also where it catches that, and begin no effect", async () => {
    let charged = 0;
    const { old, now } = builds(asks("Legal?", "Finance?"), async (_state, ctx) => {
      await ctx.interrupt({ message: "Finance?" }).catch(() => undefined);
      await ctx.once("charge", () => charged++).catch(() => undefined);
      return { log: ["went on"] };
    });
    await old.invoke({}, thread);
    await old.resume(respond(1), thread);
    expect(await failure(now.resume(respond(2), thread))).toMatchObject({
      message: expect.stringMatching(BOTH),
    });
    expect(charged).toBe(0);
    expect((await now.getState(thread)).state.log).toEqual([]);
  });
});

describe("calls without a key are taken", () => {
  it("where their words merely changed, because an edit changed what they are made of", async () => {
    const app = line({
      ASK: async (state, ctx) => {
        await ctx.interrupt({ message: `Pay ${state.amount}?` });
        await ctx.interrupt({ message: `Tell them that ${state.amount} was paid?` });
        return { log: [`paid ${state.amount}`] };
      },
    });
    await app.invoke({ amount: 10 }, thread);
    await app.resume({ decision: "edit", state: { amount: 20 } }, thread);
    expect((await app.resume({ decision: "approve" }, thread)).state.log).toEqual(["paid 20"]);
  });

  it("where a loop asks the same again and again", async () => {
    const more = async (ctx: NodeContext): Promise<boolean> =>
      (await ctx.interrupt({ message: "More?" })).data === true;
    const app = line({
      ASK: async (_state, ctx) => {
        let rounds = 1;
        while (await more(ctx)) rounds++;
        return { log: [`${rounds} rounds`] };
      },
    });
    await app.invoke({}, thread);
    for (let i = 0; i < 3; i++) await app.resume(respond(true), thread);
    expect((await app.resume(respond(false), thread)).state.log).toEqual(["4 rounds"]);
  });

  it("of another task of the same node that asks the same", async () => {
    const app = line({ ASK: asks("A?", "B?"), SAME: asks("B?", "A?") });
    await app.invoke({}, thread);
    for (let i = 0; i < 3; i++) await app.resume(respond(i), thread);
    expect((await app.resume(respond(3), thread)).state.log).toEqual(["A? 0", "B? 1", "B? 2", "A? 3"]);
  });
});

it("calls with keys may change places", async () => {
  const keyed =
    (...keys: string[]): Node =>
    async (_state, ctx) => {
      const log: string[] = [];
      for (const key of keys) log.push(`${key} ${String((await ctx.interrupt({ key, message: key })).data)}`);
      return { log };
    };
  const { old, now } = builds(keyed("legal", "finance"), keyed("finance", "legal"));
  await old.invoke({}, thread);
  await old.resume(respond(1), thread);
  expect((await now.resume(respond(2), thread)).state.log).toEqual(["finance 2", "legal 1"]);
});
