/** The graphs of the servers that are measured. */
import { END, START, StateGraph } from "holdpoint";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";

const Counter = z.object({ n: z.number().default(0) });

function chain(name, many) {
  const graph = new StateGraph({ state: Counter });
  const nodes = Array.from({ length: many }, (_, i) => `N${i + 1}`);
  for (const node of nodes) graph.addNode(node, ({ n }) => ({ n: n + 1 }));
  [START, ...nodes].forEach((from, i) => graph.addEdge(from, nodes[i] ?? END));
  return graph.compile({ name });
}

const alone = (name, node) =>
  new StateGraph({ state: Counter })
    .addNode("A", node)
    .addEdge(START, "A")
    .addEdge("A", END)
    .compile({ name });

export const three = chain("three", 3);
export const ten = chain("ten", 10);

/** 1,000 events of one node: deltas of one message. */
export const talk = alone("talk", async function* () {
  let said = "";
  for (let i = 0; i < 1000; i++) {
    const part = `part ${i} `;
    said += part;
    yield part;
  }
  return said;
});

/** Works until it is told to stop, and listens. */
export const listens = alone("listens", async (_state, { signal }) => {
  await sleep(600_000, undefined, { signal });
  return {};
});

/** Works on whatever it is told. */
export const deaf = alone("deaf", async () => {
  await sleep(600_000, undefined, { ref: false });
  return {};
});

/** Many quick steps: one is always near. */
export const steps = new StateGraph({ state: Counter })
  .addNode("A", async ({ n }) => {
    await sleep(20);
    return { n: n + 1 };
  })
  .addEdge(START, "A")
  .addConditionalEdges("A", ({ n }) => (n < 100_000 ? "A" : END), ["A", END])
  .compile({ name: "steps" });
