import { describe, expect, it, vi } from "vitest";
import { END, START, StateGraph } from "holdpoint";
import { z } from "zod";
import {
  expectJson,
  expectProblem,
  onEveryStorage,
  serve,
  unique,
  type TestServer,
} from "../support/http-server.js";
import { latch, settled } from "../support/latch.js";
import { names, openStream } from "../support/sse.js";
import { refund, single } from "./graphs.js";

/** Resolves once the next stop was accepted by the storage. */
function stopAccepted({ runtime }: TestServer): Promise<void> {
  const accepted = latch();
  const { checkpointer } = runtime;
  const request = checkpointer.requestStop.bind(checkpointer);
  const spy = vi.spyOn(checkpointer, "requestStop").mockImplementation(async (ref, stop) => {
    spy.mockRestore();
    const outcome = await request(ref, stop);
    accepted.open();
    return outcome;
  });
  return accepted.opened;
}

onEveryStorage("a stop", (server) => {
  /** FIRST sets 1; DEAF never looks at its signal and waits for `held` on its first visit. */
  function deaf() {
    const [began, held, late] = [latch(), latch(), latch()];
    let visits = 0;
    const graph = server.add(
      new StateGraph({ state: z.object({ amount: z.number().default(0) }) })
        .addNode("FIRST", () => ({ amount: 1 }))
        .addNode("DEAF", async () => {
          if (++visits > 1) return { amount: 2 };
          began.open();
          await held.opened;
          late.open();
          return { amount: 666, messages: "too late" };
        })
        .addEdge(START, "FIRST")
        .addEdge("FIRST", "DEAF")
        .addEdge("DEAF", END)
        .compile(),
    );
    return { began, held, late, graph, thread: unique("t") };
  }

  it("ends a run whose node ignores its signal, and says what it abandoned", async () => {
    const { began, held, late, graph, thread } = deaf();
    const running = server.post(`/threads/${thread}/run`, { graph });
    await began.opened;
    const receipt = expectJson(
      await server.post(`/threads/${thread}/stop`, { mode: "now", reason: "wrong order" }),
      200,
      "receipt",
    );
    const result = expectJson(await running, 200, "result");
    expect(receipt).toEqual({
      thread_id: thread,
      run_id: result.run_id,
      ok: true,
      running: true,
      status: "stopped",
      node: "DEAF",
      step: 1,
      abandoned: [["DEAF"]],
      cancelled_interrupts: [],
      dropped: [],
      seq: result.seq,
    });
    expect(result).toMatchObject({
      status: "stopped",
      interrupted: false,
      interrupts: [],
      next_nodes: ["DEAF"],
      state: { amount: 1 },
      error: null,
    });

    held.open();
    await late.opened;
    await settled();
    const state = expectJson(await server.get(`/threads/${thread}/state`), 200, "state");
    expect(state).toMatchObject({ status: "stopped", state: { amount: 1 }, seq: result.seq });
    expect((await server.get(`/threads/${thread}/messages`)).body.items).toEqual([]);
    const resumed = expectJson(await server.post(`/threads/${thread}/resume`), 200, "result");
    expect(resumed).toMatchObject({ status: "completed", state: { amount: 2 } });
  });

  it("is the last thing that a reader of the run hears", async () => {
    const { began, held, graph, thread } = deaf();
    const reader = await openStream(`${server.url}/threads/${thread}/stream`, { body: { graph } });
    await began.opened;
    const receipt = expectJson(await server.post(`/threads/${thread}/stop`), 200, "receipt");
    const frames = await reader.rest();
    expect(names(frames).at(-1)).toBe("stopped");
    expect(frames.at(-1)?.id).toBe(receipt.seq);
    expect(frames.at(-1)?.chunk.data.result.status).toBe("stopped");
    held.open();
  });

  it("leaves a node that looks at its signal the time to keep what it has", async () => {
    const began = latch();
    const graph = server.add(
      single(async (_state, ctx) => {
        const aborted = latch();
        ctx.signal.addEventListener("abort", () => aborted.open());
        began.open();
        await aborted.opened;
        return "half a sentence";
      }),
    );
    const thread = unique("t");
    const running = server.post(`/threads/${thread}/run`, { graph });
    await began.opened;
    const receipt = expectJson(await server.post(`/threads/${thread}/stop`), 200, "receipt");
    expect(receipt).toMatchObject({ status: "stopped", abandoned: [] });
    const result = expectJson(await running, 200, "result");
    expect(result.status).toBe("stopped");
    expect(result.messages.map(({ content }: never) => content)).toEqual(["half a sentence"]);
  });

  it("after the step lets the step finish and begins no other; `now` overtakes it", async () => {
    const [began, held] = [latch(), latch()];
    let second = 0;
    const graph = server.add(
      new StateGraph()
        .addNode("ONE", async () => {
          began.open();
          await held.opened;
          return "one";
        })
        .addNode("TWO", () => {
          second++;
        })
        .addEdge(START, "ONE")
        .addEdge("ONE", "TWO")
        .addEdge("TWO", END)
        .compile(),
    );
    const thread = unique("t");
    const running = server.post(`/threads/${thread}/run`, { graph });
    await began.opened;
    const accepted = stopAccepted(server);
    const stopping = server.post(`/threads/${thread}/stop`, { mode: "after_step" });
    await accepted;
    held.open();
    expect(expectJson(await stopping, 200, "receipt")).toMatchObject({ running: true, status: "stopped" });
    const result = expectJson(await running, 200, "result");
    expect(result).toMatchObject({ status: "stopped", next_nodes: ["TWO"] });
    expect(result.messages).toHaveLength(1);
    expect(second).toBe(0);

    const { began: again, graph: other, thread: t2 } = deaf();
    const run = server.post(`/threads/${t2}/run`, { graph: other });
    await again.opened;
    const gently = stopAccepted(server);
    const gentle = server.post(`/threads/${t2}/stop`, { mode: "after_step" });
    await gently;
    const hard = server.post(`/threads/${t2}/stop`, { mode: "now" });
    for (const answer of [await gentle, await hard])
      expect(expectJson(answer, 200, "receipt").status).toBe("stopped");
    expect((await run).body.status).toBe("stopped");
  });

  it("after the step is the end of a node that fails, though it has attempts left", async () => {
    const [began, held] = [latch(), latch()];
    let visits = 0;
    const graph = server.add(
      new StateGraph()
        .addNode(
          "FLAKY",
          async () => {
            if (++visits > 1) return;
            began.open();
            await held.opened;
            throw new Error("away");
          },
          { retry: { attempts: 3 } },
        )
        .addEdge(START, "FLAKY")
        .addEdge("FLAKY", END)
        .compile(),
    );
    const thread = unique("t");
    const running = server.post(`/threads/${thread}/run`, { graph });
    await began.opened;
    const accepted = stopAccepted(server);
    const stopping = server.post(`/threads/${thread}/stop`, { mode: "after_step" });
    await accepted;
    await settled();
    held.open();
    await stopping;
    expect(expectJson(await running, 200, "result").status).toBe("stopped");
    expect(visits).toBe(1);
  });

  it("of a paused thread cancels its interrupts, and whoever answers them is told so", async () => {
    const paid: number[] = [];
    const graph = server.add(refund((amount) => paid.push(amount)));
    const thread = unique("t");
    const run = await server.post(`/threads/${thread}/run`, { graph, input: { amount: 2 } });
    const id: string = run.body.interrupts[0].id;
    const receipt = expectJson(await server.post(`/threads/${thread}/stop`), 200, "receipt");
    expect(receipt).toEqual({
      thread_id: thread,
      run_id: run.body.run_id,
      ok: true,
      running: false,
      status: "stopped",
      node: "PAY",
      step: 1,
      abandoned: [],
      cancelled_interrupts: [id],
      dropped: [],
      seq: expect.any(Number),
    });
    expect(receipt.seq).toBeGreaterThan(run.body.seq as number);
    expect(expectJson(await server.get(`/interrupts/${id}`), 200, "interrupt")).toMatchObject({
      status: "cancelled",
      decision: null,
    });
    const late = await server.post(`/interrupts/${id}/decision`, { decision: "approve" });
    expectProblem(late, 409, "interrupt_cancelled");
    const heard = await (await openStream(`${server.url}/threads/${thread}/stream?after=0`)).rest();
    expect(names(heard).at(-1)).toBe("decision");
    expect(heard.at(-1)?.chunk.data).toMatchObject({
      interrupt: { id, status: "cancelled" },
      decision: null,
    });
    expect(paid).toEqual([]);
  });

  it("of nothing is no fault and changes nothing", async () => {
    const graph = server.add(single(() => "done"));
    const thread = unique("t");
    expectProblem(await server.post(`/threads/${thread}/stop`), 404, "not_found");
    await server.post("/threads", { thread_id: thread, graph });
    const idle = expectJson(await server.post(`/threads/${thread}/stop`), 200, "receipt");
    expect(idle).toMatchObject({ ok: true, running: false, reason: "not-running", run_id: null });
    expect(idle).not.toHaveProperty("status");
    const run = await server.post(`/threads/${thread}/run`);
    const before = (await server.get(`/threads/${thread}`)).body;
    for (let i = 0; i < 2; i++) {
      const receipt = expectJson(await server.post(`/threads/${thread}/stop`), 200, "receipt");
      expect(receipt).toEqual({
        thread_id: thread,
        run_id: run.body.run_id,
        ok: true,
        running: false,
        reason: "not-running",
        node: null,
        step: run.body.step,
        abandoned: [],
        cancelled_interrupts: [],
        dropped: [],
        seq: run.body.seq,
      });
    }
    expect((await server.get(`/threads/${thread}`)).body).toEqual(before);
  });

  it("sent as soon as the run is accepted wins: the run ends stopped", async () => {
    const held = latch();
    const graph = server.add(single(() => held.opened.then(() => "worked")));
    for (let i = 0; i < 5; i++) {
      const thread = unique("t");
      // The stream's headers are there once the run is durable.
      const reader = await openStream(`${server.url}/threads/${thread}/stream`, { body: { graph } });
      const receipt = expectJson(await server.post(`/threads/${thread}/stop`), 200, "receipt");
      expect(receipt).toMatchObject({ running: true, status: "stopped" });
      expect(names(await reader.rest()).at(-1)).toBe("stopped");
    }
    held.open();
  });

  it("that comes while a step is being committed lets no node begin behind it", async () => {
    const begun: string[] = [];
    const graph = server.add(
      new StateGraph({ state: z.object({}) })
        .addNode("FIRST", () => void begun.push("FIRST"))
        .addNode("SECOND", () => void begun.push("SECOND"))
        .addEdge(START, "FIRST")
        .addEdge("FIRST", "SECOND")
        .addEdge("SECOND", END)
        .compile(),
    );
    const thread = unique("t");
    const { checkpointer } = server.runtime;
    const write = checkpointer.write.bind(checkpointer);
    const spy = vi.spyOn(checkpointer, "write").mockImplementation(async (given) => {
      const written = await write(given);
      if (given.ref.threadId !== thread || given.head.step !== 1) return written;
      spy.mockRestore();
      // The step is stored, and its run does not know yet.
      const accepted = stopAccepted(server);
      stopped = server.post(`/threads/${thread}/stop`).then((answer) => answer);
      await accepted;
      await settled();
      return written;
    });
    let stopped: Promise<unknown> = Promise.resolve();
    const result = expectJson(await server.post(`/threads/${thread}/run`, { graph }), 200, "result");
    expect(result).toMatchObject({ status: "stopped", step: 1, next_nodes: ["SECOND"] });
    expect(begun).toEqual(["FIRST"]);
    await stopped;
  });

  it("that comes while the end of a run asks its edges what would be next wins", async () => {
    const asked = latch();
    const graph = server.add(
      new StateGraph({ state: z.object({}) })
        .addNode("HELD", () => undefined)
        .addEdge(START, "HELD")
        .addConditionalEdges("HELD", () => {
          asked.open();
          return new Promise(() => undefined);
        })
        .compile({ interruptAfter: ["HELD"] }),
    );
    const thread = unique("t");
    const running = server.post(`/threads/${thread}/run`, { graph }).then((answer) => answer);
    await asked.opened;
    const receipt = expectJson(await server.post(`/threads/${thread}/stop`), 200, "receipt");
    expect(receipt).toMatchObject({ ok: true, running: true, status: "stopped" });
    expect(expectJson(await running, 200, "result")).toMatchObject({ status: "stopped", interrupts: [] });
  });

  it("that races a quick run says what became of it", async () => {
    const graph = server.add(single(() => "worked"));
    for (let i = 0; i < 20; i++) {
      const thread = unique("t");
      const [run, stop] = await Promise.all([
        server.post(`/threads/${thread}/run`, { graph }),
        server.post(`/threads/${thread}/stop`),
      ]);
      const result = expectJson(run, 200, "result");
      const stopped = stop.status === 200 && expectJson(stop, 200, "receipt").running === true;
      expect(result.status).toBe(stopped ? "stopped" : "completed");
      if (stopped) expect(stop.body).toMatchObject({ status: "stopped", seq: result.seq });
      else if (stop.status === 200) expect(stop.body.reason).toBe("not-running");
      else expectProblem(stop, 404, "not_found");
    }
  });

  it("lets a new run start anew, without what was stopped", async () => {
    const { began, held, graph, thread } = deaf();
    const running = server.post(`/threads/${thread}/run`, { graph });
    await began.opened;
    await server.post(`/threads/${thread}/stop`);
    await running;
    const result = expectJson(await server.post(`/threads/${thread}/run`), 200, "result");
    expect(result).toMatchObject({ status: "completed", state: { amount: 2 } });
    held.open();
  });
});

describe("a stop of a run that was accepted and has no place yet", () => {
  it("reaches it: its node never runs", async () => {
    const [began, held] = [latch(), latch()];
    let worked = 0;
    const server = await serve(
      {
        blocker: single(async () => {
          began.open();
          await held.opened;
        }),
        worker: single(() => {
          worked++;
        }),
      },
      { options: { concurrency: 1, stopWaitMs: 50 } },
    );
    const first = server.post("/threads/a/run", { graph: "blocker" });
    await began.opened;
    const reader = await openStream(`${server.url}/threads/b/stream`, { body: { graph: "worker" } });
    const receipt = expectJson(await server.post("/threads/b/stop"), 200, "receipt");
    expect(receipt).toMatchObject({ running: false, status: "stopped", dropped: [expect.any(String)] });
    held.open();
    expect(names(await reader.rest()).at(-1)).toBe("stopped");
    expect(worked).toBe(0);
    expect((await first).body.status).toBe("completed");
    await server.close();
  });
});
