/** A process that slept past its lease does nothing more for a run that another one has taken over. */
import { expect, test } from "vitest";
import { until } from "../support/poll.js";
import { send, threadWhen } from "./client.js";
import { newScene } from "./scene.js";

const SETTINGS = { HOLDPOINT_LEASE_MS: "1000", HOLDPOINT_HEARTBEAT_MS: "200" };

const GRAPH = `
export const careful = new StateGraph({ state: z.object({ done: z.string().default("") }) })
  .addNode("ACT", async (_state, ctx: NodeContext) => {
    mark("ACT begun");
    await gate("act");
    return { done: await ctx.once("pay", () => { mark("paid"); return "paid by " + process.pid; }) };
  })
  .addEdge(START, "ACT")
  .addEdge("ACT", END)
  .compile({ name: "careful" });
`;

test("a node that was frozen before its once, while another process made and stored the effect, does not make it again", async () => {
  const scene = await newScene("postgres", GRAPH);
  const [one, two] = [await scene.start(SETTINGS), await scene.start(SETTINGS)];
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("ACT begun", 1, one.pid);
  one.kill("SIGSTOP");
  await scene.marked("ACT begun", 1, two.pid);
  scene.open("act", two.pid);
  await threadWhen(two, "t1", "completed");
  scene.open("act", one.pid);
  one.kill("SIGCONT");
  await until("it knows that the run is not its own", () =>
    one.logs().some(({ msg }) => String(msg).startsWith("the run's lease is lost")),
  );
  expect(scene.ledger().filter(({ mark }) => mark === "paid")).toEqual([{ mark: "paid", pid: two.pid }]);
});
