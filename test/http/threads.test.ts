import { expect, it } from "vitest";
import {
  expectJson,
  expectList,
  expectProblem,
  onEveryStorage,
  unique,
  type Body,
} from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { ids, names, openStream } from "../support/sse.js";
import { refund, single } from "./graphs.js";

onEveryStorage("threads", (server) => {
  it("are created with an id, a graph and metadata of the client's choice", async () => {
    const graph = server.add(refund());
    const thread = `A-z_0.9:${unique("t")}`;
    const metadata = { user: { name: "Ann" }, tags: ["vip", null, 1.5] };
    const answer = await server.post("/threads", { thread_id: thread, graph, metadata });
    const made = expectJson(answer, 201, "thread");
    expect(answer.headers.get("location")).toBe(`/threads/${thread}`);
    expect(made).toMatchObject({
      thread_id: thread,
      graph,
      status: "idle",
      metadata,
      run_id: null,
      current_node: null,
      next_nodes: [],
      step: 0,
      interrupts: [],
    });
    expect(expectJson(await server.get(`/threads/${thread}`), 200, "thread")).toEqual(made);
    const again = await server.post("/threads", { thread_id: thread, metadata: { other: true } });
    expectProblem(again, 409, "thread_exists");
    expect((await server.get(`/threads/${thread}`)).body).toEqual(made);
  });

  it("get an id of the server's where none is given, and belong to a graph with their first run", async () => {
    const graph = server.add(single(() => "done"));
    const made = expectJson(await server.post("/threads"), 201, "thread");
    expect(made.thread_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/);
    expect(made).toMatchObject({ graph: null, metadata: {} });
    const longest = expectJson(await server.post("/threads", { thread_id: "x".repeat(128) }), 201, "thread");
    expect(longest.thread_id).toHaveLength(128);
    await server.post(`/threads/${made.thread_id}/run`, { graph });
    expect((await server.get(`/threads/${made.thread_id}`)).body).toMatchObject({
      graph,
      status: "completed",
      current_node: null,
    });
    const other = server.add(single(() => "done"));
    expectProblem(
      await server.post(`/threads/${made.thread_id}/run`, { graph: other }),
      409,
      "graph_mismatch",
    );
  });

  it("have links that lead somewhere", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    await server.post(`/threads/${thread}/run`, { graph });
    const { links } = expectJson(await server.get(`/threads/${thread}`), 200, "thread");
    expect(Object.keys(links as object).sort()).toEqual([
      "checkpoints",
      "messages",
      "resume",
      "runs",
      "self",
      "state",
      "stop",
      "stream",
    ]);
    for (const name of ["self", "state", "messages", "checkpoints", "runs", "stream"])
      expect((await server.get(links[name] as string)).status).toBe(200);
    expect((await server.post(links.resume as string, { decision: "approve" })).status).toBe(200);
    const after = expectJson(await server.get(`/threads/${thread}`), 200, "thread");
    expect(after.links).not.toHaveProperty("resume");
    expect((await server.post(after.links.stop as string)).status).toBe(200);
  });

  it("have a link to go on where a stop left them", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    await server.post(`/threads/${thread}/run`, { graph });
    await server.post(`/threads/${thread}/stop`);
    const { links } = expectJson(await server.get(`/threads/${thread}`), 200, "thread");
    const gone = expectJson(await server.post(links.resume as string), 200, "result");
    expect(gone.status).toBe("interrupted_before");
  });

  it("are listed newest first, page by page, each once", async () => {
    const graph = server.add(refund());
    const made: string[] = [];
    for (let i = 0; i < 5; i++) {
      made.unshift(unique("page"));
      await server.post("/threads", { thread_id: made[0], graph });
    }
    const pages: string[][] = [];
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const page = expectList(await server.get(`/threads?graph=${graph}&limit=2${query}`), "thread");
      pages.push(page.items.map(({ thread_id }: Body) => thread_id as string));
      cursor = page.next_cursor;
    } while (cursor !== null);
    expect(pages.flat()).toEqual(made);
    expect(pages.map(({ length }) => length)).toEqual([2, 2, 1]);
    const all = expectList(await server.get(`/threads?graph=${graph}`), "thread");
    expect(all.next_cursor).toBeNull();
    expect(expectList(await server.get("/threads?graph=none"), "thread").items).toEqual([]);
  });

  it("are filtered by status, and `interrupted` means before and after", async () => {
    const graph = server.add(refund(undefined, { interruptBefore: ["PAY"] }));
    const [before, after, done] = [unique("t"), unique("t"), unique("t")];
    await server.post(`/threads/${before}/run`, { graph });
    await server.post(`/threads/${after}/run`, { graph, config: { interrupt_after: ["READ"] } });
    await server.post(`/threads/${done}/run`, { graph });
    await server.post(`/threads/${done}/resume`, { decision: "approve" });
    const listed = async (status: string): Promise<string[]> => {
      const list = expectList(await server.get(`/threads?graph=${graph}&status=${status}`), "thread");
      return list.items.map(({ thread_id }: Body) => thread_id as string);
    };
    expect(await listed("interrupted")).toEqual([after, before]);
    expect(await listed("interrupted_before")).toEqual([before]);
    expect(await listed("interrupted_after")).toEqual([after]);
    expect(await listed("completed")).toEqual([done]);
    expect(await listed("running")).toEqual([]);
  });

  it("list their messages oldest first and their runs newest first, page by page", async () => {
    const graph = server.add(single(() => "reply"));
    const thread = unique("t");
    for (const text of ["a", "b", "c"])
      await server.post(`/threads/${thread}/run`, { graph, input: { messages: [text] } });
    const url = `/threads/${thread}/messages?limit=4`;
    const first = expectList(await server.get(url), "message");
    expect(first.items.map(({ content }) => content)).toEqual(["a", "reply", "b", "reply"]);
    const rest = expectList(await server.get(`${url}&cursor=${first.next_cursor}`), "message");
    expect(rest.items.map(({ content }) => content)).toEqual(["c", "reply"]);
    expect(rest.next_cursor).toBeNull();

    const runs = expectList(await server.get(`/threads/${thread}/runs?limit=2`), "run");
    expect(runs.items.map(({ messages }) => messages[0].content)).toEqual(["c", "b"]);
    const older = await server.get(`/threads/${thread}/runs?limit=2&cursor=${runs.next_cursor}`);
    expect(expectList(older, "run").items.map(({ messages }) => messages[0].content)).toEqual(["a"]);
  });

  it("are deleted with all they have, and a new one of the same id counts on above the old", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    const old = await server.post(`/threads/${thread}/run`, { graph, input: { messages: ["old"] } });
    const seen = (await (await openStream(`${server.url}/threads/${thread}/stream?after=0`)).rest()).at(-1);
    const answer = await server.call("DELETE", `/threads/${thread}`);
    expect([answer.status, answer.text]).toEqual([204, ""]);
    for (const path of ["", "/state", "/messages", "/runs", `/runs/${old.body.run_id}`, "/stream"])
      expectProblem(await server.get(`/threads/${thread}${path}`), 404, "not_found");
    expectProblem(await server.get(`/interrupts/${old.body.interrupts[0].id}`), 404, "not_found");
    expectProblem(await server.call("DELETE", `/threads/${thread}`), 404, "not_found");
    expectProblem(await server.post(`/threads/${thread}/resume`), 404, "not_found");

    const stream = await openStream(`${server.url}/threads/${thread}/stream`, {
      body: { graph, input: { messages: ["new"] } },
    });
    const frames = await stream.rest();
    expect(names(frames).at(-1)).toBe("interrupted");
    expect(ids(frames)[0]).toBeGreaterThan(seen?.id ?? Infinity);
    const cursor = { "Last-Event-ID": String(seen?.id) };
    const back = await openStream(`${server.url}/threads/${thread}/stream`, { headers: cursor });
    expect(ids(await back.rest())).toEqual(ids(frames));
    const said = expectList(await server.get(`/threads/${thread}/messages`), "message").items;
    expect(said.map(({ content }) => content)).toEqual(["new", "You want 0."]);
  });

  it("are neither deleted nor patched while a run is active, and go on undisturbed", async () => {
    const [began, held] = [latch(), latch()];
    const graph = server.add(
      single(async () => {
        began.open();
        await held.opened;
        return "done";
      }),
    );
    const thread = unique("t");
    const running = server.post(`/threads/${thread}/run`, { graph });
    await began.opened;
    const view = expectJson(await server.get(`/threads/${thread}`), 200, "thread");
    expect(view).toMatchObject({ status: "running", current_node: "WORK", interrupts: [] });
    const url = `/threads/${thread}`;
    const deleted = expectProblem(await server.call("DELETE", url), 409, "thread_busy");
    expect(deleted.run_id).toBe(view.run_id);
    const patch = await server.call("PATCH", `${url}/state`, { messages: ["x"] });
    expect(expectProblem(patch, 409, "thread_busy").run_id).toBe(view.run_id);
    held.open();
    const result = expectJson(await running, 200, "result");
    expect(result.messages.map(({ content }: Body) => content)).toEqual(["done"]);
  });
});
