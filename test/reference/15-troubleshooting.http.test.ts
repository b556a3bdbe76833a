import { END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { expect, it } from "vitest";
import { z } from "zod";
import { expectProblem, serve } from "../support/http-server.js";
import { line } from "./helpers.js";
import { apiOf, onServers, type Api } from "./http.js";

function gated(api: Api) {
  const ran: string[] = [];
  const work = { EXECUTE_TOOL: () => void ran.push("EXECUTE_TOOL") };
  return { ran, graph: api.add(line(work, { interruptBefore: ["EXECUTE_TOOL"] })) };
}

onServers({}, (api) => {
  it("resume doesn't work: a wrong thread is 404, one with nothing to resume 409, and neither runs anything", async () => {
    const { ran, graph } = gated(api);
    await api.run("r1", { graph });
    expectProblem(await api.post("/threads/R1/resume", { decision: "approve" }), 404, "not_found");
    expect(ran).toEqual([]);
    await api.resume("r1", { decision: "approve" });
    expectProblem(await api.post("/threads/r1/resume", { decision: "approve" }), 409, "not_resumable");
    expectProblem(await api.post("/threads/r1/resume"), 409, "not_resumable");
    expect(ran).toEqual(["EXECUTE_TOOL"]);
  });

  it("interrupts ignored: a name that no node has is refused with the nearest one, and nothing runs", async () => {
    const { ran, graph } = gated(api);
    for (const config of [{ interrupt_before: ["EXECUTE_TOL"] }, { interrupt_after: ["EXECUTE_TOL"] }]) {
      const problem = expectProblem(
        await api.post("/threads/n1/run", { graph, config }),
        422,
        "validation_failed",
      );
      expect(JSON.stringify(problem)).toContain("EXECUTE_TOOL");
    }
    expectProblem(await api.get("/threads/n1"), 404, "not_found");
    expect(ran).toEqual([]);
  });

  it("multiple interrupts: a loop asks at each visit, and asks once where the hold point has a `when`", async () => {
    const rounds = (when?: (state: { n: number }) => boolean) =>
      api.add(
        new StateGraph({ state: z.object({ n: z.number().default(0) }) })
          .addNode("WORK", ({ n }) => ({ n: n + 1 }))
          .addEdge(START, "WORK")
          .addConditionalEdges("WORK", ({ n }) => n >= 3, { true: END, false: "WORK" })
          .compile({ interruptBefore: [{ node: "WORK", ...(when === undefined ? {} : { when }) }] }),
      );
    const asked = async (thread: string, graph: string): Promise<unknown[]> => {
      const at: unknown[] = [];
      let result = await api.run(thread, { graph });
      for (; result.interrupted; result = await api.resume(thread, { decision: "approve" }))
        at.push(result.state.n);
      expect(result).toMatchObject({ status: "completed", state: { n: 3 } });
      return at;
    };
    expect(await asked("l1", rounds())).toEqual([0, 1, 2]);
    expect(
      await asked(
        "l2",
        rounds(({ n }) => n === 0),
      ),
    ).toEqual([0]);
  });

  it("stop not working: a wrong thread is 404, and one that runs nothing says so and is left as it is", async () => {
    const { graph } = gated(api);
    expectProblem(await api.post("/threads/s1/stop"), 404, "not_found");
    await api.run("s1", { graph });
    const done = await api.resume("s1", { decision: "approve" });
    const receipt = await api.stop("s1");
    expect(receipt).toMatchObject({ ok: true, running: false, reason: "not-running", run_id: done.run_id });
    expect(await api.thread("s1")).toMatchObject({ status: "completed", seq: done.seq });
  });
});

it("state not persisted: a server that keeps it in memory says so, and one started anew knows no thread", async () => {
  const start = () =>
    serve(
      { gated: line({ WORK: () => "done" }, { interruptBefore: ["WORK"] }) },
      { checkpointer: new InMemoryCheckpointer() },
    );
  const first = await start();
  expect((await first.get("/readyz")).body.database).toBe("memory");
  const held = await apiOf(first).run("t");
  await first.close();

  const second = await start();
  expectProblem(await second.post("/threads/t/resume", { decision: "approve" }), 404, "not_found");
  const decision = `/interrupts/${held.interrupts[0].id}/decision`;
  expectProblem(await second.post(decision, { decision: "approve" }), 404, "not_found");
  expect(await apiOf(second).inbox("gated")).toEqual([]);
  await second.close();
});
