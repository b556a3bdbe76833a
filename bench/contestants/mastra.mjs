import { Mastra } from "@mastra/core";
import { createStep, createWorkflow } from "@mastra/core/workflows";
import { PostgresStore } from "@mastra/pg";
import { z } from "zod";
import { repeat } from "../lib/loops.mjs";

const Counter = z.object({ n: z.number() });
const quiet = { logger: false };

const step = (id, execute) => createStep({ id, inputSchema: Counter, outputSchema: Counter, execute });

const storage = (url) => new PostgresStore({ connectionString: url, schemaName: "mastra" });

/** (a) and (b) */
export async function chained({ url, durable = false, nodes = 10, concurrency = 1 }) {
  let chain = createWorkflow({ id: "chain", inputSchema: Counter, outputSchema: Counter });
  for (let i = 1; i <= nodes; i++)
    chain = chain.then(step(`N${i}`, async ({ inputData }) => ({ n: inputData.n + 1 })));
  chain = chain.commit();
  const store = durable ? storage(url) : undefined;
  const mastra = new Mastra({
    ...quiet,
    workflows: { chain },
    ...(store === undefined ? {} : { storage: store }),
  });
  await store?.init();
  const workflow = mastra.getWorkflow("chain");
  return {
    round: (ms, callers = concurrency) =>
      repeat(ms, callers, async () => {
        const run = await workflow.createRunAsync();
        const { result } = await run.start({ inputData: { n: 0 } });
        if (result?.n !== nodes) throw new Error(`it counted to ${result?.n}`);
        return nodes;
      }),
    close: () => store?.close?.(),
  };
}

/** (d) */
export async function held({ url }) {
  const store = storage(url);
  const held = createWorkflow({ id: "held", inputSchema: Counter, outputSchema: Counter })
    .then(step("A", async ({ inputData }) => ({ n: inputData.n + 1 })))
    .then(
      createStep({
        id: "B",
        inputSchema: Counter,
        outputSchema: Counter,
        resumeSchema: z.object({ go: z.boolean() }),
        execute: async ({ inputData, resumeData, suspend }) =>
          resumeData === undefined ? suspend({}) : { n: inputData.n + 1 },
      }),
    )
    .commit();
  const mastra = new Mastra({ ...quiet, workflows: { held }, storage: store });
  await store.init();
  const workflow = mastra.getWorkflow("held");
  return {
    round: (ms, callers = 1) =>
      repeat(ms, callers, async () => {
        const run = await workflow.createRunAsync();
        await run.start({ inputData: { n: 0 } });
        const { result } = await run.resume({ step: "B", resumeData: { go: true } });
        if (result?.n !== 2) throw new Error("it did not come to its end");
      }),
    close: () => store.close?.(),
  };
}
