import { expect, it } from "vitest";
import { END, START, StateGraph } from "holdpoint";
import { z } from "zod";
import { expectJson, expectList, expectProblem, onEveryStorage, unique } from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { until } from "../support/poll.js";
import { names, openStream } from "../support/sse.js";
import { refund, single } from "./graphs.js";

onEveryStorage("a fork", (server) => {
  const newest = async (thread: string): Promise<string> =>
    expectJson(await server.get(`/threads/${thread}/state`), 200, "state").checkpoint_id as string;

  it("is a thread of its own, stopped at the checkpoint, that asks again when it is resumed", async () => {
    const paid: number[] = [];
    const graph = server.add(refund((amount) => paid.push(amount)));
    const [thread, to] = [unique("t"), unique("fork")];
    const held = await server.post(`/threads/${thread}/run`, {
      graph,
      input: { amount: 3, messages: ["please"] },
    });
    const checkpoint = await newest(thread);
    await server.post(`/threads/${thread}/resume`, { decision: "approve" });
    const source = await Promise.all(
      ["", "/state", "/messages", "/checkpoints", "/runs"].map(
        async (path) => (await server.get(`/threads/${thread}${path}`)).body,
      ),
    );
    const answer = await server.post(`/threads/${thread}/fork`, { checkpoint_id: checkpoint, thread_id: to });
    const made = expectJson(answer, 201, "thread");
    expect(answer.headers.get("location")).toBe(`/threads/${to}`);
    expect(made).toMatchObject({
      thread_id: to,
      graph,
      status: "stopped",
      metadata: {},
      run_id: null,
      current_node: "PAY",
      next_nodes: ["PAY"],
      step: 1,
      interrupts: [],
    });
    expect((await server.get(`/threads/${to}`)).body).toEqual(made);
    const state = expectJson(await server.get(`/threads/${to}/state`), 200, "state");
    expect(state).toMatchObject({
      status: "stopped",
      state: { amount: 3, paid: [] },
      interrupts: [],
      next_nodes: ["PAY"],
    });
    const said = expectList(await server.get(`/threads/${to}/messages`), "message").items;
    expect(said.map(({ content }) => content)).toEqual(["please", "You want 3."]);
    const { items } = expectList(await server.get(`/threads/${to}/checkpoints`), "checkpoint");
    expect(items).toMatchObject([
      { checkpoint_id: state.checkpoint_id, parent_id: checkpoint, source: "fork", run_id: null },
    ]);
    expect(expectList(await server.get(`/threads/${to}/runs`), "run").items).toEqual([]);
    expect((await server.get(`/threads/${to}/stream`)).status).toBe(204);
    expect(paid).toEqual([3]);

    const again = expectJson(await server.post(`/threads/${to}/resume`), 200, "result");
    expect(again).toMatchObject({
      status: "interrupted_before",
      interrupts: [{ node: "PAY", status: "open" }],
    });
    const [{ id }] = again.interrupts;
    expect(id).not.toBe(held.body.interrupts[0].id);
    const inbox = expectList(await server.get(`/interrupts?graph=${graph}`), "interrupt");
    expect(inbox.items.map((each) => [each.id, each.thread_id])).toEqual([[id, to]]);
    expectProblem(
      await server.post(`/threads/${to}/resume`, {
        interrupt_id: held.body.interrupts[0].id,
        decision: "approve",
      }),
      404,
      "not_found",
    );
    expect(paid).toEqual([3]);
    const done = await server.post(`/threads/${to}/resume`, { decision: "edit", state: { amount: 4 } });
    expect(done.body).toMatchObject({ status: "completed", state: { paid: [4] } });
    expect(paid).toEqual([3, 4]);
    const frames = await (await openStream(`${server.url}/threads/${to}/stream?after=0`)).rest();
    const heard = ["start", "interrupted", "decision", "start", "update", "message", "update", "end"];
    expect(names(frames).filter((name) => name !== "progress")).toEqual(heard);

    const after = await Promise.all(
      ["", "/state", "/messages", "/checkpoints", "/runs"].map(
        async (path) => (await server.get(`/threads/${thread}${path}`)).body,
      ),
    );
    expect(after).toEqual(source);
  });

  it("gets an id of the server's where none is given, may be stopped or patched, and starts anew with a run", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    await server.post(`/threads/${thread}/run`, { graph, input: { amount: 3 } });
    const body = { checkpoint_id: await newest(thread) };
    const one = expectJson(await server.post(`/threads/${thread}/fork`, body), 201, "thread")
      .thread_id as string;
    const two = expectJson(await server.post(`/threads/${thread}/fork`, body), 201, "thread")
      .thread_id as string;
    expect(one).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(two).not.toBe(one);
    const stopped = expectJson(await server.post(`/threads/${one}/stop`), 200, "receipt");
    expect(stopped).toMatchObject({ running: false, reason: "not-running", run_id: null });
    expectJson(await server.call("PATCH", `/threads/${one}/state`, { state: { amount: 8 } }), 200, "state");
    const asked = await server.post(`/threads/${one}/resume`);
    expect(asked.body.interrupts).toMatchObject([{ message: "Refund 8 for ?" }]);
    const anew = await server.post(`/threads/${two}/run`, { input: { amount: 1 } });
    expect(anew.body).toMatchObject({ status: "interrupted_before", state: { amount: 1 } });
    expect((await server.call("DELETE", `/threads/${two}`)).status).toBe(204);
    expect((await server.get(`/threads/${thread}`)).body).toMatchObject({ status: "interrupted_before" });
  });

  it("of a checkpoint with nothing next is completed", async () => {
    const graph = server.add(single(() => "done"));
    const thread = unique("t");
    await server.post(`/threads/${thread}/run`, { graph });
    const made = await server.post(`/threads/${thread}/fork`, { checkpoint_id: await newest(thread) });
    expect(expectJson(made, 201, "thread")).toMatchObject({
      status: "completed",
      current_node: null,
      next_nodes: [],
    });
    expectProblem(await server.post(`/threads/${made.body.thread_id}/resume`), 409, "not_resumable");
  });

  it("is made while the source runs, with the results that are there and the effects that were made", async () => {
    const [began, held] = [latch(), latch()];
    const charged: string[] = [];
    const ran: string[] = [];
    const log = z.array(z.string()).default([]);
    const graph = server.add(
      new StateGraph({
        state: z.object({ log }),
        reducers: { log: (now, more: string[]) => [...now, ...more] },
      })
        .addNode("QUICK", () => (ran.push("QUICK"), { log: ["quick"] }))
        .addNode("SLOW", async (_state, ctx) => {
          ran.push("SLOW");
          const n = await ctx.once("charge", () => charged.push(ctx.threadId));
          if (ran.filter((name) => name === "SLOW").length > 1) return { log: [`fork ${n}`] };
          began.open();
          await held.opened;
          return { log: [`source ${n}`] };
        })
        .addEdge(START, "QUICK")
        .addEdge(START, "SLOW")
        .addEdge("QUICK", END)
        .addEdge("SLOW", END)
        .compile(),
    );
    const thread = unique("t");
    const running = server.post(`/threads/${thread}/run`, { graph });
    await began.opened;
    const state = await until("QUICK is kept", async () => {
      const { body } = await server.get(`/threads/${thread}/state`);
      return body.pending.length === 1 && body;
    });
    expect(state).toMatchObject({ status: "running", pending: ["QUICK"], state: { log: [] } });
    const made = await server.post(`/threads/${thread}/fork`, { checkpoint_id: state.checkpoint_id });
    const to = expectJson(made, 201, "thread").thread_id as string;
    expect(made.body).toMatchObject({ status: "stopped", next_nodes: ["SLOW"] });
    expect((await server.get(`/threads/${to}/state`)).body.pending).toEqual(["QUICK"]);
    const done = await server.post(`/threads/${to}/resume`);
    expect(done.body).toMatchObject({ status: "completed", state: { log: ["quick", "fork 1"] } });
    held.open();
    expect((await running).body.state.log).toEqual(["quick", "source 1"]);
    expect(charged).toEqual([thread]);
    expect(ran.toSorted()).toEqual(["QUICK", "SLOW", "SLOW"]);
  });

  it("is refused of what there is not, in a place that is taken, and by a body that does not fit", async () => {
    const graph = server.add(refund());
    const [thread, other] = [unique("t"), unique("t")];
    for (const id of [thread, other]) await server.post(`/threads/${id}/run`, { graph });
    const checkpoint_id = await newest(thread);
    const url = `/threads/${thread}/fork`;
    expectProblem(await server.post("/threads/none/fork", { checkpoint_id }), 404, "not_found");
    expectProblem(await server.post(`/threads/${other}/fork`, { checkpoint_id }), 404, "not_found");
    for (const id of ["", "none", "a\0b", "\ud800"])
      expectProblem(await server.post(url, { checkpoint_id: id }), 404, "not_found");
    for (const taken of [thread, other]) {
      const before = (await server.get(`/threads/${taken}`)).body;
      const refused = await server.post(url, { checkpoint_id, thread_id: taken });
      expect(expectProblem(refused, 409, "thread_exists").thread_id).toBe(taken);
      expect((await server.get(`/threads/${taken}`)).body).toEqual(before);
    }
    expectProblem(await server.post(url, { checkpoint_id, thread_id: "a/b" }), 422, "invalid_thread_id");
    for (const body of [
      {},
      { checkpoint_id: 1 },
      { checkpoint_id, to: "x" },
      { checkpoint_id, thread_id: null },
    ])
      expectProblem(await server.post(url, body), 422, "validation_failed");
  });
});
