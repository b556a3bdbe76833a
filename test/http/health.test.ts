import { InMemoryCheckpointer } from "holdpoint";
import { describe, expect, it } from "vitest";
import { expectProblem, serve, served, STORAGES } from "../support/http-server.js";
import { refund } from "./graphs.js";

describe("a server that works", () => {
  const server = served({ refunds: refund() });

  it("says that it lives", async () => {
    const answer = await server.get("/healthz");
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ status: "ok" });
  });

  it("says that it is ready, on what storage and for which graphs", async () => {
    const answer = await server.get("/readyz");
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      status: "ready",
      database: "memory",
      graphs: ["refunds"],
      waiting_graphs: [],
    });
  });

  it("says at its root where to go, and every link leads somewhere", async () => {
    const answer = await server.get("/");
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ name: "holdpoint", graphs: ["refunds"] });
    const links = Object.values(answer.body.links as Record<string, string>);
    expect(links).toHaveLength(6);
    for (const link of links) {
      expect((await server.get(link)).status, link).toBe(200);
    }
  });

  it("answers an unknown path, and a known one with another method, with a problem", async () => {
    expectProblem(await server.get("/nothing/here"), 404, "not_found");
    expectProblem(await server.call("PUT", "/threads/t1"), 404, "not_found");
  });
});

describe.each(STORAGES.filter(([name]) => name !== "memory"))("readiness on %s", (_name, make) => {
  it("is a problem 503 once the storage is gone, while the process still lives", async () => {
    const checkpointer = await make();
    const server = await serve({}, { checkpointer });
    expect((await server.get("/readyz")).status).toBe(200);
    await checkpointer.close();
    const answer = await server.get("/readyz");
    expectProblem(answer, 503, "database_unavailable");
    expect(answer.headers.get("retry-after")).toBe("1");
    expect((await server.get("/healthz")).status).toBe(200);
    await server.close().catch(() => undefined);
  });
});

describe("a server that shuts down", () => {
  it("is not ready, takes no runs and no answers, and still shows what it has", async () => {
    const server = await serve({ refunds: refund() }, { checkpointer: new InMemoryCheckpointer() });
    await server.post("/threads/t1/run", { input: { amount: 1 } });
    await server.runtime.drain(0);
    expectProblem(await server.get("/readyz"), 503, "shutting_down");
    expectProblem(await server.post("/threads/t2/run", {}), 503, "shutting_down");
    expectProblem(await server.post("/threads/t1/resume", { decision: "approve" }), 503, "shutting_down");
    expect((await server.get("/threads/t1")).body.status).toBe("interrupted_before");
    expectProblem(await server.get("/threads/t2"), 404, "not_found");
    await server.close();
  });
});
