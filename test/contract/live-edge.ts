import { describe, expect, test } from "vitest";
import type { LiveBatch, LiveEdge, ThreadRef } from "../../src/checkpoint/checkpointer.js";
import type { RunEvent } from "../../src/engine/index.js";
import { begin, claimUntil, end, headOf, newWorker, step, type Subject } from "./scenes.js";
import { freshRef } from "./writes.js";

// What is in an event is not looked at; a few texts that are hard to store.
const eventOf = (seq: number): RunEvent =>
  ({ seq, eventType: "delta", content: `${seq} "' \\ \u0000 \ud800 \u2028 {a,b} é` }) as RunEvent;
const seqsOf = (events: readonly RunEvent[]): number[] => events.map(({ seq }) => seq);

function batch(ref: ThreadRef, ...seqs: number[]): LiveBatch {
  return { ref, seq: seqs.at(-1) ?? 0, events: seqs.map((seq) => JSON.stringify(eventOf(seq))) };
}

/** For adapters whose storage several processes may share. */
export function liveEdgeContract(subject: Subject): void {
  const edge = (): LiveEdge => {
    const { liveEdge } = subject();
    if (liveEdge === null) throw new Error("there is none");
    return liveEdge;
  };
  const read = async (ref: ThreadRef, after = 0): Promise<number[]> =>
    seqsOf((await edge().read(ref, after))?.events ?? []);

  describe("live events on their way to other processes", () => {
    test("are given whole and in order, with the thread's seq, above that and above what was asked for", async () => {
      const { ref, seq } = await begin(subject());
      await edge().write([batch(ref, seq + 1, seq + 2)], []);
      await edge().write([batch(ref, seq + 3)], []);
      const all = await edge().read(ref, 0);
      expect(all).toEqual({ seq, events: [1, 2, 3].map((i) => eventOf(seq + i)), more: false });
      expect(all?.events.every((event) => Object.isFrozen(event))).toBe(true);
      expect(await read(ref, seq + 1)).toEqual([seq + 2, seq + 3]);
      expect(await read(ref, seq + 3)).toEqual([]);
    });

    test("of many threads and tenants are written together, and kept apart", async () => {
      const runs = [await begin(subject()), await begin(subject())];
      await edge().write(
        runs.map(({ ref, seq }, i) => batch(ref, ...Array.from({ length: i + 1 }, (_, n) => seq + 1 + n))),
        [],
      );
      expect((await read(runs[0]?.ref ?? freshRef())).length).toBe(1);
      expect((await read(runs[1]?.ref ?? freshRef())).length).toBe(2);
    });

    test("are there for no reader once their step is committed, whether they were taken away or not", async () => {
      const run = await begin(subject());
      await edge().write([batch(run.ref, run.seq + 1, run.seq + 2)], []);
      const next = await step(subject(), run, { events: [{}, {}, {}] });
      // One that comes too late.
      await edge().write([batch(run.ref, run.seq + 3)], []);
      expect(await edge().read(run.ref, 0)).toEqual({ seq: next.seq, events: [], more: false });
      await edge().write([batch(run.ref, next.seq + 1)], [{ ref: run.ref, seq: next.seq }]);
      expect(await read(run.ref)).toEqual([next.seq + 1]);
    });

    test("of a process that lost the run are below what the next one may number", async () => {
      const cp = subject();
      const owner = newWorker(1);
      await cp.beat(owner);
      const graph = `graph-${owner.id}`;
      const run = await begin(cp, { graph, worker: owner.id });
      const { limit } = await headOf(cp, run.ref);
      await edge().write([batch(run.ref, run.seq + 1)], []);
      const heir = newWorker(60_000);
      await cp.beat(heir);
      await claimUntil(cp, heir, [graph]);
      await edge().write([batch(run.ref, run.seq + 2)], []);
      expect(await edge().read(run.ref, 0)).toEqual({ seq: limit, events: [], more: false });
    });

    test("come in bounded portions that say whether more may follow", async () => {
      const { ref, seq } = await begin(subject());
      const count = 130;
      for (let i = 1; i <= count; i++) await edge().write([batch(ref, seq + i)], []);
      const got: number[] = [];
      let portions = 0;
      for (let more = true; more; portions++) {
        const page = await edge().read(ref, got.at(-1) ?? 0);
        got.push(...seqsOf(page?.events ?? []));
        more = page?.more ?? false;
      }
      expect(got).toEqual(Array.from({ length: count }, (_, i) => seq + 1 + i));
      expect(portions).toBeGreaterThan(1);
    });

    test("go with their thread, and are swept where nobody is given them any more", async () => {
      const cp = subject();
      const gone = await begin(cp);
      const live = await begin(cp);
      await edge().write([batch(gone.ref, gone.seq + 1), batch(live.ref, live.seq + 1)], []);
      await end(cp, gone);
      expect(await cp.remove(gone.ref)).toBe("removed");
      expect(await edge().read(gone.ref, 0)).toBeNull();
      // Nothing of it is left but what comes from a process that does not know yet.
      while ((await edge().sweep(100)) > 0);
      await edge().write([batch(gone.ref, gone.seq + 2)], []);
      expect(await edge().sweep(100)).toBe(1);
      expect(await edge().sweep(100)).toBe(0);
      expect(await read(live.ref)).toEqual([live.seq + 1]);
    });
  });
}
