import { Annotation, END, MemorySaver, START, StateGraph } from "@langchain/langgraph";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import { newId, repeat } from "../lib/loops.mjs";

const Counter = Annotation.Root({ n: Annotation({ reducer: (_, next) => next, default: () => 0 }) });

/** A chain of nodes that count. */
export function chain(many, of) {
  const graph = new StateGraph(Counter);
  const nodes = Array.from({ length: many }, (_, i) => `N${i + 1}`);
  for (const node of nodes) graph.addNode(node, ({ n }) => ({ n: n + 1 }));
  [START, ...nodes].forEach((from, i) => graph.addEdge(from, nodes[i] ?? END));
  return graph.compile(of);
}

export async function saverOf(kind, url) {
  if (kind === "none") return undefined;
  if (kind === "memory") return new MemorySaver();
  const saver = PostgresSaver.fromConnString(url, { schema: "langgraph" });
  await saver.setup();
  return saver;
}

/** (a) and (b). `durability` is LangGraph's own word: "async" is its default. */
export async function chained({ url, saver = "none", nodes = 10, concurrency = 1, durability }) {
  const checkpointer = await saverOf(saver, url);
  const graph = chain(nodes, checkpointer === undefined ? {} : { checkpointer });
  return {
    round: (ms, callers = concurrency) =>
      repeat(ms, callers, async () => {
        const { n } = await graph.invoke(
          { n: 0 },
          { configurable: { thread_id: newId() }, ...(durability === undefined ? {} : { durability }) },
        );
        if (n !== nodes) throw new Error(`it counted to ${n}`);
        return nodes;
      }),
    close: () => checkpointer?.end?.(),
  };
}

/** (d) */
export async function held({ url }) {
  const checkpointer = await saverOf("postgres", url);
  const graph = new StateGraph(Counter)
    .addNode("A", ({ n }) => ({ n: n + 1 }))
    .addNode("B", ({ n }) => ({ n: n + 1 }))
    .addEdge(START, "A")
    .addEdge("A", "B")
    .addEdge("B", END)
    .compile({ checkpointer, interruptBefore: ["B"] });
  return {
    round: (ms, callers = 1) =>
      repeat(ms, callers, async () => {
        const config = { configurable: { thread_id: newId() } };
        await graph.invoke({ n: 0 }, config);
        const { n } = await graph.invoke(null, config);
        if (n !== 2) throw new Error("it did not come to its end");
      }),
    close: () => checkpointer.end(),
  };
}
