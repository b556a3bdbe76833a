import { expect, it } from "vitest";
import { expectJson, expectList, expectProblem, onEveryStorage, unique } from "../support/http-server.js";
import { refund } from "./graphs.js";

onEveryStorage("checkpoints", (server) => {
  it("are listed newest first, page by page, each with the one before it, and each can be read", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    const url = `/threads/${thread}`;
    const held = await server.post(`${url}/run`, { graph, input: { amount: 3 } });
    const paused = expectJson(await server.get(`${url}/state`), 200, "state");
    await server.post(`${url}/resume`, { decision: "approve" });

    const all = expectList(await server.get(`${url}/checkpoints`), "checkpoint");
    expect(all.next_cursor).toBeNull();
    const ids = all.items.map(({ checkpoint_id }) => checkpoint_id as string);
    expect(all.items.map(({ parent_id }) => parent_id)).toEqual([...ids.slice(1), null]);
    expect(all.items[0]).toMatchObject({
      status: "completed",
      step: 2,
      next_nodes: [],
      source: "step",
      path: [],
    });
    expect(all.items.at(-1)).toMatchObject({
      status: "running",
      step: 0,
      next_nodes: ["READ"],
      source: "input",
    });
    const at = all.items.find(({ checkpoint_id }) => checkpoint_id === paused.checkpoint_id);
    expect(at).toMatchObject({
      run_id: held.body.run_id,
      status: "interrupted_before",
      step: 1,
      next_nodes: ["PAY"],
    });

    const first = expectList(await server.get(`${url}/checkpoints?limit=1`), "checkpoint");
    expect(first.items).toEqual(all.items.slice(0, 1));
    const rest = await server.get(`${url}/checkpoints?limit=200&cursor=${first.next_cursor}`);
    expect(expectList(rest, "checkpoint").items).toEqual(all.items.slice(1));

    for (const { checkpoint_id: id, status, step, next_nodes } of all.items) {
      const state = expectJson(await server.get(`${url}/state?checkpoint=${id}`), 200, "state");
      expect(state).toMatchObject({ checkpoint_id: id, status, next_nodes, execution_meta: { step } });
      expect(state.state.paid).toEqual(step === 2 ? [3] : []);
    }
    expect((await server.get(`${url}/state?checkpoint=${paused.checkpoint_id}`)).body).toEqual(paused);
  });

  it("have those of patches among them, and an empty list where nothing has happened", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    await server.post("/threads", { thread_id: thread, graph });
    expect(expectList(await server.get(`/threads/${thread}/checkpoints`), "checkpoint").items).toEqual([]);
    await server.call("PATCH", `/threads/${thread}/state`, { state: { amount: 2 } });
    const { items } = expectList(await server.get(`/threads/${thread}/checkpoints`), "checkpoint");
    expect(items).toMatchObject([{ source: "patch", run_id: null, parent_id: null, status: "idle" }]);
  });

  it("are refused of no thread, with a cursor of no list, and in no number", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    await server.post(`/threads/${thread}/run`, { graph });
    const url = `/threads/${thread}/checkpoints`;
    expectProblem(await server.get("/threads/none/checkpoints"), 404, "not_found");
    expectProblem(await server.get(`${url}?cursor=x`), 400, "bad_cursor");
    for (const limit of ["0", "201", "x", "1.5"])
      expectProblem(await server.get(`${url}?limit=${limit}`), 422, "validation_failed");
  });
});
