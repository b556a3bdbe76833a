import { END, InMemoryCheckpointer, Message, START, StateGraph } from "holdpoint";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { failure, latch } from "../support/latch.js";
import { line, type Node } from "./helpers.js";

const thread = { threadId: "session-123" };
const texts = (result: { messages: readonly Message[] }) => result.messages.map(({ content }) => content);

/** Paused in front of EXECUTE, which tells what it saw. */
function paused() {
  const seen = vi.fn<Node>();
  const app = line(
    { PREPARE: () => ({ amount: 1, log: ["prepared"] }), EXECUTE: seen },
    { interruptBefore: ["EXECUTE"] },
  );
  return { app, seen, started: app.invoke({ messages: ["go"] }, thread) };
}

it("new messages are appended and seen by the node that goes on", async () => {
  const { app, seen, started } = paused();
  await started;
  const result = await app.invoke(
    { messages: [Message.text("Transaction approved"), Message.text("Use enhanced security protocols")] },
    thread,
  );
  expect(seen.mock.calls[0]?.[0].context.map(({ content }) => content)).toEqual([
    "go",
    "Transaction approved",
    "Use enhanced security protocols",
  ]);
  expect(texts(result)).toEqual(["Transaction approved", "Use enhanced security protocols"]);
});

it("new fields are merged with the saved state, through their reducers", async () => {
  const { app, seen, started } = paused();
  await started;
  const result = await app.invoke({ amount: 9, log: ["approved"] }, thread);
  expect(result.state).toMatchObject({ amount: 9, log: ["prepared", "approved"] });
  expect(seen.mock.calls[0]?.[0]).toMatchObject({ amount: 9, log: ["prepared", "approved"] });
});

it("the interrupt's flags are cleared while the node runs", async () => {
  const { app, seen, started } = paused();
  await started;
  await app.invoke({}, thread);
  const meta = seen.mock.calls[0]?.[0].executionMeta;
  expect(meta?.isInterrupted()).toBe(false);
  expect(meta).toMatchObject({ status: "running", interruptReason: null });
});

it("a refused input changes nothing: the thread waits as before", async () => {
  const { app, seen, started } = paused();
  const before = await started;
  for (const input of [{ amount: "nine" }, { amonut: 9 }, { messages: [{ role: "robot", content: "" }] }]) {
    const error = await failure(app.invoke(input as never, thread));
    expect(error.code).toBe("validation_failed");
  }
  const state = await app.getState(thread);
  expect(state).toMatchObject({ status: "interrupted_before", state: { amount: 1 } });
  expect(state.interrupts[0]?.id).toBe(before.interrupts[0]?.id);
  expect(texts(state)).toEqual(["go"]);
  expect(seen).not.toHaveBeenCalled();
});

it("a message of a known id is left out if it is the same, and refused if it is another", async () => {
  const { app, started } = paused();
  await started;
  await app.updateState({ messages: [Message.of({ id: "m1", role: "user", content: "one" })] }, thread);
  const error = await failure(
    app.invoke({ messages: [Message.of({ id: "m1", role: "user", content: "other" })] }, thread),
  );
  expect(error.code).toBe("message_exists");
  await app.invoke({ messages: [Message.of({ id: "m1", role: "user", content: "one" })] }, thread);
  expect(texts(await app.getState(thread))).toEqual(["go", "one"]);
});

describe("edit", () => {
  it("patches the state past the reducers", async () => {
    const { app, seen, started } = paused();
    await started;
    const result = await app.resume(
      { decision: "edit", state: { amount: 7, log: ["rewritten"] }, messages: ["changed it"] },
      thread,
    );
    expect(result.state).toMatchObject({ amount: 7, log: ["rewritten"] });
    expect(seen.mock.calls[0]?.[0]).toMatchObject({ amount: 7, log: ["rewritten"] });
    expect(texts(result)).toEqual(["changed it"]);
  });

  it("is checked by the schema", async () => {
    const { app, seen, started } = paused();
    await started;
    const error = await failure(app.resume({ decision: "edit", state: { amount: "x" } }, thread));
    expect(error.code).toBe("validation_failed");
    expect(error.details.errors[0].path).toContain("amount");
    expect(seen).not.toHaveBeenCalled();
  });

  it("is the only decision that a patch may come with; without a decision it may at a plain hold point", async () => {
    const { app, started } = paused();
    await started;
    for (const decision of ["approve", "deny"] as const) {
      const error = await failure(app.resume({ decision, state: { amount: 2 } }, thread));
      expect(error.code).toBe("validation_failed");
    }
    const result = await app.resume({ state: { log: ["patched"] } }, thread);
    expect(result.state.log).toEqual(["patched"]);
  });

  it("at ctx.interrupt patches what the node sees when it starts again", async () => {
    const app = line({
      ASK: async (state, ctx) => {
        const { decision, state: patch } = await ctx.interrupt({ message: "?" });
        return { log: [String(decision), JSON.stringify(patch), String(state.amount)] };
      },
    });
    await app.invoke({}, thread);
    const result = await app.resume({ decision: "edit", state: { amount: 5 } }, thread);
    expect(result.state.log).toEqual(["edit", '{"amount":5}', "5"]);
  });
});

it("respond is not offered at a hold point", async () => {
  const { app, started } = paused();
  await started;
  const error = await failure(app.resume({ decision: "respond", data: 1 }, thread));
  expect(error.code).toBe("validation_failed");
  expect(error.message).toContain("approve, edit, deny");
});

describe("a thread that stopped or failed", () => {
  it("takes messages and a patch first and goes on where it was", async () => {
    const began = latch();
    const held = latch();
    let runs = 0;
    const app = line({
      FIRST: () => ({ log: ["first"] }),
      WORK: async (state) => {
        if (++runs === 1) {
          began.open();
          await held.opened;
        }
        return { log: [`saw ${state.amount} and ${state.context.length}`] };
      },
    });
    const running = app.invoke({}, thread);
    await began.opened;
    await app.stop(thread);
    await running;
    held.open();
    const result = await app.resume({ state: { amount: 3, log: ["patched"] }, messages: ["go on"] }, thread);
    expect(result).toMatchObject({ status: "completed", state: { log: ["patched", "saw 3 and 1"] } });
  });

  it("takes no decision", async () => {
    const app = line({
      WORK: () => {
        throw new Error("broken");
      },
    });
    await failure(app.invoke({}, thread));
    expect((await failure(app.resume({ decision: "approve" }, thread))).code).toBe("not_resumable");
  });
});

describe("updateState", () => {
  it("patches past reducers between runs, and shows in the next one", async () => {
    const app = line({ WORK: (state) => ({ log: [String(state.amount)] }) });
    await app.invoke({}, thread);
    const view = await app.updateState({ amount: 8, log: [], messages: ["note"] }, thread);
    expect(view).toMatchObject({ status: "completed", state: { amount: 8, log: [] } });
    const result = await app.invoke({}, thread);
    expect(result.state.log).toEqual(["8"]);
    expect(texts(await app.getState(thread))).toEqual(["note"]);
  });

  it("never passes a hold point", async () => {
    const { app, seen, started } = paused();
    await started;
    const view = await app.updateState({ amount: 100 }, thread);
    expect(view).toMatchObject({ status: "interrupted_before", nextNodes: ["EXECUTE"] });
    expect(seen).not.toHaveBeenCalled();
    const result = await app.resume({ decision: "approve" }, thread);
    expect(result.state.amount).toBe(100);
  });
});

it("a required field that no input gives is refused before anything runs", async () => {
  const work = vi.fn(() => "x");
  const app = new StateGraph({ state: z.object({ customer: z.string() }) })
    .addNode("WORK", work)
    .addEdge(START, "WORK")
    .addEdge("WORK", END)
    .compile({ checkpointer: new InMemoryCheckpointer() });
  const error = await failure(app.invoke({}, thread));
  expect(error.code).toBe("validation_failed");
  expect(error.message).toContain("customer");
  expect((await app.invoke({ customer: "ann" }, thread)).state.customer).toBe("ann");
  expect(work).toHaveBeenCalledTimes(1);
});

it("nothing that is sent as state can move the position or the status", async () => {
  const { app, seen, started } = paused();
  await started;
  for (const key of ["executionMeta", "context", "position", "next_nodes", "__proto__x"]) {
    const error = await failure(app.resume({ state: { [key]: "completed" } }, thread));
    expect(error.code, key).toBe("validation_failed");
  }
  expect(seen).not.toHaveBeenCalled();
});

it("a thread id that is none is refused", async () => {
  const { app } = paused();
  for (const threadId of ["", "a b", "x".repeat(129), "a/b", "ünicode"]) {
    expect((await failure(app.invoke({}, { threadId }))).code).toBe("invalid_thread_id");
  }
});
