import { END, START, StateGraph } from "holdpoint";
import { expect, it } from "vitest";
import { z } from "zod";
import { expectJson, expectList, expectProblem, serve, served } from "../support/http-server.js";
import { refund, single } from "./graphs.js";

const routed = new StateGraph({ state: z.object({ amount: z.number().default(1) }) })
  .addNode("CHECK", () => undefined, { timeoutMs: 500, retry: { attempts: 3 } })
  .addNode("SAVE", () => undefined)
  .addEdge(START, "CHECK")
  .addConditionalEdges("CHECK", ({ amount }) => (amount > 1 ? "large" : "small"), {
    large: "SAVE",
    small: END,
  })
  .addEdge("SAVE", END)
  .compile({ interruptAfter: [{ node: "SAVE", decisions: ["approve"], responseSchema: z.boolean() }] });

const nested = new StateGraph()
  .addNode("REFUND", refund(undefined, { name: "refund", interruptBefore: ["PAY"] }))
  .addNode("TELL", () => "done")
  .addEdge(START, "REFUND")
  .addEdge("REFUND", "TELL")
  .addEdge("TELL", END)
  .compile();

const server = served({ refunds: refund(), routed, nested });

it("lists the graphs with everything that the single ones say", async () => {
  const list = expectList(await server.get("/graphs"), "graph");
  expect(list.next_cursor).toBeNull();
  expect(list.items.map(({ name }) => name)).toEqual(["refunds", "routed", "nested"]);
  for (const graph of list.items) expect((await server.get(`/graphs/${graph.name}`)).body).toEqual(graph);
});

it("shows nodes with their options, edges with their conditions, and hold points", async () => {
  const graph = expectJson(await server.get("/graphs/routed"), 200, "graph");
  expect(graph.nodes).toEqual([
    { name: "CHECK", graph: null, timeout_ms: 500, retry_attempts: 3, on_crash: "rerun" },
    { name: "SAVE", graph: null, timeout_ms: null, retry_attempts: 1, on_crash: "hold" },
  ]);
  expect(graph.edges).toContainEqual({
    from: "CHECK",
    to: "SAVE",
    kind: "conditional",
    when: "large",
  });
  expect(graph.edges).toHaveLength(4);
  expect(graph.hold_points).toEqual([
    {
      node: "SAVE",
      where: "after",
      conditional: false,
      decisions: ["approve"],
      response_schema: expect.objectContaining({ type: "boolean" }),
      on_deny: null,
      expires_in_ms: null,
      on_expiry: null,
    },
  ]);
});

it("shows the state as a JSON Schema, and a mermaid picture that names every node", async () => {
  const graph = expectJson(await server.get("/graphs/refunds"), 200, "graph");
  expect(graph.state_schema).toMatchObject({ type: "object" });
  expect(Object.keys(graph.state_schema.properties as object).sort()).toEqual([
    "amount",
    "note",
    "order",
    "paid",
  ]);
  for (const { name } of graph.nodes) expect(graph.mermaid).toContain(name);
  expect(graph.hold_points[0]).toMatchObject({ node: "PAY", where: "before", on_deny: "REFUSE" });
});

it("names the graph that a node is, and draws it in the picture with its hold points", async () => {
  const graph = expectJson(await server.get("/graphs/nested"), 200, "graph");
  expect(graph.nodes).toEqual([
    { name: "REFUND", graph: "refund", timeout_ms: null, retry_attempts: 1, on_crash: "rerun" },
    { name: "TELL", graph: null, timeout_ms: null, retry_attempts: 1, on_crash: "rerun" },
  ]);
  expect(graph.mermaid).toMatch(
    /subgraph \S+\["REFUND \(refund\)"\][^]*"PAY<br\/>held before"[^]*\n {2}end\n/,
  );
});

it("names the nearest graph where one is unknown", async () => {
  const problem = expectProblem(await server.get("/graphs/refund"), 404, "not_found");
  expect(problem.detail).toContain("refunds");
  expect(problem.graphs).toEqual(["refunds", "routed", "nested"]);
});

it("serves no graph without being told which, if it serves several", async () => {
  const problem = expectProblem(await server.post("/threads/g1/run", {}), 422, "graph_required");
  expect(problem.graphs).toEqual(["refunds", "routed", "nested"]);
  expectProblem(await server.get("/threads/g1"), 404, "not_found");
});

it("needs no name of the graph where it serves one, or where the thread has one", async () => {
  const alone = await serve({ only: single(() => "done") });
  const first = expectJson(await alone.post("/threads/t1/run", {}), 200, "result");
  expect(first).toMatchObject({ graph: "only", status: "completed" });
  await alone.close();

  await server.post("/threads/g2/run", { graph: "routed" });
  expect(expectJson(await server.post("/threads/g2/run"), 200, "result").graph).toBe("routed");
});
