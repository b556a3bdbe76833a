import { END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
import { expect, it, vi } from "vitest";
import { latch } from "../support/latch.js";
import { until } from "../support/poll.js";
import { stateSchema } from "../reference/helpers.js";
import { die, ref, runtime, wrapped } from "./support.js";

const graph = (pay: any, compile: any = {}) =>
  new StateGraph({ state: stateSchema })
    .addNode("PAY", pay)
    .addEdge(START, "PAY")
    .addEdge("PAY", END)
    .compile(compile);

it("a takeover whose load fails once does not strand the thread in running", async () => {
  const cp0 = new InMemoryCheckpointer();
  const began = latch();
  const a = runtime(cp0);
  graph(async () => {
    began.open();
    await new Promise(() => undefined);
  }).bind(a, "g");
  await a.start();
  await a.runs.start({ ref, graph: "g" });
  await began.opened;
  await cp0.release(ref, (await cp0.thread(ref))?.epoch ?? 0, { inFlight: true });
  let fails = 1;
  const cp = wrapped(
    {
      load: (inner, ...args) => {
        if (fails-- > 0) throw new Error("away");
        return inner.load(...args);
      },
    },
    cp0,
  );
  const b = runtime(cp, { leaseMs: 300, heartbeatMs: 20 });
  const node = vi.fn(() => ({ amount: 1 }));
  graph(node).bind(b, "g");
  await b.start().catch(() => undefined);
  await b.start();
  await until("it completes", async () => (await cp0.thread(ref))?.status === "completed", 3000);
});

it("crash_loop of a gated node remembers that it may have acted", async () => {
  const cp = new InMemoryCheckpointer();
  const began = latch();
  const a = runtime(cp);
  graph(
    async () => {
      began.open();
      await new Promise(() => undefined);
    },
    { interruptBefore: ["PAY"] },
  ).bind(a, "g");
  await a.start();
  await (await a.runs.start({ ref, graph: "g" })).outcome();
  await a.runs.resume({ ref, decision: "approve", by: "p" });
  await began.opened;
  for (let i = 0; i < 2; i++) {
    const [claim] = await die(cp, "g");
    await cp.release(ref, claim.epoch, { inFlight: true });
  }
  const pay = vi.fn();
  const b = runtime(cp);
  graph(() => void pay(), { interruptBefore: ["PAY"] }).bind(b, "g");
  await b.start();
  await until("ended", async () => (await cp.thread(ref))?.status !== "running", 3000);
  const head = await cp.thread(ref);
  expect(head?.status).toBe("error");
  const resumed: any = await b.runs.resume({ ref, by: "p" });
  const result = await resumed.outcome();
  expect(pay).not.toHaveBeenCalled();
  expect(result.interrupts).toMatchObject([{ kind: "crash" }]);
});

for (const [name, when2] of [
  [
    "throws once",
    (n: number) => {
      if (n === 1) throw new Error("lookup failed");
      return false;
    },
  ],
  ["holds now", () => true],
] as const)
  it(`a gated entry node that \`when\` let pass, and that crashed, is asked about as a crash: ${name}`, async () => {
    const cp = new InMemoryCheckpointer();
    const began = latch();
    const a = runtime(cp);
    graph(
      async () => {
        began.open();
        await new Promise(() => undefined);
      },
      { interruptBefore: [{ node: "PAY", when: () => false }] },
    ).bind(a, "g");
    await a.start();
    await a.runs.start({ ref, graph: "g" });
    await began.opened; // it has acted
    const [claim] = await die(cp, "g");
    await cp.release(ref, claim.epoch, { inFlight: true });
    const pay = vi.fn();
    let n = 0;
    const b = runtime(cp);
    graph(() => void pay(), { interruptBefore: [{ node: "PAY", when: () => when2(++n) }] }).bind(b, "g");
    await b.start();
    await until("ended", async () => (await cp.thread(ref))?.status !== "running", 3000);
    if ((await cp.thread(ref))?.status === "error")
      await ((await b.runs.resume({ ref, by: "p" })) as any).outcome();
    expect(pay).not.toHaveBeenCalled();
    const { interrupts } = await b.threads.get(ref);
    expect(interrupts).toMatchObject([{ kind: "crash" }]);
  });

it("the same with a stop that the dead process never met, and a `when` that looks something up", async () => {
  const cp = new InMemoryCheckpointer();
  const began = latch();
  const a = runtime(cp);
  graph(
    async () => {
      began.open();
      await new Promise(() => undefined);
    },
    { interruptBefore: [{ node: "PAY", when: () => false }] },
  ).bind(a, "g");
  await a.start();
  await a.runs.start({ ref, graph: "g" });
  await began.opened;
  const [claim] = await die(cp, "g");
  await cp.requestStop(ref, { mode: "now", reason: null, by: "p", at: new Date().toISOString() });
  await cp.release(ref, claim.epoch, { inFlight: true });
  const pay = vi.fn();
  const b = runtime(cp);
  graph(() => void pay(), {
    interruptBefore: [{ node: "PAY", when: () => new Promise(() => undefined) }],
  }).bind(b, "g");
  await b.start();
  await until("ended", async () => (await cp.thread(ref))?.status !== "running", 3000);
  expect((await cp.thread(ref))?.status).toBe("stopped");
  const result = await ((await b.runs.resume({ ref, by: "p" })) as any).outcome();
  expect(pay).not.toHaveBeenCalled();
  expect(result.interrupts).toMatchObject([{ kind: "crash" }]);
});
