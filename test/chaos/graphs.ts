/**
 * The graphs of the load, loaded by the servers. Every node writes to the ledger when it begins and ends, and leaves its task
 * in the state: `visits` is what was committed, the ledger is what was done.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { END, Send, START, StateGraph, type NodeContext } from "holdpoint";
import { z } from "zod";
import { appendFact, type FactName } from "./ledger.js";

const LEDGER = process.env.CHAOS_LEDGER ?? "";

const State = z.object({
  visits: z.array(z.string()).default([]),
  count: z.number().default(0),
  effects: z.array(z.string()).default([]),
  round: z.number().default(0),
});
const append = (all: string[], more: string[]): string[] => [...all, ...more];
const add = (sum: number, more: number): number => sum + more;
const graph = () =>
  new StateGraph({ state: State, reducers: { visits: append, effects: append, count: add } });

function note(ctx: NodeContext, fact: FactName, of: { key?: string; value?: string } = {}): void {
  const { threadId: thread, runId: run, idempotencyKey: task, node, step, attempt } = ctx;
  appendFact(LEDGER, { fact, pid: process.pid, thread, run, task, node, step, attempt, ...of });
}

/** Some time, so that processes die in the middle of things: mostly short. */
const while_ = (most: number): Promise<void> => sleep(Math.random() ** 2 * most);

interface Update {
  readonly effects?: string[];
  readonly round?: number;
}

/** A node that leaves its traces, in the ledger and in the state. */
const node = (work: (ctx: NodeContext, state: z.output<typeof State>) => Promise<Update>) => {
  return async (state: z.output<typeof State>, ctx: NodeContext) => {
    note(ctx, "begun");
    const update = await work(ctx, state);
    note(ctx, "ended");
    return { ...update, visits: [ctx.idempotencyKey], count: 1 };
  };
};

const quick = node(async () => {
  await while_(30);
  return {};
});

/** An effect that is made at once, and known to its process alone for a while. */
async function effect(ctx: NodeContext, key: string): Promise<string> {
  const value = await ctx.once(key, async () => {
    const made = randomUUID();
    note(ctx, "effect", { key, value: made });
    await while_(60);
    return made;
  });
  note(ctx, "recorded", { key, value });
  return value;
}

const effective = node(async (ctx) => {
  await while_(40);
  const one = await effect(ctx, "one");
  await while_(40);
  return { effects: [one, await effect(ctx, "two")] };
});

/** What must not happen without somebody's approval. */
const money = node(async (ctx) => {
  await while_(60);
  note(ctx, "gated");
  await while_(60);
  return {};
});

export const line = graph()
  .addNode("A", quick)
  .addNode("B", effective)
  .addNode("C", async function* (_state, ctx: NodeContext) {
    note(ctx, "begun");
    for (const word of ["so ", "it ", "goes ", "on"]) {
      yield word;
      ctx.emit("word", { word });
      await while_(30);
    }
    note(ctx, "ended");
    return { visits: [ctx.idempotencyKey], count: 1, messages: "so it goes on" };
  })
  .addEdge(START, "A")
  .addEdge("A", "B")
  .addEdge("B", "C")
  .addEdge("C", END)
  .compile({ name: "line" });

const work = node(async (ctx) => {
  await while_(150);
  return { effects: [await effect(ctx, "work")] };
});

export const fan = graph()
  .addNode("SPLIT", quick)
  // What a task is sent is its state; it leaves its traces in the graph's.
  .addNode("WORK", (_sent, ctx: NodeContext) => work({} as z.output<typeof State>, ctx))
  .addNode("JOIN", quick)
  .addEdge(START, "SPLIT")
  .addConditionalEdges("SPLIT", () => [1, 2, 3, 4].map((item) => new Send("WORK", { item })))
  .addEdge("WORK", "JOIN")
  .addEdge("JOIN", END)
  .compile({ name: "fan" });

export const pay = graph()
  .addNode("PREPARE", quick)
  .addNode("PAY", money, { onCrash: "hold" })
  .addNode("TELL", quick)
  .addNode("REFUSED", quick)
  .addEdge(START, "PREPARE")
  .addEdge("PREPARE", "PAY")
  .addEdge("PAY", "TELL")
  .addEdge("TELL", END)
  .addEdge("REFUSED", END)
  .compile({ name: "pay", interruptBefore: [{ node: "PAY", onDeny: "REFUSED" }] });

/** Asks from inside, and then acts: going on from an answer, it is not repeated unasked either. */
export const ask = graph()
  .addNode(
    "ASK",
    node(async (ctx) => {
      const sure = await effect(ctx, "look");
      await ctx.interrupt({ message: "Shall I?", decisions: ["approve", "deny"] });
      await while_(40);
      note(ctx, "gated");
      await while_(40);
      return { effects: [sure] };
    }),
  )
  .addNode("TELL", quick)
  .addEdge(START, "ASK")
  .addEdge("ASK", "TELL")
  .addEdge("TELL", END)
  .compile({ name: "ask" });

const inner = graph()
  .addNode("CHECK", effective)
  .addNode("ACT", money, { onCrash: "hold" })
  .addNode("DONE", quick)
  .addEdge(START, "CHECK")
  .addEdge("CHECK", "ACT")
  .addEdge("ACT", "DONE")
  .addEdge("DONE", END)
  .compile({ name: "inner", interruptBefore: ["ACT"] });

/** Two instances of a nested graph beside each other: two questions are open at once. */
export const nested = graph()
  .addNode("SPLIT", quick)
  .addNode("SUB", inner)
  .addNode("JOIN", quick)
  .addEdge(START, "SPLIT")
  .addConditionalEdges("SPLIT", () => [1, 2].map(() => new Send("SUB", {})))
  .addEdge("SUB", "JOIN")
  .addEdge("JOIN", END)
  .compile({ name: "nested" });

const ROUNDS = 6;
export const loop = graph()
  .addNode(
    "RESET",
    node(async () => ({ round: 0 })),
  )
  .addNode(
    "STEP",
    node(async (ctx, { round }) => {
      await while_(30);
      return { effects: [await effect(ctx, "step")], round: round + 1 };
    }),
  )
  .addEdge(START, "RESET")
  .addEdge("RESET", "STEP")
  .addConditionalEdges("STEP", ({ round }) => (round < ROUNDS ? "STEP" : END), ["STEP", END])
  .compile({ name: "loop" });

export const slow = graph()
  .addNode(
    "HEEDS",
    node(async (ctx) => {
      // Cut short it comes back with what it has, in its grace.
      await sleep(600, undefined, { signal: ctx.signal }).catch(() => undefined);
      return {};
    }),
  )
  .addNode(
    "DEAF",
    node(async (ctx) => {
      await sleep(600);
      return { effects: [await effect(ctx, "late")] };
    }),
  )
  .addNode("LAST", quick)
  .addEdge(START, "HEEDS")
  .addEdge("HEEDS", "DEAF")
  .addEdge("DEAF", "LAST")
  .addEdge("LAST", END)
  .compile({ name: "slow" });

export const flaky = graph()
  .addNode(
    "FAILS",
    node(async (ctx) => {
      const made = await effect(ctx, "first");
      await while_(40);
      if (ctx.attempt % 3 !== 0) throw new Error(`attempt ${ctx.attempt} fails`);
      return { effects: [made] };
    }),
    { retry: { attempts: 2, delayMs: 20 } },
  )
  .addNode("LAST", quick)
  .addEdge(START, "FAILS")
  .addEdge("FAILS", "LAST")
  .addEdge("LAST", END)
  .compile({ name: "flaky" });
