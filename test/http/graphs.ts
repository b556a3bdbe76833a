/** Graphs that the HTTP tests serve. */
import { END, START, StateGraph, type CompileOptions, type NodeContext, type NodeFunction } from "holdpoint";
import { z } from "zod";

const refundState = z.object({
  order: z.string().default(""),
  amount: z.number().min(0).default(0),
  note: z.unknown().default(null),
  paid: z.array(z.number()).default([]),
});
export type RefundSchema = typeof refundState;

/** Reads a request, waits before it pays; a denial goes to REFUSE. `onPay` sees each payment that really happened. */
export function refund(
  onPay: (amount: number, ctx: NodeContext) => unknown = () => undefined,
  compile: CompileOptions<RefundSchema, never> = {
    interruptBefore: [
      {
        node: "PAY",
        message: ({ order, amount }) => `Refund ${amount} for ${order}?`,
        data: ({ order, amount }) => ({ order, amount }),
        onDeny: "REFUSE",
      },
    ],
  },
) {
  return new StateGraph({
    state: refundState,
    reducers: { paid: (paid, more: number[]) => [...paid, ...more] },
  })
    .addNode("READ", ({ amount }) => ({ messages: `You want ${amount}.` }))
    .addNode(
      "PAY",
      async ({ amount }, ctx) => {
        await onPay(amount, ctx);
        return { paid: [amount], messages: `Paid ${amount}.` };
      },
      { onDeny: "REFUSE" },
    )
    .addNode("REFUSE", (_state, ctx) => `No: ${ctx.answer?.reason ?? "no reason"}`)
    .addEdge(START, "READ")
    .addEdge("READ", "PAY")
    .addEdge("PAY", END)
    .addEdge("REFUSE", END)
    .compile(compile);
}

/** One node, named WORK. */
export function single<S extends z.ZodObject>(
  work: NodeFunction<S>,
  state?: S,
  compile: CompileOptions<S, never> = {},
) {
  return new StateGraph(state === undefined ? {} : { state })
    .addNode("WORK", work as () => undefined)
    .addEdge(START, "WORK")
    .addEdge("WORK", END)
    .compile(compile);
}

export const openState = z.object({ value: z.unknown().default(null), text: z.string().default("") });
