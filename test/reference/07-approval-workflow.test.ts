import {
  END,
  InMemoryCheckpointer,
  Message,
  START,
  StateGraph,
  type Answer,
  type CompileOptions,
} from "holdpoint";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { failure } from "../support/latch.js";

const thread = { threadId: "dangerous-operation" };
type Options = CompileOptions<ReturnType<typeof z.object>, never>;

/** The page's build_approval_agent. */
function approvalAgent(options: Options) {
  const analyze = vi.fn(() => "This deletes 3 tables.");
  const execute = vi.fn(() => "deleted");
  const finalize = vi.fn(() => "finalized");
  const answers: (Answer | undefined)[] = [];
  const refused = vi.fn(() => "refused");
  const graph = new StateGraph();
  graph.addNode("ANALYZE_REQUEST", analyze);
  graph.addNode("EXECUTE_ACTION", (_state, ctx) => {
    answers.push(ctx.answer);
    return execute();
  });
  graph.addNode("FINALIZE", finalize);
  graph.addEdge(START, "ANALYZE_REQUEST");
  graph.addEdge("ANALYZE_REQUEST", "EXECUTE_ACTION");
  graph.addEdge("EXECUTE_ACTION", "FINALIZE");
  graph.addEdge("FINALIZE", END);
  if (JSON.stringify(options).includes("REFUSED")) {
    graph.addNode("REFUSED", (_state, ctx) => {
      answers.push(ctx.answer);
      return refused();
    });
    graph.addEdge("REFUSED", END);
  }
  const app = graph.compile({ checkpointer: new InMemoryCheckpointer(), ...options });
  const request = () => app.invoke({ messages: [Message.text("Delete all production data")] }, thread);
  return { app, request, execute, finalize, refused, answers, analyze };
}
const gate = (hold: object = {}): Options => ({
  interruptBefore: [{ node: "EXECUTE_ACTION", onDeny: "REFUSED", ...hold }],
});
const APPROVED = [Message.text("APPROVED: Proceed with deletion")];
const DENIED = [Message.text("DENIED: Operation cancelled")];

it("approved, the action runs once and the workflow ends", async () => {
  const { app, request, execute, finalize } = approvalAgent(gate());
  const paused = await request();
  expect(paused.messages.at(-1)?.content).toBe("This deletes 3 tables.");
  const result = await app.resume({ decision: "approve", messages: APPROVED }, { ...thread, by: "ann" });
  expect(result).toMatchObject({ status: "completed", decision: { decision: "approve", by: "ann" } });
  expect(execute).toHaveBeenCalledTimes(1);
  expect(finalize).toHaveBeenCalledTimes(1);
  expect(result.messages.map(({ content }) => content)).toEqual([
    "APPROVED: Proceed with deletion",
    "deleted",
    "finalized",
  ]);
});

it("denied, the action does not run: the page's DENIED message is resume with decision deny", async () => {
  const { app, request, execute, finalize } = approvalAgent(gate({ onDeny: undefined }));
  await request();
  const result = await app.resume({ decision: "deny", messages: DENIED, reason: "too dangerous" }, thread);
  expect(result).toMatchObject({
    status: "completed",
    interrupted: false,
    decision: { decision: "deny", reason: "too dangerous" },
    nextNodes: [],
  });
  expect(execute).not.toHaveBeenCalled();
  expect(finalize).not.toHaveBeenCalled();
  expect((await app.getState(thread)).messages.at(-1)?.content).toBe("DENIED: Operation cancelled");
});

it("a denied action does not run later either: the next message starts anew and is asked again", async () => {
  const { app, request, execute, analyze } = approvalAgent(gate({ onDeny: undefined }));
  await request();
  await app.resume({ decision: "deny", messages: DENIED }, thread);
  const next = await app.invoke({ messages: ["thank you"] }, thread);
  expect(next.status).toBe("interrupted_before");
  expect(analyze).toHaveBeenCalledTimes(2);
  expect(execute).not.toHaveBeenCalled();
});

it.each([["APPROVED: go"], ["DENIED: no"], [""]])(
  "with a hold point object the message %j is no approval: invoke throws decision_required",
  async (text) => {
    const { app, request, execute } = approvalAgent(gate());
    const paused = await request();
    const error = await failure(app.invoke({ messages: [text] }, thread));
    expect(error.code).toBe("decision_required");
    expect(execute).not.toHaveBeenCalled();
    const state = await app.getState(thread);
    expect(state.interrupts[0]?.id).toBe(paused.interrupts[0]?.id);
    expect(state.messages).toHaveLength(2);
  },
);

it("stream is no approval either", async () => {
  const { app, request, execute } = approvalAgent(gate());
  await request();
  const error = await failure(app.stream({ messages: ["APPROVED"] }, thread).next());
  expect(error.code).toBe("decision_required");
  expect(execute).not.toHaveBeenCalled();
});

it("a denial follows onDeny, which gets it as its answer", async () => {
  const { app, request, execute, refused, answers } = approvalAgent(gate());
  await request();
  const result = await app.resume({ decision: "deny", reason: "no", data: { why: 1 } }, thread);
  expect(result).toMatchObject({ status: "completed", decision: { decision: "deny" } });
  expect(execute).not.toHaveBeenCalled();
  expect(refused).toHaveBeenCalledTimes(1);
  expect(answers).toEqual([expect.objectContaining({ decision: "deny", reason: "no", data: { why: 1 } })]);
});

it("an approved node gets the approval as its answer", async () => {
  const { app, request, answers } = approvalAgent(gate());
  await request();
  await app.resume({ decision: "approve", data: { limit: 3 } }, thread);
  expect(answers).toEqual([expect.objectContaining({ decision: "approve", data: { limit: 3 } })]);
});

it("a denial after the node keeps its output and runs no successor", async () => {
  const { app, request, execute, finalize } = approvalAgent({
    interruptAfter: ["EXECUTE_ACTION"],
  });
  const paused = await request();
  expect(paused.status).toBe("interrupted_after");
  const result = await app.resume({ decision: "deny" }, thread);
  expect(result.status).toBe("completed");
  expect(execute).toHaveBeenCalledTimes(1);
  expect(finalize).not.toHaveBeenCalled();
  expect((await app.getState(thread)).messages.at(-1)?.content).toBe("deleted");
});

it("only the offered decisions are taken", async () => {
  const { app, request, execute } = approvalAgent(gate({ decisions: ["deny"] }));
  const paused = await request();
  expect(paused.interrupts[0]?.decisions).toEqual(["deny"]);
  for (const decision of ["approve", "edit"] as const) {
    expect((await failure(app.resume({ decision }, thread))).code).toBe("validation_failed");
  }
  expect(execute).not.toHaveBeenCalled();
});

it("the answer's data must fit the hold point's schema, with every decision but deny", async () => {
  const responseSchema = z.object({ ticket: z.string().regex(/^T-\d+$/) });
  const { app, request, execute } = approvalAgent(gate({ responseSchema }));
  await request();
  expect((await failure(app.resume({ decision: "approve" }, thread))).code).toBe("validation_failed");
  expect((await failure(app.resume({ decision: "approve", data: { ticket: "x" } }, thread))).code).toBe(
    "validation_failed",
  );
  expect(execute).not.toHaveBeenCalled();
  const result = await app.resume({ decision: "approve", data: { ticket: "T-1" } }, thread);
  expect(result.status).toBe("completed");
});

describe("a named hold point", () => {
  it("must be answered by its id", async () => {
    const { app, request, execute } = approvalAgent(gate({ named: true }));
    const paused = await request();
    expect((await failure(app.resume({ decision: "approve" }, thread))).code).toBe("interrupt_id_required");
    expect(execute).not.toHaveBeenCalled();
    const interruptId = paused.interrupts[0]?.id;
    expect((await app.resume({ interruptId, decision: "approve" }, thread)).status).toBe("completed");
  });

  it("an id of another thread is not_found", async () => {
    const { app, request } = approvalAgent(gate());
    const paused = await request();
    await app.invoke({}, { threadId: "other" });
    const interruptId = paused.interrupts[0]?.id;
    const error = await failure(app.resume({ interruptId, decision: "approve" }, { threadId: "other" }));
    expect(error.code).toBe("not_found");
  });
});

it("a hold point that cannot say what it asks fails the run without letting the node run", async () => {
  const { app, request, execute } = approvalAgent(
    gate({
      message: () => {
        throw new Error("no words");
      },
    }),
  );
  const error = await failure(request());
  expect(error).toMatchObject({ code: "node_failed", node: "EXECUTE_ACTION" });
  expect(error.message).toContain("no words");
  expect((await failure(app.resume({}, thread))).code).toBe("node_failed");
  expect(execute).not.toHaveBeenCalled();
});

it("a `when` that throws holds: the run fails, the node does not run", async () => {
  const { request, execute } = approvalAgent(
    gate({
      when: () => {
        throw new Error("cannot tell");
      },
    }),
  );
  expect((await failure(request())).message).toContain("cannot tell");
  expect(execute).not.toHaveBeenCalled();
});

it("the interrupt keeps who decided what and when", async () => {
  const { app, request } = approvalAgent(gate());
  const { interrupts } = await request();
  await app.resume({ decision: "approve", reason: "checked" }, { ...thread, by: "ann" });
  const error = await failure(
    app.resume({ interruptId: interrupts[0]?.id, decision: "deny" }, { ...thread, by: "bob" }),
  );
  expect(error.details.decision).toMatchObject({ by: "ann", decision: "approve", reason: "checked" });
  expect(Date.parse(error.details.decision.at)).not.toBeNaN();
});

it.each([["approvals"], ["approvers"], ["excludeRequester"], ["onExpiry"], ["tpyo"]])(
  "the rule %s works or is refused by compile; it is never silently ignored",
  (rule) => {
    expect(() => approvalAgent(gate({ [rule]: 2 }))).toThrow(rule);
  },
);
