import { describe, expect, test } from "vitest";
import type { StopRequest } from "../../src/checkpoint/checkpointer.js";
import { newId } from "../../src/runs/ids.js";
import { begin, type Subject } from "./scenes.js";

const stop = (mode: StopRequest["mode"]): StopRequest => ({
  mode,
  reason: "nobody reads it",
  by: "server",
  at: new Date().toISOString(),
});

/** Who reads, and the stop of one run. */
export function presenceContract(subject: Subject): void {
  describe("who reads", () => {
    test("is told by any process, of a thread or of one run of it, and lasts by the storage's clock", async () => {
      const { presence, describe: storage } = subject();
      // Where there can be no other process, nobody asks.
      const isShared = storage.startsWith("PostgreSQL");
      const ref = { tenant: newId(), threadId: "t1" };
      const other = { tenant: newId(), threadId: "t1" };
      const [one, two] = [newId(), newId()];
      const runs = [
        { ref, runId: one },
        { ref: other, runId: one },
        { ref, runId: two },
      ];
      expect(await presence.unseenFor(runs)).toEqual([null, null, null]);
      expect(await presence.unseenFor([])).toEqual([]);
      await presence.seen(newId(), [
        { ref, runId: one },
        { ref: { ...ref, threadId: "t2" }, runId: null },
      ]);
      const [alone = null, tenant, second] = await presence.unseenFor(runs);
      expect([tenant, second]).toEqual([null, null]);
      if (!isShared) expect(alone).toBeNull();
      else expect(alone).toBeGreaterThanOrEqual(0);
      // Of the thread: of all its runs. Twice the same, and again.
      await presence.seen(newId(), [
        { ref, runId: null },
        { ref, runId: null },
      ]);
      const all = await presence.unseenFor(runs);
      expect(all.map((ms) => ms !== null)).toEqual([isShared, false, isShared]);
    });
  });

  describe("the stop of one run", () => {
    test("meets the run of its epoch alone, and a `now` overtakes an `after_step`", async () => {
      const cp = subject();
      const run = await begin(cp);
      const { presence } = cp;
      const { ref, epoch } = run;
      expect(await presence.stopRun(ref, epoch + 1, stop("now"))).toBe(false);
      expect(await presence.stopRun({ ...ref, tenant: "another" }, epoch, stop("now"))).toBe(false);
      expect((await cp.run(ref, run.runId))?.stop).toBeNull();
      expect(await presence.stopRun(ref, epoch, stop("after_step"))).toBe(true);
      expect((await cp.run(ref, run.runId))?.stop).toMatchObject({ mode: "after_step" });
      expect(await presence.stopRun(ref, epoch, stop("now"))).toBe(true);
      expect((await cp.run(ref, run.runId))?.stop).toMatchObject({ mode: "now", by: "server" });
      expect(await presence.stopRun(ref, epoch, stop("after_step"))).toBe(true);
      expect((await cp.run(ref, run.runId))?.stop).toMatchObject({ mode: "now" });
    });
  });
}
