/** Several open interrupts, interrupts that must be named, and graphs that changed under a pause. */
import { END, START, StateGraph } from "holdpoint";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  expectJson,
  expectProblem,
  onEveryStorage,
  serve,
  unique,
  type Body,
  type Reply,
} from "../support/http-server.js";
import { names, openStream } from "../support/sse.js";
import { refund, single } from "./graphs.js";

onEveryStorage("several open interrupts", (server) => {
  /** A node that asks two people at once. */
  async function twoAsked() {
    const done: string[] = [];
    const graph = server.add(
      single(async (_state, ctx) => {
        const [legal, finance] = await Promise.all([
          ctx.interrupt({ message: "Legal?", key: "legal" }),
          ctx.interrupt({ message: "Finance?", key: "finance" }),
        ]);
        done.push(`${legal.decision} and ${finance.decision}`);
        return done.at(-1) ?? "";
      }),
    );
    const thread = unique("t");
    const run = expectJson(await server.post(`/threads/${thread}/run`, { graph }), 200, "result");
    const [legal, finance] = run.interrupts as [Body, Body];
    expect([legal.message, finance.message]).toEqual(["Legal?", "Finance?"]);
    const resume = (body: object, headers?: Record<string, string>): Promise<Reply> =>
      server.post(`/threads/${thread}/resume`, body, headers);
    return { done, thread, legal, finance, resume, run };
  }
  const events = async (thread: string): Promise<number> =>
    (await (await openStream(`${server.url}/threads/${thread}/stream?after=0`)).rest()).length;

  it("are answered one after the other: 202 while one is missing, then the run goes on", async () => {
    const { done, thread, legal, finance, resume, run } = await twoAsked();
    const first = await resume({ interrupt_id: finance.id, decision: "approve" });
    const waiting = expectJson(first, 202, "result");
    expect(first.headers.get("location")).toBeNull();
    expect(waiting).toMatchObject({ run_id: run.run_id, status: "interrupted_before", interrupted: true });
    expect(waiting.interrupts).toEqual([legal]);
    expect(waiting.interrupt_reason).toBe("Legal?");
    expect(waiting.seq).toBeGreaterThan(run.seq as number);
    expect(done).toEqual([]);
    expect((await server.get(`/threads/${thread}`)).body.interrupts).toEqual([legal]);

    const result = expectJson(
      await resume({ interrupt_id: legal.id, decision: "respond", data: 1 }),
      200,
      "result",
    );
    expect(result.status).toBe("completed");
    expect(done).toEqual(["respond and approve"]);
  });

  it("of several nodes leave the thread at the first that is still open", async () => {
    const done: string[] = [];
    const graph = server.add(
      new StateGraph({ state: z.object({}) })
        .addNode("LEGAL", () => void done.push("LEGAL"))
        .addNode("STYLE", () => void done.push("STYLE"))
        .addEdge(START, "LEGAL")
        .addEdge(START, "STYLE")
        .addEdge("LEGAL", END)
        .addEdge("STYLE", END)
        .compile({ interruptBefore: ["LEGAL", "STYLE"] }),
    );
    const thread = unique("t");
    const run = expectJson(await server.post(`/threads/${thread}/run`, { graph }), 200, "result");
    expect(run).toMatchObject({ status: "interrupted_before", current_node: "LEGAL" });
    const legal = run.interrupts.find(({ node }: Body) => node === "LEGAL");
    const key = { "Idempotency-Key": unique("k") };
    const body = { interrupt_id: legal.id, decision: "approve" };
    const waiting = expectJson(await server.post(`/threads/${thread}/resume`, body, key), 202, "result");
    const stands = {
      status: "interrupted_before",
      current_node: "STYLE",
      interrupt_reason: "interrupt_before: STYLE",
    };
    expect(waiting).toMatchObject(stands);
    expect(expectJson(await server.post(`/threads/${thread}/resume`, body, key), 202, "result")).toEqual(
      waiting,
    );
    expect((await server.get(`/threads/${thread}`)).body).toMatchObject({
      status: "interrupted_before",
      current_node: "STYLE",
    });
    expect((await server.get(`/threads/${thread}/state`)).body.execution_meta).toMatchObject({
      status: "interrupted_before",
      current_node: "STYLE",
      interrupted_node: "STYLE",
    });
    expect(done).toEqual([]);
  });

  it("get the 202 as JSON also where the answer was to be a stream", async () => {
    const { legal, finance, resume, thread } = await twoAsked();
    const accept = { Accept: "text/event-stream" };
    const waiting = await resume({ interrupt_id: legal.id, decision: "approve" }, accept);
    expectJson(waiting, 202, "result");
    const stream = await openStream(`${server.url}/threads/${thread}/resume`, {
      body: { interrupt_id: finance.id, decision: "approve" },
    });
    expect(names(await stream.rest())).toEqual(["decision", "start", "progress", "message", "update", "end"]);
  });

  it("answer a repeated 202 with a 202, and another decision with a conflict", async () => {
    const { legal, resume, thread } = await twoAsked();
    const body = { interrupt_id: legal.id, decision: "approve", data: 0 };
    const first = expectJson(await resume(body), 202, "result");
    const before = await events(thread);
    expect(expectJson(await resume(body), 202, "result")).toEqual(first);
    expectProblem(await resume({ ...body, data: false }), 409, "already_decided");
    expect(await events(thread)).toBe(before);
  });

  it("are refused to an answer that does not say which it means", async () => {
    const { legal, finance, resume, done } = await twoAsked();
    const problem = expectProblem(await resume({ decision: "approve" }), 409, "ambiguous_interrupt");
    expect(problem.interrupts).toEqual([legal, finance]);
    expect(done).toEqual([]);
  });

  it("are answered together by one request", async () => {
    const { legal, finance, resume, done } = await twoAsked();
    const answers = [
      { interrupt_id: finance.id, decision: "respond", data: null },
      { interrupt_id: legal.id, decision: "approve" },
    ];
    const result = expectJson(await resume({ answers }), 200, "result");
    expect(result.status).toBe("completed");
    expect(done).toEqual(["approve and respond"]);
    expect(expectJson(await resume({ answers }), 200, "result")).toEqual(result);
  });

  it("are answered all or not at all", async () => {
    const { legal, finance, resume, thread, done } = await twoAsked();
    const good = { interrupt_id: legal.id, decision: "approve" };
    const before = await events(thread);
    const lists: [object[], number, string][] = [
      [[good, { interrupt_id: finance.id, decision: "perhaps" }], 422, "validation_failed"],
      [[good, { interrupt_id: finance.id }], 422, "decision_required"],
      [[good, { interrupt_id: "01890000-0000-7000-8000-000000000000", decision: "deny" }], 404, "not_found"],
      [
        [good, { interrupt_id: finance.id, decision: "approve", state: { nothing: 1 } }],
        422,
        "validation_failed",
      ],
      [[good, { ...good, decision: "deny" }], 422, "validation_failed"],
      [[good, { decision: "approve" }], 422, "validation_failed"],
      [[], 422, "validation_failed"],
    ];
    for (const [answers, status, code] of lists) expectProblem(await resume({ answers }), status, code);
    expectProblem(await resume({ answers: [good], decision: "approve" }), 422, "validation_failed");
    expect((await server.get(`/threads/${thread}`)).body.interrupts).toEqual([legal, finance]);
    expect(await events(thread)).toBe(before);
    expect(done).toEqual([]);
  });

  it("are all cancelled by a stop", async () => {
    const { legal, finance, thread, done } = await twoAsked();
    const receipt = expectJson(await server.post(`/threads/${thread}/stop`), 200, "receipt");
    expect(receipt.cancelled_interrupts).toEqual([legal.id, finance.id]);
    for (const { id } of [legal, finance]) {
      expect((await server.get(`/interrupts/${id}`)).body.status).toBe("cancelled");
      const late = await server.post(`/interrupts/${id}/decision`, { decision: "approve" });
      expectProblem(late, 409, "interrupt_cancelled");
    }
    expect(done).toEqual([]);
  });

  it("answered together have the denial as the run's decision, also where the node caught it", async () => {
    const graph = server.add(
      single(async (_state, ctx) => {
        const asked = ["legal", "finance"].map((key) => ctx.interrupt({ message: key, key }));
        await Promise.allSettled(asked);
      }),
    );
    const thread = unique("t");
    const run = await server.post(`/threads/${thread}/run`, { graph });
    const [legal, finance] = run.body.interrupts as [Body, Body];
    const answers = [
      { interrupt_id: legal.id, decision: "deny" },
      { interrupt_id: finance.id, decision: "approve" },
    ];
    const result = expectJson(await server.post(`/threads/${thread}/resume`, { answers }), 200, "result");
    expect(result).toMatchObject({ status: "completed", decision: { interrupt_id: legal.id } });
  });

  it("of two threads do not answer for each other", async () => {
    const [one, other] = [await twoAsked(), await twoAsked()];
    const body = { interrupt_id: other.legal.id, decision: "approve" };
    expectProblem(await one.resume(body), 404, "not_found");
    expect((await server.get(`/interrupts/${other.legal.id}`)).body.status).toBe("open");
  });
});

describe("an interrupt that must be named", () => {
  it("is not passed by a bare answer, and the refusal names it", async () => {
    const paid: number[] = [];
    const hold = { interruptBefore: [{ node: "PAY" as never, named: true }] };
    const server = await serve({ refunds: refund((amount) => paid.push(amount), hold) });
    const run = await server.post("/threads/t1/run", { input: { amount: 3 } });
    const problem = expectProblem(
      await server.post("/threads/t1/resume", { decision: "approve" }),
      422,
      "interrupt_id_required",
    );
    expect(problem.interrupts).toEqual(run.body.interrupts);
    expect(paid).toEqual([]);
    const id: string = run.body.interrupts[0].id;
    expectJson(await server.post(`/interrupts/${id}/decision`, { decision: "approve" }), 200, "result");
    expect(paid).toEqual([3]);
    await server.close();
  });
});

describe("a plain pause", () => {
  it("is passed without a decision, with state and messages applied first", async () => {
    const paid: number[] = [];
    const server = await serve({
      refunds: refund((amount) => paid.push(amount), { interruptBefore: ["PAY"] }),
    });
    await server.post("/threads/t1/run", { input: { amount: 3 } });
    const result = expectJson(
      await server.post("/threads/t1/resume", { state: { amount: 4 }, messages: ["go on"] }),
      200,
      "result",
    );
    expect(result).toMatchObject({ status: "completed", decision: { decision: null, by: "anonymous" } });
    expect(paid).toEqual([4]);
    await server.close();
  });

  it("made by setInterrupt has its reason and data, and the node gets the answer", async () => {
    const server = await serve({
      only: single((state, ctx) => {
        state.setInterrupt({ reason: "look at this", status: "interrupted_before", data: { risk: 9 } });
        return `after ${ctx.answer?.decision ?? "nothing"}`;
      }),
    });
    const run = expectJson(await server.post("/threads/t1/run"), 200, "result");
    expect(run).toMatchObject({
      status: "interrupted_before",
      interrupt_reason: "look at this",
      messages: [],
      interrupts: [{ kind: "manual", data: { risk: 9 }, decisions: ["approve", "edit", "deny"] }],
    });
    const result = expectJson(
      await server.post("/threads/t1/resume", { decision: "approve" }),
      200,
      "result",
    );
    expect(result.messages.map(({ content }: never) => content)).toEqual(["after approve"]);
    await server.close();
  });
});

describe("a graph that was changed while a thread waits", () => {
  it("takes no resume where the node is gone, and what was held stays held", async () => {
    const server = await serve({ refunds: refund() });
    const run = await server.post("/threads/t1/run", { input: { amount: 3 } });
    new StateGraph()
      .addNode("OTHER", () => "other")
      .addEdge(START, "OTHER")
      .addEdge("OTHER", END)
      .compile()
      .bind(server.runtime, "refunds");
    const problem = expectProblem(
      await server.post("/threads/t1/resume", { decision: "approve" }),
      409,
      "graph_changed",
    );
    expect(problem.detail).toContain("PAY");
    const id: string = run.body.interrupts[0].id;
    const byId = await server.post(`/interrupts/${id}/decision`, { decision: "deny" });
    expectProblem(byId, 409, "graph_changed");
    const thread = expectJson(await server.get("/threads/t1"), 200, "thread");
    expect(thread).toMatchObject({ status: "interrupted_before", interrupts: run.body.interrupts });

    refund().bind(server.runtime, "refunds");
    const result = await server.post("/threads/t1/resume", { decision: "approve" });
    expect(expectJson(result, 200, "result").status).toBe("completed");
    await server.close();
  });
});
