/** Results that an attempt stores after a stop gave it up and its run has ended. */
import { describe, expect, test } from "vitest";
import type { Checkpointer, TaskRecord } from "../../src/checkpoint/checkpointer.js";
import {
  begin,
  commit,
  end,
  first,
  headOf,
  loadThread,
  paused,
  recordOf,
  runOf,
  simultaneously,
  step,
  type Subject,
} from "./scenes.js";
import { answerTo, decide, endRun, patchThread, positionAt, startRun, type Run } from "./writes.js";

/** A run that was stopped in the middle of its node. */
async function stopped(cp: Checkpointer): Promise<Run> {
  const run = await begin(cp);
  await end(cp, run, "stopped");
  return run;
}

const lateOf = (run: Run, of: Partial<TaskRecord> = {}): TaskRecord => ({
  taskId: first(positionAt(run.runId, run.step).tasks).id,
  key: "charge",
  value: "receipt",
  ...of,
});

export function lateRecordsContract(subject: Subject): void {
  describe("a result that is stored after its run has ended", () => {
    test("makes a start that was decided without it look again", async () => {
      const cp = subject();
      const run = await stopped(cp);
      const { head, records } = await loadThread(cp, run.ref);
      expect(records).toEqual([]);
      expect(await cp.record(run.ref, run.epoch, lateOf(run))).toBe(true);
      expect(await cp.write(startRun(run.ref, head.seq, head))).toEqual({ outcome: "moved" });
      const again = await loadThread(cp, run.ref);
      expect(again.records).toEqual([lateOf(run)]);
      const write = startRun(run.ref, again.head.seq, again.head);
      const next = await step(cp, runOf(write, await commit(cp, write)));
      await end(cp, next);
    });

    test("makes an answer and a patch look again too, and spoils neither", async () => {
      const cp = subject();
      const { ref, run, interrupt } = await paused(cp);
      const before = await headOf(cp, ref);
      await cp.record(ref, run.epoch, lateOf(run));
      expect(await cp.write(patchThread(before))).toEqual({ outcome: "moved" });
      expect(await cp.write(decide(before, [answerTo(interrupt)]))).toEqual({ outcome: "moved" });
      await commit(cp, patchThread(await headOf(cp, ref)));
      await commit(cp, decide(await headOf(cp, ref), [answerTo(interrupt)]));
    });

    test("moves nothing of the thread but its numbers", async () => {
      const cp = subject();
      const run = await stopped(cp);
      const before = await loadThread(cp, run.ref);
      const ended = await recordOf(cp, run);
      const log = await cp.log(run.ref, 0, 100);
      await cp.record(run.ref, run.epoch, lateOf(run));
      const { head, snapshot } = await loadThread(cp, run.ref);
      const { seq, limit } = before.head;
      expect(head).toEqual({ ...before.head, seq: seq + 1, limit: limit + 1 });
      expect(snapshot).toEqual(before.snapshot);
      expect(await recordOf(cp, run)).toEqual(ended);
      expect(await cp.log(run.ref, 0, 100)).toEqual(log);
    });

    test("moves it once, however often it is stored", async () => {
      const cp = subject();
      const run = await stopped(cp);
      await cp.record(run.ref, run.epoch, lateOf(run));
      const { seq } = await headOf(cp, run.ref);
      expect(await cp.record(run.ref, run.epoch, lateOf(run))).toBe(true);
      expect(await cp.record(run.ref, run.epoch, lateOf(run, { value: "another" }))).toBe(true);
      const { head, records } = await loadThread(cp, run.ref);
      expect(head.seq).toBe(seq);
      expect(records).toEqual([lateOf(run)]);
    });

    test("that was stored while the run ran moves nothing when it comes again", async () => {
      const cp = subject();
      const run = await begin(cp);
      await cp.record(run.ref, run.epoch, lateOf(run));
      await end(cp, run, "stopped");
      const before = await headOf(cp, run.ref);
      expect(await cp.record(run.ref, run.epoch, lateOf(run))).toBe(true);
      expect(await headOf(cp, run.ref)).toEqual(before);
    });

    test("leaves the last write of its run committed: its repetition says so", async () => {
      const cp = subject();
      const run = await begin(cp);
      const last = endRun(run, "stopped");
      const epoch = await commit(cp, last);
      await cp.record(run.ref, run.epoch, lateOf(run));
      expect(await cp.write(last)).toMatchObject({ outcome: "committed", epoch });
    });

    test("of 20 that come at once each is kept and each moves the thread", async () => {
      const cp = subject();
      const run = await stopped(cp);
      const { seq } = await headOf(cp, run.ref);
      const stored = await simultaneously(20, (i) =>
        cp.record(run.ref, run.epoch, lateOf(run, { key: `charge ${i}` })),
      );
      expect(stored).toEqual(stored.map(() => true));
      const { head, records } = await loadThread(cp, run.ref);
      expect(records).toHaveLength(20);
      expect(head.seq).toBe(seq + 20);
    });

    test("at the same moment as a start is either seen by it, or refused as of a former owner", async () => {
      const cp = subject();
      for (let round = 0; round < 20; round++) {
        const run = await stopped(cp);
        const { head } = await loadThread(cp, run.ref);
        const [stored, started] = await Promise.all([
          cp.record(run.ref, run.epoch, lateOf(run)),
          cp.write(startRun(run.ref, head.seq, head)),
        ]);
        expect(started.outcome).toBe(stored ? "moved" : "committed");
      }
    });
  });

  test("a result that is stored while its run runs moves nothing: the run's own writes go on", async () => {
    const cp = subject();
    const run = await begin(cp);
    const before = await headOf(cp, run.ref);
    await simultaneously(5, (i) => cp.record(run.ref, run.epoch, lateOf(run, { key: `charge ${i}` })));
    expect(await headOf(cp, run.ref)).toEqual(before);
    await end(cp, await step(cp, run));
  });
}
