import { describe, expect, test } from "vitest";
import type { ThreadRef, Write } from "../../src/checkpoint/checkpointer.js";
import { newId } from "../../src/runs/ids.js";
import {
  ALL,
  begin,
  commit,
  end,
  everything,
  headOf,
  loadThread,
  recordOf,
  runOf,
  simultaneously,
  step,
  type Subject,
} from "./scenes.js";
import {
  checkpointOf,
  commitStep,
  createThread,
  endRun,
  freshRef,
  outcomeOf,
  patchThread,
  pauseRun,
  placed,
  positionAt,
  startRun,
  WORKER,
  type Run,
} from "./writes.js";

export function runsContract(subject: Subject): void {
  describe("starting a run", () => {
    test("makes the thread running, under an epoch one above", async () => {
      const cp = subject();
      const ref = freshRef();
      await commit(cp, createThread(ref, { metadata: { kept: true } }));
      const head = await headOf(cp, ref);
      const write = startRun(ref, head.seq, head, {
        graph: "g",
        checkpoint: checkpointOf({ source: "input", ops: [["set", "n", 1]] }),
      });
      expect(await cp.write(write)).toMatchObject({ outcome: "committed", epoch: head.epoch + 1 });
      expect(await headOf(cp, ref)).toEqual({
        ...head,
        graph: "g",
        status: "running",
        runId: write.runId,
        epoch: head.epoch + 1,
        seq: write.seq,
        limit: write.limit,
        checkpointId: write.checkpoint?.id,
        currentNode: "WORK",
        nextNodes: ["WORK"],
        updatedAt: write.at,
      });
    });

    test("stores the run as it was asked for", async () => {
      const cp = subject();
      const first = await begin(cp);
      const after = await step(cp, first);
      await end(cp, after);
      const head = await headOf(cp, first.ref);
      const write = startRun(first.ref, head.seq, head, {
        graph: "g",
        recursionLimit: 7,
        metadata: { source: "test" },
      });
      const run = runOf(write, await commit(cp, write));
      const record = await recordOf(cp, run);
      expect(record).toEqual({
        runId: run.runId,
        threadId: run.ref.threadId,
        graph: "g",
        status: "running",
        resumes: false,
        recursionLimit: 7,
        metadata: { source: "test" },
        decision: null,
        firstSeq: head.seq + 1,
        lastSeq: null,
        firstStep: 1,
        lostCount: 0,
        outcome: null,
        stop: null,
        request: null,
        createdAt: write.at,
        startedAt: write.at,
        endedAt: null,
      });
      expect((await loadThread(cp, run.ref)).run).toEqual(record);
      expect(await cp.run(run.ref, "another")).toBeNull();
    });

    test("a second time at the same seq is moved and changes nothing (2)", async () => {
      const cp = subject();
      const ref = freshRef();
      await commit(cp, createThread(ref));
      const head = await headOf(cp, ref);
      await commit(cp, startRun(ref, head.seq, head));
      const before = await everything(cp, ref);
      expect(await cp.write(startRun(ref, head.seq, head))).toEqual({ outcome: "moved" });
      expect(await everything(cp, ref)).toEqual(before);
    });

    test("while one runs is moved, even at the exact seq (2)", async () => {
      const cp = subject();
      const run = await begin(cp);
      const before = await everything(cp, run.ref);
      const head = await headOf(cp, run.ref);
      expect(await cp.write(startRun(run.ref, head.seq, head))).toEqual({ outcome: "moved" });
      expect(await everything(cp, run.ref)).toEqual(before);
    });

    test("20 times at once on a thread that waits, one is committed (invariant 2)", async () => {
      const cp = subject();
      const run = await begin(cp);
      await end(cp, run);
      const head = await headOf(cp, run.ref);
      await exactlyOneStarts(run.ref, () => startRun(run.ref, head.seq, head), 2);
    });

    test("20 times at once on a thread that is not there, one is committed (2)", async () => {
      const ref = freshRef();
      await exactlyOneStarts(ref, () => startRun(ref, 0, null), 1);
    });

    async function exactlyOneStarts(ref: ThreadRef, make: () => Write, runs: number): Promise<void> {
      const cp = subject();
      const writes = Array.from({ length: 20 }, make);
      const written = await Promise.all(writes.map((write) => cp.write(write)));
      const winners = writes.filter((_, i) => written[i]?.outcome === "committed");
      expect(winners).toHaveLength(1);
      expect(written.filter(({ outcome }) => outcome === "moved")).toHaveLength(19);
      expect((await headOf(cp, ref)).runId).toBe(winners[0]?.runId);
      expect((await cp.runs(ref, ALL)).items).toHaveLength(runs);
    }
  });

  describe("a write of a run", () => {
    test("with another epoch is fenced and changes nothing (invariant 3)", async () => {
      const cp = subject();
      const old = await step(cp, await begin(cp));
      await end(cp, old);
      const run = await begin(cp, { ref: old.ref });
      await refusedAndUnchanged(run, [
        commitStep({ ...run, epoch: run.epoch - 1 }),
        commitStep({ ...run, epoch: run.epoch + 1 }),
        commitStep({ ...old, seq: run.seq }),
        endRun({ ...old, seq: run.seq }),
        pauseRun({ ...old, seq: run.seq }),
      ]);
    });

    test("that builds on another seq is fenced and changes nothing (3)", async () => {
      const cp = subject();
      const run = await step(cp, await begin(cp));
      await refusedAndUnchanged(run, [
        { ...commitStep({ ...run, seq: run.seq - 1 }), seq: run.seq + 3 },
        commitStep({ ...run, seq: run.seq + 1 }),
        endRun({ ...run, seq: run.seq + 5 }),
      ]);
    });

    test("after its end is fenced and changes nothing (3)", async () => {
      const cp = subject();
      const run = await begin(cp);
      const last = endRun(run);
      await commit(cp, last);
      await refusedAndUnchanged(run, [
        commitStep({ ...run, seq: last.seq }),
        endRun({ ...run, seq: last.seq }, "error"),
      ]);
    });

    test("is not taken for what was written at its seq since the run ended (3)", async () => {
      const cp = subject();
      const run = await begin(cp);
      const last = endRun(run);
      await commit(cp, last);
      const patch = patchThread(await headOf(cp, run.ref), { checkpoint: checkpointOf({ source: "patch" }) });
      await commit(cp, patch);
      const late = commitStep({ ...run, seq: last.seq });
      expect(late.seq).toBe(patch.seq);
      await refusedAndUnchanged(run, [late]);
    });

    async function refusedAndUnchanged(run: Run, writes: readonly Write[]): Promise<void> {
      const cp = subject();
      const before = await everything(cp, run.ref);
      for (const write of writes) expect(await cp.write(write)).toEqual({ outcome: "fenced" });
      expect(await everything(cp, run.ref)).toEqual(before);
    }

    test("shows log, messages, state, position, run and head together (invariant 4)", async () => {
      const cp = subject();
      const run = await begin(cp);
      const message = placed(0, { role: "assistant", content: "done" });
      const write = commitStep(run, {
        checkpoint: { ops: [["set", "n", 1]] },
        messages: [message],
        position: positionAt(run.runId, 1, "NEXT"),
        events: [
          { eventType: "message", data: { id: message.message.id } },
          { eventType: "update", data: { step: 1 } },
        ],
      });
      expect(await cp.write(write)).toMatchObject({ outcome: "committed", epoch: run.epoch });
      const { head, snapshot } = await loadThread(cp, run.ref);
      expect(head).toMatchObject({ seq: write.seq, limit: write.limit, step: 1, status: "running" });
      expect(snapshot).toEqual({
        step: 1,
        values: { n: 1 },
        messages: [message.message],
        position: positionAt(run.runId, 1, "NEXT"),
      });
      expect(await cp.log(run.ref, run.seq, 10)).toMatchObject([
        { seq: write.seq, runId: run.runId, events: write.events, messages: [message] },
      ]);
      expect((await cp.messages(run.ref, ALL)).items).toEqual([message.message]);
      expect((await cp.checkpoints(run.ref, ALL)).items[0]?.checkpointId).toBe(write.checkpoint?.id);
    });

    test("is seen whole by those who load while it is committed (4)", async () => {
      const cp = subject();
      let run = await begin(cp, { checkpoint: checkpointOf({ source: "input", ops: [["set", "n", 0]] }) });
      for (let n = 1; n <= 10; n++) {
        const write = commitStep(run, {
          checkpoint: { ops: [["set", "n", n]] },
          messages: [placed(n - 1)],
        });
        const reads = [1, 2, 3].map(() => loadThread(cp, run.ref));
        const written = cp.write(write);
        reads.push(...[1, 2, 3].map(() => loadThread(cp, run.ref)));
        expect(await written).toMatchObject({ outcome: "committed" });
        for (const { head, snapshot } of await Promise.all(reads)) {
          expect([n - 1, n]).toContain(head.step);
          expect(head.seq).toBe(head.step === n ? write.seq : run.seq);
          expect(snapshot.step).toBe(head.step);
          expect(snapshot.values).toEqual({ n: head.step });
          expect(snapshot.messages).toHaveLength(head.step);
          expect(snapshot.position).toEqual(positionAt(run.runId, head.step));
        }
        run = { ...run, seq: write.seq, step: n };
      }
    });

    test("that ends it stores how, and gives back the numbers that were reserved", async () => {
      const cp = subject();
      const run = await step(cp, await begin(cp));
      const error = { code: "node_failed" as const, message: "no", node: "WORK", path: ["WORK"], step: 1 };
      const outcome = outcomeOf("error", {
        step: 1,
        currentNode: "WORK",
        nextNodes: ["WORK"],
        error: { ...error, attempt: 2 },
      });
      const started = await recordOf(cp, run);
      const write = endRun(run, "error", { end: outcome });
      await commit(cp, write);
      expect(await recordOf(cp, run)).toEqual({
        ...started,
        status: "error",
        lastSeq: write.seq,
        outcome,
        endedAt: write.at,
      });
      expect(await headOf(cp, run.ref)).toMatchObject({
        status: "error",
        runId: run.runId,
        epoch: run.epoch,
        seq: write.seq,
        limit: write.seq,
      });
    });

    test("without position or checkpoint leaves both as they are", async () => {
      const cp = subject();
      const run = await step(cp, await begin(cp), { checkpoint: { ops: [["set", "n", 1]] } });
      const before = await loadThread(cp, run.ref);
      await commit(cp, commitStep(run, { checkpoint: null, position: null }));
      const after = await loadThread(cp, run.ref);
      expect(after.head.checkpointId).toBe(before.head.checkpointId);
      expect(after.snapshot).toEqual({ ...before.snapshot, step: 2 });
      expect((await cp.checkpoints(run.ref, ALL)).items).toHaveLength(2);
    });
  });

  describe("a write of a run that is sent twice", () => {
    test("is committed once, and says so both times", async () => {
      const cp = subject();
      const run = await begin(cp);
      await sentAgain(run, commitStep(run, { messages: [placed(0)] }));
    });

    test("is committed once, also when it ended or paused the run", async () => {
      const cp = subject();
      const ended = await begin(cp);
      await sentAgain(ended, endRun(ended, "completed", { messages: [placed(0)] }));
      const paused = await begin(cp);
      await sentAgain(paused, pauseRun(paused));
    });

    test("is committed once, also when others followed it", async () => {
      const cp = subject();
      const run = await begin(cp);
      const write = commitStep(run);
      await commit(cp, write);
      await end(cp, await step(cp, { ...run, seq: write.seq, step: 1 }));
      await begin(cp, { ref: run.ref });
      await sentAgain(run, write);
    });

    test("at the same time is committed once, and says so both times", async () => {
      const cp = subject();
      const run = await begin(cp);
      const write = commitStep(run, { messages: [placed(0)] });
      const written = await simultaneously(5, () => cp.write(write));
      expect(written).toMatchObject(written.map(() => ({ outcome: "committed", epoch: run.epoch })));
      await sentAgain(run, write);
      expect(await cp.log(run.ref, run.seq, 10)).toHaveLength(1);
    });

    async function sentAgain(run: Run, write: Write): Promise<void> {
      const cp = subject();
      expect(await cp.write(write)).toMatchObject({ outcome: "committed", epoch: run.epoch });
      const before = await everything(cp, run.ref);
      expect(await cp.write(write)).toMatchObject({ outcome: "committed", epoch: run.epoch });
      expect(await everything(cp, run.ref)).toEqual(before);
    }
  });

  test("writes of many threads at once do not wait for each other's faults: one is fenced, alone", async () => {
    const cp = subject();
    const runs = await simultaneously(20, () => begin(cp));
    const guilty = 7;
    const before = await everything(cp, runs[guilty]?.ref ?? freshRef());
    const written = await Promise.all(
      runs.map((run, i) => cp.write(commitStep(i === guilty ? { ...run, epoch: run.epoch + 1 } : run))),
    );
    expect(written).toMatchObject(
      runs.map(({ epoch }, i) => (i === guilty ? { outcome: "fenced" } : { outcome: "committed", epoch })),
    );
    expect(await everything(cp, runs[guilty]?.ref ?? freshRef())).toEqual(before);
    for (const [i, run] of runs.entries())
      expect((await headOf(cp, run.ref)).step).toBe(i === guilty ? 0 : 1);
  });

  describe("reserving numbers for live events (invariant 7)", () => {
    test("raises the limit and touches nothing else", async () => {
      const cp = subject();
      const run = await begin(cp, { worker: WORKER });
      const before = await headOf(cp, run.ref);
      expect(await cp.reserve(run.ref, run.epoch, before.limit + 100)).toBe(true);
      expect(await headOf(cp, run.ref)).toEqual({ ...before, limit: before.limit + 100 });
      await step(cp, run);
    });

    test("never lowers it", async () => {
      const cp = subject();
      const run = await begin(cp);
      const { limit } = await headOf(cp, run.ref);
      expect(await cp.reserve(run.ref, run.epoch, limit - 1)).toBe(true);
      expect((await headOf(cp, run.ref)).limit).toBe(limit);
    });

    test("is fenced for another epoch, and after the end (3)", async () => {
      const cp = subject();
      const run = await begin(cp);
      const { limit } = await headOf(cp, run.ref);
      expect(await cp.reserve(run.ref, run.epoch - 1, limit + 100)).toBe(false);
      expect(await cp.reserve(run.ref, run.epoch + 1, limit + 100)).toBe(false);
      expect((await headOf(cp, run.ref)).limit).toBe(limit);
      await end(cp, run);
      const ended = await headOf(cp, run.ref);
      expect(await cp.reserve(run.ref, run.epoch, limit + 100)).toBe(false);
      expect(await headOf(cp, run.ref)).toEqual(ended);
    });
  });

  test("a run is found on its own thread only", async () => {
    const cp = subject();
    const [one, other] = [await begin(cp), await begin(cp)];
    expect(await cp.run(other.ref, one.runId)).toBeNull();
    expect(await cp.runMessages(other.ref, one.runId)).toEqual([]);
    expect(await cp.run(one.ref, newId())).toBeNull();
  });
}
