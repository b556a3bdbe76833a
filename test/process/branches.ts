/** Graph modules of tests that kill processes in the middle of branches and nested graphs. */
import pg from "pg";
import { expect } from "vitest";
import { until } from "../support/poll.js";
import type { Server } from "../support/server.js";
import type { DatabaseKind, Scene } from "./scene.js";

/** A state with a log, at every depth, and a line of text that nodes write by name. */
const STATE = `
const log = z.array(z.string()).default([]);
const paid = z.string().default("");
const shared = { reducers: { log: (now: string[], more: string[]) => [...now, ...more] } };
const graph = () => new StateGraph({ state: z.object({ log, paid, item: z.string().default("") }), ...shared });
`;

/** Five instances, one for each item, of a graph in a graph, whose ACT is held. */
export const FIVE_DEEP = `${STATE}
const leaf = graph()
  .addNode("PREPARE", ({ item }) => { mark("prepare " + item); return { log: ["prepared " + item] }; })
  .addNode("ACT", ({ item }) => { mark("act " + item); return { log: ["acted " + item] }; })
  .addEdge(START, "PREPARE").addEdge("PREPARE", "ACT").addEdge("ACT", END)
  .compile({ name: "leaf", interruptBefore: [{ node: "ACT", message: ({ item }) => "Act on " + item + "?" }] });
const middle = graph().addNode("LEAF", leaf).addEdge(START, "LEAF").addEdge("LEAF", END).compile({ name: "middle" });
export const five = graph()
  .addNode("SPLIT", () => { mark("split"); })
  .addNode("EACH", middle)
  .addNode("JOIN", () => { mark("join"); return { log: ["joined"] }; })
  .addEdge(START, "SPLIT")
  .addConditionalEdges("SPLIT", () => ["1", "2", "3", "4", "5"].map((item) => new Send("EACH", { item })))
  .addEdge("EACH", "JOIN")
  .addEdge("JOIN", END)
  .compile({ name: "five" });
`;

/**
 * QUICK, which is done at once, beside SLOW, which waits at the gate "slow", and SUB, a graph in a graph whose PAY waits at
 * the gate "pay". `pay` are the options of PAY, `hold` says whether it is held.
 */
export function beside(of: { pay?: string; hold?: boolean } = {}): string {
  const { pay = "{}", hold = false } = of;
  return `${STATE}
const inner = graph()
  .addNode("CHECK", () => { mark("CHECK"); return { log: ["check"] }; })
  .addNode("PAY", async (_state, ctx: NodeContext) => {
    void ctx.signal.aborted;
    mark("PAY begun");
    await gate("pay");
    mark("PAY done");
    return { log: ["pay"], paid: "by the node" };
  }, ${pay})
  .addNode("TELL", ({ paid }) => { mark("TELL"); return { log: ["told " + paid] }; })
  .addEdge(START, "CHECK").addEdge("CHECK", "PAY").addEdge("PAY", "TELL").addEdge("TELL", END)
  .compile({ name: "inner", ${hold ? 'interruptBefore: ["PAY"]' : ""} });
const middle = graph().addNode("INNER", inner).addEdge(START, "INNER").addEdge("INNER", END).compile({ name: "middle" });
export const beside = graph()
  .addNode("QUICK", () => { mark("QUICK"); return { log: ["quick"] }; })
  .addNode("SLOW", async (_state, ctx: NodeContext) => {
    void ctx.signal.aborted;
    mark("SLOW begun");
    await gate("look");
    await ctx.once("look", () => null);
    mark("looked");
    await gate("slow");
    return { log: ["slow"] };
  })
  .addNode("SUB", middle)
  .addNode("JOIN", () => { mark("JOIN"); return { log: ["join"] }; })
  .addEdge(START, "QUICK").addEdge(START, "SLOW").addEdge(START, "SUB")
  .addEdge("QUICK", "JOIN").addEdge("SLOW", "JOIN").addEdge("SUB", "JOIN")
  .addEdge("JOIN", END)
  .compile({ name: "beside" });
`;
}

/**
 * Waits until what QUICK came to is stored. The embedded database takes one request after the other, so that there what
 * SLOW stores later is stored later.
 */
export async function quickIsStored(scene: Scene, database: DatabaseKind): Promise<void> {
  await scene.marked("QUICK");
  scene.open("look");
  await scene.marked("looked");
  if (database === "embedded") return;
  const client = new pg.Client({ connectionString: scene.env.DATABASE_URL });
  await client.connect();
  try {
    await until("the outcome of QUICK is stored", async () => {
      const { rows } = await client.query(
        `SELECT 1 FROM holdpoint.task_record WHERE task_id LIKE '%/QUICK"'`,
      );
      return rows.length > 0;
    });
  } finally {
    await client.end();
  }
}

/** How often the process wrote each of these, as a table. */
export function expectCounts(scene: Scene, counts: Readonly<Record<string, number>>, server?: Server): void {
  const found = Object.fromEntries(Object.keys(counts).map((mark) => [mark, scene.count(mark, server?.pid)]));
  expect(found).toEqual(counts);
}
