import { END, InterruptDenied, START, StateGraph, type Answer } from "holdpoint";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { failure, latch } from "../support/latch.js";
import { line, type Node } from "./helpers.js";

const thread = { threadId: "t" };

describe("ctx.interrupt", () => {
  it("pauses and returns the person's answer where it was called", async () => {
    let got: Answer | undefined;
    const app = line({
      ASK: async (_state, ctx) => {
        got = await ctx.interrupt({ message: "How much?", data: { max: 10 } });
        return { amount: got.data as number };
      },
    });
    const paused = await app.invoke({}, thread);
    expect(paused.interrupts).toMatchObject([
      { kind: "request", message: "How much?", data: { max: 10 }, plain: false },
    ]);
    const result = await app.resume(
      { decision: "respond", data: 7, reason: "enough", messages: ["seven"] },
      { ...thread, by: "ann" },
    );
    expect(result.state.amount).toBe(7);
    expect(got).toMatchObject({
      decision: "respond",
      data: 7,
      reason: "enough",
      by: "ann",
      state: null,
      messages: [{ role: "user", content: "seven" }],
    });
    expect(Date.parse(got?.at ?? "")).not.toBeNaN();
  });

  it.each([[false], [0], [""], [null]])("the falsy answer %j arrives intact", async (data) => {
    let got: unknown = "nothing";
    const app = line({
      ASK: async (_state, ctx) => {
        got = (await ctx.interrupt({ message: "?" })).data;
      },
    });
    await app.invoke({}, thread);
    const result = await app.resume({ decision: "respond", data }, thread);
    expect(result.status).toBe("completed");
    expect(got).toBe(data);
  });

  it("the k-th call gets the k-th answer, so loops inside a node work", async () => {
    const starts = vi.fn();
    const app = line({
      ASK: async (_state, ctx) => {
        starts();
        const log: string[] = [];
        for (let i = 0; i < 3; i++) {
          log.push((await ctx.interrupt({ message: `question ${i}` })).data as string);
        }
        return { log };
      },
    });
    let result = await app.invoke({}, thread);
    for (let i = 0; i < 3; i++) {
      expect(result.interrupts.map(({ message }) => message)).toEqual([`question ${i}`]);
      result = await app.resume({ decision: "respond", data: `answer ${i}` }, thread);
    }
    expect(result.state.log).toEqual(["answer 0", "answer 1", "answer 2"]);
    expect(starts).toHaveBeenCalledTimes(4);
  });

  it("calls with a key get their own answer, whatever their order", async () => {
    let attempt = 0;
    const app = line({
      ASK: async (_state, ctx) => {
        const keys = attempt++ === 0 ? ["a", "b"] : ["b", "a"];
        const answers: Record<string, unknown> = {};
        for (const key of keys) answers[key] = (await ctx.interrupt({ message: key, key })).data;
        return { log: [String(answers.a), String(answers.b)] };
      },
    });
    await app.invoke({}, thread);
    const second = await app.resume({ decision: "respond", data: "for a" }, thread);
    expect(second.interrupts.map(({ message }) => message)).toEqual(["b"]);
    const result = await app.resume({ decision: "respond", data: "for b" }, thread);
    expect(result.state.log).toEqual(["for a", "for b"]);
  });

  it("two calls in Promise.all open together and are answered one by one by their ids", async () => {
    const app = line({
      ASK: async (_state, ctx) => {
        const both = await Promise.all([
          ctx.interrupt({ message: "left" }),
          ctx.interrupt({ message: "right" }),
        ]);
        return { log: both.map(({ data }) => data as string) };
      },
    });
    const paused = await app.invoke({}, thread);
    expect(paused.interrupts.map(({ message }) => message)).toEqual(["left", "right"]);
    const [left, right] = paused.interrupts;
    expect((await failure(app.resume({ decision: "respond", data: "x" }, thread))).code).toBe(
      "ambiguous_interrupt",
    );
    const waiting = await app.resume(
      { interruptId: right?.id, decision: "respond", data: "R", messages: ["right said"] },
      thread,
    );
    expect(waiting).toMatchObject({ status: "interrupted_before", interrupted: true });
    expect(waiting.interrupts.map(({ id }) => id)).toEqual([left?.id]);
    const result = await app.resume(
      { interruptId: left?.id, decision: "respond", data: "L", messages: ["left said"] },
      thread,
    );
    expect(result).toMatchObject({ status: "completed", state: { log: ["L", "R"] } });
    expect(result.messages.map(({ content }) => content)).toEqual(["left said", "right said"]);
  });

  it("several may be answered in one request", async () => {
    const app = line({
      ASK: async (_state, ctx) => {
        const both = await Promise.all([
          ctx.interrupt({ message: "left" }),
          ctx.interrupt({ message: "right" }),
        ]);
        return { log: both.map(({ data }) => data as string) };
      },
    });
    const { interrupts } = await app.invoke({}, thread);
    const result = await app.resume(
      {
        answers: interrupts.map(({ id, message }) => ({
          interruptId: id,
          decision: "respond" as const,
          data: message,
        })),
      },
      thread,
    );
    expect(result).toMatchObject({ status: "completed", state: { log: ["left", "right"] } });
  });

  it("cannot be swallowed by try and catch, raced past or left unawaited", async () => {
    const past = vi.fn();
    const never = latch();
    const nodes: Record<string, Node> = {
      swallowed: async (_state, ctx) => {
        try {
          await ctx.interrupt({ message: "?" });
        } catch {
          past();
        } finally {
          past();
        }
        return { amount: 666 };
      },
      raced: async (_state, ctx) => {
        await Promise.race([ctx.interrupt({ message: "?" }), Promise.resolve()]);
        return { amount: 666 };
      },
      unawaited: (_state, ctx) => {
        void ctx.interrupt({ message: "?" });
        return { amount: 666 };
      },
      hanging: async (_state, ctx) => {
        void ctx.interrupt({ message: "?" });
        await never.opened;
        return { amount: 666 };
      },
      throwing: (_state, ctx) => {
        void ctx.interrupt({ message: "?" });
        throw new Error("after the question");
      },
    };
    for (const [how, node] of Object.entries(nodes)) {
      const after = vi.fn(() => "after");
      const app = line({ ASK: node, AFTER: after });
      const result = await app.invoke({}, thread);
      expect(result, how).toMatchObject({ status: "interrupted_before", state: { amount: 0 } });
      expect(after, how).not.toHaveBeenCalled();
    }
    expect(past).not.toHaveBeenCalled();
    never.open();
  });

  it("checks the answer's data by its schema, with every decision but deny", async () => {
    const app = line({
      ASK: async (_state, ctx) => {
        const schema = z.object({ amount: z.number().max(10) });
        const { data } = await ctx.interrupt({ message: "How much?", responseSchema: schema });
        return { amount: (data as { amount: number }).amount };
      },
    });
    const paused = await app.invoke({}, thread);
    const error = await failure(app.resume({ decision: "respond", data: { amount: 11 } }, thread));
    expect(error.code).toBe("validation_failed");
    expect(error.details.errors[0].path).toBe("data.amount");
    expect((await app.getState(thread)).interrupts[0]?.id).toBe(paused.interrupts[0]?.id);
    const result = await app.resume({ decision: "approve", data: { amount: 9 } }, thread);
    expect(result.state.amount).toBe(9);

    await app.invoke({}, { threadId: "denied" });
    expect((await app.resume({ decision: "deny" }, { threadId: "denied" })).status).toBe("completed");
  });

  it("is no plain pause: invoke throws decision_required and changes nothing", async () => {
    const app = line({
      ASK: async (_state, ctx) => {
        await ctx.interrupt({ message: "?" });
      },
    });
    await app.invoke({}, thread);
    const error = await failure(app.invoke({ messages: ["yes"] }, thread));
    expect(error.code).toBe("decision_required");
    expect((await app.getState(thread)).messages).toEqual([]);
  });

  it("offers only its own decisions", async () => {
    const app = line({
      ASK: async (_state, ctx) => {
        await ctx.interrupt({ message: "?", decisions: ["approve", "deny"] });
      },
    });
    await app.invoke({}, thread);
    const error = await failure(app.resume({ decision: "respond", data: 1 }, thread));
    expect(error.code).toBe("validation_failed");
    expect((await app.resume({ decision: "approve" }, thread)).status).toBe("completed");
  });
});

describe("a denied request", () => {
  it("rejects with InterruptDenied; let through it counts as denied, not failed", async () => {
    const next = vi.fn(() => "next");
    const app = line({
      ASK: async (_state, ctx) => {
        await ctx.interrupt({ message: "?" });
        return { amount: 666 };
      },
      NEXT: next,
    });
    await app.invoke({}, thread);
    const result = await app.resume({ decision: "deny", reason: "too risky" }, thread);
    expect(result).toMatchObject({
      status: "completed",
      error: null,
      decision: { decision: "deny", reason: "too risky" },
      state: { amount: 0 },
    });
    expect(next).not.toHaveBeenCalled();
  });

  it("follows the node's onDeny, which gets the denial as its answer", async () => {
    let got: Answer | undefined;
    const ask: Node = async (_state, ctx) => {
      await ctx.interrupt({ message: "?" });
    };
    const app = new StateGraph()
      .addNode("REFUSED", (_state, ctx) => {
        got = ctx.answer;
        return "refused";
      })
      .addNode("ASK", ask as () => undefined, { onDeny: "REFUSED" })
      .addEdge(START, "ASK")
      .addEdge("ASK", END)
      .addEdge("REFUSED", END)
      .compile();
    await app.invoke({}, thread);
    const result = await app.resume({ decision: "deny", reason: "no" }, thread);
    expect(result.messages.map(({ content }) => content)).toEqual(["refused"]);
    expect(got).toMatchObject({ decision: "deny", reason: "no" });
  });

  it("caught, it lets the node judge", async () => {
    const next = vi.fn(() => "next");
    const app = line({
      ASK: async (_state, ctx) => {
        try {
          await ctx.interrupt({ message: "?" });
        } catch (error) {
          if (!(error instanceof InterruptDenied)) throw error;
          return { log: [`judged: ${error.answer.reason ?? ""}`] };
        }
        return undefined;
      },
      NEXT: next,
    });
    await app.invoke({}, thread);
    const result = await app.resume({ decision: "deny", reason: "no" }, thread);
    expect(result).toMatchObject({ status: "completed", state: { log: ["judged: no"] } });
    expect(next).toHaveBeenCalledTimes(1);
  });
});
