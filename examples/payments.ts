/**
 * One graph that pays, used inside two others: an order, which shares its fields, and an invoice, which has other names for
 * them. More than 50.00 waits for a person, whichever of them is paying; the interrupt's path says which.
 *
 *   curl http://127.0.0.1:3000/threads/o1/run -d '{"graph":"order","input":{"messages":["2 chairs and a lamp"]}}'
 *   curl http://127.0.0.1:3000/threads/n1/run -d '{"graph":"invoice","input":{"messages":["Invoice 2031 of Acme: 420.00"]}}'
 *   curl http://127.0.0.1:3000/interrupts                   # "path":["PAYMENT","PAY"] and "path":["SETTLE","PAY"]
 *   curl http://127.0.0.1:3000/threads/o1/resume -d '{"decision":"approve"}'
 *   curl http://127.0.0.1:3000/threads/n1/resume -d '{"decision":"deny","reason":"we never ordered that"}'
 *
 * {"decision":"edit","state":{"amountCents":10000}} pays another amount: an edit is of the state inside. "3 pens" asks nobody.
 */
import { END, Message, START, StateGraph, type NodeContext, type StateOf } from "holdpoint";
import { z } from "zod";

const SMALL_CENTS = 50_00;
const money = (cents: number): string => (cents / 100).toFixed(2);

const amountCents = z.int().min(0).default(0);
const receipts = z.array(z.string()).default([]);
const append = (all: string[], more: string[]): string[] => [...all, ...more];

const Payment = z.object({ payee: z.string().default("the shop"), amountCents, receipts });
type Payment = StateOf<typeof Payment>;

/** The real thing would happen here; `ctx.once` keeps a second attempt from paying again. */
async function pay({ payee, amountCents }: Payment, ctx: NodeContext) {
  const receipt = await ctx.once("pay", () => `${money(amountCents)} to ${payee}`);
  return { receipts: [receipt] };
}

const payment = new StateGraph({ state: Payment, reducers: { receipts: append } })
  .addNode("CHECK", ({ amountCents }) => {
    if (amountCents === 0) throw new Error("there is nothing to pay");
  })
  .addNode("PAY", pay)
  .addEdge(START, "CHECK")
  .addEdge("CHECK", "PAY")
  .addEdge("PAY", END)
  .compile({
    name: "payment",
    interruptBefore: [
      {
        node: "PAY",
        when: ({ amountCents }) => amountCents > SMALL_CENTS,
        message: ({ amountCents, payee }) => `Pay ${money(amountCents)} to ${payee}?`,
      },
    ],
  });

const request = (state: { context: readonly Message[] }): string => {
  const last = state.context.findLast((message) => message.role === "user");
  return last === undefined ? "" : Message.textOf(last);
};

const PRICES: Readonly<Record<string, number>> = { chair: 89_00, lamp: 40_00, pen: 1_50 };
const Order = z.object({ amountCents, receipts });

function priced(state: StateOf<typeof Order>) {
  const wanted = [...request(state).matchAll(/(?:(\d+)\s+)?\b(chair|lamp|pen)s?\b/gi)];
  const cents = wanted.map(
    ([, count = "1", thing = ""]) => Number(count) * (PRICES[thing.toLowerCase()] ?? 0),
  );
  const amountCents = cents.reduce((sum, each) => sum + each, 0);
  return { amountCents, messages: amountCents === 0 ? "We have chairs, lamps and pens." : [] };
}

/** "amountCents" and "receipts" are fields of both graphs, so they are shared. */
export const order = new StateGraph({ state: Order, reducers: { receipts: append } })
  .addNode("PRICE", priced)
  .addNode("PAYMENT", payment, { onDeny: "CANCEL" })
  .addNode("SHIP", ({ receipts }) => `Shipped; paid ${receipts.at(-1)}.`)
  .addNode(
    "CANCEL",
    (_state, ctx) => `Cancelled${ctx.answer?.reason == null ? "" : `: ${ctx.answer.reason}`}.`,
  )
  .addEdge(START, "PRICE")
  .addConditionalEdges("PRICE", ({ amountCents }) => amountCents > 0, { true: "PAYMENT", false: END })
  .addEdge("PAYMENT", "SHIP")
  .addEdge("SHIP", END)
  .addEdge("CANCEL", END)
  .compile({ name: "order" });

const Invoice = z.object({
  number: z.string().default(""),
  sender: z.string().default(""),
  total: z.int().min(0).default(0),
  settledBy: z.string().nullable().default(null),
});
type Invoice = StateOf<typeof Invoice>;

function read(state: Invoice) {
  const found = /invoice\s+(?<number>\d+)\s+of\s+(?<sender>\w+)\D+(?<whole>\d+)\.(?<cents>\d{2})/i.exec(
    request(state),
  );
  const { number = "", sender = "", whole = "0", cents = "0" } = found?.groups ?? {};
  return { number, sender, total: Number(whole) * 100 + Number(cents), settledBy: null };
}

/** Other names for the same things: `in` and `out` say which is which. */
export const invoice = new StateGraph({ state: Invoice })
  .addNode("READ", read)
  .addNode("SETTLE", payment, {
    in: ({ sender, total }) => ({ payee: sender, amountCents: total }),
    out: ({ receipts }) => ({ settledBy: receipts.at(-1) ?? null }),
    onDeny: "DISPUTE",
  })
  .addNode("FILE", ({ number, settledBy }) => `Invoice ${number} is settled: ${settledBy}.`)
  .addNode(
    "DISPUTE",
    ({ number }, ctx) => `Invoice ${number} is disputed: ${ctx.answer?.reason ?? "no reason"}.`,
  )
  .addEdge(START, "READ")
  .addEdge("READ", "SETTLE")
  .addEdge("SETTLE", "FILE")
  .addEdge("FILE", END)
  .addEdge("DISPUTE", END)
  .compile({ name: "invoice" });
