import { describe, expect, test } from "vitest";
import {
  begin,
  claimUntil,
  commit,
  end,
  everything,
  headOf,
  newWorker,
  paused,
  recordOf,
  simultaneously,
  step,
  stopOf,
  takenOver,
  type Subject,
} from "./scenes.js";
import { commitStep, createThread, endRun, freshRef, pauseRun, seeing } from "./writes.js";
import { newId } from "../../src/runs/ids.js";

export function stopsContract(subject: Subject): void {
  describe("a stop (invariant 6)", () => {
    test("of a running run is stored with it and names it", async () => {
      const cp = subject();
      const run = await begin(cp);
      const stop = stopOf("now", { reason: "enough", by: "bob" });
      const { runId, epoch } = run;
      expect(await cp.requestStop(run.ref, stop)).toMatchObject({ was: "running", runId, epoch });
      expect((await recordOf(cp, run)).stop).toEqual(stop);
      expect(await headOf(cp, run.ref)).toMatchObject({ status: "running", seq: run.seq });
    });

    test("is met by the next write, which is refused with it and changes nothing (4)", async () => {
      const cp = subject();
      const run = await begin(cp);
      const stop = stopOf("now", { reason: "enough" });
      await cp.requestStop(run.ref, stop);
      const before = await everything(cp, run.ref);
      for (const write of [commitStep(run), endRun(run), pauseRun(run)])
        expect(await cp.write(write)).toEqual({ outcome: "stopping", stop });
      expect(await everything(cp, run.ref)).toEqual(before);
    });

    test("lets a write pass that has seen it", async () => {
      const cp = subject();
      for (const mode of ["now", "after_step"] as const) {
        const run = await begin(cp);
        await cp.requestStop(run.ref, stopOf(mode));
        const write = seeing(endRun(run, "stopped"), mode);
        expect(await cp.write(write)).toMatchObject({ outcome: "committed", epoch: run.epoch });
        expect(await headOf(cp, run.ref)).toMatchObject({ status: "stopped", seq: write.seq });
        expect(await cp.write(write)).toMatchObject({ outcome: "committed", epoch: run.epoch });
      }
    });

    test("lets a write pass that has seen one that says more, and not one that has seen less", async () => {
      const cp = subject();
      const gentle = await begin(cp);
      await cp.requestStop(gentle.ref, stopOf("after_step"));
      await commit(cp, seeing(commitStep(gentle), "now"));
      const hard = await begin(cp);
      const stop = stopOf("now");
      await cp.requestStop(hard.ref, stop);
      expect(await cp.write(seeing(commitStep(hard), "after_step"))).toEqual({ outcome: "stopping", stop });
    });

    test("that nobody asked for may be seen: the write passes", async () => {
      const cp = subject();
      const run = await begin(cp);
      await commit(cp, seeing(commitStep(run), "now"));
    });

    test("now overtakes after_step, and a write that saw only the first meets the second", async () => {
      const cp = subject();
      const run = await begin(cp);
      const [gentle, hard] = [stopOf("after_step", { by: "ann" }), stopOf("now", { by: "bob" })];
      await cp.requestStop(run.ref, gentle);
      expect((await recordOf(cp, run)).stop).toEqual(gentle);
      await cp.requestStop(run.ref, hard);
      expect((await recordOf(cp, run)).stop).toEqual(hard);
      expect(await cp.write(seeing(commitStep(run), "after_step"))).toEqual({
        outcome: "stopping",
        stop: hard,
      });
    });

    test("stays the first of its mode, and after_step does not overtake now", async () => {
      const cp = subject();
      const hard = await begin(cp);
      const first = stopOf("now", { by: "ann" });
      await cp.requestStop(hard.ref, first);
      const { runId, epoch } = hard;
      for (const later of [stopOf("after_step", { by: "bob" }), stopOf("now", { by: "bob" })])
        expect(await cp.requestStop(hard.ref, later)).toMatchObject({ was: "running", runId, epoch });
      expect((await recordOf(cp, hard)).stop).toEqual(first);
      const gentle = await begin(cp);
      const asked = stopOf("after_step", { by: "ann" });
      await cp.requestStop(gentle.ref, asked);
      await cp.requestStop(gentle.ref, stopOf("after_step", { by: "bob" }));
      expect((await recordOf(cp, gentle)).stop).toEqual(asked);
    });

    test("of a thread that does not run changes nothing", async () => {
      const cp = subject();
      const idle = freshRef();
      await commit(cp, createThread(idle));
      const ended = await begin(cp);
      await end(cp, ended);
      const { ref: waits } = await paused(cp);
      for (const [ref, was] of [
        [idle, "not-running"],
        [ended.ref, "not-running"],
        [waits, "interrupted"],
      ] as const) {
        const before = await everything(cp, ref);
        expect(await cp.requestStop(ref, stopOf("now"))).toEqual({ was });
        expect(await everything(cp, ref)).toEqual(before);
      }
    });

    test("of a thread that is not there finds none", async () => {
      expect(await subject().requestStop(freshRef(), stopOf("now"))).toEqual({ was: "missing" });
    });

    test("is for one run: the next one of the thread knows nothing of it", async () => {
      const cp = subject();
      const run = await begin(cp);
      await cp.requestStop(run.ref, stopOf("now"));
      await commit(cp, seeing(endRun(run, "stopped"), "now"));
      const next = await begin(cp, { ref: run.ref });
      expect((await recordOf(cp, next)).stop).toBeNull();
      await step(cp, next);
    });

    test("does not tell a writer that has lost its run: it is fenced (3)", async () => {
      const cp = subject();
      const run = await begin(cp);
      await cp.requestStop(run.ref, stopOf("now"));
      expect(await cp.write(commitStep({ ...run, epoch: run.epoch - 1 }))).toEqual({ outcome: "fenced" });
    });

    test("outlives a takeover: the new owner's heartbeat and its first write meet it", async () => {
      const cp = subject();
      const graph = `graph-${newId()}`;
      const [owner, heir] = [newWorker(1), newWorker(1)];
      await cp.beat(owner);
      await cp.beat(heir);
      const run = await begin(cp, { graph, worker: owner.id });
      const stop = stopOf("after_step");
      await cp.requestStop(run.ref, stop);
      const [claim] = await claimUntil(cp, heir, [graph]);
      if (claim === undefined) throw new Error("nothing was claimed");
      expect(await cp.beat(heir)).toEqual([{ ref: run.ref, runId: run.runId, epoch: claim.epoch, stop }]);
      const mine = await takenOver(cp, run, claim);
      expect(await cp.write(commitStep(mine))).toEqual({ outcome: "stopping", stop });
    });

    test("that races the last write either stops it or comes too late, never neither", async () => {
      const cp = subject();
      const runs = await simultaneously(20, () => begin(cp));
      for (const [i, run] of runs.entries()) {
        const last = i % 2 === 0 ? endRun(run) : pauseRun(run);
        const stop = () => cp.requestStop(run.ref, stopOf("now"));
        const write = () => cp.write(last);
        const [written, stopped] =
          i % 4 < 2
            ? await Promise.all([write(), stop()])
            : await Promise.all([stop(), write()]).then(([a, b]) => [b, a] as const);
        const { status } = await headOf(cp, run.ref);
        if (stopped.was === "running") {
          expect(written.outcome).toBe("stopping");
          expect(status).toBe("running");
        } else {
          expect(stopped.was).toBe(i % 2 === 0 ? "not-running" : "interrupted");
          expect(written.outcome).toBe("committed");
          expect(status).toBe(last.head.status);
        }
      }
    });

    test("asked for by 20 at once is stored once", async () => {
      const cp = subject();
      const run = await begin(cp);
      const stops = Array.from({ length: 20 }, (_, i) => stopOf("now", { by: `person-${i}` }));
      await Promise.all(stops.map((stop) => cp.requestStop(run.ref, stop)));
      const { stop } = await recordOf(cp, run);
      expect(stops).toContainEqual(stop);
      expect(await cp.write(commitStep(run))).toEqual({ outcome: "stopping", stop });
    });
  });
}
