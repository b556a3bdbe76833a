import { expect, it } from "vitest";
import { line } from "./helpers.js";
import { contents, onServers, type Api } from "./http.js";

/** The page's first graph, which writes down what ran. */
function pageGraph(api: Api, held: Parameters<typeof line>[1]) {
  const ran: string[] = [];
  const node = (name: string, says: string) => () => {
    ran.push(name);
    return says;
  };
  const nodes = {
    ANALYZE: node("ANALYZE", "analysed"),
    EXECUTE_TOOL: node("EXECUTE_TOOL", "executed"),
    CLEANUP: node("CLEANUP", "cleaned up"),
  };
  return { ran, graph: api.add(line(nodes, held)) };
}

onServers({}, (api) => {
  it("a frontend finds the hold points in the graph, and meets them one after the other", async () => {
    const { ran, graph } = pageGraph(api, { interruptBefore: ["EXECUTE_TOOL"], interruptAfter: ["ANALYZE"] });
    const { hold_points } = (await api.get(`/graphs/${graph}`)).body;
    expect(hold_points).toMatchObject([
      { node: "EXECUTE_TOOL", where: "before" },
      { node: "ANALYZE", where: "after" },
    ]);

    const reviewed = await api.run("t1", { graph, input: { messages: ["go"] } });
    expect(reviewed).toMatchObject({
      status: "interrupted_after",
      interrupt_reason: "interrupt_after: ANALYZE",
      next_nodes: ["EXECUTE_TOOL"],
    });
    expect(contents(reviewed.messages)).toEqual(["go", "analysed"]);
    expect(ran).toEqual(["ANALYZE"]);

    const gated = await api.resume("t1");
    expect(gated).toMatchObject({
      status: "interrupted_before",
      interrupt_reason: "interrupt_before: EXECUTE_TOOL",
      current_node: "EXECUTE_TOOL",
    });
    expect(ran).toEqual(["ANALYZE"]);

    const done = await api.resume("t1", { decision: "approve" });
    expect(done).toMatchObject({ status: "completed", interrupted: false, next_nodes: [] });
    expect(ran).toEqual(["ANALYZE", "EXECUTE_TOOL", "CLEANUP"]);
    expect(await api.said("t1")).toEqual(["go", "analysed", "executed", "cleaned up"]);
  });

  it("a denial after the analysis keeps the analysis and runs no tool", async () => {
    const { ran, graph } = pageGraph(api, { interruptAfter: ["ANALYZE"] });
    await api.run("t2", { graph });
    const denied = await api.resume("t2", { decision: "deny", reason: "wrong data" });
    expect(denied).toMatchObject({ status: "completed", decision: { decision: "deny" } });
    expect(ran).toEqual(["ANALYZE"]);
    expect(await api.said("t2")).toEqual(["analysed"]);
  });

  it("a caller's own hold points last for its run: the thread's next run is not held", async () => {
    const { ran, graph } = pageGraph(api, {});
    const walked: string[] = [];
    let result = await api.run("t3", { graph, config: { interrupt_before: "*" } });
    while (result.interrupted) {
      walked.push(result.current_node as string);
      expect(ran).toHaveLength(walked.length - 1);
      result = await api.resume("t3");
    }
    expect(walked).toEqual(["ANALYZE", "EXECUTE_TOOL", "CLEANUP"]);
    expect((await api.run("t3")).status).toBe("completed");
    expect(ran).toHaveLength(6);
  });
});
