/** A stop that meets branches and nested graphs: it reaches every depth, is never lost, and nothing that came back runs again. */
import { describe, expect, test } from "vitest";
import { crash } from "../support/server.js";
import { beside, expectCounts } from "./branches.js";
import { eventsOf, get, post, send, stateOf, threadWhen } from "./client.js";
import { DATABASES, newScene } from "./scene.js";

/** A stop answers as soon as it is durable; nodes that look at their signal may take for ever to come back. */
const AT_ONCE = { HOLDPOINT_STOP_WAIT_MS: "1", HOLDPOINT_GRACE_MS: "3600000" };

describe.each(DATABASES)("on the %s database", (database) => {
  test.each([
    { options: "{}", asked: false },
    { options: `{ onCrash: "hold" }`, asked: true },
  ])(
    "a stop of a node at depth three whose process is killed during it holds, and the node ($options) is asked about: $asked",
    async ({ options, asked }) => {
      const scene = await newScene(database, beside({ pay: options }));
      const first = await scene.start(AT_ONCE);
      send(first, "/threads/t1/run", { input: {} });
      await scene.marked("PAY begun");
      scene.open("look");
      await scene.marked("looked");
      const stop = await post(first, "/threads/t1/stop");
      expect(stop).toMatchObject({ status: 200, body: { ok: true, running: true, status: "stopping" } });
      await crash(first);
      scene.open("slow");
      scene.open("pay");

      const second = await scene.start(AT_ONCE);
      const thread = await threadWhen(second, "t1", "stopped", "interrupted_before", "completed", "error");
      expect(thread).toMatchObject({ status: "stopped", run_id: stop.body.run_id, interrupts: [] });
      expect(thread.next_nodes).toEqual(["SLOW", "PAY"]);
      expectCounts(scene, { QUICK: 1, CHECK: 1, "SLOW begun": 1, "PAY begun": 1, JOIN: 0 });
      expect((await eventsOf(second, "t1")).at(-1)?.type).toBe("stopped");

      const resumed = (await post(second, "/threads/t1/resume")).body;
      if (asked) {
        expect(resumed).toMatchObject({
          status: "interrupted_before",
          interrupts: [{ kind: "crash", path: ["SUB", "INNER", "PAY"] }],
        });
        expectCounts(scene, { "PAY begun": 1 });
        await post(second, "/threads/t1/resume", { decision: "approve" });
      }
      expect((await get(second, "/threads/t1")).body.status).toBe("completed");
      expectCounts(scene, { QUICK: 1, CHECK: 1, "SLOW begun": 2, "PAY begun": 2, TELL: 1, JOIN: 1 });
    },
  );

  test("a stop that races with siblings which come back in their grace loses none of them, and runs none twice", async () => {
    const scene = await newScene(database, RACE);
    const server = await scene.start({ HOLDPOINT_GRACE_MS: "3600000" });
    const threads = Array.from({ length: 12 }, (_, i) => `t${i}`);
    for (const thread of threads) send(server, `/threads/${thread}/run`, { input: {} });
    for (const thread of threads) await scene.marked(`${thread} last begun`);
    scene.open("race");
    const stops = await Promise.all(threads.map((thread) => post(server, `/threads/${thread}/stop`)));
    const ended = new Set<string>();
    for (const [i, thread] of threads.entries()) {
      expect(stops[i]?.status).toBe(200);
      const { status } = await threadWhen(server, thread, "stopped", "completed", "error");
      ended.add(status as string);
      expect(stops[i]?.body.running === true ? status : "completed").toBe(status);
      if (status === "stopped")
        expect((await post(server, `/threads/${thread}/resume`)).body.status).toBe("completed");
      const { log } = await stateOf(server, thread);
      expect(log).toEqual(["a", "b", "c", "d", "inner", "last", "join"]);
      for (const node of ["a", "b", "c", "d", "inner", "last", "join"])
        expect([thread, node, scene.count(`${thread} ${node} begun`)]).toEqual([thread, node, 1]);
    }
    expect([...ended]).not.toContain("error");
  });
});

const RACE = `
const log = z.array(z.string()).default([]);
const graph = () => new StateGraph({ state: z.object({ log }), reducers: { log: (now: string[], more: string[]) => [...now, ...more] } });
const node = (name: string, turns: number) => async (_state: unknown, ctx: NodeContext) => {
  void ctx.signal.aborted;
  mark(ctx.threadId + " " + name + " begun");
  await gate("race");
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
  return { log: [name] };
};
const inner = graph().addNode("INNER", node("inner", 9)).addEdge(START, "INNER").addEdge("INNER", END).compile({ name: "inner" });
export const race = graph()
  .addNode("A", node("a", 0)).addNode("B", node("b", 5)).addNode("C", node("c", 20)).addNode("D", node("d", 60))
  .addNode("SUB", inner)
  .addNode("LAST", node("last", 2))
  .addNode("JOIN", node("join", 0))
  .addEdge(START, "A").addEdge(START, "B").addEdge(START, "C").addEdge(START, "D").addEdge(START, "SUB").addEdge(START, "LAST")
  .addEdge("A", "JOIN").addEdge("B", "JOIN").addEdge("C", "JOIN").addEdge("D", "JOIN").addEdge("SUB", "JOIN").addEdge("LAST", "JOIN")
  .addEdge("JOIN", END)
  .compile({ name: "race" });
`;
