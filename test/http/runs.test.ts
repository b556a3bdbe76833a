import { beforeAll, describe, expect, it } from "vitest";
import {
  expectJson,
  expectList,
  expectProblem,
  onEveryStorage,
  serve,
  served,
  unique,
} from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { refund, single } from "./graphs.js";

onEveryStorage("runs", (server) => {
  it("hold where a person must sign off, in exactly the shape of the contract", async () => {
    const paid: number[] = [];
    const graph = server.add(refund((amount) => paid.push(amount)));
    const thread = unique("t");
    const result = expectJson(
      await server.post(`/threads/${thread}/run`, {
        graph,
        input: { messages: ["129.90 back, please"], order: "1042", amount: 129.9 },
        config: { metadata: { from: "shop" } },
      }),
      200,
      "result",
    );
    expect(result).toMatchObject({
      thread_id: thread,
      graph,
      status: "interrupted_before",
      interrupted: true,
      interrupt_reason: "interrupt_before: PAY",
      decision: null,
      current_node: "PAY",
      next_nodes: ["PAY"],
      step: 1,
      error: null,
    });
    expect(result.state).toEqual({
      order: "1042",
      amount: 129.9,
      note: null,
      paid: [],
      context_summary: null,
    });
    expect(result.messages.map(({ role, content }: never) => [role, content])).toEqual([
      ["user", "129.90 back, please"],
      ["assistant", "You want 129.9."],
    ]);
    expect(result.interrupts).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/),
        thread_id: thread,
        run_id: result.run_id,
        graph,
        node: "PAY",
        path: ["PAY"],
        kind: "before",
        status: "open",
        reason: "interrupt_before: PAY",
        message: "Refund 129.9 for 1042?",
        data: { order: "1042", amount: 129.9 },
        response_schema: null,
        decisions: ["approve", "edit", "deny"],
        approvals_required: 1,
        approvals: [],
        tool_call_id: null,
        created_at: expect.any(String),
        expires_at: null,
        decided_at: null,
        decision: null,
      },
    ]);
    expect(result.run_id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(paid).toEqual([]);
  });

  it("end completed, at no node, with the messages of this run alone", async () => {
    const graph = server.add(single(() => "Hello."));
    const thread = unique("t");
    const first = expectJson(
      await server.post(`/threads/${thread}/run`, { graph, input: { messages: ["Hi"] } }),
      200,
      "result",
    );
    expect(first).toMatchObject({
      status: "completed",
      interrupted: false,
      interrupt_reason: null,
      interrupts: [],
      current_node: null,
      next_nodes: [],
    });
    const again = { role: "user", content: [{ type: "text", text: "Again" }], id: "m-2", name: "Ann" };
    const second = expectJson(
      await server.post(`/threads/${thread}/run`, { graph, input: { messages: [again] } }),
      200,
      "result",
    );
    expect(second.messages).toHaveLength(2);
    expect(second.messages[0]).toMatchObject(again);
    expect(second.step).toBeGreaterThan(first.step as number);
    expect(second.seq).toBeGreaterThan(first.seq as number);
    const all = expectList(await server.get(`/threads/${thread}/messages`), "message");
    expect(all.items.map(({ content }) => content)).toEqual([
      "Hi",
      "Hello.",
      [{ type: "text", text: "Again" }],
      "Hello.",
    ]);
  });

  it("can be looked at later, one by one and newest first, as they were answered", async () => {
    const graph = server.add(single(() => "done"));
    const thread = unique("t");
    const results = [];
    for (let i = 0; i < 3; i++)
      results.push(
        expectJson(await server.post(`/threads/${thread}/run`, { graph, input: {} }), 200, "result"),
      );
    const list = expectList(await server.get(`/threads/${thread}/runs`), "run");
    expect(list.items.map(({ run_id }) => run_id)).toEqual(results.map(({ run_id }) => run_id).reverse());
    for (const result of results) {
      const run = expectJson(await server.get(`/threads/${thread}/runs/${result.run_id}`), 200, "run");
      expect(run).toMatchObject(result);
      expect(Date.parse(run.created_at as string)).toBeLessThanOrEqual(Date.parse(run.ended_at as string));
    }
  });

  it("show a run that still goes as running, refuse a second beside it with its id, and go on", async () => {
    const began = latch();
    const held = latch();
    const graph = server.add(
      single(async () => {
        began.open();
        await held.opened;
        return "late";
      }),
    );
    const thread = unique("t");
    const running = server.post(`/threads/${thread}/run`, { graph });
    await began.opened;
    const refused = expectProblem(await server.post(`/threads/${thread}/run`, { graph }), 409, "thread_busy");
    const run = expectJson(await server.get(`/threads/${thread}/runs/${refused.run_id}`), 200, "run");
    expect(run).toMatchObject({ status: "running", ended_at: null, interrupted: false, error: null });
    expectProblem(
      await server.post(`/threads/${thread}/resume`, { decision: "approve" }),
      409,
      "thread_busy",
    );
    held.open();
    const result = expectJson(await running, 200, "result");
    expect(result).toMatchObject({ status: "completed", run_id: refused.run_id });
  });

  it("of two that start at once on one thread, one is taken and the other is told of it", async () => {
    const held = latch();
    let runs = 0;
    const graph = server.add(
      single(async () => {
        runs++;
        await held.opened;
      }),
    );
    const thread = unique("t");
    const start = () => server.post(`/threads/${thread}/run`, { graph });
    const both = [start(), start()];
    const refused = expectProblem(await Promise.race(both), 409, "thread_busy");
    held.open();
    const statuses = (await Promise.all(both)).map(({ status }) => status).sort();
    expect(statuses).toEqual([200, 409]);
    expect(runs).toBe(1);
    const list = expectList(await server.get(`/threads/${thread}/runs`), "run");
    expect(list.items.map(({ run_id }) => run_id)).toEqual([refused.run_id]);
  });

  it("are refused on a paused thread: a chat message is never an approval", async () => {
    const paid: number[] = [];
    const graph = server.add(refund((amount) => paid.push(amount)));
    const thread = unique("t");
    const held = await server.post(`/threads/${thread}/run`, { graph, input: { amount: 5 } });
    const problem = expectProblem(
      await server.post(`/threads/${thread}/run`, { graph, input: { messages: ["APPROVED"] } }),
      409,
      "thread_interrupted",
    );
    expect(problem.interrupts).toEqual(held.body.interrupts);
    expect(problem.interrupts[0].decisions).toEqual(["approve", "edit", "deny"]);
    expect(paid).toEqual([]);
    expect((await server.get(`/threads/${thread}`)).body.status).toBe("interrupted_before");
  });

  it("are refused on a thread of another graph", async () => {
    const [graph, other] = [server.add(single(() => "a")), server.add(single(() => "b"))];
    const thread = unique("t");
    await server.post(`/threads/${thread}/run`, { graph });
    const problem = expectProblem(
      await server.post(`/threads/${thread}/run`, { graph: other }),
      409,
      "graph_mismatch",
    );
    expect(problem.detail).toContain(graph);
  });

  it("take hold points and a recursion limit of their own", async () => {
    const paid: number[] = [];
    const graph = server.add(refund((amount) => paid.push(amount), {}));
    const thread = unique("t");
    const before = await server.post(`/threads/${thread}/run`, {
      graph,
      config: { interrupt_before: ["PAY"], interrupt_after: "*" },
    });
    expect(before.body).toMatchObject({ status: "interrupted_after", current_node: "READ" });
    const after = await server.post(`/threads/${thread}/resume`, { decision: "approve" });
    expect(after.body).toMatchObject({ status: "interrupted_before", current_node: "PAY" });
    expect(paid).toEqual([]);
    const limited = await server.post(`/threads/${unique("t")}/run`, {
      graph,
      config: { recursion_limit: 1 },
    });
    expect(expectJson(limited, 200, "result")).toMatchObject({
      status: "error",
      error: { code: "recursion_limit" },
    });
  });

  it("leave out a message that the thread has, and refuse another of its id", async () => {
    const graph = server.add(single(() => undefined));
    const thread = unique("t");
    const message = { role: "user", content: "once", id: "m1" };
    const run = (given: object) =>
      server.post(`/threads/${thread}/run`, { graph, input: { messages: [given] } });
    await run(message);
    expect((await run(message)).body.messages).toEqual([]);
    const problem = expectProblem(await run({ ...message, content: "twice" }), 422, "message_exists");
    expect(problem.errors[0].path).toBe("input.messages[0].id");
    expect((await server.get(`/threads/${thread}/messages`)).body.items).toHaveLength(1);
  });
});

describe("the order of refusals", () => {
  const server = served({ refunds: refund(), other: single(() => "x") });
  beforeAll(async () => {
    await server.post("/threads/paused/run", { graph: "refunds", input: { amount: 1 } });
  });

  const unfit = { input: { amount: "much" } };
  it.each([
    ["404 before 422", { graph: "refundz", ...unfit }, 404, "not_found"],
    ["422 before graph_mismatch", { graph: "other", ...unfit }, 422, "validation_failed"],
    ["graph_mismatch before thread_interrupted", { graph: "other" }, 409, "graph_mismatch"],
    ["422 before thread_interrupted", { graph: "refunds", ...unfit }, 422, "validation_failed"],
  ])("is %s", async (_name, body, status, code) => {
    expectProblem(await server.post("/threads/paused/run", body), status, code);
    expect((await server.get("/threads/paused")).body.status).toBe("interrupted_before");
  });
});

it("reads a body as JSON whatever its Content-Type says", async () => {
  const server = await serve({ only: single(() => "ok") });
  for (const type of [
    "application/x-www-form-urlencoded",
    "text/plain",
    "application/json; charset=utf-8",
    "json",
    ";",
    "application/json, text/plain",
  ]) {
    const answer = await server.post(`/threads/${unique("t")}/run`, '{"input":{"messages":["x"]}}', {
      "Content-Type": type,
    });
    expect(expectJson(answer, 200, "result").messages).toHaveLength(2);
  }
  await server.close();
});

it("refuses a body that is not UTF-8, before anything begins", async () => {
  const server = await serve({ only: single(() => "ok") });
  const thread = unique("t");
  const body = Buffer.concat([
    Buffer.from('{"input":{"messages":["a'),
    Buffer.from([0xff]),
    Buffer.from('b"]}}'),
  ]);
  const answer = await fetch(`${server.url}/threads/${thread}/run`, { method: "POST", body });
  expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([400, "malformed_body"]);
  expect((await server.get(`/threads/${thread}`)).status).toBe(404);
  await server.close();
});

it("answers methods that it has nothing for as it answers unknown paths", async () => {
  const server = await serve({ only: single(() => "ok") });
  for (const method of ["QUERY", "PUT"])
    expectProblem(await server.call(method, "/threads"), 404, "not_found");
  expect((await server.call("OPTIONS", "/threads")).status).toBe(204);
  for (const [method, path] of [
    ["POST", "/threads/none/stop"],
    ["DELETE", "/threads/none"],
  ] as const)
    expectProblem(await server.call(method, path, "{}", { "Content-Type": "json" }), 404, "not_found");
  await server.close();
});

describe("an empty body is {}", () => {
  const server = served({ refunds: refund() });

  it("where it is blank", async () => {
    for (const body of ["", "  \n"]) {
      const answer = await server.call("POST", `/threads/${unique("t")}/run`, body);
      expect(expectJson(answer, 200, "result").status).toBe("interrupted_before");
    }
  });

  it("where there is none at all, as `curl -X POST` sends it, for run, stop, resume, threads and state", async () => {
    const thread = unique("t");
    const run = await server.call("POST", `/threads/${thread}/run`);
    expect(expectJson(run, 200, "result").status).toBe("interrupted_before");
    expectJson(await server.call("PATCH", `/threads/${thread}/state`), 200, "state");
    expectJson(await server.call("POST", `/threads/${thread}/stop`), 200, "receipt");
    expectJson(await server.call("POST", `/threads/${thread}/resume`), 200, "result");
    expectJson(await server.call("POST", "/threads"), 201, "thread");
  });
});
