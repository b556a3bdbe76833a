import { expect, it } from "vitest";
import { refunds } from "../../examples/refunds.js";
import { expectProblem } from "../support/http-server.js";
import { line } from "./helpers.js";
import { onServers } from "./http.js";
import { LARGE_REFUND, ledger } from "./ledger.js";

onServers({ refunds }, (api) => {
  it("context that comes with the answer is seen by the node, behind what was said before", async () => {
    const seen: unknown[] = [];
    const graph = api.add(
      line(
        { EXECUTE: (state) => void seen.push(...state.context.map(({ content }) => content)) },
        { interruptBefore: ["EXECUTE"] },
      ),
    );
    await api.run("session-123", { graph, input: { messages: ["Process the transaction"] } });
    const messages = ["Transaction approved", "Use enhanced security protocols"];
    expect((await api.resume("session-123", { decision: "approve", messages })).status).toBe("completed");
    expect(seen).toEqual(["Process the transaction", ...messages]);
    expect(await api.said("session-123")).toEqual(seen);
  });

  it("a refund is paid as the person corrected it, and the customer is told that amount", async () => {
    const { paid } = ledger();
    const held = await api.run("corrected", { graph: "refunds", input: { messages: [LARGE_REFUND] } });
    expect(held.interrupts[0].message).toBe("Refund 129.90 for order 1042?");
    const result = await api.resume("corrected", { decision: "edit", state: { amountCents: 9990 } });
    expect(result).toMatchObject({ status: "completed", state: { order: "1042", amountCents: 9990 } });
    expect(result.messages.at(-1).content).toBe("Done: 99.90 for order 1042 is on its way to you.");
    expect(paid()).toEqual([9990]);
  });

  it("a correction that is refused pays nothing and leaves the same question open", async () => {
    const { paid } = ledger();
    const held = await api.run("refused", { graph: "refunds", input: { messages: [LARGE_REFUND] } });
    const before = await api.state("refused");
    for (const body of [
      { decision: "edit", state: { amountCents: -1 } },
      { decision: "edit", state: { amuontCents: 9990 } },
      { decision: "approve", state: { amountCents: 9990 } },
      { decison: "approve" },
    ])
      expectProblem(await api.post("/threads/refused/resume", body), 422, "validation_failed");
    expect(await api.state("refused")).toEqual(before);
    expect(before.interrupts).toEqual(held.interrupts);
    expect(paid()).toEqual([]);

    await api.resume("refused", { decision: "approve" });
    expect(paid()).toEqual([12990]);
  });

  it("what a colleague changes while it waits is what the next person is asked, and what is paid", async () => {
    const { paid } = ledger();
    await api.run("patched", { graph: "refunds", input: { messages: [LARGE_REFUND] } });
    await api.patch("/threads/patched/state", {
      state: { amountCents: 6000 },
      messages: ["Only one part broke."],
    });
    const [open] = await api.inbox("refunds");
    expect(open).toMatchObject({ thread_id: "patched", message: "Refund 60.00 for order 1042?" });
    expect(paid()).toEqual([]);
    await api.post(`/interrupts/${open.id}/decision`, { decision: "approve" });
    expect(paid()).toEqual([6000]);
    expect(await api.said("patched")).toEqual([
      LARGE_REFUND,
      "Only one part broke.",
      "Done: 60.00 for order 1042 is on its way to you.",
    ]);
  });
});
