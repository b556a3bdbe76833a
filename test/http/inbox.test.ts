import { expect, it } from "vitest";
import {
  expectJson,
  expectList,
  expectProblem,
  onEveryStorage,
  unique,
  type Body,
} from "../support/http-server.js";
import { refund } from "./graphs.js";

onEveryStorage("the inbox", (server) => {
  /** So many refunds that wait, newest first. */
  async function waiting(many: number) {
    const graph = server.add(refund());
    const held: { thread: string; id: string }[] = [];
    for (let i = 0; i < many; i++) {
      const thread = unique("t");
      const run = await server.post(`/threads/${thread}/run`, { graph, input: { amount: i } });
      held.unshift({ thread, id: run.body.interrupts[0].id as string });
    }
    return { graph, held };
  }
  const idsOf = (list: { items: Body[] }): string[] => list.items.map(({ id }) => id as string);

  it("lists what waits over all threads, newest first, page by page", async () => {
    const { graph, held } = await waiting(5);
    const first = expectList(await server.get(`/interrupts?graph=${graph}&limit=3`), "interrupt");
    const cursor = encodeURIComponent(first.next_cursor ?? "");
    const rest = expectList(
      await server.get(`/interrupts?graph=${graph}&limit=3&cursor=${cursor}`),
      "interrupt",
    );
    expect([...idsOf(first), ...idsOf(rest)]).toEqual(held.map(({ id }) => id));
    expect(rest.next_cursor).toBeNull();
    const all = expectList(await server.get("/interrupts?limit=200"), "interrupt");
    expect(idsOf(all)).toEqual(expect.arrayContaining(held.map(({ id }) => id)));
  });

  it("is sorted by what became of each", async () => {
    const { graph, held } = await waiting(4);
    const [open, denied, stopped, approved] = held as [Body, Body, Body, Body];
    await server.post(`/interrupts/${approved.id}/decision`, { decision: "approve" });
    await server.post(`/interrupts/${denied.id}/decision`, { decision: "deny" });
    await server.post(`/threads/${stopped.thread}/stop`);
    const listed = async (status: string): Promise<string[]> =>
      idsOf(expectList(await server.get(`/interrupts?graph=${graph}&status=${status}`), "interrupt"));
    expect(await listed("open")).toEqual([open.id]);
    expect(await listed("resolved")).toEqual([denied.id, approved.id]);
    expect(await listed("cancelled")).toEqual([stopped.id]);
    expect(await listed("expired")).toEqual([]);
    expect(idsOf(expectList(await server.get(`/interrupts?graph=${graph}`), "interrupt"))).toEqual([open.id]);
  });

  it("shows one interrupt with its decision, whole", async () => {
    const { held } = await waiting(1);
    const { id, thread } = held[0] ?? { id: "", thread: "" };
    const said = {
      decision: "edit",
      reason: "half",
      data: { photo: [1, null] },
      state: { amount: 0.5 },
      messages: ["as agreed"],
    };
    const result = expectJson(await server.post(`/interrupts/${id}/decision`, said), 200, "result");
    const interrupt = expectJson(await server.get(`/interrupts/${id}`), 200, "interrupt");
    expect(interrupt).toMatchObject({ id, thread_id: thread, status: "resolved", approvals: [] });
    expect(interrupt.decision).toEqual({
      interrupt_id: id,
      decision: "edit",
      reason: "half",
      data: { photo: [1, null] },
      state: { amount: 0.5 },
      messages: [expect.objectContaining({ role: "user", content: "as agreed" })],
      by: "anonymous",
      at: interrupt.decided_at,
    });
    expect(result.decision).toEqual(interrupt.decision);
    expectProblem(await server.get("/interrupts/none"), 404, "not_found");
  });
});
