/** The path that Holdpoint is for, by supertest: held, looked at, approved, denied, stopped. */
import request from "supertest";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildServer } from "../../src/http/index.js";
import { Runtime } from "../../src/runs/index.js";
import { createLogger } from "../../src/telemetry/index.js";
import { refunds } from "../../examples/refunds.js";
import { embeddedCheckpointer } from "../support/databases.js";

describe("a large refund", () => {
  let folder: string;
  let server: Awaited<ReturnType<typeof buildServer>>;
  let runtime: Runtime;
  const ledger = async (): Promise<string[]> =>
    (await readFile(join(folder, "ledger"), "utf8").catch(() => ""))
      .split("\n")
      .filter((line) => line !== "");

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "holdpoint-story-"));
    process.env.REFUNDS_LEDGER = join(folder, "ledger");
    runtime = new Runtime({ checkpointer: await embeddedCheckpointer(), log: createLogger("silent", false) });
    refunds.bind(runtime, "refunds");
    await runtime.start();
    server = await buildServer(runtime, {
      corsOrigins: [],
      bodyLimit: 10_000,
      sseHeartbeatMs: 15_000,
      sseRetryMs: 1000,
      sseStallMs: 30_000,
      version: "test",
    });
  });
  afterAll(async () => {
    delete process.env.REFUNDS_LEDGER;
    await runtime.drain(0);
    await server.close();
    await runtime.close();
    await rm(folder, { recursive: true, force: true });
  });

  const ask = (thread: string, text: string) =>
    request(server.server)
      .post(`/threads/${thread}/run`)
      .send({ graph: "refunds", input: { messages: [text] } });

  it("is held, looked at, approved, and paid once", async () => {
    const held = await ask("r1", "Order 1042 arrived broken, I want my 129.90 back").expect(200);
    expect(held.body).toMatchObject({
      status: "interrupted_before",
      current_node: "PAY_LARGE",
      next_nodes: ["PAY_LARGE"],
    });
    const inbox = await request(server.server).get("/interrupts").expect(200);
    expect(inbox.body.items).toMatchObject([{ thread_id: "r1", message: "Refund 129.90 for order 1042?" }]);
    expect(await ledger()).toHaveLength(0);
    const paid = await request(server.server)
      .post("/threads/r1/resume")
      .send({ decision: "approve" })
      .expect(200);
    expect(paid.body).toMatchObject({
      status: "completed",
      decision: { decision: "approve", by: "anonymous" },
    });
    await request(server.server).post("/threads/r1/resume").send({ decision: "approve" }).expect(409);
    expect(await ledger()).toHaveLength(1);
  });

  it("that is denied or stopped is not paid", async () => {
    const before = await ledger();
    await ask("r2", "Order 7: 300.00 back please").expect(200);
    const denied = await request(server.server)
      .post("/threads/r2/resume")
      .send({ decision: "deny", reason: "no photo" })
      .expect(200);
    expect(denied.body).toMatchObject({
      status: "completed",
      decision: { decision: "deny", reason: "no photo" },
    });
    const held = await ask("r3", "Order 8: 300.00 back please").expect(200);
    const stopped = await request(server.server).post("/threads/r3/stop").expect(200);
    expect(stopped.body).toMatchObject({
      ok: true,
      running: false,
      status: "stopped",
      cancelled_interrupts: [held.body.interrupts[0].id],
    });
    const again = await request(server.server).post("/threads/r3/resume").expect(200);
    expect(again.body.interrupts[0].id).not.toBe(held.body.interrupts[0].id);
    expect(await ledger()).toEqual(before);
  });
});
