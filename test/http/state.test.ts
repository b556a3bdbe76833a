import { expect, it } from "vitest";
import { expectJson, expectProblem, onEveryStorage, unique, type Body } from "../support/http-server.js";
import { names, openStream } from "../support/sse.js";
import { refund, single, openState } from "./graphs.js";

onEveryStorage("state", (server) => {
  it("of a thread that never ran has its graph's defaults", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    await server.post("/threads", { thread_id: thread, graph });
    const state = expectJson(await server.get(`/threads/${thread}/state`), 200, "state");
    expect(state).toMatchObject({
      status: "idle",
      checkpoint_id: null,
      state: { order: "", amount: 0, note: null, paid: [], context_summary: null },
      next_nodes: [],
      interrupts: [],
    });
    expect(state.execution_meta).toMatchObject({ status: "idle", current_node: null, step: 0 });
  });

  it("can be read as it was at an earlier checkpoint", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    await server.post(`/threads/${thread}/run`, { graph, input: { amount: 3 } });
    const before = expectJson(await server.get(`/threads/${thread}/state`), 200, "state");
    await server.post(`/threads/${thread}/resume`, { decision: "approve" });
    const now = expectJson(await server.get(`/threads/${thread}/state`), 200, "state");
    expect(now.state.paid).toEqual([3]);
    expect(now.checkpoint_id).not.toBe(before.checkpoint_id);
    const url = `/threads/${thread}/state?checkpoint=${before.checkpoint_id}`;
    const then = expectJson(await server.get(url), 200, "state");
    expect(then.state).toEqual(before.state);
    expect(then).toMatchObject({
      checkpoint_id: before.checkpoint_id,
      status: "interrupted_before",
      next_nodes: ["PAY"],
    });
  });

  it("is patched past its reducers, with messages, and heard as `update` of no run", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    await server.post("/threads", { thread_id: thread, graph });
    const patched = expectJson(
      await server.call("PATCH", `/threads/${thread}/state`, {
        state: { amount: 9, paid: [1, 2], context_summary: "a long story" },
        messages: ["one", { role: "system", content: "two", id: "m2" }],
      }),
      200,
      "state",
    );
    expect(patched.state).toEqual({
      order: "",
      amount: 9,
      note: null,
      paid: [1, 2],
      context_summary: "a long story",
    });
    const frames = await (await openStream(`${server.url}/threads/${thread}/stream?after=0`)).rest();
    expect(names(frames)).toEqual(["message", "message", "update"]);
    expect(frames.at(-1)?.chunk).toMatchObject({
      run_id: null,
      data: { changed: expect.arrayContaining(["amount", "paid"]) },
    });
    const run = await server.post(`/threads/${thread}/run`);
    expect(run.body.messages.map(({ content }: Body) => content)).toEqual(["You want 9."]);
    expect(run.body.state).toEqual(patched.state);
    const told = await server.get(`/threads/${thread}/messages`);
    expect(told.body.items.map(({ content }: Body) => content)).toEqual(["one", "two", "You want 9."]);
  });

  it("of a completed or failed thread can be patched too, and a failed one goes on from it", async () => {
    const graph = server.add(
      single(({ text }) => {
        if (text === "") throw new Error("there is no text");
        return text;
      }, openState),
    );
    const thread = unique("t");
    const failed = await server.post(`/threads/${thread}/run`, { graph });
    expect(failed.body.error.message).toContain("there is no text");
    await server.call("PATCH", `/threads/${thread}/state`, { state: { text: "patched" } });
    const result = expectJson(await server.post(`/threads/${thread}/resume`), 200, "result");
    expect(result).toMatchObject({ status: "completed", state: { text: "patched" } });
    const after = await server.call("PATCH", `/threads/${thread}/state`, { state: { value: [0] } });
    expect(expectJson(after, 200, "state")).toMatchObject({ status: "completed", state: { value: [0] } });
  });

  it("never moves a paused thread when it is patched", async () => {
    const paid: number[] = [];
    const graph = server.add(refund((amount) => paid.push(amount)));
    const thread = unique("t");
    await server.post(`/threads/${thread}/run`, { graph });
    for (const state of [{ executionMeta: { status: "completed" } }, { status: "completed" }]) {
      const answer = await server.call("PATCH", `/threads/${thread}/state`, { state });
      expectProblem(answer, 422, "validation_failed");
    }
    await server.call("PATCH", `/threads/${thread}/state`, { messages: ["APPROVED"] });
    expect((await server.get(`/threads/${thread}`)).body).toMatchObject({
      status: "interrupted_before",
      next_nodes: ["PAY"],
    });
    expect(paid).toEqual([]);
  });
});
