import { expect, it } from "vitest";
import { latch } from "../support/latch.js";
import { line } from "./helpers.js";
import { onServers } from "./http.js";

onServers({}, (api) => {
  it("a dashboard that reads execution_meta follows a thread from idle over its pause to its end", async () => {
    const work = [latch(), latch()] as const;
    const begun = [latch(), latch()] as const;
    const graph = api.add(
      line(
        {
          ANALYZE: async () => {
            begun[0].open();
            await work[0].opened;
          },
          EXECUTE: async () => {
            begun[1].open();
            await work[1].opened;
          },
        },
        { interruptBefore: [{ node: "EXECUTE", data: ({ amount }) => ({ amount }) }] },
      ),
    );
    const meta = async (): Promise<unknown> => (await api.state("t")).execution_meta;
    const calm = { interrupted_node: null, interrupt_reason: null, interrupt_data: null };

    await api.post("/threads", { thread_id: "t", graph });
    expect(await meta()).toEqual({ status: "idle", current_node: null, step: 0, ...calm });

    const running = api.run("t", { input: { amount: 10_000 } });
    await begun[0].opened;
    expect(await meta()).toEqual({ status: "running", current_node: "ANALYZE", step: 0, ...calm });

    work[0].open();
    await running;
    expect(await meta()).toEqual({
      status: "interrupted_before",
      current_node: "EXECUTE",
      step: 1,
      interrupted_node: "EXECUTE",
      interrupt_reason: "interrupt_before: EXECUTE",
      interrupt_data: { amount: 10_000 },
    });
    const paused = await api.get(`/threads?status=interrupted&graph=${graph}`);
    expect(paused.body.items).toMatchObject([{ thread_id: "t", current_node: "EXECUTE" }]);

    const answered = api.resume("t", { decision: "approve" });
    await begun[1].opened;
    expect(await meta()).toEqual({ status: "running", current_node: "EXECUTE", step: 1, ...calm });
    expect((await api.get(`/threads?status=interrupted&graph=${graph}`)).body.items).toEqual([]);

    work[1].open();
    await answered;
    expect(await meta()).toEqual({ status: "completed", current_node: null, step: 2, ...calm });
  });

  it("a failed thread has the status error in its state, its run and the list, and is not interrupted", async () => {
    const graph = api.add(
      line({
        EXECUTE: () => {
          throw new Error("the bank is closed");
        },
      }),
    );
    const { run_id } = await api.run("failing", { graph });
    const { execution_meta } = await api.state("failing");
    expect(execution_meta).toMatchObject({
      status: "error",
      current_node: "EXECUTE",
      interrupt_reason: null,
    });
    const run = await api.get(`/threads/failing/runs/${run_id}`);
    expect(run.body).toMatchObject({ status: "error", interrupted: false });
    expect((await api.get(`/threads?status=error&graph=${graph}`)).body.items).toMatchObject([
      { thread_id: "failing", status: "error" },
    ]);
    expect((await api.get(`/threads?status=interrupted&graph=${graph}`)).body.items).toEqual([]);
  });
});
