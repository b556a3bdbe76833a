import { END, InMemoryCheckpointer, PgCheckpointer, START, StateGraph } from "../../dist/index.js";
import { z } from "zod/v4";
import { newId, repeat } from "../lib/loops.mjs";

const Counter = z.object({ n: z.number().default(0) });
const names = (many) => Array.from({ length: many }, (_, i) => `N${i + 1}`);

/** A chain of nodes that count. */
export function chain(many, checkpointer) {
  const graph = new StateGraph({ state: Counter });
  const nodes = names(many);
  for (const node of nodes) graph.addNode(node, ({ n }) => ({ n: n + 1 }));
  [START, ...nodes].forEach((from, i) => graph.addEdge(from, nodes[i] ?? END));
  return graph.compile({ name: "chain", ...(checkpointer === undefined ? {} : { checkpointer }) });
}

/** (a) and (b): runs of `nodes` nodes, in memory or in PostgreSQL. */
export async function chained({ url, durable = false, nodes = 10, concurrency = 1 }) {
  const checkpointer = durable ? new PgCheckpointer({ url }) : new InMemoryCheckpointer();
  const graph = chain(nodes, checkpointer);
  return {
    round: (ms, callers = concurrency) =>
      repeat(ms, callers, async () => {
        const { state } = await graph.invoke({}, { threadId: newId() });
        if (state.n !== nodes) throw new Error(`it counted to ${state.n}`);
        return nodes;
      }),
    close: () => checkpointer.close(),
  };
}

/** (d): to a hold point, and on to the end. */
export async function held({ url }) {
  const checkpointer = new PgCheckpointer({ url });
  const graph = new StateGraph({ state: Counter })
    .addNode("A", ({ n }) => ({ n: n + 1 }))
    .addNode("B", ({ n }) => ({ n: n + 1 }))
    .addEdge(START, "A")
    .addEdge("A", "B")
    .addEdge("B", END)
    .compile({ name: "held", checkpointer, interruptBefore: ["B"] });
  return {
    round: (ms, callers = 1) =>
      repeat(ms, callers, async () => {
        const threadId = newId();
        await graph.invoke({}, { threadId });
        const { state } = await graph.resume({ decision: "approve" }, { threadId });
        if (state.n !== 2) throw new Error("it did not come to its end");
      }),
    close: () => checkpointer.close(),
  };
}
