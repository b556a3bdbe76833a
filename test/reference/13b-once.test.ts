import { END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { beforeEach, expect, it, vi } from "vitest";
import { failure, latch, settled } from "../support/latch.js";
import { line, stateSchema, type Node } from "./helpers.js";

const thread = { threadId: "t" };
beforeEach(() => void vi.spyOn(console, "warn").mockImplementation(() => undefined));

function one(node: Node, options: object = {}) {
  return new StateGraph({ state: stateSchema })
    .addNode("WORK", node as () => undefined, options)
    .addEdge(START, "WORK")
    .addEdge("WORK", END)
    .compile({ checkpointer: new InMemoryCheckpointer() });
}

it("across ctx.interrupt the effect runs once and every attempt gets its result", async () => {
  const charge = vi.fn(() => ({ receipt: "r1" }));
  const got: unknown[] = [];
  const app = one(async (_state, ctx) => {
    got.push(await ctx.once("charge card", charge));
    await ctx.interrupt({ message: "send it?" });
    return { log: [(await ctx.once("charge card", charge)).receipt] };
  });
  await app.invoke({}, thread);
  const result = await app.resume({ decision: "approve" }, thread);
  expect(result.state.log).toEqual(["r1"]);
  expect(charge).toHaveBeenCalledTimes(1);
  expect(got).toEqual([{ receipt: "r1" }, { receipt: "r1" }]);
});

it("across a retry the effect runs once", async () => {
  const charge = vi.fn(() => "r1");
  const app = one(
    async (_state, ctx) => {
      const receipt = await ctx.once("charge", charge);
      if (ctx.attempt < 3) throw new Error("printer on fire");
      return { log: [receipt] };
    },
    { retry: { attempts: 3 } },
  );
  expect((await app.invoke({}, thread)).state.log).toEqual(["r1"]);
  expect(charge).toHaveBeenCalledTimes(1);
});

it("across a failed run and its resume the effect runs once", async () => {
  const charge = vi.fn(() => "r1");
  let broken = true;
  const app = one(async (_state, ctx) => {
    const receipt = await ctx.once("charge", charge);
    if (broken) throw new Error("broken");
    return { log: [receipt] };
  });
  await failure(app.invoke({}, thread));
  broken = false;
  expect((await app.resume({}, thread)).state.log).toEqual(["r1"]);
  expect(charge).toHaveBeenCalledTimes(1);
});

it("across a stop: an effect that was under way is awaited by the next attempt, not begun again", async () => {
  const began = latch();
  const paid = latch();
  const charge = vi.fn(async () => {
    began.open();
    await paid.opened;
    return "r1";
  });
  const app = one(async (_state, ctx) => ({ log: [await ctx.once("charge", charge)] }));
  const running = app.invoke({}, thread);
  await began.opened;
  await app.stop(thread);
  expect((await running).status).toBe("stopped");

  const resumed = app.resume({}, thread);
  await settled();
  expect(charge).toHaveBeenCalledTimes(1);
  paid.open();
  expect((await resumed).state.log).toEqual(["r1"]);
  expect(charge).toHaveBeenCalledTimes(1);
});

it("an abandoned attempt can begin none", async () => {
  const began = latch();
  const held = latch();
  const tried = latch();
  const charge = vi.fn(() => "r1");
  let error: unknown = null;
  const app = one(async (_state, ctx) => {
    began.open();
    await held.opened;
    try {
      await ctx.once("charge", charge);
    } catch (thrown) {
      error = thrown;
    } finally {
      tried.open();
    }
  });
  const running = app.invoke({}, thread);
  await began.opened;
  await app.stop(thread);
  await running;
  held.open();
  await tried.opened;
  expect(charge).not.toHaveBeenCalled();
  expect(error).toBeInstanceOf(Error);
});

it("nothing is begun behind a question that waits for its answer", async () => {
  const charge = vi.fn(() => "r1");
  const app = one(async (_state, ctx) => {
    void ctx.interrupt({ message: "may I?" });
    await ctx.once("charge", charge);
  });
  expect((await app.invoke({}, thread)).status).toBe("interrupted_before");
  await settled();
  expect(charge).not.toHaveBeenCalled();
});

it("a function that throws stores nothing: the next attempt runs it again", async () => {
  const charge = vi.fn(() => {
    if (charge.mock.calls.length === 1) throw new Error("declined");
    return "r2";
  });
  const app = one(async (_state, ctx) => ({ log: [await ctx.once("charge", charge)] }), {
    retry: { attempts: 2 },
  });
  expect((await app.invoke({}, thread)).state.log).toEqual(["r2"]);
  expect(charge).toHaveBeenCalledTimes(2);
});

it("names are apart, and two calls of one name in one attempt share the effect", async () => {
  const effect = vi.fn((name: string) => name);
  const app = one(async (_state, ctx) => ({
    log: await Promise.all(["a", "a", "b"].map((name) => ctx.once(name, () => effect(name)))),
  }));
  expect((await app.invoke({}, thread)).state.log).toEqual(["a", "a", "b"]);
  expect(effect.mock.calls).toEqual([["a"], ["b"]]);
});

it("is once per task: another visit, another node and another run have their own", async () => {
  const charge = vi.fn(() => charge.mock.calls.length);
  const node: Node = async (state, ctx) => ({
    log: [...state.log, String(await ctx.once("charge", charge))],
  });
  const app = line({ A: node, B: node });
  await app.invoke({}, thread);
  await app.invoke({}, thread);
  expect(charge).toHaveBeenCalledTimes(4);
});

it("the result is a copy of what JSON keeps; what JSON cannot carry is refused", async () => {
  const app = one(async (_state, ctx) => {
    const first = await ctx.once<{ a: number; b?: number }>("x", () => ({ a: 1, b: undefined }));
    expect(Object.keys(first)).toEqual(["a"]);
    first.a = 2;
    expect(await ctx.once("x", () => ({ a: 3 }))).toEqual({ a: 1 });
    const nothing: unknown = await ctx.once<unknown>("nothing", () => undefined);
    expect(nothing).toBeNull();
    await expect(ctx.once("map", () => new Map())).rejects.toThrow(/Map/);
  });
  expect((await app.invoke({}, thread)).status).toBe("completed");
});

it("the idempotency key is the same over all attempts of a task, and another for each visit", async () => {
  const keys: string[] = [];
  const node: Node = async (_state, ctx) => {
    keys.push(ctx.idempotencyKey);
    if (ctx.attempt === 1) throw new Error("once more");
    await ctx.interrupt({ message: "?" });
  };
  const app = one(node, { retry: { attempts: 2 } });
  await app.invoke({}, thread);
  await app.resume({ decision: "approve" }, thread);
  await app.invoke({}, thread);
  expect(keys.length).toBeGreaterThan(4);
  const [first] = keys;
  expect(keys.slice(0, 3)).toEqual([first, first, first]);
  expect(new Set(keys).size).toBe(2);
});

it("once results shown by a crash interrupt are those that the lost attempt had stored", async () => {
  const began = latch();
  const held = latch();
  const app = one(
    async (_state, ctx) => {
      await ctx.once("charge", () => "r1");
      began.open();
      await held.opened;
    },
    { onCrash: "hold" },
  );
  const running = app.invoke({}, thread);
  await began.opened;
  await app.stop(thread);
  await running;
  held.open();
  const asked = await app.resume({}, thread);
  expect(asked.interrupts).toMatchObject([{ kind: "crash", data: { once: ["charge"] } }]);
});
