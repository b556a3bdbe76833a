/**
 * Refunds: up to 50.00 is paid at once, more than that waits for a person, and nothing is paid twice.
 *
 *   curl http://127.0.0.1:3000/threads/r1/run -d '{"graph":"refunds","input":{"messages":["Order 1042 arrived broken, I want my 129.90 back"]}}'
 *   curl http://127.0.0.1:3000/interrupts                   # the inbox: "Refund 129.90 for order 1042?"
 *   curl http://127.0.0.1:3000/threads/r1/resume -d '{"decision":"approve"}'
 *   cat refunds-ledger.ndjson                               # one line; REFUNDS_LEDGER names another file
 *
 * Or answer {"decision":"deny","reason":"no photo of the damage"}, or {"decision":"edit","state":{"amountCents":9990}}.
 * Kill the server while it waits, start it again, then answer: it goes on where it was.
 */
import { appendFile, readFile } from "node:fs/promises";
import { END, Message, START, StateGraph, type NodeContext, type StateOf } from "holdpoint";
import { z } from "zod";

const SMALL_CENTS = 50_00;

/** What READ found in the last message: "" and 0 where it found nothing. */
const State = z.object({ order: z.string().default(""), amountCents: z.int().min(0).default(0) });
type State = StateOf<typeof State>;

/** "order 1042", "order number: 1042", "#1042"; not "my order 129.90". */
const ORDER = /(?:\border\s*(?:number|no\.?|id)?(?:\s+is)?[\s:]*#?|#)\s*(?<id>\d+)(?![.,]?\d)/gi;
/** "129.90", "EUR 129,90", "$20", "1,299.00": a number with cents or a currency, else it may be anything. */
const CURRENCY = String.raw`(?:[€$£]|(?<![a-z])(?:EUR|USD|GBP|euros?|dollars?)(?![a-z]))`;
const NUMBER = String.raw`(?<!\d[.,]?)(?<whole>[1-9]\d{0,2}(?:[.,]\d{3}){1,2}|\d{1,7})(?<cents>[.,]\d{2})?(?![.,]?\d)`;
const AMOUNT = new RegExp(String.raw`(?<before>${CURRENCY}\s*)?${NUMBER}(?<after>\s*${CURRENCY})?`, "gi");

/** Both fields are always set, so that a new message never inherits half of an earlier request. */
function read(state: State) {
  const last = state.context.at(-1);
  const text = last?.role === "user" ? Message.textOf(last) : "";
  const order = theOnly([...text.matchAll(ORDER)].map((match) => match.groups?.id ?? ""));
  const amounts = [...text.replace(ORDER, " ").matchAll(AMOUNT)].map((match) => centsIn(match.groups ?? {}));
  const amountCents = theOnly(amounts.filter((cents) => cents > 0));
  if (order !== undefined && amountCents !== undefined) return { order, amountCents };
  const question = `Gladly! Please write the order's number and the amount in one message, like "Order 1042, 129.90".`;
  return { order: "", amountCents: 0, messages: question };
}

function centsIn({ before, whole = "", cents, after }: Record<string, string | undefined>): number {
  if (before === undefined && cents === undefined && after === undefined) return 0;
  return Number(whole.replace(/[.,]/g, "")) * 100 + Number(cents?.slice(1) ?? 0);
}

/** Two different amounts in one message: better ask than guess with money. */
function theOnly<T>(found: T[]): T | undefined {
  const [first, ...others] = new Set(found);
  return others.length === 0 ? first : undefined;
}

const money = (cents: number): string => (cents / 100).toFixed(2);

async function pay({ order, amountCents }: State, ctx: NodeContext): Promise<string> {
  const [key, by] = [ctx.idempotencyKey, ctx.answer?.by ?? null];
  if (amountCents > SMALL_CENTS && by === null)
    throw new Error("this much is paid only if a person approves");
  const payment = { order, amount_cents: amountCents, key, approved_by: by, at: new Date().toISOString() };
  await ctx.once("pay", () => appendOnce(payment));
  return `Done: ${money(amountCents)} for order ${order} is on its way to you.`;
}

/** `ctx.once` remembers that it paid; the key is for a process that dies after paying and before remembering. */
async function appendOnce(payment: { key: string }): Promise<void> {
  const path = process.env.REFUNDS_LEDGER ?? "./refunds-ledger.ndjson";
  const ledger = await readFile(path, { encoding: "utf8", flag: "a+" });
  if (ledger.includes(`"key":${JSON.stringify(payment.key)}`)) return;
  await appendFile(path, `${JSON.stringify(payment)}\n`, { flush: true });
}

function refuse({ order, amountCents }: State, ctx: NodeContext): string {
  const why = ctx.answer?.reason ?? null;
  return `I am sorry, we cannot refund ${money(amountCents)} for order ${order}${why === null ? "" : `: ${why}`}.`;
}

function route({ amountCents }: State): string {
  if (amountCents === 0) return "ask";
  return amountCents > SMALL_CENTS ? "large" : "small";
}

export const refunds = new StateGraph({ state: State })
  .addNode("READ", read)
  .addNode("PAY_SMALL", pay)
  .addNode("PAY_LARGE", pay)
  .addNode("REFUSE", refuse)
  .addEdge(START, "READ")
  .addConditionalEdges("READ", route, { ask: END, small: "PAY_SMALL", large: "PAY_LARGE" })
  .addEdge("PAY_SMALL", END)
  .addEdge("PAY_LARGE", END)
  .addEdge("REFUSE", END)
  .compile({
    name: "refunds",
    interruptBefore: [
      {
        node: "PAY_LARGE",
        message: ({ order, amountCents }) => `Refund ${money(amountCents)} for order ${order}?`,
        data: ({ order, amountCents }) => ({ order, amount: money(amountCents) }),
        onDeny: "REFUSE",
      },
    ],
  });
