import { END, HoldpointError, InMemoryCheckpointer, RunError, START, StateGraph } from "holdpoint";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { failure, latch } from "../support/latch.js";
import { line, type Node } from "./helpers.js";

const thread = { threadId: "t" };
// Retries are warned of; the tests that care look at it.
const warn = vi.spyOn(console, "warn");
beforeEach(() => void warn.mockReset().mockImplementation(() => undefined));

/** One node with options, between START and END. */
function one(node: Node, options: object) {
  return new StateGraph({
    state: z.object({ amount: z.number().default(0), log: z.array(z.string()).default([]) }),
  })
    .addNode("WORK", node as () => undefined, options)
    .addEdge(START, "WORK")
    .addEdge("WORK", END)
    .compile({ checkpointer: new InMemoryCheckpointer() });
}

describe("a node that throws", () => {
  it("ends the run in a RunError that says which code, thread, run, node, step and cause", async () => {
    const cause = new Error("card refused");
    const app = line({
      A: () => ({ amount: 1 }),
      PAY: () => {
        throw cause;
      },
    });
    const error = await failure(app.invoke({}, thread));
    expect(error).toBeInstanceOf(RunError);
    expect(error).toMatchObject({
      name: "RunError",
      code: "node_failed",
      threadId: "t",
      node: "PAY",
      step: 1,
    });
    expect(error.cause).toBe(cause);
    expect(error.message).toContain("PAY");
    expect(error.message).toContain("card refused");
    expect(error.runId).toMatch(/^[0-9a-f-]{36}$/);
  });

  it.each([["text"], [null], [undefined], [{ code: 5 }], [0n]])(
    "%s instead of an Error is told as well",
    async (thrown) => {
      const app = line({
        WORK: () => {
          // eslint-disable-next-line @typescript-eslint/only-throw-error
          throw thrown;
        },
      });
      const error = await failure(app.invoke({}, thread));
      expect(error).toMatchObject({ code: "node_failed", node: "WORK" });
      expect(error.cause).toBe(thrown);
    },
  );

  it("leaves the thread at the last checkpoint, and a resume tries the failed node again", async () => {
    const ran: string[] = [];
    let broken = true;
    const app = line({
      A: () => (ran.push("A"), { amount: 1, messages: ["from A"] }),
      B: () => {
        ran.push("B");
        if (broken) throw new Error("broken");
        return { amount: 2 };
      },
      C: () => void ran.push("C"),
    });
    await failure(app.invoke({}, thread));
    const state = await app.getState(thread);
    expect(state).toMatchObject({ status: "error", state: { amount: 1 }, nextNodes: ["B"] });
    expect(state.messages).toHaveLength(1);

    expect(await failure(app.resume({}, thread))).toMatchObject({ node: "B" });
    broken = false;
    expect(await app.resume({}, thread)).toMatchObject({ status: "completed", state: { amount: 2 } });
    expect(ran).toEqual(["A", "B", "B", "B", "C"]);
  });

  it("is begun anew by invoke: what was left undone is given up", async () => {
    const ran: string[] = [];
    let broken = true;
    const app = line({
      A: () => void ran.push("A"),
      B: () => {
        ran.push("B");
        if (broken) throw new Error("broken");
      },
    });
    await failure(app.invoke({}, thread));
    broken = false;
    expect((await app.invoke({}, thread)).status).toBe("completed");
    expect(ran).toEqual(["A", "B", "A", "B"]);
  });

  it("behind a hold point is not held again for the same visit: it has told its outcome", async () => {
    let broken = true;
    const app = line(
      {
        PAY: () => {
          if (broken) throw new Error("broken");
          return "paid";
        },
      },
      { interruptBefore: ["PAY"] },
    );
    await app.invoke({}, thread);
    await failure(app.resume({ decision: "approve" }, thread));
    broken = false;
    const result = await app.resume({}, thread);
    expect(result.status).toBe("completed");
  });

  it("the page's clean-up works: the error's thread can be stopped", async () => {
    const app = line({
      WORK: () => {
        throw new Error("broken");
      },
    });
    const error = await failure(app.invoke({}, thread));
    expect(await app.stop({ threadId: error.threadId })).toMatchObject({ ok: true, running: false });
  });
});

describe("retry", () => {
  it("tries again as often as it says, with a growing attempt", async () => {
    const attempts: number[] = [];
    const app = one(
      (_state, ctx) => {
        attempts.push(ctx.attempt);
        if (attempts.length < 3) throw new Error("not yet");
        return { amount: attempts.length };
      },
      { retry: { attempts: 3 } },
    );
    expect(await app.invoke({}, thread)).toMatchObject({ status: "completed", state: { amount: 3 } });
    expect(attempts).toEqual([1, 2, 3]);
    expect(warn).toHaveBeenCalledTimes(2);
  });

  it("ends in the last attempt's error when all are used, and a resume has them anew", async () => {
    const node = vi.fn(() => {
      throw new Error(`try ${node.mock.calls.length}`);
    });
    const app = one(node, { retry: { attempts: 2 } });
    expect((await failure(app.invoke({}, thread))).message).toContain("try 2");
    expect((await failure(app.resume({}, thread))).message).toContain("try 4");
  });

  it("does not repeat what a person denied, nor an update that the state refuses", async () => {
    const denied = vi.fn<Node>(async (_state, ctx) => {
      await ctx.interrupt({ message: "?" });
    });
    const app = one(denied, { retry: { attempts: 5 } });
    await app.invoke({}, thread);
    expect((await app.resume({ decision: "deny" }, thread)).status).toBe("completed");
    expect(denied).toHaveBeenCalledTimes(2);

    const wrong = vi.fn(() => ({ amount: "x" }) as never);
    expect((await failure(one(wrong, { retry: { attempts: 5 } }).invoke({}, thread))).code).toBe(
      "invalid_update",
    );
    expect(wrong).toHaveBeenCalledTimes(1);
  });
});

describe("timeoutMs", () => {
  it("aborts the signal with a TimeoutError and ends the run with node_timeout", async () => {
    const reason = latch();
    let name = "";
    const app = one(
      async (_state, ctx) =>
        new Promise<undefined>(() => {
          ctx.signal.addEventListener("abort", () => {
            name = (ctx.signal.reason as Error).name;
            reason.open();
          });
        }),
      { timeoutMs: 5 },
    );
    const error = await failure(app.invoke({}, thread));
    await reason.opened;
    expect(name).toBe("TimeoutError");
    expect(error).toMatchObject({ code: "node_timeout", node: "WORK" });
    expect(error.message).toContain("5 ms");
  });

  it("is for one attempt: a retry has its own, and a late result is never seen", async () => {
    const held = latch();
    let runs = 0;
    const app = one(
      async () => {
        if (++runs > 1) return { amount: 2 };
        await held.opened;
        return { amount: 666 };
      },
      { timeoutMs: 20, retry: { attempts: 2 } },
    );
    const result = await app.invoke({}, thread);
    held.open();
    expect(result).toMatchObject({ status: "completed", state: { amount: 2 } });
    expect((await app.getState(thread)).state.amount).toBe(2);
  });

  it("of a gated node asks before the next attempt: nobody knows whether it acted", async () => {
    const held = latch();
    let runs = 0;
    const app = one(
      async () => {
        if (++runs > 1) return { amount: 2 };
        await held.opened;
        return { amount: 666 };
      },
      { timeoutMs: 5, retry: { attempts: 3 }, onCrash: "hold" },
    );
    const asked = await app.invoke({}, thread);
    expect(asked).toMatchObject({ status: "interrupted_before", currentNode: "WORK" });
    expect(asked.interrupts).toMatchObject([{ kind: "crash", data: { cause: "timeout", attempt: 1 } }]);
    expect(runs).toBe(1);
    held.open();
    expect((await app.resume({ decision: "approve" }, thread)).state.amount).toBe(2);
  });

  it("leaves no timer behind when the node is quick", async () => {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const app = one(() => ({ amount: 1 }), { timeoutMs: 3_600_000 });
    await app.invoke({}, thread);
    const before = timers();
    await app.invoke({}, thread);
    expect(timers()).toBeLessThanOrEqual(before);
  });
});

describe("recursionLimit", () => {
  const looping = () =>
    new StateGraph({ state: z.object({ n: z.number().default(0), end: z.number().default(1e9) }) })
      .addNode("LOOP", ({ n }) => ({ n: n + 1 }))
      .addEdge(START, "LOOP")
      .addConditionalEdges("LOOP", ({ n, end }) => n >= end, { true: END, false: "LOOP" })
      .compile({ checkpointer: new InMemoryCheckpointer() });

  it("ends a run that takes more steps than 25 with recursion_limit, keeping what it did", async () => {
    const app = looping();
    const error = await failure(app.invoke({}, thread));
    expect(error).toMatchObject({ code: "recursion_limit", node: "LOOP", step: 25 });
    expect((await app.getState(thread)).state.n).toBe(25);
  });

  it("lets a run of exactly so many steps end", async () => {
    const app = looping();
    expect((await app.invoke({ end: 25 }, thread)).status).toBe("completed");
    expect((await app.invoke({ n: 0, end: 3 }, { ...thread, recursionLimit: 3 })).status).toBe("completed");
  });

  it("is counted from 0 at each resume, which goes on", async () => {
    const app = looping();
    const limited = { ...thread, recursionLimit: 4 };
    expect((await failure(app.invoke({ end: 10 }, limited))).step).toBe(4);
    expect((await failure(app.resume({}, limited))).step).toBe(8);
    const result = await app.resume({}, limited);
    expect(result).toMatchObject({ status: "completed", state: { n: 10 }, step: 10 });
  });

  it.each([[0], [-1], [1.5], [NaN]])("of %d is refused before anything runs", async (recursionLimit) => {
    const app = looping();
    const error = await failure(app.invoke({ end: 1 }, { ...thread, recursionLimit }));
    expect(error.code).toBe("validation_failed");
  });
});

describe("errors of the caller", () => {
  it("are HoldpointErrors with a code, not RunErrors", async () => {
    const app = line({ WORK: () => "x" });
    const error = await failure(app.invoke({ amount: "x" } as never, thread));
    expect(error).toBeInstanceOf(HoldpointError);
    expect(error).not.toBeInstanceOf(RunError);
    expect(error).toMatchObject({ code: "validation_failed", category: "invalid" });
  });

  it("list every fault by its path", async () => {
    const app = line({ WORK: () => "x" });
    const error = await failure(app.invoke({ amount: "x", amonut: 1, log: [] } as never, thread));
    const paths = error.details.errors.map(({ path }: { path: string }) => path);
    expect(paths).toEqual(["input.amount", "input.amonut"]);
  });

  it("refuse what nests too deeply, or is not JSON", async () => {
    const app = one(() => undefined, {});
    let deep: unknown = 1;
    for (let i = 0; i < 200; i++) deep = [deep];
    expect((await failure(app.invoke({ log: deep } as never, thread))).code).toBe("too_deep");
    expect((await failure(app.invoke({ log: new Set() } as never, thread))).code).toBe("not_serialisable");
  });
});
