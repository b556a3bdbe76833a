/** The graphs of the recorded runs, and what people do with them. A case is never changed: a new promise is a new case. */
import {
  END,
  Send,
  START,
  StateGraph,
  type Checkpointer,
  type CompiledGraph,
  type NodeContext,
} from "holdpoint";
import { z } from "zod";

/** What a person says to the interrupt at this place of the open ones. */
export interface Said {
  readonly to: number;
  readonly decision?: "approve" | "edit" | "respond" | "deny";
  readonly reason?: string;
  readonly data?: unknown;
  readonly state?: Record<string, unknown>;
  readonly messages?: readonly string[];
}

export type Action =
  | { readonly do: "invoke"; readonly input: Record<string, unknown>; readonly stopAt?: string }
  | { readonly do: "answer"; readonly answers: readonly Said[]; readonly by?: string }
  | { readonly do: "go on"; readonly state?: Record<string, unknown> };

/** What a case's nodes may use of the recorder. */
export interface Stage {
  readonly checkpointer: Checkpointer;
  /** Tells that this node has begun: a `stopAt` waits for it. */
  began(node: string): void;
}

export interface GoldenCase {
  readonly about: string;
  readonly build: (stage: Stage) => CompiledGraph;
  readonly actions: readonly Action[];
}

const log = z.array(z.string()).default([]);
const amount = z.number().default(0);
const reducers = { log: (now: string[], more: string[]) => [...now, ...more] };
const graph = () =>
  new StateGraph({ state: z.object({ log, amount, item: z.string().default("") }), reducers });
const answer = (to: number, rest: Omit<Said, "to"> = { decision: "approve" }): Action => ({
  do: "answer",
  answers: [{ to, ...rest }],
});
/** Widened: what a case's state is, is in its recording. */
const of = (compiled: unknown): CompiledGraph => compiled as CompiledGraph;

/** A node that does not come back in its first attempt, and in later ones at once. */
const stuck =
  (stage: Stage, name: string) =>
  async (_state: unknown, ctx: NodeContext): Promise<{ log: string[] }> => {
    if (ctx.attempt > 1) return { log: [`${name} in attempt ${ctx.attempt}`] };
    stage.began(name);
    return new Promise((_resolve, reject) =>
      ctx.signal.addEventListener("abort", () => reject(new Error("cut"))),
    );
  };

const payment = () =>
  graph()
    .addNode("CHECK", (state) => ({ log: [`check ${state.amount}`], messages: [`Checked ${state.amount}.`] }))
    .addNode("PAY", (state) => ({ log: [`pay ${state.amount}`], messages: [`Paid ${state.amount}.`] }))
    .addEdge(START, "CHECK")
    .addEdge("CHECK", "PAY")
    .addEdge("PAY", END)
    .compile({
      name: "payment",
      interruptBefore: [
        { node: "PAY", message: (state) => `Pay ${state.amount}?`, data: ({ amount }) => ({ amount }) },
      ],
    });
const ordered = () => graph().addNode("PAYMENT", payment()).addEdge(START, "PAYMENT").addEdge("PAYMENT", END);

export const CASES: Readonly<Record<string, GoldenCase>> = {
  "sequential-holds": {
    about: "Held before and after, edited, approved, and a node that asks by setInterrupt.",
    build: ({ checkpointer }) =>
      of(
        graph()
          .addNode("READ", (state) => ({ log: [`read ${state.amount}`], messages: ["Read."] }))
          .addNode("PAY", (state, ctx) => ({
            log: [`pay ${state.amount}: ${ctx.answer?.decision ?? "unasked"}`],
          }))
          .addNode("REVIEW", (state, ctx) => {
            state.setInterrupt({
              reason: "look at this",
              status: "interrupted_before",
              data: { log: state.log.length },
            });
            return { log: [`reviewed: ${ctx.answer?.decision ?? "go on"}`] };
          })
          .addEdge(START, "READ")
          .addEdge("READ", "PAY")
          .addEdge("PAY", "REVIEW")
          .addEdge("REVIEW", END)
          .compile({
            name: "sequential-holds",
            checkpointer,
            interruptBefore: [
              { node: "PAY", message: ({ amount }) => `Pay ${amount}?`, data: ({ amount }) => ({ amount }) },
            ],
            interruptAfter: ["PAY"],
          }),
      ),
    actions: [
      { do: "invoke", input: { amount: 10, messages: ["Pay ten."] } },
      answer(0, {
        decision: "edit",
        state: { amount: 5 },
        messages: ["Five is enough."],
        reason: "too much",
      }),
      answer(0),
      { do: "go on" },
    ],
  },
  "fan-out": {
    about: "Three branches, two of them held, answered in reverse order; their results wait for each other.",
    build: ({ checkpointer }) =>
      of(
        graph()
          .addNode("FREE", () => ({ log: ["free"], messages: ["Free."] }))
          .addNode("LEGAL", () => ({ log: ["legal"] }))
          .addNode("MONEY", (state) => ({ log: [`money ${state.amount}`] }))
          .addNode("JOIN", (state) => ({ log: [`join of ${state.log.length}`] }))
          .addEdge(START, "FREE")
          .addEdge(START, "LEGAL")
          .addEdge(START, "MONEY")
          .addEdge("FREE", "JOIN")
          .addEdge("LEGAL", "JOIN")
          .addEdge("MONEY", "JOIN")
          .addEdge("JOIN", END)
          .compile({ name: "fan-out", checkpointer, interruptBefore: ["LEGAL", "MONEY"] }),
      ),
    actions: [
      { do: "invoke", input: { amount: 1 } },
      answer(1, { decision: "edit", state: { amount: 2 } }),
      answer(0),
    ],
  },
  send: {
    about: "One task a Send, held: one edited, one denied, one approved, answered together.",
    build: ({ checkpointer }) =>
      of(
        graph()
          .addNode("WORK", (state) => ({ log: [`${state.item} for ${state.amount}`] }))
          .addNode("JOIN", (state) => ({ log: [`${state.log.length} done`] }))
          .addConditionalEdges(START, () =>
            ["x", "y", "z"].map((item, i) => new Send("WORK", { item, amount: i })),
          )
          .addEdge("WORK", "JOIN")
          .addEdge("JOIN", END)
          .compile({
            name: "send",
            checkpointer,
            interruptBefore: [{ node: "WORK", message: ({ item }) => `Work on ${item}?` }],
          }),
      ),
    actions: [
      { do: "invoke", input: {} },
      {
        do: "answer",
        by: "ada",
        answers: [
          { to: 2, decision: "approve" },
          { to: 0, decision: "edit", state: { amount: 7 } },
          { to: 1, decision: "deny", reason: "not y" },
        ],
      },
    ],
  },
  nested: {
    about: "A held node three levels deep, edited there; the outer graph goes on behind it.",
    build: ({ checkpointer }) =>
      of(
        graph()
          .addNode("CART", () => ({ log: ["cart"], amount: 30 }))
          .addNode("ORDER", ordered().compile({ name: "order" }))
          .addNode("SHIP", (state) => ({ log: [`ship after ${state.log.length}`] }))
          .addEdge(START, "CART")
          .addEdge("CART", "ORDER")
          .addEdge("ORDER", "SHIP")
          .addEdge("SHIP", END)
          .compile({ name: "nested", checkpointer }),
      ),
    actions: [
      { do: "invoke", input: { messages: ["Order it."] } },
      answer(0, { decision: "edit", state: { amount: 25 }, messages: ["With the discount."] }),
    ],
  },
  "nested-fan-out": {
    about: "Two instances of a graph in a graph beside a plain branch, one of them denied.",
    build: ({ checkpointer }) =>
      of(
        graph()
          .addNode("NOTE", () => ({ log: ["noted"] }))
          .addNode("ORDER", ordered().compile({ name: "order" }), { onDeny: "REFUSED" })
          .addNode("REFUSED", (_state, ctx) => ({ log: [`refused: ${ctx.answer?.reason ?? ""}`] }))
          .addEdge(START, "NOTE")
          .addConditionalEdges(START, () => [3, 4].map((amount) => new Send("ORDER", { amount })))
          .addEdge("NOTE", END)
          .addEdge("ORDER", END)
          .addEdge("REFUSED", END)
          .compile({ name: "nested-fan-out", checkpointer }),
      ),
    actions: [{ do: "invoke", input: {} }, answer(1, { decision: "deny", reason: "no" }), answer(0)],
  },
  "loop-of-questions": {
    about: "A node that asks in a loop and acts once a round.",
    build: ({ checkpointer }) =>
      of(
        graph()
          .addNode("ASK", async (_state, ctx) => {
            const lines: string[] = [];
            for (let round = 1; ; round++) {
              const { data } = await ctx.interrupt({ message: `Round ${round}?`, data: { round } });
              const receipt = await ctx.once(`act ${round}`, () => ({ round, of: ctx.attempt }));
              lines.push(`${JSON.stringify(data)} gave ${receipt.round} in attempt ${receipt.of}`);
              if (data === false) return { log: lines };
            }
          })
          .addNode("BOTH", async (_state, ctx) => {
            const [legal, money] = await Promise.all([
              ctx.interrupt({ key: "legal", message: "Legal?" }),
              ctx.interrupt({ key: "money", message: "Money?", decisions: ["approve", "deny"] }),
            ]);
            return { log: [`legal: ${legal.decision}, money: ${money.decision}`] };
          })
          .addEdge(START, "ASK")
          .addEdge("ASK", "BOTH")
          .addEdge("BOTH", END)
          .compile({ name: "loop-of-questions", checkpointer }),
      ),
    actions: [
      { do: "invoke", input: {} },
      answer(0, { decision: "respond", data: 0 }),
      answer(0, { decision: "respond", data: "" }),
      answer(0, { decision: "respond", data: false }),
      answer(1),
      answer(0),
    ],
  },
  "stop-and-resume": {
    about:
      "A stop that keeps what came back and asks about the gated node that it gave up, inside a nested graph.",
    build: (stage) =>
      of(
        graph()
          .addNode("QUICK", () => ({ log: ["quick"] }))
          .addNode(
            "SUB",
            graph()
              .addNode("FIRST", () => ({ log: ["first"] }))
              .addNode("STUCK", stuck(stage, "STUCK"), { onCrash: "hold" })
              .addEdge(START, "FIRST")
              .addEdge("FIRST", "STUCK")
              .addEdge("STUCK", END)
              .compile({ name: "sub" }),
          )
          .addEdge(START, "QUICK")
          .addEdge(START, "SUB")
          .addEdge("QUICK", END)
          .addEdge("SUB", END)
          .compile({ name: "stop-and-resume", checkpointer: stage.checkpointer }),
      ),
    actions: [{ do: "invoke", input: {}, stopAt: "STUCK" }, { do: "go on", state: { amount: 9 } }, answer(0)],
  },
  denial: {
    about:
      "A denial at a hold point goes to onDeny, one inside a node is judged there, and one after a node ends the run.",
    build: ({ checkpointer }) =>
      of(
        graph()
          .addNode("PAY", () => ({ log: ["paid"] }))
          .addNode("REFUSED", async (_state, ctx) => {
            const why = ctx.answer?.reason ?? "";
            const asked = await ctx.interrupt({ message: "Tell them?" }).catch((error: unknown) => error);
            return { log: [`refused: ${why}; ${asked instanceof Error ? asked.message : "told"}`] };
          })
          .addNode("END_OF_IT", () => ({ log: ["never"] }))
          .addEdge(START, "PAY")
          .addEdge("PAY", END)
          .addEdge("REFUSED", "END_OF_IT")
          .addEdge("END_OF_IT", END)
          .compile({
            name: "denial",
            checkpointer,
            interruptBefore: [{ node: "PAY", onDeny: "REFUSED" }],
            interruptAfter: ["REFUSED"],
          }),
      ),
    actions: [
      { do: "invoke", input: {} },
      answer(0, { decision: "deny", reason: "too dear" }),
      answer(0, { decision: "deny", reason: "not now" }),
      answer(0, { decision: "deny" }),
    ],
  },
  failure: {
    about: "A node that fails beside one that is done and one that is held; a resume runs it alone.",
    build: ({ checkpointer }) =>
      of(
        graph()
          .addNode("DONE", () => ({ log: ["done"] }))
          .addNode("BREAKS", (_state, ctx) => {
            if (ctx.attempt === 1) throw new Error("not yet");
            return { log: [`attempt ${ctx.attempt}`] };
          })
          .addNode("HELD", () => ({ log: ["held"] }))
          .addEdge(START, "DONE")
          .addEdge(START, "BREAKS")
          .addEdge(START, "HELD")
          .addEdge("DONE", END)
          .addEdge("BREAKS", END)
          .addEdge("HELD", END)
          .compile({ name: "failure", checkpointer, interruptBefore: ["HELD"] }),
      ),
    actions: [{ do: "invoke", input: {} }, { do: "go on" }, answer(0)],
  },
};
