/** What people answer arrives at the node as it was sent, however many are asked at once. */
import { END, Send, START, StateGraph } from "holdpoint";
import { expect, it } from "vitest";
import { z } from "zod";
import {
  expectJson,
  expectProblem,
  onEveryStorage,
  unique,
  type Body,
  type Reply,
} from "../support/http-server.js";

/** Data in shapes that something on the way might take for nothing, or for a map of answers. */
const DATA: readonly unknown[] = [
  false,
  0,
  "",
  null,
  {},
  [],
  { "01890000-0000-7000-8000-000000000000": { decision: "deny" }, answers: [], interrupt_id: "x", data: 1 },
];

onEveryStorage("answers to several questions", (server) => {
  /** One task a value of DATA, each of which asks; what each was answered, by its place. */
  async function asked() {
    const got: Record<number, unknown> = {};
    let ran = 0;
    const graph = new StateGraph({
      state: z.object({ said: z.array(z.unknown()).default([]) }),
      reducers: { said: (now: unknown[], more: unknown[]) => [...now, ...more] },
    })
      .addNode("ASK", async (state, ctx) => {
        const { i } = state as unknown as { i: number };
        const { decision, data, by } = await ctx.interrupt({ message: `Number ${i}?` });
        ran++;
        got[i] = { decision, data, by };
        return { said: [data] };
      })
      .addConditionalEdges(START, () => DATA.map((_value, i) => new Send("ASK", { i })))
      .addEdge("ASK", END)
      .compile();
    const name = server.add(graph);
    const thread = unique("t");
    const run = expectJson(await server.post(`/threads/${thread}/run`, { graph: name }), 200, "result");
    const ids: string[] = run.interrupts.map(({ id }: Body) => id);
    expect(ids).toHaveLength(DATA.length);
    // Data whose keys are the ids of these very interrupts is data too.
    const data = [
      ...DATA.slice(0, -1),
      Object.fromEntries(ids.map((id) => [id, { decision: "deny", data: id }])),
    ];
    const resume = (body: object): Promise<Reply> => server.post(`/threads/${thread}/resume`, body);
    const expectArrived = async (result: Body): Promise<void> => {
      expect(result).toMatchObject({ status: "completed", interrupts: [] });
      expect(result.state.said).toEqual(data);
      expect(got).toEqual(
        Object.fromEntries(
          data.map((value, i) => [i, { decision: "respond", data: value, by: "anonymous" }]),
        ),
      );
      expect(ran).toBe(DATA.length);
      for (const [i, id] of ids.entries())
        expect((await server.get(`/interrupts/${id}`)).body.decision.data).toEqual(data[i]);
    };
    return { thread, ids, data, resume, expectArrived, ran: () => ran, run };
  }

  it("arrive as they were sent, in one request", async () => {
    const { ids, data, resume, expectArrived } = await asked();
    const answers = ids.map((id, i) => ({ interrupt_id: id, decision: "respond", data: data[i] }));
    await expectArrived(expectJson(await resume({ answers: answers.reverse() }), 200, "result"));
  });

  it("arrive as they were sent, one by one and in any order", async () => {
    const { ids, data, resume, expectArrived, ran } = await asked();
    const order = ids.map((_id, i) => i).sort((a, b) => ((a * 5) % 7) - ((b * 5) % 7));
    for (const i of order.slice(1)) {
      const waiting = await resume({ interrupt_id: ids[i], decision: "respond", data: data[i] });
      expectJson(waiting, 202, "result");
      // Said again it is the same answer, and what looks alike is another.
      expectJson(await resume({ interrupt_id: ids[i], decision: "respond", data: data[i] }), 202, "result");
      expectProblem(
        await resume({ interrupt_id: ids[i], decision: "respond", data: [data[i]] }),
        409,
        "already_decided",
      );
    }
    expect(ran()).toBe(0);
    const [last] = order as [number];
    const done = await server.post(`/interrupts/${ids[last]}/decision`, {
      decision: "respond",
      data: data[last],
    });
    await expectArrived(expectJson(done, 200, "result"));
  });

  it("are all taken or none, whichever of them is refused", async () => {
    const { thread, ids, data, resume, ran, run } = await asked();
    const good = ids.map((id, i) => ({ interrupt_id: id, decision: "respond", data: data[i] }));
    const bad: readonly [object, number, string][] = [
      [{ decision: "shrug" }, 422, "validation_failed"],
      [{ interrupt_id: "01890000-0000-7000-8000-000000000000" }, 404, "not_found"],
      [{ interrupt_id: ids[(ids.length - 1) / 2] }, 422, "validation_failed"],
      [{ state: { i: 1 } }, 422, "validation_failed"],
      [{ decision: undefined }, 422, "decision_required"],
    ];
    for (const at of [0, 1, ids.length - 1]) {
      for (const [change, status, code] of bad) {
        const answers = good.map((answer, i) => (i === at ? { ...answer, ...change } : answer));
        expectProblem(await resume({ answers }), status, code);
      }
    }
    const view = expectJson(await server.get(`/threads/${thread}`), 200, "thread");
    expect(view).toMatchObject({ seq: run.seq, interrupts: run.interrupts });
    // One that was answered by somebody else meanwhile refuses the list that has it otherwise.
    expectJson(await resume({ interrupt_id: ids[2], decision: "approve" }), 202, "result");
    expectProblem(await resume({ answers: good }), 409, "already_decided");
    const { interrupts } = (await server.get(`/threads/${thread}`)).body;
    expect(interrupts.map(({ id }: Body) => id)).toEqual(ids.filter((_id, i) => i !== 2));
    expect(ran()).toBe(0);
  });
});
