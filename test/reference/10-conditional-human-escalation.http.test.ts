import { expect, it } from "vitest";
import { escalation } from "../../examples/escalation.js";
import { expectProblem } from "../support/http-server.js";
import { onServers, type Api } from "./http.js";

const ask = (api: Api, thread: string, text: string) => api.run(thread, { input: { messages: [text] } });
const VAGUE = "It does not work";

onServers({ escalation }, (api) => {
  it("a clear question is answered without a person", async () => {
    const result = await ask(api, "clear", "Where is the delivery of order 1042?");
    expect(result).toMatchObject({ status: "completed", interrupts: [], state: { topic: "delivery" } });
    expect(result.messages.at(-1).content).toContain("Your question (delivery) about order 1042");
  });

  it("an unclear one waits with its confidence and complexity, and nothing is replied meanwhile", async () => {
    const held = await ask(api, "unclear", VAGUE);
    expect(held).toMatchObject({
      status: "interrupted_before",
      current_node: "SMART_ESCALATION",
      interrupt_reason: "Low confidence (0.20) or high complexity (0.08)",
    });
    const data = { topic: "unknown", confidence: 0.2, complexity: 0.08 };
    expect((await api.state("unclear")).execution_meta.interrupt_data).toEqual(data);
    expect(await api.said("unclear")).toEqual([VAGUE]);
  });

  it("a person names the topic, then the order that the reply asks for, and the customer is answered", async () => {
    await ask(api, "both", VAGUE);
    const asked = await api.resume("both", { decision: "edit", state: { topic: "delivery" } });
    expect(asked).toMatchObject({
      status: "interrupted_before",
      current_node: "REPLY",
      interrupts: [{ kind: "request", message: "Which order is it about?", decisions: ["respond", "deny"] }],
    });
    const schema = asked.interrupts[0].response_schema;
    expect(schema.properties.order).toMatchObject({ type: "string" });

    const decision = `/interrupts/${asked.interrupts[0].id}/decision`;
    for (const data of [undefined, {}, { order: "the blue one" }, { order: 1042 }]) {
      const refused = await api.post(decision, { decision: "respond", data });
      expectProblem(refused, 422, "validation_failed");
    }
    expectProblem(await api.post(decision, { decision: "approve" }), 422, "validation_failed");
    expect(await api.said("both")).toEqual([VAGUE]);

    const answered = await api.post(decision, { decision: "respond", data: { order: "1042" } });
    expect(answered.body).toMatchObject({ status: "completed", state: { topic: "delivery" } });
    expect((await api.said("both")).at(-1)).toBe(
      "Thank you! Your question (delivery) about order 1042 is with the right people now.",
    );
  });

  it("a denial ends it at either pause, and nothing is replied", async () => {
    await ask(api, "first", VAGUE);
    expect((await api.resume("first", { decision: "deny" })).status).toBe("completed");
    await ask(api, "second", "I want a refund");
    const asked = await api.thread("second");
    expect(asked).toMatchObject({ status: "interrupted_before", current_node: "REPLY" });
    expect((await api.resume("second", { decision: "deny" })).status).toBe("completed");
    expect(await api.said("first")).toEqual([VAGUE]);
    expect(await api.said("second")).toEqual(["I want a refund"]);
    expect(await api.thread("second")).toMatchObject({ status: "completed", next_nodes: [], interrupts: [] });
  });
});
