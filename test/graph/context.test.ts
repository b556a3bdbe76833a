import { expect, it } from "vitest";
import { END, InMemoryCheckpointer, START, StateGraph, type NodeContext } from "holdpoint";
import { z } from "zod";

/** What a node's context gives, whoever passes it on in whichever way. */
const ways: Record<string, (ctx: NodeContext) => Pick<NodeContext, "signal" | "node">> = {
  itself: (ctx) => ctx,
  "taken apart": ({ signal, node }) => ({ signal, node }),
  "a copy": (ctx) => ({ ...ctx }),
  "an heir": (ctx) => Object.create(ctx) as NodeContext,
  "a proxy": (ctx) => new Proxy(ctx, {}),
};

it.each(Object.keys(ways))("the context of a node is whole as %s", async (way) => {
  let seen: unknown;
  const graph = new StateGraph({ state: z.object({}) })
    .addNode("N", (_state, ctx) => {
      const given = ways[way]?.(ctx);
      seen = {
        same: given?.signal === ctx.signal,
        aborted: given?.signal.aborted,
        node: given?.node,
        frozen: Object.isFrozen(ctx),
      };
    })
    .addEdge(START, "N")
    .addEdge("N", END)
    .compile({ name: "context", checkpointer: new InMemoryCheckpointer() });
  await graph.invoke({}, { threadId: way.replaceAll(" ", "-") });
  expect(seen).toEqual({ same: true, aborted: false, node: "N", frozen: true });
});
