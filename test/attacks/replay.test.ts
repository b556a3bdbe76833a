import { InMemoryCheckpointer } from "holdpoint";
import { expect, it } from "vitest";
import { settled } from "../support/latch.js";
import { line } from "../reference/helpers.js";
import { ref, runtime } from "./support.js";

it("a run that replaces an old message: its result is the same when read again", async () => {
  const cp = new InMemoryCheckpointer();
  const rt = runtime(cp);
  line({ A: () => ({ messages: [{ id: "old", role: "assistant", content: "new words" }] }) }).bind(rt, "g");
  await rt.start();
  await (
    await rt.runs.start({
      ref,
      graph: "g",
      input: { messages: [{ id: "old", role: "user", content: "first" }] },
    })
  ).outcome();
  const handle = await rt.runs.start({ ref, graph: "g", input: { messages: ["hello"] } });
  const first = await handle.outcome();
  const again = (await rt.threads.run(ref, handle.runId)).result;
  expect(first.messages.map((m) => m.content)).toEqual(["hello", "new words"]);
  expect(again.messages.map((m) => m.content)).toEqual(["hello", "new words"]);
});

it("every event is replayed as it was seen live", async () => {
  const cp = new InMemoryCheckpointer();
  const rt = runtime(cp);
  line(
    {
      A: async function* (_s: any, ctx: any) {
        ctx.emit("x", 1);
        yield "he";
        yield "llo";
      } as any,
      B: async (_s, ctx) => {
        const [a] = await Promise.all([ctx.interrupt({ message: "a" }), ctx.interrupt({ message: "b" })]);
        return { log: [String(a.data)] };
      },
    },
    { interruptAfter: ["A"] },
  ).bind(rt, "g");
  await rt.start();
  const seen: any[] = [];
  const abort = new AbortController();
  const all = (async () => {
    for await (const e of rt.runs.reader.events(ref, 0, { signal: abort.signal })) seen.push(e);
  })();
  await (await rt.runs.start({ ref, graph: "g", input: { messages: ["hi"] } })).outcome();
  const r2: any = await (
    (await rt.runs.resume({ ref, decision: "edit", state: { amount: 3 }, messages: ["go"], by: "p" })) as any
  ).outcome();
  const [a] = r2.interrupts;
  await rt.runs.resume({ ref, interruptId: a.id, decision: "respond", data: 1, messages: ["m1"], by: "p" });
  await rt.runs.stop(ref, { by: "p" });
  const r3: any = await ((await rt.runs.resume({ ref, by: "p" })) as any).outcome();
  await (
    (await rt.runs.resume({
      ref,
      interruptId: r3.interrupts[0].id,
      decision: "respond",
      data: 2,
      messages: ["m2"],
      by: "p",
    })) as any
  ).outcome();
  await settled();
  abort.abort();
  await all;
  const replay: any[] = [];
  for await (const e of rt.runs.reader.events(ref, 0, { idle: async () => true })) replay.push(e);
  const logged = seen.filter((e) => replay.some((r) => r.seq === e.seq));
  expect(seen.map((e) => e.seq)).toEqual([...seen.map((e) => e.seq)].sort((x, y) => x - y));
  expect(replay.map((e) => e.seq)).toEqual(logged.map((e) => e.seq));
  expect(replay).toEqual(logged);
  const runs = new Map<string, string[]>();
  for (const e of replay) if (e.runId) runs.set(e.runId, [...(runs.get(e.runId) ?? []), e.eventType]);
  for (const types of runs.values()) expect(types.at(-1)).toMatch(/^(interrupted|stopped|error|end)$/);
});

it("a pause leaves nothing of its attempt in memory", async () => {
  const v8 = await import("node:v8");
  const vm = await import("node:vm");
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc") as () => void;
  const app = line({
    ASK: async (_s, ctx) => {
      const heavy = { bytes: new Uint8Array(1_000_000) };
      refs.push(new WeakRef(heavy));
      await ctx.interrupt({ message: "?" });
      heavy.bytes[0] = 1;
    },
  });
  const refs: WeakRef<object>[] = [];
  for (let i = 0; i < 20; i++) {
    await app.invoke({}, { threadId: `t${i}` });
    await app.resume({ decision: "approve" }, { threadId: `t${i}` });
  }
  for (let i = 0; i < 5; i++) {
    await settled();
    gc();
  }
  // The second attempt of each thread has ended: only the first ones, which are paused for ever, could be held.
  expect(refs.filter((r) => r.deref() !== undefined).length).toBeLessThan(5);
});
