import { expect, it } from "vitest";
import { expectJson, expectProblem, onEveryStorage, unique, type Reply } from "../support/http-server.js";
import { refund } from "./graphs.js";

onEveryStorage("fifty people who answer at once (invariant 5)", (server) => {
  async function held() {
    const paid: number[] = [];
    const graph = server.add(refund((amount) => paid.push(amount)));
    const thread = unique("t");
    const run = await server.post(`/threads/${thread}/run`, { graph, input: { amount: 7 } });
    return { paid, thread, id: run.body.interrupts[0].id as string };
  }
  const fifty = <T>(of: (i: number) => Promise<T>): Promise<T[]> =>
    Promise.all(Array.from({ length: 50 }, (_each, i) => of(i)));

  /** Exactly one was taken; its reason is the one that is recorded, and every other is told of the conflict. */
  async function expectOneWinner(replies: Reply[], id: string, thread: string, paid: number[]) {
    const won = replies.filter(({ status }) => status === 200);
    expect(replies.filter(({ status }) => status === 409)).toHaveLength(49);
    expect(won).toHaveLength(1);
    const result = expectJson(won[0] as Reply, 200, "result");
    expect(result.status).toBe("completed");
    expect(result.decision.reason).toBe(`reason ${replies.findIndex(({ status }) => status === 200)}`);
    expect(paid).toEqual([7]);
    const interrupt = expectJson(await server.get(`/interrupts/${id}`), 200, "interrupt");
    expect(interrupt).toMatchObject({ status: "resolved", decision: result.decision });
    const runs = (await server.get(`/threads/${thread}/runs`)).body.items;
    expect(runs).toHaveLength(2);
    expect(runs[0].run_id).toBe(result.run_id);
    return result;
  }

  it("by the thread: one is taken, 49 conflict, and the refund is paid once", async () => {
    const { paid, thread, id } = await held();
    const replies = await fifty((i) =>
      server.post(`/threads/${thread}/resume`, { decision: "approve", reason: `reason ${i}` }),
    );
    await expectOneWinner(replies, id, thread, paid);
    for (const reply of replies.filter(({ status }) => status === 409))
      expect(["already_decided", "thread_busy", "not_resumable"]).toContain(reply.body.code);
  });

  it("by the interrupt: each of the 49 is told what was decided", async () => {
    const { paid, thread, id } = await held();
    const replies = await fifty((i) =>
      server.post(`/interrupts/${id}/decision`, { decision: "approve", reason: `reason ${i}` }),
    );
    const result = await expectOneWinner(replies, id, thread, paid);
    for (const reply of replies.filter(({ status }) => status === 409))
      expect(expectProblem(reply, 409, "already_decided").decision).toEqual(result.decision);
  });

  it("who all say the same by its id all get the one outcome", async () => {
    const { paid, thread, id } = await held();
    const replies = await fifty(() => server.post(`/interrupts/${id}/decision`, { decision: "approve" }));
    const [first] = replies;
    for (const reply of replies) expect(expectJson(reply, 200, "result")).toEqual(first?.body);
    expect(paid).toEqual([7]);
    expect((await server.get(`/threads/${thread}/runs`)).body.items).toHaveLength(2);
  });

  it("who all say the same without its id: one is taken, 49 conflict", async () => {
    const { paid, thread } = await held();
    const replies = await fifty(() => server.post(`/threads/${thread}/resume`, { decision: "approve" }));
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(replies.filter(({ status }) => status === 409)).toHaveLength(49);
    expect(paid).toEqual([7]);
  });

  it("while somebody stops: either the answer or the stop wins, never both", async () => {
    const { paid, thread, id } = await held();
    const [answer, stop] = await Promise.all([
      server.post(`/interrupts/${id}/decision`, { decision: "approve" }),
      server.post(`/threads/${thread}/stop`, {}),
    ]);
    const receipt = expectJson(stop, 200, "receipt");
    const interrupt = expectJson(await server.get(`/interrupts/${id}`), 200, "interrupt");
    if (receipt.cancelled_interrupts.length > 0) {
      expectProblem(answer, 409, "interrupt_cancelled");
      expect(interrupt.status).toBe("cancelled");
      expect(paid).toEqual([]);
    } else {
      expectJson(answer, 200, "result");
      expect(interrupt.status).toBe("resolved");
      const status: string = answer.body.status;
      expect(["completed", "stopped"]).toContain(status);
      if (status === "completed") expect(paid).toEqual([7]);
    }
  });

  it("of fifty new threads of one id, one is made", async () => {
    const thread = unique("t");
    const replies = await fifty(() => server.post("/threads", { thread_id: thread }));
    expect(replies.filter(({ status }) => status === 201)).toHaveLength(1);
    for (const reply of replies.filter(({ status }) => status !== 201))
      expectProblem(reply, 409, "thread_exists");
  });
});
