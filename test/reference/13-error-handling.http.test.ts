import { expect, it } from "vitest";
import { refunds } from "../../examples/refunds.js";
import { expectProblem } from "../support/http-server.js";
import { names } from "../support/sse.js";
import { line } from "./helpers.js";
import { onServers } from "./http.js";
import { LARGE_REFUND, ledger } from "./ledger.js";

const REFUND = { graph: "refunds", input: { messages: [LARGE_REFUND] } };

onServers({ refunds }, (api) => {
  it("a payment that fails is an answered request that says what failed, and a resume pays once", async () => {
    const { paid, breaks, works } = ledger();
    await api.run("fails", REFUND);
    breaks();
    const failed = await api.resume("fails", { decision: "approve" });
    expect(failed).toMatchObject({
      status: "error",
      interrupted: false,
      decision: { decision: "approve" },
      next_nodes: ["PAY_LARGE"],
      error: { code: "node_failed", node: "PAY_LARGE", path: ["PAY_LARGE"], step: 1, attempt: 1 },
    });
    expect(failed.error.message).toContain("ENOENT");
    expect(await api.thread("fails")).toMatchObject({ status: "error", interrupts: [] });
    expect(paid()).toEqual([]);

    works();
    expect(await api.resume("fails")).toMatchObject({ status: "completed", error: null });
    expect(paid()).toEqual([12990]);
    expect((await api.said("fails")).at(-1)).toBe("Done: 129.90 for order 1042 is on its way to you.");
  });

  it("a stream tells of the failure as its last event, and the page's clean-up by stop does no harm", async () => {
    const { paid, breaks, works } = ledger();
    await api.run("cleaned", REFUND);
    breaks();
    const heard = await (await api.stream("cleaned/resume", { decision: "approve" })).rest();
    expect(names(heard)[0]).toBe("decision");
    expect(heard.at(-1)).toMatchObject({
      name: "failed",
      chunk: { event_type: "error", data: { result: { status: "error", error: { node: "PAY_LARGE" } } } },
    });
    expect(await api.stop("cleaned")).toMatchObject({ ok: true, running: false, reason: "not-running" });
    works();
    expect((await api.resume("cleaned")).status).toBe("completed");
    expect(paid()).toEqual([12990]);
  });

  it("a new request on a failed thread gives up the failed payment, and is asked about itself", async () => {
    const { paid, breaks, works } = ledger();
    await api.run("anew", REFUND);
    breaks();
    await api.resume("anew", { decision: "approve" });
    works();
    const held = await api.run("anew", { input: { messages: ["Order 77: 300.00 back please"] } });
    expect(held).toMatchObject({
      status: "interrupted_before",
      interrupts: [{ message: "Refund 300.00 for order 77?" }],
    });
    await api.resume("anew", { decision: "approve" });
    expect(paid()).toEqual([30000]);
  });

  it("finished steps are not repeated after an error, and a refused request is no run at all", async () => {
    const ran: string[] = [];
    let broken = true;
    const graph = api.add(
      line({
        LOAD: () => void ran.push("LOAD"),
        SAVE: () => {
          ran.push("SAVE");
          if (broken) throw new Error("the disk is full");
        },
      }),
    );
    const wrong = await api.post("/threads/steps/run", { graph, input: { amount: "much" } });
    expectProblem(wrong, 422, "validation_failed");
    expectProblem(await api.get("/threads/steps"), 404, "not_found");
    expect(ran).toEqual([]);

    await api.run("steps", { graph });
    broken = false;
    await api.resume("steps");
    expect(ran).toEqual(["LOAD", "SAVE", "SAVE"]);
    const runs = (await api.get("/threads/steps/runs")).body.items;
    expect(runs.map(({ status }: { status: string }) => status)).toEqual(["completed", "error"]);
  });
});
