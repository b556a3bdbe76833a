/** Interrupts that nobody answers in time. Deadlines are short and nobody asserts how short: outcomes are waited for. */
import { START, END, StateGraph, type Checkpointer, type NodeContext } from "holdpoint";
import { describe, expect, it, onTestFinished } from "vitest";
import { z } from "zod";
import { latch } from "../support/latch.js";
import {
  expectJson,
  expectProblem,
  onEveryStorage,
  serve,
  STORAGES,
  unique,
  type Body,
  type TestServer,
} from "../support/http-server.js";
import { until } from "../support/poll.js";
import { openStream, type Frame } from "../support/sse.js";
import { refund, single } from "./graphs.js";

const LATER = "1h";
type OnExpiry = "approve" | "deny" | "fail";

/** The refund, which waits so long before it pays. */
const expiring = (of: { expiresIn: "30ms" | "1h"; onExpiry?: OnExpiry }, paid: number[]) =>
  refund((amount) => paid.push(amount), {
    interruptBefore: [{ node: "PAY", onDeny: "REFUSE", ...of }],
  });

async function held(server: TestServer, of: Parameters<typeof expiring>[0]) {
  const paid: number[] = [];
  const graph = server.add(expiring(of, paid));
  const thread = unique("t");
  const run = await server.post(`/threads/${thread}/run`, { graph, input: { amount: 7 } });
  const [interrupt] = expectJson(run, 200, "result").interrupts;
  return { paid, thread, interrupt, id: interrupt.id as string };
}

const whenNot = (server: TestServer, thread: string, ...statuses: string[]): Promise<Body> =>
  until(`the thread is not ${statuses.join(", ")}`, async () => {
    const { body } = await server.get(`/threads/${thread}`);
    return statuses.includes(body.status as string) ? null : (body as object);
  });
const settled = (server: TestServer, thread: string) =>
  whenNot(server, thread, "interrupted_before", "interrupted_after", "running");

/** Everything that the thread has told. */
const told = async (server: TestServer, thread: string): Promise<Frame[]> =>
  (await openStream(`${server.url}/threads/${thread}/stream?after=0`)).rest();

onEveryStorage("a hold point that nobody answers", (server) => {
  it("says when it expires", async () => {
    const { interrupt } = await held(server, { expiresIn: LATER, onExpiry: "deny" });
    expect(Date.parse(interrupt.expires_at as string)).toBe(
      Date.parse(interrupt.created_at as string) + 3_600_000,
    );
    const plain = server.add(refund(() => undefined, { interruptBefore: ["PAY"] }));
    const run = await server.post(`/threads/${unique("t")}/run`, { graph: plain });
    expect(run.body.interrupts[0].expires_at).toBeNull();
  });

  it.each([
    { onExpiry: "approve" as const, paid: [7], said: "Paid 7." },
    { onExpiry: "deny" as const, paid: [], said: "No: no reason" },
  ])("goes on as if somebody had said $onExpiry, once", async ({ onExpiry, said, ...expected }) => {
    const { paid, thread, id } = await held(server, { expiresIn: "30ms", onExpiry });
    expect(await settled(server, thread)).toMatchObject({ status: "completed", interrupts: [] });
    expect(paid).toEqual(expected.paid);
    const interrupt = expectJson(await server.get(`/interrupts/${id}`), 200, "interrupt");
    expect(interrupt).toMatchObject({
      status: "expired",
      decision: { decision: onExpiry, by: "expiry", data: null, messages: [] },
    });
    const { items: runs } = (await server.get(`/threads/${thread}/runs`)).body;
    expect(runs).toHaveLength(2);
    expect(runs[0]).toMatchObject({ status: "completed", decision: { decision: onExpiry, by: "expiry" } });
    expect(runs[0].messages.at(-1).content).toBe(said);
    const { items: expired } = (await server.get("/interrupts?status=expired&limit=200")).body;
    expect(expired.map((each: Body) => each.id as string)).toContain(id);

    const late = await server.post(`/interrupts/${id}/decision`, { decision: onExpiry });
    expect(expectProblem(late, 410, "interrupt_expired").decision).toEqual(interrupt.decision);
    const named = { interrupt_id: id, decision: "approve" };
    expectProblem(await server.post(`/threads/${thread}/resume`, named), 410, "interrupt_expired");
    expect(paid).toEqual(expected.paid);
  });

  it("fails its thread where nothing else is said; a resume asks again, with a new deadline", async () => {
    const { paid, thread, interrupt, id } = await held(server, { expiresIn: "30ms" });
    expect(await settled(server, thread)).toMatchObject({ status: "error", current_node: "PAY" });
    const old = expectJson(await server.get(`/interrupts/${id}`), 200, "interrupt");
    expect(old).toMatchObject({ status: "expired", decision: null });
    const [failed] = (await server.get(`/threads/${thread}/runs`)).body.items;
    expect(failed).toMatchObject({
      status: "error",
      interrupts: [],
      next_nodes: ["PAY"],
      error: { code: "interrupt_expired", node: "PAY", path: ["PAY"], step: 1 },
    });
    const late = await server.post(`/interrupts/${id}/decision`, { decision: "approve" });
    expectProblem(late, 410, "interrupt_expired");

    const again = expectJson(await server.post(`/threads/${thread}/resume`), 200, "result");
    expect(again.status).toBe("interrupted_before");
    expect(again.interrupts[0].id).not.toBe(id);
    expect(Date.parse(again.interrupts[0].expires_at as string)).toBeGreaterThan(
      Date.parse(interrupt.expires_at as string),
    );
    expect(await settled(server, thread)).toMatchObject({ status: "error" });
    expect(paid).toEqual([]);
  });

  it("tells its readers: the decision, then the run that goes on", async () => {
    const { thread, id } = await held(server, { expiresIn: "30ms", onExpiry: "approve" });
    await settled(server, thread);
    const events = await told(server, thread);
    const types = events.map(({ name }) => name);
    expect(types.slice(types.indexOf("interrupted"))).toEqual([
      "interrupted",
      "decision",
      "start",
      "progress",
      "message",
      "update",
      "end",
    ]);
    const decision = events.find(({ name }) => name === "decision")?.chunk;
    expect(decision.content).toBe("approve, by expiry");
    expect(decision.data).toMatchObject({
      interrupt: { id, status: "expired" },
      decision: { decision: "approve", by: "expiry" },
    });
  });

  it("tells its readers of a failure: the decision without an answer, and the run that ends of it", async () => {
    const { thread, id } = await held(server, { expiresIn: "30ms" });
    await settled(server, thread);
    const events = await told(server, thread);
    const since = events.slice(events.findIndex(({ name }) => name === "interrupted") + 1);
    expect(since.map(({ name }) => name)).toEqual(["decision", "start", "failed"]);
    const [decision, , failed] = since.map(({ chunk }) => chunk);
    expect(decision.data).toMatchObject({ interrupt: { id, status: "expired" }, decision: null });
    expect(failed.data.result.error.code).toBe("interrupt_expired");
  });

  it("is asked again after a stop, and in a fork, each with a deadline of its own", async () => {
    const { thread, interrupt } = await held(server, { expiresIn: LATER });
    const { body: history } = await server.get(`/threads/${thread}/checkpoints`);
    const fork = await server.post(`/threads/${thread}/fork`, {
      checkpoint_id: history.items[0].checkpoint_id,
    });
    await server.post(`/threads/${thread}/stop`);
    for (const each of [thread, fork.body.thread_id as string]) {
      const [asked] = (await server.post(`/threads/${each}/resume`)).body.interrupts;
      expect(asked.expires_at, each).not.toBeNull();
      expect(Date.parse(asked.expires_at as string)).toBeGreaterThan(
        Date.parse(interrupt.expires_at as string),
      );
    }
  });

  it("shows in the graph how long it waits", async () => {
    const graph = server.add(expiring({ expiresIn: "30ms", onExpiry: "deny" }, []));
    const { hold_points: holds } = expectJson(await server.get(`/graphs/${graph}`), 200, "graph");
    expect(holds).toMatchObject([{ node: "PAY", expires_in_ms: 30, on_expiry: "deny" }]);
  });
});

/** Two nodes at once, each behind a hold point. */
function branches(a: object, b: object, done: string[]) {
  const both = new StateGraph({ state: z.object({}) })
    .addNode("A", () => void done.push("A"))
    .addNode("B", () => void done.push("B"))
    .addEdge(START, "A")
    .addEdge(START, "B")
    .addEdge("A", END)
    .addEdge("B", END);
  return both.compile({
    interruptBefore: [
      { node: "A", ...a },
      { node: "B", ...b },
    ],
  });
}

onEveryStorage("of several questions", (server) => {
  async function asked(a: object, b: object) {
    const done: string[] = [];
    const graph = server.add(branches(a, b, done));
    const thread = unique("t");
    const { body } = await server.post(`/threads/${thread}/run`, { graph });
    const [one, two] = body.interrupts.map((each: Body) => each.id as string) as [string, string];
    return { done, thread, one, two };
  }
  const expiredOne = (id: string) =>
    until("one has expired", async () => (await server.get(`/interrupts/${id}`)).body.status === "expired");

  it("one that expires leaves the other open, and its answer is the last", async () => {
    const { done, thread, one, two } = await asked({ expiresIn: "30ms", onExpiry: "deny" }, {});
    await expiredOne(one);
    const { body } = await server.get(`/threads/${thread}`);
    expect(body).toMatchObject({ status: "interrupted_before", interrupts: [{ id: two }] });
    const ended = await server.post(`/interrupts/${two}/decision`, { decision: "approve" });
    expect(expectJson(ended, 200, "result").status).toBe("completed");
    expect(done).toEqual(["B"]);
  });

  it("those that are open when one fails are cancelled", async () => {
    const { done, thread, two } = await asked({ expiresIn: "30ms" }, {});
    await settled(server, thread);
    expect((await server.get(`/interrupts/${two}`)).body).toMatchObject({
      status: "cancelled",
      decision: null,
    });
    const late = await server.post(`/interrupts/${two}/decision`, { decision: "approve" });
    expectProblem(late, 409, "interrupt_cancelled");
    expect((await server.post(`/threads/${thread}/resume`)).body.interrupts).toHaveLength(2);
    expect(done).toEqual([]);
  });
});

onEveryStorage("a question inside a node that nobody answers", (server) => {
  async function ask(onExpiry: OnExpiry) {
    const heard: unknown[] = [];
    const node = async (_state: unknown, ctx: NodeContext) => {
      try {
        const { decision, by } = await ctx.interrupt({ message: "Now?", expiresIn: "30ms", onExpiry });
        heard.push([decision, by]);
      } catch (error) {
        heard.push((error as { answer: { by: string } }).answer.by);
        return "No then.";
      }
      return "Done.";
    };
    const thread = unique("t");
    await server.post(`/threads/${thread}/run`, { graph: server.add(single(node)) });
    const { status } = await settled(server, thread);
    return { status: status as string, heard };
  }

  it("is answered, denied, or fails", async () => {
    expect(await ask("approve")).toEqual({ status: "completed", heard: [["approve", "expiry"]] });
    expect(await ask("deny")).toEqual({ status: "completed", heard: ["expiry"] });
    expect(await ask("fail")).toEqual({ status: "error", heard: [] });
  });

  it("fails its node where its deadline is none", async () => {
    const node = (_state: unknown, ctx: NodeContext) =>
      ctx.interrupt({ message: "Now?", expiresIn: "soon" as "1s" });
    const { body } = await server.post(`/threads/${unique("t")}/run`, {
      graph: server.add(single(node as never)),
    });
    expect(body.error).toMatchObject({
      code: "node_failed",
      message: expect.stringContaining("soon") as string,
    });
  });
});

/** A storage whose writes can be held back by what they decide, and on which no deadline comes before it is let. */
function staged(inner: Checkpointer) {
  const held = new Map<string, { arrived: ReturnType<typeof latch>; go: ReturnType<typeof latch> }>();
  const deadlines = latch();
  const upkeep = new Proxy(inner.upkeep, {
    get(target, name) {
      if (name !== "dueTimers") return (Reflect.get(target, name) as () => unknown).bind(target);
      return async (claim: Parameters<typeof target.dueTimers>[0]) => {
        await deadlines.opened;
        return target.dueTimers(claim);
      };
    },
  });
  const checkpointer = new Proxy(inner, {
    get(target, name) {
      if (name === "upkeep") return upkeep;
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      if (name !== "write") return value.bind(target) as unknown;
      return async (write: Parameters<Checkpointer["write"]>[0]) => {
        const [first] = write.decide;
        const by = first === undefined ? "" : first.status === "resolved" ? "answer" : first.status;
        const stage = held.get(by);
        stage?.arrived.open();
        await stage?.go.opened;
        return target.write(write);
      };
    },
  });
  /** Writes that decide so wait until `go`. */
  const hold = (by: "answer" | "expired" | "cancelled") => {
    const stage = { arrived: latch(), go: latch() };
    held.set(by, stage);
    return { arrived: stage.arrived.opened, go: () => stage.go.open() };
  };
  return { checkpointer, hold, letExpire: () => deadlines.open() };
}

describe.each(STORAGES)("a deadline against people on %s", (_name, make) => {
  async function scene(of: Parameters<typeof expiring>[0]) {
    const { checkpointer, hold, letExpire } = staged(await make());
    const server = await serve({}, { checkpointer });
    onTestFinished(async () => {
      letExpire();
      await server.close();
    });
    return { server, hold, letExpire, start: () => held(server, of) };
  }
  const decided = async (server: TestServer, thread: string) =>
    (await told(server, thread)).filter(({ name }) => name === "decision");

  it("that comes while its expiry is being written wins: it is paid as the person said, once", async () => {
    const { server, hold, letExpire, start } = await scene({ expiresIn: "30ms", onExpiry: "approve" });
    const expiry = hold("expired");
    const { paid, thread, id } = await start();
    letExpire();
    await expiry.arrived;
    const answer = await server.post(`/interrupts/${id}/decision`, { decision: "approve" });
    expect(expectJson(answer, 200, "result").decision.by).toBe("anonymous");
    expiry.go();
    expect((await server.get(`/interrupts/${id}`)).body).toMatchObject({ status: "resolved" });
    await server.close();
    expect(paid).toEqual([7]);
    expect(thread).not.toBe("");
  });

  it("that comes first refuses the answer that was on its way: it is paid once, and the answer is 410", async () => {
    const { server, hold, letExpire, start } = await scene({ expiresIn: "30ms", onExpiry: "approve" });
    const answers = hold("answer");
    const { paid, thread, id } = await start();
    const answer = server.post(`/interrupts/${id}/decision`, { decision: "deny" });
    await answers.arrived;
    letExpire();
    await settled(server, thread);
    answers.go();
    expect(expectProblem(await answer, 410, "interrupt_expired").decision.by).toBe("expiry");
    expect(paid).toEqual([7]);
    expect(await decided(server, thread)).toHaveLength(1);
  });

  it("and a stop: the stop that comes first cancels, and nothing is paid", async () => {
    const { server, hold, letExpire, start } = await scene({ expiresIn: "30ms", onExpiry: "approve" });
    const expiry = hold("expired");
    const { paid, thread, id } = await start();
    letExpire();
    await expiry.arrived;
    const stopped = expectJson(await server.post(`/threads/${thread}/stop`), 200, "receipt");
    expect(stopped.cancelled_interrupts).toEqual([id]);
    expiry.go();
    expect(await decided(server, thread)).toHaveLength(1);
    await server.close();
    expect(paid).toEqual([]);
  });

  it("and a stop: the expiry that comes first is done, and the stop finds what it has led to", async () => {
    const { server, hold, letExpire, start } = await scene({ expiresIn: "30ms", onExpiry: "deny" });
    const cancelling = hold("cancelled");
    const { paid, thread, id } = await start();
    const stop = server.post(`/threads/${thread}/stop`);
    await cancelling.arrived;
    letExpire();
    await settled(server, thread);
    cancelling.go();
    expect(expectJson(await stop, 200, "receipt")).toMatchObject({
      running: false,
      cancelled_interrupts: [],
    });
    expect((await server.get(`/interrupts/${id}`)).body.status).toBe("expired");
    expect((await server.get(`/threads/${thread}`)).body.status).toBe("completed");
    expect(await decided(server, thread)).toHaveLength(1);
    expect(paid).toEqual([]);
  });

  it("an answer past the deadline is taken as long as nobody has acted on that", async () => {
    const { server, letExpire, start } = await scene({ expiresIn: "30ms" });
    const { id, interrupt, paid } = await start();
    const deadline = Date.parse(interrupt.expires_at as string);
    await until("the deadline has come", () => Date.now() > deadline);
    const answer = await server.post(`/interrupts/${id}/decision`, { decision: "approve" });
    const result = expectJson(answer, 200, "result");
    expect(result.status).toBe("completed");
    expect(Date.parse(result.decision.at as string)).toBeGreaterThan(deadline);
    letExpire();
    await server.close();
    expect(paid).toEqual([7]);
  });

  it("of one of two questions fails the thread; what was answered before stays answered", async () => {
    const { server, letExpire } = await scene({ expiresIn: LATER });
    const done: string[] = [];
    const graph = server.add(branches({ expiresIn: "30ms" }, {}, done));
    const thread = unique("t");
    const { interrupts } = (await server.post(`/threads/${thread}/run`, { graph })).body;
    const [one, two] = interrupts.map((each: Body) => each.id as string) as [string, string];
    expect((await server.post(`/interrupts/${two}/decision`, { decision: "approve" })).status).toBe(202);
    letExpire();
    expect(await settled(server, thread)).toMatchObject({ status: "error" });
    expect(done).toEqual([]);
    expect((await server.get(`/interrupts/${two}`)).body.status).toBe("resolved");
    const again = (await server.post(`/threads/${thread}/resume`)).body;
    expect(again.interrupts).toMatchObject([{ node: "A" }]);
    expect(again.interrupts[0].id).not.toBe(one);
  });
});
