import { describe, expect, test } from "vitest";
import type { Enqueue, RequestKey, ThreadRef, UsedKey, Write } from "../../src/checkpoint/checkpointer.js";
import { newId } from "../../src/runs/ids.js";
import {
  begin,
  commit,
  end,
  everything,
  headOf,
  loadThread,
  paused,
  recordOf,
  runOf,
  simultaneously,
  stopOf,
  type Subject,
} from "./scenes.js";
import {
  answerTo,
  cancel,
  commitStep,
  decide,
  endRun,
  freshRef,
  patchThread,
  seeing,
  startRun,
  tick,
} from "./writes.js";

const HOUR = 3_600_000;
const keyOf = (of: Partial<RequestKey> = {}, inMs = HOUR): RequestKey => ({
  key: `key-${newId()}`,
  body: `body-${newId()}`,
  expiresAt: new Date(Date.now() + inMs).toISOString(),
  ...of,
});

const keyed = (write: Write, key: RequestKey): Write => ({ ...write, key });

const waiting = (ref: ThreadRef, key: RequestKey, of: Partial<Enqueue> = {}): Enqueue => ({
  ref,
  runId: newId(),
  graph: "contract",
  recursionLimit: 25,
  metadata: {},
  request: null,
  at: tick(),
  free: false,
  stop: null,
  key,
  ...of,
});

const usedBy = (key: RequestKey, ref: ThreadRef, runId: string | null): UsedKey => ({
  body: key.body,
  threadId: ref.threadId,
  runId,
  answer: null,
  expiresAt: key.expiresAt,
});

export function requestKeysContract(subject: Subject): void {
  describe("the key of a request", () => {
    test("that nobody sent was not used", async () => {
      expect(await subject().usedKey("nobody", keyOf().key)).toBeNull();
    });

    test("is used by the write that it comes with, and names its run", async () => {
      const cp = subject();
      const [ref, key] = [freshRef(), keyOf()];
      const write = startRun(ref, 0, null);
      await commit(cp, keyed(write, key));
      expect(await cp.usedKey(ref.tenant, key.key)).toEqual(usedBy(key, ref, write.runId));
    });

    test("of a write without a run names none", async () => {
      const cp = subject();
      const { ref } = await paused(cp);
      const key = keyOf();
      await commit(cp, keyed(patchThread(await headOf(cp, ref)), key));
      expect(await cp.usedKey(ref.tenant, key.key)).toEqual(usedBy(key, ref, null));
    });

    test("is taken once: the next write with it is repeated and changes nothing (4)", async () => {
      const cp = subject();
      const [ref, key] = [freshRef(), keyOf()];
      const first = startRun(ref, 0, null);
      const mine = runOf(first, await commit(cp, keyed(first, key)));
      await end(cp, mine);
      const head = await headOf(cp, ref);
      const before = await everything(cp, ref);
      for (const write of [startRun(ref, head.seq, head), patchThread(head)])
        for (const body of [key.body, "another body"])
          expect(await cp.write(keyed(write, { ...key, body }))).toEqual({ outcome: "repeated" });
      expect(await everything(cp, ref)).toEqual(before);
      expect(await cp.usedKey(ref.tenant, key.key)).toEqual(usedBy(key, ref, mine.runId));
    });

    test("is another one in another tenant", async () => {
      const cp = subject();
      const [one, two, key] = [freshRef(), freshRef(), keyOf()];
      await commit(cp, keyed(startRun(one, 0, null), key));
      expect(await cp.usedKey(two.tenant, key.key)).toBeNull();
      const write = startRun(two, 0, null);
      await commit(cp, keyed(write, key));
      expect(await cp.usedKey(two.tenant, key.key)).toMatchObject({ runId: write.runId });
      expect(await cp.usedKey(one.tenant, key.key)).toMatchObject({ threadId: one.threadId });
    });

    test("that has expired was not used, and may be used again, without the answer of the first time", async () => {
      const cp = subject();
      const { ref } = await paused(cp);
      const old = keyOf({}, -1000);
      await commit(cp, keyed(patchThread(await headOf(cp, ref)), old));
      await cp.answerKey(ref.tenant, old.key, { said: 1 });
      expect(await cp.usedKey(ref.tenant, old.key)).toBeNull();
      const again = keyOf({ key: old.key });
      await commit(cp, keyed(patchThread(await headOf(cp, ref)), again));
      expect(await cp.usedKey(ref.tenant, old.key)).toEqual(usedBy(again, ref, null));
    });

    test("keeps the answer, once there is one", async () => {
      const cp = subject();
      const { ref } = await paused(cp);
      const [key, unused] = [keyOf(), keyOf()];
      await commit(cp, keyed(patchThread(await headOf(cp, ref)), key));
      const answer = { ok: true, list: ["\u0000", { n: 1.5 }], text: "ü\ud83d\ude00", none: null };
      await cp.answerKey(ref.tenant, key.key, answer);
      expect(await cp.usedKey(ref.tenant, key.key)).toEqual({ ...usedBy(key, ref, null), answer });
      await cp.answerKey(ref.tenant, unused.key, answer);
      expect(await cp.usedKey(ref.tenant, unused.key)).toBeNull();
    });

    test("is not used by a write that is refused", async () => {
      const cp = subject();
      const held = await paused(cp);
      const head = await headOf(cp, held.ref);
      const answer = answerTo(held.interrupt);
      const running = await begin(cp);
      const stale = commitStep({ ...running, epoch: running.epoch - 1 });
      const refused: [Write, string][] = [
        [startRun(held.ref, head.seq - 1, head), "moved"],
        [startRun(held.ref, 0, null), "moved"],
        [decide(head, [answerTo({ id: newId() }), answer]), "moved"],
        [startRun(running.ref, running.seq, await headOf(cp, running.ref)), "moved"],
        [stale, "fenced"],
      ];
      for (const [write, outcome] of refused) {
        const key = keyOf();
        expect(await cp.write(keyed(write, key))).toEqual({ outcome });
        expect(await cp.usedKey(write.ref.tenant, key.key)).toBeNull();
      }
      const key = keyOf();
      expect(await cp.enqueue(waiting(held.ref, key))).toEqual({ outcome: "moved" });
      expect(await cp.enqueue(waiting(running.ref, key, { graph: "another" }))).toEqual({ outcome: "moved" });
      expect(await cp.enqueue(waiting(running.ref, key, { free: true }))).toEqual({ outcome: "moved" });
      expect(await cp.requestStop(freshRef(), stopOf("now"), key)).toEqual({ was: "missing" });
      for (const { tenant } of [held.ref, running.ref]) expect(await cp.usedKey(tenant, key.key)).toBeNull();
      await commit(cp, keyed(decide(head, [answer]), key));
      expect(await cp.usedKey(held.ref.tenant, key.key)).toEqual(usedBy(key, held.ref, null));
    });

    test("that comes 20 times at once begins one run", async () => {
      const cp = subject();
      const [ref, key] = [freshRef(), keyOf()];
      const writes = Array.from({ length: 20 }, () => keyed(startRun(ref, 0, null), key));
      const written = await Promise.all(writes.map((write) => cp.write(write)));
      const won = writes.filter((_write, i) => written[i]?.outcome === "committed");
      expect(won).toHaveLength(1);
      for (const { outcome } of written) expect(["committed", "moved", "repeated"]).toContain(outcome);
      expect((await cp.runs(ref, { limit: 50, cursor: null })).items).toHaveLength(1);
      expect(await cp.usedKey(ref.tenant, key.key)).toEqual(usedBy(key, ref, won[0]?.runId ?? null));
    });

    test("outlives its thread, and makes no other one of its id", async () => {
      const cp = subject();
      const [ref, key] = [freshRef(), keyOf()];
      const write = startRun(ref, 0, null);
      const run = runOf(write, await commit(cp, keyed(write, key)));
      await end(cp, run);
      expect(await cp.remove(ref)).toBe("removed");
      expect(await cp.usedKey(ref.tenant, key.key)).toEqual(usedBy(key, ref, run.runId));
      const gone = await cp.load(ref);
      if (gone.head !== null) throw new Error("the thread is still there");
      expect(await cp.write(keyed(startRun(ref, gone.seq, null), key))).toEqual({ outcome: "repeated" });
      expect(await cp.enqueue(waiting(ref, key))).toEqual({ outcome: "repeated" });
      expect(await cp.requestStop(ref, stopOf("now"), key)).toEqual({ was: "missing" });
      expect(await cp.load(ref)).toEqual(gone);
      expect(await cp.thread(ref)).toBeNull();
    });
  });

  describe("the key of a request that makes a run wait", () => {
    test("is used once: sent twice it is queued, another one is repeated", async () => {
      const cp = subject();
      const key = keyOf();
      const { ref } = await begin(cp);
      const first = waiting(ref, key);
      expect(await cp.enqueue(first)).toMatchObject({ outcome: "queued" });
      expect(await cp.enqueue(first)).toMatchObject({ outcome: "queued" });
      expect(await cp.enqueue(waiting(ref, key, { stop: stopOf("now") }))).toEqual({ outcome: "repeated" });
      expect(await cp.usedKey(ref.tenant, key.key)).toEqual(usedBy(key, ref, first.runId));
      expect(await headOf(cp, ref)).toMatchObject({ queued: 1, status: "running" });
      expect((await loadThread(cp, ref)).run?.stop).toBeNull();
    });

    test("that comes 20 times at once makes one wait, also where there was no thread", async () => {
      const cp = subject();
      for (const ref of [freshRef(), (await begin(cp)).ref]) {
        const key = keyOf();
        const enqueued = await simultaneously(20, () => cp.enqueue(waiting(ref, key)));
        expect(enqueued.filter(({ outcome }) => outcome === "queued")).toHaveLength(1);
        expect((await headOf(cp, ref)).queued).toBe(1);
      }
    });
  });

  describe("the key of a stop", () => {
    test("names the run that it met, and a repeated one does not overtake the first", async () => {
      const cp = subject();
      const run = await begin(cp);
      const [key, stop] = [keyOf(), stopOf("after_step")];
      expect(await cp.requestStop(run.ref, stop, key)).toMatchObject({ was: "running", runId: run.runId });
      expect(await cp.requestStop(run.ref, stopOf("now"), key)).toEqual({ was: "repeated" });
      expect((await recordOf(cp, run)).stop).toEqual(stop);
      expect(await cp.usedKey(run.ref.tenant, key.key)).toEqual(usedBy(key, run.ref, run.runId));
    });

    test("does not stop the next run of the thread", async () => {
      const cp = subject();
      const run = await begin(cp);
      const key = keyOf();
      await cp.requestStop(run.ref, stopOf("now"), key);
      await commit(cp, seeing(endRun(run, "stopped"), "now"));
      const next = await begin(cp, { ref: run.ref });
      expect(await cp.requestStop(run.ref, stopOf("now"), key)).toEqual({ was: "repeated" });
      expect((await recordOf(cp, next)).stop).toBeNull();
    });

    test("names no run where none was running, and does not take a later queue with it", async () => {
      const cp = subject();
      const run = await begin(cp);
      await end(cp, run);
      const [idle, queued] = [keyOf(), keyOf()];
      expect(await cp.requestStop(run.ref, stopOf("now"), idle)).toEqual({ was: "not-running" });
      expect(await cp.usedKey(run.ref.tenant, idle.key)).toEqual(usedBy(idle, run.ref, null));
      const waits = waiting(run.ref, keyOf());
      await cp.enqueue(waits);
      expect(await cp.requestStop(run.ref, stopOf("now"), idle)).toEqual({ was: "repeated" });
      expect(await headOf(cp, run.ref)).toMatchObject({ status: "queued", queued: 1 });
      expect(await cp.requestStop(run.ref, stopOf("now"), queued)).toEqual({
        was: "queued",
        dropped: [waits.runId],
      });
      expect(await cp.usedKey(run.ref.tenant, queued.key)).toEqual(usedBy(queued, run.ref, null));
    });

    test("is left to the write that cancels what a paused thread waits for", async () => {
      const cp = subject();
      const { ref, interrupt } = await paused(cp);
      const key = keyOf();
      expect(await cp.requestStop(ref, stopOf("now"), key)).toEqual({ was: "interrupted" });
      expect(await cp.usedKey(ref.tenant, key.key)).toBeNull();
      await commit(cp, keyed(cancel(await headOf(cp, ref), [interrupt]), key));
      expect(await cp.requestStop(ref, stopOf("now"), key)).toEqual({ was: "repeated" });
      expect(await cp.usedKey(ref.tenant, key.key)).toEqual(usedBy(key, ref, null));
    });

    test("that comes 20 times at once is taken once", async () => {
      const cp = subject();
      const run = await begin(cp);
      const key = keyOf();
      const stops = await simultaneously(20, (i) =>
        cp.requestStop(run.ref, stopOf("now", { by: `person-${i}` }), key),
      );
      expect(stops.filter(({ was }) => was === "running")).toHaveLength(1);
      expect(stops.filter(({ was }) => was === "repeated")).toHaveLength(19);
      const taken = stops.findIndex(({ was }) => was === "running");
      expect((await recordOf(cp, run)).stop?.by).toBe(`person-${taken}`);
    });
  });
}
