/** The same request sent again with its Idempotency-Key: done once, and answered what it was answered. */
import { request as rawRequest } from "node:http";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { Checkpointer } from "../../src/checkpoint/checkpointer.js";
import {
  expectJson,
  expectProblem,
  onEveryStorage,
  serve,
  served,
  unique,
  type Body,
  type Reply,
} from "../support/http-server.js";
import { latch, settled } from "../support/latch.js";
import { names, openStream } from "../support/sse.js";
import { openState, refund, single } from "./graphs.js";

const keyed = (key: string): Record<string, string> => ({ "Idempotency-Key": key });

/** Holds back what the storage answers to the next call of a method: it is old news when it arrives. */
function holdNext(cp: Checkpointer, method: "load" | "usedKey") {
  const [reached, released] = [latch(), latch()];
  const real: (...args: never[]) => Promise<unknown> = cp[method].bind(cp);
  const spy = vi.spyOn(cp, method).mockImplementationOnce(async (...args: unknown[]) => {
    const answer = await real(...(args as never[]));
    reached.open();
    await released.opened;
    return answer as never;
  });
  released.opened.then(() => spy.mockRestore()).catch(() => undefined);
  return { reached: reached.opened, release: () => released.open() };
}

onEveryStorage("a request with an idempotency key", (server) => {
  /** Counts its visits; the first waits for `held`. */
  function slow() {
    const [began, held] = [latch(), latch()];
    const visits: unknown[] = [];
    const graph = server.add(
      single(async ({ text }, ctx) => {
        visits.push(text);
        ctx.emit("visit", visits.length);
        began.open();
        await held.opened;
        return { text: `visit ${visits.length}` };
      }, openState),
    );
    return { graph, began, held, visits, thread: unique("t") };
  }
  function quick() {
    const of = slow();
    of.held.open();
    return of;
  }
  /** A thread that waits for an approval of its payment. */
  async function paused(onPay: () => unknown = () => undefined) {
    const paid: number[] = [];
    const graph = server.add(
      refund(async (amount) => {
        paid.push(amount);
        await onPay();
      }),
    );
    const thread = unique("t");
    const run = await server.post(`/threads/${thread}/run`, { graph, input: { amount: 7 } });
    return { paid, thread, graph, id: run.body.interrupts[0].id as string };
  }
  const runsOf = async (thread: string): Promise<Body[]> =>
    (await server.get(`/threads/${thread}/runs`)).body.items;
  const replies = (count: number, send: () => Promise<Reply>): Promise<Reply[]> =>
    Promise.all(Array.from({ length: count }, send));

  describe("that starts a run", () => {
    it("gets the same result again, and the run is not run again", async () => {
      const { graph, thread, visits } = quick();
      const send = () => server.post(`/threads/${thread}/run`, { graph }, keyed("k"));
      const first = expectJson(await send(), 200, "result");
      expect(first).toMatchObject({ status: "completed", state: { text: "visit 1" } });
      expect(expectJson(await send(), 200, "result")).toEqual(first);
      expect(visits).toHaveLength(1);
      expect(await runsOf(thread)).toHaveLength(1);
    });

    it("gets the first result also when the thread has gone on since", async () => {
      const { graph, thread, visits } = quick();
      const send = () => server.post(`/threads/${thread}/run`, { graph }, keyed("k"));
      const first = await send();
      await server.post(`/threads/${thread}/run`, {}, keyed("another"));
      expect((await send()).body).toEqual(first.body);
      expect(visits).toHaveLength(2);
    });

    it("waits for the same end while the run is active", async () => {
      const { graph, thread, visits, began, held } = slow();
      const send = () => server.post(`/threads/${thread}/run`, { graph }, keyed("k"));
      const first = send();
      await began.opened;
      const again = holdNext(server.runtime.checkpointer, "usedKey");
      const second = send();
      await again.reached;
      again.release();
      await settled();
      expectProblem(await server.post(`/threads/${thread}/run`, { graph }), 409, "thread_busy");
      held.open();
      const result = expectJson(await first, 200, "result");
      expect((await second).body).toEqual(result);
      expect(visits).toHaveLength(1);
    });

    it("and is sent 20 times at once begins one run, whose result all get", async () => {
      const { graph, thread, visits } = quick();
      const all = await replies(20, () => server.post(`/threads/${thread}/run`, { graph }, keyed("k")));
      const first = expectJson(all[0] as Reply, 200, "result");
      for (const reply of all) expect(reply.body).toEqual(first);
      expect(visits).toHaveLength(1);
      expect(await runsOf(thread)).toHaveLength(1);
    });

    it.each(["usedKey", "load"] as const)(
      "and reads (%s) just before the same request is accepted is not refused by it",
      async (method) => {
        const { graph, thread, visits, began, held } = slow();
        const send = () => server.post(`/threads/${thread}/run`, { graph }, keyed("k"));
        const read = holdNext(server.runtime.checkpointer, method);
        const late = send();
        await read.reached;
        const first = send();
        await began.opened;
        read.release();
        held.open();
        expect((await late).body).toEqual(expectJson(await first, 200, "result"));
        expect(visits).toHaveLength(1);
      },
    );

    it("gets the result of a run that failed, which is an answer like any other", async () => {
      let calls = 0;
      const graph = server.add(
        single(() => {
          throw new Error(`call ${++calls}`);
        }),
      );
      const send = () => server.post(`/threads/${graph}/run`, { graph }, keyed("k"));
      const first = expectJson(await send(), 200, "result");
      expect(first).toMatchObject({ status: "error", error: { message: expect.stringContaining("call 1") } });
      expect((await send()).body).toEqual(first);
    });

    it("lives for 24 hours", async () => {
      const { graph, thread } = quick();
      const write = vi.spyOn(server.runtime.checkpointer, "write");
      await server.post(`/threads/${thread}/run`, { graph }, keyed("k"));
      const expiries = write.mock.calls.flatMap(([{ key }]) => key?.expiresAt ?? []);
      write.mockRestore();
      expect(expiries).toHaveLength(1);
      const hours = (Date.parse(expiries[0] ?? "") - Date.now()) / 3_600_000;
      expect(hours).toBeGreaterThan(23.9);
      expect(hours).toBeLessThanOrEqual(24);
    });
  });

  describe("that streams a run", () => {
    it("gets the same events again from `start` on, while it runs and when it has ended", async () => {
      const { graph, thread, visits, held } = slow();
      // What was there before is not the run's.
      await server.post("/threads", { thread_id: thread, graph });
      await server.call("PATCH", `/threads/${thread}/state`, { state: { text: "patched" } });
      const open = () =>
        openStream(`${server.url}/threads/${thread}/stream`, { body: { graph }, headers: keyed("k") });
      const first = await open();
      const begun = await first.until("custom");
      const second = await open();
      const again = await second.until("custom");
      expect(again).toEqual(begun);
      held.open();
      const all = [...begun, ...(await first.rest())];
      expect(names(all)).toEqual(["start", "progress", "custom", "update", "end"]);
      expect([...again, ...(await second.rest())]).toEqual(all);
      const third = await open();
      expect(third.headers.get("content-location")).toBe(first.headers.get("content-location"));
      expect(await third.rest()).toEqual(all);
      expect(visits).toEqual(["patched"]);
    });
  });

  describe("that answers an interrupt", () => {
    it.each(["resume", "decision"])("by %s gets the same result again, and is paid once", async (by) => {
      const { paid, thread, id } = await paused();
      const path = by === "resume" ? `/threads/${thread}/resume` : `/interrupts/${id}/decision`;
      const send = () => server.post(path, { decision: "approve" }, keyed("k"));
      const first = expectJson(await send(), 200, "result");
      expect(first).toMatchObject({ status: "completed", decision: { decision: "approve" } });
      expect((await send()).body).toEqual(first);
      expect(paid).toEqual([7]);
      expect(await runsOf(thread)).toHaveLength(2);
    });

    it.each(["resume", "decision"])(
      "by %s and is sent 20 times at once is taken once, and all get its result",
      async (by) => {
        const { paid, thread, id } = await paused();
        const path = by === "resume" ? `/threads/${thread}/resume` : `/interrupts/${id}/decision`;
        const all = await replies(20, () => server.post(path, { decision: "approve" }, keyed("k")));
        const first = expectJson(all[0] as Reply, 200, "result");
        for (const reply of all) expect(reply.body).toEqual(first);
        expect(paid).toEqual([7]);
      },
    );

    it("waits for the same end while the run that goes on is active", async () => {
      const [began, held] = [latch(), latch()];
      const { paid, thread } = await paused(() => {
        began.open();
        return held.opened;
      });
      const send = () => server.post(`/threads/${thread}/resume`, { decision: "approve" }, keyed("k"));
      const first = send();
      await began.opened;
      const second = send();
      await settled();
      held.open();
      expect((await second).body).toEqual(expectJson(await first, 200, "result"));
      expect(paid).toEqual([7]);
    });

    it("and streams gets its decision and the run's events again", async () => {
      const { paid, thread, id } = await paused();
      const body = { answers: [{ interrupt_id: id, decision: "approve" }] };
      const open = () => openStream(`${server.url}/threads/${thread}/resume`, { body, headers: keyed("k") });
      const first = await (await open()).rest();
      expect(names(first)).toEqual(["decision", "start", "progress", "message", "update", "end"]);
      await server.post(`/threads/${thread}/run`, {});
      expect(await (await open()).rest()).toEqual(first);
      expect(paid).toEqual([7]);
    });

    it("may be a stream the first time and JSON the second", async () => {
      const { thread } = await paused();
      const path = `/threads/${thread}/resume`;
      const stream = await openStream(`${server.url}${path}`, {
        body: { decision: "approve" },
        headers: keyed("k"),
      });
      const end = (await stream.rest()).at(-1);
      const reply = await server.post(path, { decision: "approve" }, keyed("k"));
      expect(expectJson(reply, 200, "result")).toEqual(end?.chunk.data.result);
    });

    it("does not answer what is asked later", async () => {
      const graph = server.add(
        single(async (_state, ctx) => {
          await ctx.interrupt({ message: "First?", key: "first" });
          await ctx.interrupt({ message: "Second?", key: "second" });
        }),
      );
      const thread = unique("t");
      await server.post(`/threads/${thread}/run`, { graph });
      const send = () => server.post(`/threads/${thread}/resume`, { decision: "approve" }, keyed("k"));
      const first = expectJson(await send(), 200, "result");
      expect(first.interrupts).toMatchObject([{ message: "Second?" }]);
      expect((await send()).body).toEqual(first);
      expect((await server.get(`/threads/${thread}`)).body.interrupts).toMatchObject([
        { message: "Second?" },
      ]);
    });

    it("continues a failed run once", async () => {
      const calls: number[] = [];
      const graph = server.add(
        single(() => {
          calls.push(calls.length);
          throw new Error("no");
        }),
      );
      await server.post(`/threads/${graph}/run`, { graph });
      const send = () => server.post(`/threads/${graph}/resume`, {}, keyed("k"));
      const first = expectJson(await send(), 200, "result");
      expect((await send()).body).toEqual(first);
      expect(calls).toHaveLength(2);
    });
  });

  describe("that answers one of two interrupts", () => {
    async function twoAsked() {
      const graph = server.add(
        single(async (_state, ctx) => {
          await Promise.all([
            ctx.interrupt({ message: "Legal?", key: "legal" }),
            ctx.interrupt({ message: "Finance?", key: "finance" }),
          ]);
        }),
      );
      const thread = unique("t");
      const run = await server.post(`/threads/${thread}/run`, { graph });
      const [legal, finance] = run.body.interrupts as [Body, Body];
      const send = (headers = {}) =>
        server.post(
          `/threads/${thread}/resume`,
          { interrupt_id: legal.id, decision: "approve" },
          { ...keyed("k"), ...headers },
        );
      return { thread, legal, finance, send };
    }

    it("gets the same 202, also after the last answer, and as JSON whatever it accepts", async () => {
      const { thread, finance, send } = await twoAsked();
      const first = expectJson(await send(), 202, "result");
      expect(first.interrupts).toEqual([finance]);
      expect(expectJson(await send(), 202, "result")).toEqual(first);
      const last = await server.post(`/interrupts/${finance.id}/decision`, { decision: "approve" });
      expect(last.body.status).toBe("completed");
      expect(expectJson(await send({ Accept: "text/event-stream" }), 202, "result")).toEqual(first);
      expect(await runsOf(thread)).toHaveLength(2);
    });

    it("and whose process ended before it kept the answer gets the thread as it stands in that pause", async () => {
      const { finance, send } = await twoAsked();
      // What a process that dies there leaves.
      const lost = vi.spyOn(server.runtime.checkpointer, "answerKey").mockResolvedValueOnce(undefined);
      const first = expectJson(await send(), 202, "result");
      lost.mockRestore();
      expect(expectJson(await send(), 202, "result")).toEqual(first);
      await server.post(`/interrupts/${finance.id}/decision`, { decision: "approve" });
      expect(expectJson(await send(), 202, "result")).toEqual(first);
    });

    it("and lost its answer, and is sent again after the last one, gets the pause without what is answered", async () => {
      const { finance, send } = await twoAsked();
      const lost = vi.spyOn(server.runtime.checkpointer, "answerKey").mockResolvedValueOnce(undefined);
      const first = expectJson(await send(), 202, "result");
      lost.mockRestore();
      const last = await server.post(`/interrupts/${finance.id}/decision`, { decision: "approve" });
      const again = expectJson(await send(), 202, "result");
      // Nothing is open any more: the reason is that of the pause.
      expect([first.interrupt_reason, again.interrupt_reason]).toEqual(["Finance?", "Legal?"]);
      expect(again).toEqual({ ...first, interrupt_reason: "Legal?", interrupts: [], seq: last.body.seq });
    });

    it("and is sent 20 times at once is taken once", async () => {
      const { thread, send } = await twoAsked();
      const all = await replies(20, send);
      const first = expectJson(all[0] as Reply, 202, "result");
      for (const reply of all) expect(reply.body).toEqual(first);
      const events = await (await openStream(`${server.url}/threads/${thread}/stream?after=0`)).rest();
      expect(names(events).filter((name) => name === "decision")).toHaveLength(1);
    });
  });

  describe("and another body", () => {
    it("is refused on every route, and changes nothing", async () => {
      const { graph, thread, visits } = quick();
      const one = await paused();
      const asked: [string, object, object][] = [
        [`/threads/${thread}/run`, { graph }, { graph, input: { text: "x" } }],
        [`/threads/${unique("t")}/stream`, { graph }, { graph, config: {} }],
        [`/threads/${one.thread}/resume`, { decision: "deny" }, { decision: "approve" }],
        [
          `/interrupts/${(await paused()).id}/decision`,
          { decision: "deny" },
          { decision: "deny", reason: "x" },
        ],
        [`/threads/${thread}/stop`, {}, { mode: "after_step" }],
      ];
      for (const [path, first, second] of asked) {
        expect((await server.post(path, first, keyed("k"))).status, path).toBe(200);
        const problem = expectProblem(
          await server.post(path, second, keyed("k")),
          422,
          "idempotency_key_reused",
        );
        expect(problem.detail).toContain("Idempotency-Key");
      }
      expect(visits).toHaveLength(2);
      expect(one.paid).toEqual([]);
    });

    it("is the same where only the spelling of the JSON differs", async () => {
      const { graph, thread, visits } = quick();
      const path = `/threads/${thread}/run`;
      const texts = [
        `{"graph":"${graph}","input":{"text":"a","value":{"b":1,"a":[1.0,"ü"]}}}`,
        ` { "input": {"value":{"a":[1,"\\u00fc"],"b":1e0}, "text":"\\u0061"},\n"graph":"${graph}" }`,
      ];
      const [first, second] = [
        await server.call("POST", path, texts[0], keyed("k")),
        await server.call("POST", path, texts[1], keyed("k")),
      ];
      expect(second.body).toEqual(expectJson(first, 200, "result"));
      expect(visits).toEqual(["a"]);
      const list = texts[0]?.replace('[1.0,"ü"]', '["ü",1.0]');
      expectProblem(await server.call("POST", path, list, keyed("k")), 422, "idempotency_key_reused");
    });

    it("is the same where an empty body is spelled out, and not where a default is", async () => {
      const { graph, thread } = quick();
      await server.post(`/threads/${thread}/run`, { graph });
      const stop = (body?: string) => server.call("POST", `/threads/${thread}/stop`, body, keyed("k"));
      const first = expectJson(await stop(), 200, "receipt");
      for (const body of ["", "{}", " { }"]) expect((await stop(body)).body).toEqual(first);
      expectProblem(await stop('{"mode":"now"}'), 422, "idempotency_key_reused");
    });
  });

  describe("that was refused", () => {
    it("has not used its key up: another body under it is accepted", async () => {
      const { graph, thread, began, held, visits } = slow();
      const path = `/threads/${thread}/run`;
      const running = server.post(path, { graph });
      await began.opened;
      expectProblem(await server.post(path, { graph }, keyed("k")), 409, "thread_busy");
      held.open();
      await running;
      expectProblem(await server.post(path, { graph: "none" }, keyed("k")), 404, "not_found");
      expectProblem(await server.post(path, { grahp: "x" }, keyed("k")), 422, "validation_failed");
      expectProblem(await server.post(path, { input: { text: 1 } }, keyed("k")), 422, "validation_failed");
      const accepted = expectJson(await server.post(path, { graph, input: {} }, keyed("k")), 200, "result");
      expect(visits).toHaveLength(2);
      expect((await server.post(path, { graph, input: {} }, keyed("k"))).body).toEqual(accepted);

      const held2 = await paused();
      const resume = (body: object) => server.post(`/threads/${held2.thread}/resume`, body, keyed("k"));
      expectProblem(await resume({ decision: "respond" }), 422, "validation_failed");
      expect(expectJson(await resume({ decision: "approve" }), 200, "result").status).toBe("completed");
      const nowhere = unique("t");
      expectProblem(await server.post(`/threads/${nowhere}/stop`, {}, keyed("k")), 404, "not_found");
      await server.post("/threads", { thread_id: nowhere });
      expectJson(await server.post(`/threads/${nowhere}/stop`, { reason: "x" }, keyed("k")), 200, "receipt");
    });
  });

  describe("whose thread was deleted", () => {
    it("is 404 on every route, also where the id is used again, and begins nothing", async () => {
      const { graph, thread, visits } = quick();
      const one = await paused();
      const two = await paused();
      const asked: [string, string, object][] = [
        [thread, `/threads/${thread}/run`, { graph }],
        [thread, `/threads/${thread}/stream`, { graph }],
        [one.thread, `/threads/${one.thread}/resume`, { decision: "deny" }],
        [one.thread, `/threads/${one.thread}/stop`, {}],
        [two.thread, `/interrupts/${two.id}/decision`, { decision: "deny" }],
      ];
      for (const [, path, body] of asked)
        expect((await server.post(path, body, keyed("k"))).status).toBe(200);
      for (const id of [thread, one.thread, two.thread])
        expect((await server.call("DELETE", `/threads/${id}`)).status).toBe(204);
      for (const [, path, body] of asked)
        expectProblem(await server.post(path, body, keyed("k")), 404, "not_found");
      for (const id of [thread, one.thread, two.thread])
        expectProblem(await server.get(`/threads/${id}`), 404, "not_found");
      for (const id of [thread, one.thread, two.thread]) await server.post(`/threads/${id}/run`, { graph });
      for (const [, path, body] of asked)
        expectProblem(await server.post(path, body, keyed("k")), 404, "not_found");
      expect(visits).toHaveLength(5);
    });
  });

  it("is another one on another path, by another method of answering, and under another key", async () => {
    const { graph, thread, visits } = quick();
    const other = unique("t");
    await server.post(`/threads/${thread}/run`, { graph }, keyed("k"));
    await server.post(`/threads/${thread}/stream`, { graph }, keyed("k"));
    await server.post(`/threads/${other}/run`, { graph }, keyed("k"));
    await server.post(`/threads/${other}/run`, { graph }, keyed("K"));
    expect(visits).toHaveLength(4);
    // The same path in another spelling, and with a query, is the same.
    const spelled = `%${other.charCodeAt(0).toString(16)}${other.slice(1)}`;
    await server.post(`/threads/${spelled}/run`, { graph }, keyed("k"));
    await server.post(`/threads/${other}/run?x=1`, { graph }, keyed("k"));
    expect(visits).toHaveLength(4);
    expect(new Set((await runsOf(other)).map(({ run_id: id }) => id as string)).size).toBe(2);
  });
});

describe("a database that fails", () => {
  // Not one that is away, whose write would be sent again.
  const BROKEN = new Error("the disk is full");
  async function failing() {
    const visits: number[] = [];
    const server = await serve({ work: single(() => void visits.push(1)) });
    onTestFinished(() => server.close());
    const cp = server.runtime.checkpointer;
    const real = cp.write.bind(cp);
    const write = vi.spyOn(cp, "write");
    return {
      server,
      visits,
      write,
      usedKey: vi.spyOn(cp, "usedKey"),
      send: (body: object = {}) => server.post("/threads/t/run", body, keyed("k")),
      /** The next write is committed, and its answer is lost on its way. */
      loseAnswer: () =>
        write.mockImplementationOnce(async (given) => {
          await real(given);
          throw BROKEN;
        }),
    };
  }

  it("before a request is accepted leaves its key unused", async () => {
    const { send, write, visits } = await failing();
    write.mockRejectedValueOnce(BROKEN);
    expectProblem(await send({ graph: "work" }), 500, "internal_error");
    expect(expectJson(await send(), 200, "result").status).toBe("completed");
    expect(visits).toHaveLength(1);
  });

  it("with the answer to the write that accepted a request is no refusal of it: its run is found", async () => {
    const { send, loseAnswer, visits } = await failing();
    loseAnswer();
    const result = expectJson(await send(), 200, "result");
    expect(result.status).toBe("completed");
    expect((await send()).body).toEqual(result);
    expect(visits).toHaveLength(1);
  });

  it("after a request was accepted has answered nothing, and the same request finds its run", async () => {
    const { server, send, loseAnswer, usedKey, visits } = await failing();
    loseAnswer();
    usedKey.mockResolvedValueOnce(null).mockRejectedValueOnce(BROKEN);
    expectProblem(await send(), 500, "internal_error");
    expect(expectJson(await send(), 200, "result").status).toBe("completed");
    expect((await server.get("/threads/t/runs")).body.items).toHaveLength(1);
    expect(visits).toHaveLength(1);
  });
});

describe("the header", () => {
  const server = served({ work: single(() => "done") }, () => ({
    http: { corsOrigins: ["https://app.example"] },
  }));
  /** Sends header lines as they are. */
  const send = (path: string, lines: readonly string[]): Promise<{ status: number; body: Body }> =>
    new Promise((resolve, reject) => {
      const headers = [
        "Host",
        new URL(server.url).host,
        ...lines.flatMap((line) => ["Idempotency-Key", line]),
      ];
      const request = rawRequest(`${server.url}${path}`, { method: "POST", headers }, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) }));
      });
      request.on("error", reject).end("{}");
    });

  it.each([
    ["empty", [""]],
    ["256 characters long", ["k".repeat(256)]],
    ["sent twice", ["a", "b"]],
    ["sent twice as the same", ["a", "a"]],
  ])("is refused where it is %s, by its name", async (_what, lines) => {
    for (const path of ["/threads/t/run", "/threads/t/stream", "/threads/t/resume", "/threads/t/stop"]) {
      const { status, body } = await send(path, lines);
      expect({ status, code: body.code }).toEqual({ status: 422, code: "validation_failed" });
      expect(body.errors).toEqual([{ path: "Idempotency-Key", message: expect.any(String) }]);
    }
    expectProblem(await server.get("/threads/t"), 404, "not_found");
  });

  it.each(["k".repeat(255), "0", ' a, b; c="d" '])("may be %j", async (key) => {
    const path = `/threads/${unique("t")}/run`;
    const first = await send(path, [key]);
    expect(first.status).toBe(200);
    expect(await send(path, [key])).toEqual(first);
  });

  it("is allowed to the pages of allowed origins", async () => {
    const preflight = await server.call("OPTIONS", "/threads/t/run", undefined, {
      Origin: "https://app.example",
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": "idempotency-key",
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toContain("idempotency-key");
  });
});

it("a server that shuts down sends the request on to another one", async () => {
  const server = await serve({ work: single(() => "done") });
  const send = () => server.post("/threads/t/run", {}, keyed("k"));
  const first = await send();
  expect(first.status).toBe(200);
  await server.runtime.drain(1000);
  expectProblem(await send(), 503, "shutting_down");
  await server.close();
});

onEveryStorage("a run that waits, with an idempotency key", (server) => {
  it("is put into the queue once, and the same request gets the same 202, waits for the same end or streams it", async () => {
    const [began, held] = [latch(), latch()];
    const visits: unknown[] = [];
    const graph = server.add(
      single(async ({ text }) => {
        visits.push(text);
        began.open();
        await held.opened;
        return { text: "done" };
      }, openState),
    );
    const thread = unique("t");
    const running = server.post(`/threads/${thread}/run`, { graph, input: { text: "first" } });
    await began.opened;
    const body = { input: { text: "second" }, on_busy: "enqueue" };
    const send = (prefer: Record<string, string> = {}) =>
      server.post(`/threads/${thread}/run`, body, { ...keyed("k"), ...prefer });
    const open = () => openStream(`${server.url}/threads/${thread}/stream`, { body, headers: keyed("k") });
    const async202 = { Prefer: "respond-async" };
    const queued = await Promise.all([send(async202), send(async202)]);
    const [first, second] = queued;
    expect(expectJson(first, 202, "result")).toMatchObject({ status: "queued" });
    expect(second.body).toEqual(first.body);
    expect(second.headers.get("location")).toBe(first.headers.get("location"));
    const [waiting, streams] = [send(), [await open(), await open()]];
    held.open();
    await running;
    const result = expectJson(await waiting, 200, "result");
    expect(result).toMatchObject({ run_id: first.body.run_id, status: "completed" });
    expect((await send(async202)).headers.get("location")).toBe(first.headers.get("location"));
    const own = await Promise.all(
      streams.map(async (stream) => (await stream.rest()).filter(({ name }) => name === "start").at(-1)),
    );
    expect(own[1]).toEqual(own[0]);
    const again = await (await open()).rest();
    expect(names(again)).toEqual(["start", "progress", "update", "end"]);
    expect(again[0]).toEqual(own[0]);
    expect(visits).toEqual(["first", "second", "second"]);
  });

  it("and was dropped streams its end alone, and stops nothing again", async () => {
    const began = [latch(), latch()];
    const held = latch();
    let visits = 0;
    const graph = server.add(
      single(async () => {
        began[visits++]?.open();
        await held.opened;
      }),
    );
    const thread = unique("t");
    const running = server.post(`/threads/${thread}/run`, { graph });
    await began[0]?.opened;
    const dropped = { on_busy: "enqueue" };
    const open = () =>
      openStream(`${server.url}/threads/${thread}/stream`, { body: dropped, headers: keyed("k") });
    const first = await open();
    const replace = () =>
      server.post(`/threads/${thread}/run`, { on_busy: "stop" }, { ...keyed("k"), Prefer: "respond-async" });
    const replaced = expectJson(await replace(), 202, "result");
    expect((await running).body.status).toBe("stopped");
    expect(names(await first.rest()).at(-1)).toBe("stopped");
    const again = await (await open()).rest();
    expect(names(again).at(-1)).toBe("stopped");
    expect(again.filter(({ chunk }) => chunk.run_id === again.at(-1)?.chunk.run_id)).toHaveLength(1);
    expect(names(again)).not.toContain("start");
    await began[1]?.opened;
    expect((await replace()).headers.get("location")).toContain(replaced.run_id);
    expect((await server.get(`/threads/${thread}`)).body.status).toBe("running");
    held.open();
    expect((await server.post(`/threads/${thread}/run`, { on_busy: "stop" }, keyed("k"))).body).toMatchObject(
      {
        run_id: replaced.run_id,
        status: "completed",
      },
    );
    expect(visits).toBe(2);
  });
});
