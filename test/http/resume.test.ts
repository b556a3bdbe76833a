import { InterruptDenied } from "holdpoint";
import { expect, it } from "vitest";
import { z } from "zod";
import {
  expectJson,
  expectList,
  expectProblem,
  onEveryStorage,
  unique,
  type Reply,
} from "../support/http-server.js";
import { refund, single } from "./graphs.js";

onEveryStorage("a held refund", (server) => {
  /** A refund that waits for a person. */
  async function held(input: object = { order: "1042", amount: 129.9 }) {
    const paid: number[] = [];
    const graph = server.add(refund((amount) => paid.push(amount)));
    const thread = unique("t");
    const result = expectJson(await server.post(`/threads/${thread}/run`, { graph, input }), 200, "result");
    const id: string = result.interrupts[0].id;
    const resume = (body: object): Promise<Reply> => server.post(`/threads/${thread}/resume`, body);
    return { paid, graph, thread, id, resume, run: result };
  }

  it("can be looked at while it waits: thread, state, inbox, messages", async () => {
    const { graph, thread, id, run } = await held();
    const view = expectJson(await server.get(`/threads/${thread}`), 200, "thread");
    expect(view).toMatchObject({
      thread_id: thread,
      graph,
      status: "interrupted_before",
      run_id: run.run_id,
      current_node: "PAY",
      next_nodes: ["PAY"],
      seq: run.seq,
      interrupts: run.interrupts,
    });
    const state = expectJson(await server.get(`/threads/${thread}/state`), 200, "state");
    expect(state).toMatchObject({ state: run.state, interrupts: run.interrupts, seq: run.seq, pending: [] });
    expect(state.execution_meta).toEqual({
      status: "interrupted_before",
      current_node: "PAY",
      step: 1,
      interrupted_node: "PAY",
      interrupt_reason: "interrupt_before: PAY",
      interrupt_data: { order: "1042", amount: 129.9 },
    });
    const inbox = expectList(await server.get(`/interrupts?graph=${graph}`), "interrupt");
    expect(inbox.items).toEqual(run.interrupts);
    expect(expectJson(await server.get(`/interrupts/${id}`), 200, "interrupt")).toEqual(run.interrupts[0]);
  });

  it("is paid once when it is approved, and leaves the inbox", async () => {
    const { paid, graph, thread, id, resume, run } = await held();
    const answer = await resume({ decision: "approve", reason: "checked with legal", data: { photo: true } });
    expect(answer.headers.get("location")).toBeNull();
    const result = expectJson(answer, 200, "result");
    expect(result).toMatchObject({
      status: "completed",
      interrupted: false,
      interrupts: [],
      state: { paid: [129.9] },
      decision: { interrupt_id: id, decision: "approve", reason: "checked with legal", by: "anonymous" },
    });
    expect(result.run_id).not.toBe(run.run_id);
    expect(result.seq).toBeGreaterThan(run.seq as number);
    expect(result.messages.map(({ content }: never) => content)).toEqual(["Paid 129.9."]);
    expect(paid).toEqual([129.9]);
    expect(expectList(await server.get(`/interrupts?graph=${graph}`), "interrupt").items).toEqual([]);
    const decided = expectJson(await server.get(`/interrupts/${id}`), 200, "interrupt");
    expect(decided).toMatchObject({ status: "resolved", decision: result.decision });
    expect(decided.decided_at).toBe(result.decision.at);
    const resolved = expectList(await server.get(`/interrupts?graph=${graph}&status=resolved`), "interrupt");
    expect(resolved.items).toEqual([decided]);
    expectProblem(await resume({ decision: "approve" }), 409, "not_resumable");
    expect(await server.get(`/threads/${thread}`)).toMatchObject({ body: { status: "completed" } });
  });

  it("is not paid when it is denied, and says why where the denial goes", async () => {
    const { paid, resume } = await held();
    const result = expectJson(
      await resume({ decision: "deny", reason: "no photo", messages: ["DENIED"] }),
      200,
      "result",
    );
    expect(result).toMatchObject({
      status: "completed",
      state: { paid: [] },
      decision: { decision: "deny", reason: "no photo" },
      error: null,
    });
    expect(result.messages.map(({ content }: never) => content)).toEqual(["DENIED", "No: no photo"]);
    expect(paid).toEqual([]);
  });

  it("is paid as the person corrected it", async () => {
    const { paid, resume } = await held();
    const result = expectJson(await resume({ decision: "edit", state: { amount: 99.9 } }), 200, "result");
    expect(result).toMatchObject({
      status: "completed",
      state: { amount: 99.9, paid: [99.9] },
      decision: { decision: "edit", state: { amount: 99.9 } },
    });
    expect(paid).toEqual([99.9]);
  });

  it("is never paid once it was stopped: the answer comes too late, and a resume asks again", async () => {
    const { paid, thread, id, resume } = await held();
    expectJson(await server.post(`/threads/${thread}/stop`), 200, "receipt");
    expectProblem(
      await server.post(`/interrupts/${id}/decision`, { decision: "approve" }),
      409,
      "interrupt_cancelled",
    );
    expectProblem(await resume({ interrupt_id: id, decision: "approve" }), 409, "interrupt_cancelled");
    expectProblem(await resume({ decision: "approve" }), 409, "not_resumable");
    const again = expectJson(await resume({}), 200, "result");
    expect(again.status).toBe("interrupted_before");
    expect(again.interrupts[0].id).not.toBe(id);
    expect(paid).toEqual([]);
    await resume({ decision: "approve" });
    expect(paid).toEqual([129.9]);
  });

  it("goes on from the state that was patched while it waited, and asks with the new words", async () => {
    const { paid, thread, id, resume } = await held();
    const patched = expectJson(
      await server.call("PATCH", `/threads/${thread}/state`, {
        state: { amount: 12, paid: [1] },
        messages: ["A photo came."],
      }),
      200,
      "state",
    );
    expect(patched).toMatchObject({ status: "interrupted_before", state: { amount: 12, paid: [1] } });
    expect(patched.interrupts[0]).toMatchObject({ id, message: "Refund 12 for 1042?", data: { amount: 12 } });
    const result = expectJson(await resume({ decision: "approve" }), 200, "result");
    expect(result.state).toMatchObject({ amount: 12, paid: [1, 12] });
    expect(paid).toEqual([12]);
    const said = (await server.get(`/threads/${thread}/messages`)).body.items.map(
      ({ content }: { content: string }) => content,
    );
    expect(said).toEqual(["You want 129.9.", "A photo came.", "Paid 12."]);
  });

  it("demands a decision, and says which there are", async () => {
    const { resume, run, paid } = await held();
    const problem = expectProblem(await resume({}), 422, "decision_required");
    expect(problem.interrupts).toEqual(run.interrupts);
    expectProblem(await resume({ messages: ["APPROVED"] }), 422, "decision_required");
    expectProblem(await resume({ data: true }), 422, "decision_required");
    expect(paid).toEqual([]);
  });

  it("answers the same decision by id, repeated by the same person, with its first outcome", async () => {
    const { paid, id, resume, thread } = await held();
    const body = { decision: "approve", reason: "checked", data: { a: 1, b: [2] } };
    const first = expectJson(await server.post(`/interrupts/${id}/decision`, body), 200, "result");
    const again = await server.post(`/interrupts/${id}/decision`, {
      data: { b: [2], a: 1 },
      reason: "checked",
      decision: "approve",
    });
    expect(expectJson(again, 200, "result")).toEqual(first);
    expect((await resume({ interrupt_id: id, ...body })).body).toEqual(first);
    expect((await resume({ answers: [{ interrupt_id: id, ...body }] })).body).toEqual(first);
    expect(paid).toEqual([129.9]);
    expect((await server.get(`/threads/${thread}/runs`)).body.items).toHaveLength(2);
  });

  it("refuses another decision once one was made, and says who decided what", async () => {
    const { paid, id, resume } = await held();
    const first = await resume({ decision: "approve", reason: "yes" });
    const same = { decision: "approve", reason: "yes" };
    for (const late of [{ decision: "deny" }, { ...same, reason: "no" }, { ...same, messages: ["x"] }, {}]) {
      const problem = expectProblem(
        await server.post(`/interrupts/${id}/decision`, late),
        409,
        "already_decided",
      );
      expect(problem.decision).toEqual(first.body.decision);
    }
    expect(paid).toEqual([129.9]);
  });

  it("takes the same words from somebody else, or with another patch, for another decision", async () => {
    const { paid, id, thread } = await held();
    const edit = { decision: "edit", state: { amount: 5 } };
    const decide = (body: object): Promise<Reply> => server.post(`/interrupts/${id}/decision`, body);
    const first = expectJson(await decide(edit), 200, "result");
    expectProblem(await decide({ ...edit, state: { amount: 6 } }), 409, "already_decided");
    expectProblem(await decide({ decision: "edit" }), 409, "already_decided");
    const ref = { tenant: "default", threadId: thread };
    const answer = { ref, interruptId: id, decision: "edit", state: { amount: 5 } } as const;
    const other = server.runtime.runs.resume({ ...answer, by: "bob" });
    await expect(other).rejects.toMatchObject({ code: "already_decided" });
    expect((await decide(edit)).body).toEqual(first);
    expect(paid).toEqual([5]);
  });

  it("tries a failed node again when it is resumed without a decision, with the state given first", async () => {
    let fail = true;
    const graph = server.add(
      single(
        ({ amount }) => {
          if (fail) throw new Error("the bank is closed");
          return `Paid ${amount}.`;
        },
        z.object({ amount: z.number().default(1) }),
      ),
    );
    const thread = unique("t");
    const failed = expectJson(await server.post(`/threads/${thread}/run`, { graph }), 200, "result");
    expect(failed).toMatchObject({ status: "error", next_nodes: ["WORK"] });
    fail = false;
    const problem = await server.post(`/threads/${thread}/resume`, { decision: "approve" });
    expectProblem(problem, 409, "not_resumable");
    const result = expectJson(
      await server.post(`/threads/${thread}/resume`, { state: { amount: 7 }, messages: ["once more"] }),
      200,
      "result",
    );
    expect(result).toMatchObject({ status: "completed", decision: null });
    expect(result.messages.map(({ content }: never) => content)).toEqual(["once more", "Paid 7."]);
  });

  it.each([[false], [0], [""], [null]])("carries data of %j into the node intact", async (data) => {
    const seen: unknown[] = [];
    const graph = server.add(
      single(
        async (_state, ctx) => {
          const answer = await ctx.interrupt({ message: "What?" });
          seen.push(answer.data);
          return { value: answer.data };
        },
        z.object({ value: z.unknown().default("unset") }),
      ),
    );
    const thread = unique("t");
    const asked = expectJson(await server.post(`/threads/${thread}/run`, { graph }), 200, "result");
    expect(asked.interrupts[0]).toMatchObject({ kind: "request", message: "What?" });
    const id: string = asked.interrupts[0].id;
    const answered = await server.post(`/interrupts/${id}/decision`, { decision: "respond", data });
    const result = expectJson(answered, 200, "result");
    expect(seen).toEqual([data]);
    expect(result.state.value).toEqual(data);
    expect(result.decision.data).toEqual(data);
    expect((await server.get(`/interrupts/${id}`)).body.decision.data).toEqual(data);
  });

  it("lets a node that asks itself be approved, edited, answered and denied by the interrupt's id", async () => {
    const graph = server.add(
      single(
        async ({ amount }, ctx) => {
          try {
            const { decision, data } = await ctx.interrupt({ message: "Pay?", data: { amount } });
            return `${decision} ${amount} ${JSON.stringify(data)}`;
          } catch (error) {
            if (!(error instanceof InterruptDenied)) throw error;
            return `denied: ${error.answer.reason}`;
          }
        },
        z.object({ amount: z.number().default(5) }),
      ),
    );
    const told: string[] = [];
    for (const decision of [
      { decision: "approve" },
      { decision: "edit", state: { amount: 6 } },
      { decision: "respond", data: { later: true } },
      { decision: "deny", reason: "no" },
    ]) {
      const thread = unique("t");
      const asked = await server.post(`/threads/${thread}/run`, { graph });
      expect(asked.body.interrupts[0].decisions).toEqual(["approve", "edit", "respond", "deny"]);
      const result = expectJson(
        await server.post(`/interrupts/${asked.body.interrupts[0].id}/decision`, decision),
        200,
        "result",
      );
      told.push(result.messages[0].content);
    }
    expect(told).toEqual(["approve 5 null", "edit 6 null", 'respond 5 {"later":true}', "denied: no"]);
  });
});
