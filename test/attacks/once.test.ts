import { END, HoldpointError, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { expect, it, onTestFinished, vi } from "vitest";
import { postgresCheckpointer } from "../support/databases.js";
import { latch, settled } from "../support/latch.js";
import { line, stateSchema } from "../reference/helpers.js";
import { wrapped } from "./support.js";

const thread = { threadId: "t" };

it("an effect of an abandoned attempt that ends while the crash question is open is not made again", async () => {
  const began = latch();
  const paid = latch();
  const charge = vi.fn(async () => {
    began.open();
    if (charge.mock.calls.length === 1) await paid.opened;
    return "receipt";
  });
  const app = line(
    { PAY: async (_s, ctx) => void (await ctx.once("charge", charge)) },
    { interruptBefore: ["PAY"] },
  );
  await app.invoke({}, thread);
  const running = app.resume({ decision: "approve" }, thread);
  await began.opened;
  await app.stop(thread);
  expect((await running).status).toBe("stopped");
  const asked = await app.resume({}, thread);
  expect(asked.interrupts).toMatchObject([{ kind: "crash" }]);
  paid.open();
  await settled();
  const result = await app.resume({ decision: "approve" }, thread);
  expect(result.status).toBe("completed");
  expect(charge).toHaveBeenCalledTimes(1);
});

it("the same in an ungated node that does something else before its once", async () => {
  const began = latch();
  const paid = latch();
  const charge = vi.fn(async () => {
    began.open();
    if (charge.mock.calls.length === 1) await paid.opened;
    return "receipt";
  });
  const second = latch();
  const lookup = latch();
  let n = 0;
  const app = line({
    PAY: async (_s, ctx) => {
      if (++n === 2) {
        second.open();
        await lookup.opened;
      }
      await ctx.once("charge", charge);
    },
  });
  const running = app.invoke({}, thread);
  await began.opened;
  await app.stop(thread);
  await running;
  const again = app.resume({}, thread);
  await second.opened;
  paid.open();
  await settled();
  lookup.open();
  await again;
  expect(charge).toHaveBeenCalledTimes(1);
});

it("a database that is away for the moment of the record does not make the effect happen twice", async () => {
  let away = true;
  const cp = wrapped({
    record: (inner, ...args) => {
      if (away) {
        away = false;
        throw new HoldpointError("database_unavailable", "away");
      }
      return inner.record(...args);
    },
  });
  const charge = vi.fn(() => "r");
  const app = new StateGraph({ state: stateSchema })
    .addNode("PAY", async (_s, ctx) => void (await ctx.once("charge", charge)), { retry: { attempts: 2 } })
    .addEdge(START, "PAY")
    .addEdge("PAY", END)
    .compile({ checkpointer: cp });
  expect((await app.invoke({}, thread)).status).toBe("completed");
  expect(charge).toHaveBeenCalledTimes(1);
});

it("what a crash question says is stored is what is stored when it is asked", async () => {
  const began = latch();
  const paid = latch();
  const app = line(
    {
      PAY: async (_s, ctx) => {
        await ctx.once("charge", async () => {
          began.open();
          await paid.opened;
          return 1;
        });
      },
    },
    { interruptBefore: ["PAY"] },
  );
  await app.invoke({}, thread);
  const running = app.resume({ decision: "approve" }, thread);
  await began.opened;
  await app.stop(thread);
  await running;
  paid.open();
  await settled();
  const asked = await app.resume({}, thread);
  expect(asked.interrupts[0]?.data).toMatchObject({ once: ["charge"] });
});

it("a question inside a once is refused, or at least pauses and leaves the thread usable", async () => {
  const app = line({
    ASK: async (_s, ctx) => {
      await ctx.once("x", async () => (await ctx.interrupt({ message: "?" })).data);
    },
  });
  const running = app.invoke({}, thread).catch((e: unknown) => e);
  const state = await Promise.race([
    running,
    settled()
      .then(settled)
      .then(() => "hangs"),
  ]);
  expect(state).not.toBe("hangs");
});

it.each([
  ["memory", async () => new InMemoryCheckpointer()],
  ["PostgreSQL", postgresCheckpointer],
] as const)(
  "an effect that ends between a resume's look and its claim is not made again: %s",
  async (_name, make) => {
    const storage = await make();
    onTestFinished(() => storage.close());
    const [began, bank, stored] = [latch(), latch(), latch()];
    let resuming = false;
    let paid = 0;
    const checkpointer = wrapped(
      {
        // The resume has read the thread, and is about to claim it.
        write: async (inner, write) => {
          if (resuming) {
            resuming = false;
            bank.open();
            await stored.opened;
          }
          return inner.write(write);
        },
        record: async (inner, ...args) => {
          const kept = await inner.record(...args);
          stored.open();
          return kept;
        },
      },
      storage,
    );
    const app = new StateGraph({ state: stateSchema })
      .addNode("PAY", async (_state, ctx) => {
        const receipt = await ctx.once("pay", async () => {
          paid++;
          began.open();
          await bank.opened;
          return `receipt ${paid}`;
        });
        return { log: [receipt] };
      })
      .addEdge(START, "PAY")
      .addEdge("PAY", END)
      .compile({ checkpointer });
    const running = app.invoke({}, thread);
    await began.opened;
    await app.stop(thread);
    expect((await running).status).toBe("stopped");

    resuming = true;
    const result = await app.resume({}, thread);
    expect(result).toMatchObject({ status: "completed", state: { log: ["receipt 1"] } });
    expect(paid).toBe(1);
  },
);

it("a key that looks like one of Holdpoint's own records is a key as any", async () => {
  const effects: string[] = [];
  const keys = ["\u0000outcome:0", "\u0001\u0000outcome:0", "outcome:0"];
  const app = line(
    {
      WORK: async (_s, ctx) => {
        for (const key of keys) await ctx.once(key, () => effects.push(key));
        await ctx.interrupt({ message: "Go on?" });
      },
    },
    {},
  );
  await app.invoke({}, thread);
  const result = await app.resume({ decision: "approve" }, thread);
  expect(result.status).toBe("completed");
  expect(effects).toEqual(keys);
});
