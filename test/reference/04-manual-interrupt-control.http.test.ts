import { ExecutionStatus, type Answer } from "holdpoint";
import { expect, it } from "vitest";
import { line } from "./helpers.js";
import { contents, onServers, type Api } from "./http.js";

const REASON = "Requires human approval for high-value transaction";

/** The page's approval_node: asks for a person where the transaction is large. */
function transactions(api: Api) {
  const answers: (Answer | undefined)[] = [];
  const sent: number[] = [];
  const graph = api.add(
    line({
      approval_node: (state, ctx) => {
        answers.push(ctx.answer);
        if (state.amount >= 10_000)
          state.setInterrupt({
            node: "approval_node",
            reason: REASON,
            status: ExecutionStatus.INTERRUPTED_BEFORE,
            data: { transaction_amount: state.amount, requires_approval: true },
          });
        return { log: ["checked"], messages: ["Checked."] };
      },
      SEND: ({ amount }) => {
        sent.push(amount);
        return "Sent.";
      },
    }),
  );
  return { answers, sent, graph };
}

onServers({}, (api) => {
  it("a small transaction passes without a person, a large one waits in the inbox with reason and data", async () => {
    const { sent, graph } = transactions(api);
    expect((await api.run("small", { graph, input: { amount: 12 } })).status).toBe("completed");

    const data = { transaction_amount: 10_000, requires_approval: true };
    const held = await api.run("large", { graph, input: { messages: ["go"], amount: 10_000 } });
    expect(held).toMatchObject({
      status: "interrupted_before",
      interrupt_reason: REASON,
      state: { log: [] },
    });
    expect(contents(held.messages)).toEqual(["go"]);
    expect(await api.inbox(graph)).toMatchObject([
      { thread_id: "large", kind: "manual", node: "approval_node", reason: REASON, data },
    ]);
    expect((await api.state("large")).execution_meta).toMatchObject({
      interrupted_node: "approval_node",
      interrupt_data: data,
    });
    expect(sent).toEqual([12]);
  });

  it("the node runs again with the answer that came from the inbox, and is not asked a second time", async () => {
    const { answers, sent, graph } = transactions(api);
    await api.run("answered", { graph, input: { amount: 10_000 } });
    const [open] = await api.inbox(graph);
    const answer = { decision: "approve", reason: "called them", data: { by_phone: true } };
    const reply = await api.post(`/interrupts/${open.id}/decision`, answer);
    expect(reply.body).toMatchObject({ status: "completed", state: { log: ["checked"] } });
    expect(answers).toEqual([undefined, expect.objectContaining({ ...answer, by: "anonymous" })]);
    expect(sent).toEqual([10_000]);
    expect(await api.said("answered")).toEqual(["Checked.", "Sent."]);
    expect(await api.inbox(graph)).toEqual([]);
  });

  it("a denied transaction is not sent, and the node that asked does not run again", async () => {
    const { answers, sent, graph } = transactions(api);
    await api.run("denied", { graph, input: { amount: 10_000 } });
    const denied = await api.resume("denied", { decision: "deny" });
    expect(denied).toMatchObject({ status: "completed", state: { log: [] }, decision: { decision: "deny" } });
    expect(answers).toEqual([undefined]);
    expect(sent).toEqual([]);
  });

  it("what waits is sent as it was corrected", async () => {
    const { sent, graph } = transactions(api);
    await api.run("edited", { graph, input: { amount: 10_000 } });
    expect((await api.resume("edited", { decision: "edit", state: { amount: 9_000 } })).status).toBe(
      "completed",
    );
    expect(sent).toEqual([9_000]);
  });
});
