import { describe, expect, test } from "vitest";
import { NO_HOLDS } from "../../src/engine/index.js";
import { ALL, begin, commit, end, everything, headOf, loadThread, paused, simultaneously } from "./scenes.js";
import type { Subject } from "./scenes.js";
import {
  answerTo,
  checkpointOf,
  commitStep,
  createThread,
  freshRef,
  patchThread,
  placed,
  startRun,
} from "./writes.js";

export function threadsContract(subject: Subject): void {
  test("the storage answers, says what it is, and may be opened again", async () => {
    const cp = subject();
    const ref = freshRef();
    await commit(cp, createThread(ref));
    await cp.open();
    await cp.ping();
    expect(cp.describe).not.toBe("");
    expect((await headOf(cp, ref)).threadId).toBe(ref.threadId);
  });

  test("threads that are loaded at the same time are each itself, also those that are not there and ids that nothing has", async () => {
    const cp = subject();
    const refs = Array.from({ length: 5 }, () => freshRef());
    for (const ref of refs) await begin(cp, { ref });
    const others = [freshRef(), { ...freshRef(), threadId: "no\u0000id" }, freshRef()];
    const asked = [refs[4], others[0], refs[0], refs[0], others[1], refs[3], others[2], refs[1]];
    const loaded = await Promise.all(asked.map((ref) => cp.load(ref ?? freshRef())));
    expect(loaded.map(({ head }) => head?.threadId ?? null)).toEqual(
      asked.map((ref) => (ref !== undefined && refs.includes(ref) ? ref.threadId : null)),
    );
    for (const [i, ref] of asked.entries())
      if (ref !== undefined) expect(await cp.load(ref)).toEqual(loaded[i]);
  });

  describe("a thread that is not there", () => {
    test("has no head and begins at 0", async () => {
      const cp = subject();
      const ref = freshRef();
      expect(await cp.load(ref)).toEqual({ head: null, seq: 0 });
      expect(await cp.thread(ref)).toBeNull();
    });

    test("reads as empty", async () => {
      const cp = subject();
      const ref = freshRef();
      const empty = { items: [], next: null };
      expect(await cp.log(ref, 0, 10)).toEqual([]);
      expect(await cp.loadAt(ref, { seq: 10 })).toBeNull();
      expect(await cp.loadAt(ref, { id: "none" })).toBeNull();
      expect(await cp.run(ref, "none")).toBeNull();
      expect(await cp.runs(ref, ALL)).toEqual(empty);
      expect(await cp.messages(ref, ALL)).toEqual(empty);
      expect(await cp.runMessages(ref, "none")).toEqual([]);
      expect(await cp.checkpoints(ref, ALL)).toEqual(empty);
      expect(await cp.openedAt(ref, 1)).toEqual([]);
      expect(await cp.interrupt(ref.tenant, "none")).toBeNull();
      expect(await cp.decisionRecords(ref)).toEqual([]);
    });

    test("takes no write but its creation: between runs it is moved, a run's is fenced", async () => {
      const cp = subject();
      const run = await begin(cp);
      const ref = freshRef();
      const head = { ...(await headOf(cp, run.ref)), ...ref };
      expect(await cp.write(patchThread(head))).toEqual({ outcome: "moved" });
      expect(await cp.write(commitStep({ ...run, ref }))).toEqual({ outcome: "fenced" });
      expect(await cp.reserve(ref, 1, 100)).toBe(false);
      expect(await cp.record(ref, 1, { taskId: "t", key: "k", value: 1 })).toBe(false);
      expect(await cp.release(ref, 1, { inFlight: false })).toBe(false);
      expect(await cp.thread(ref)).toBeNull();
    });
  });

  describe("creating a thread", () => {
    test("makes one that is idle and empty, with its metadata", async () => {
      const cp = subject();
      const ref = freshRef();
      const at = "2026-02-03T04:05:06.789Z";
      await commit(cp, createThread(ref, { metadata: { customer: "c1" }, graph: "g", at }));
      const { head, ...rest } = await loadThread(cp, ref);
      expect(head).toEqual({
        ...ref,
        graph: "g",
        status: "idle",
        metadata: { customer: "c1" },
        runId: null,
        epoch: head.epoch,
        seq: 0,
        limit: 0,
        step: 0,
        checkpointId: null,
        currentNode: null,
        nextNodes: [],
        interruptReason: null,
        logFloor: 0,
        queued: 0,
        createdAt: at,
        updatedAt: at,
      });
      expect(rest).toEqual({
        snapshot: { step: 0, values: {}, messages: [], position: { tasks: [], holds: NO_HOLDS } },
        run: null,
        interrupts: [],
        records: [],
        sinceValues: { bytes: 0, size: 0 },
      });
      expect(await cp.thread(ref)).toEqual(head);
    });

    test("twice is moved, and the first stays as it was", async () => {
      const cp = subject();
      const ref = freshRef();
      await commit(cp, createThread(ref, { metadata: { n: 1 } }));
      const before = await everything(cp, ref);
      expect(await cp.write(createThread(ref, { metadata: { n: 2 } }))).toEqual({ outcome: "moved" });
      expect(await cp.write(startRun(ref, 0, null))).toEqual({ outcome: "moved" });
      expect(await everything(cp, ref)).toEqual(before);
    });

    test("20 times at once, one creation is committed", async () => {
      const cp = subject();
      const ref = freshRef();
      const written = await simultaneously(20, (n) => cp.write(createThread(ref, { metadata: { n } })));
      const winners = written.flatMap(({ outcome }, n) => (outcome === "committed" ? [n] : []));
      expect(winners).toHaveLength(1);
      expect((await headOf(cp, ref)).metadata).toEqual({ n: winners[0] });
    });

    test("at a seq that is not its beginning is moved and makes nothing", async () => {
      const cp = subject();
      const ref = freshRef();
      expect(await cp.write(createThread(ref, { from: 7 }))).toEqual({ outcome: "moved" });
      expect(await cp.load(ref)).toEqual({ head: null, seq: 0 });
    });

    test("with a decision of an interrupt that is not its own is moved and makes nothing (4)", async () => {
      const cp = subject();
      const { interrupt } = await paused(cp);
      const ref = freshRef();
      const write = startRun(ref, 0, null, { decide: [answerTo(interrupt)] });
      expect(await cp.write(write)).toEqual({ outcome: "moved" });
      expect(await cp.load(ref)).toEqual({ head: null, seq: 0 });
    });
  });

  describe("a write between runs", () => {
    test("changes state and messages and leaves the run alone", async () => {
      const cp = subject();
      const run = await begin(cp);
      await end(cp, run, "stopped");
      const before = await loadThread(cp, run.ref);
      const message = placed(0);
      const write = patchThread(before.head, {
        checkpoint: checkpointOf({ source: "patch", ops: [["set", "n", 5]] }),
        messages: [message],
      });
      expect(await cp.write(write)).toMatchObject({ outcome: "committed", epoch: run.epoch });
      const after = await loadThread(cp, run.ref);
      expect(after.snapshot).toEqual({
        ...before.snapshot,
        values: { n: 5 },
        messages: [message.message],
      });
      expect(after.run).toEqual(before.run);
      expect(after.head).toEqual({
        ...before.head,
        seq: write.seq,
        limit: write.limit,
        checkpointId: write.checkpoint?.id,
        updatedAt: write.at,
      });
    });

    test("that builds on an old seq, or on one to come, is moved and changes nothing (4)", async () => {
      const cp = subject();
      const run = await begin(cp);
      await end(cp, run);
      const head = await headOf(cp, run.ref);
      const before = await everything(cp, run.ref);
      for (const seq of [head.seq - 1, head.seq + 1])
        expect(await cp.write(patchThread({ ...head, seq }))).toEqual({ outcome: "moved" });
      expect(await everything(cp, run.ref)).toEqual(before);
    });

    test("to a running thread is moved, even at its exact seq (2)", async () => {
      const cp = subject();
      const run = await begin(cp);
      const before = await everything(cp, run.ref);
      expect(await cp.write(patchThread(await headOf(cp, run.ref)))).toEqual({ outcome: "moved" });
      expect(await everything(cp, run.ref)).toEqual(before);
    });

    test("20 at once, one is committed", async () => {
      const cp = subject();
      const run = await begin(cp);
      await end(cp, run);
      const head = await headOf(cp, run.ref);
      const written = await simultaneously(20, () => cp.write(patchThread(head)));
      expect(written.filter(({ outcome }) => outcome === "committed")).toHaveLength(1);
      expect(written.filter(({ outcome }) => outcome === "moved")).toHaveLength(19);
    });
  });
}
