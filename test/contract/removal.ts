import { describe, expect, test } from "vitest";
import { begin, commit, end, everything, headOf, loadThread, pause, paused, step, stopOf } from "./scenes.js";
import type { Subject } from "./scenes.js";
import {
  answerTo,
  commitStep,
  createThread,
  decide,
  endRun,
  freshRef,
  patchThread,
  pauseRun,
  placed,
} from "./writes.js";

export function removalContract(subject: Subject): void {
  describe("removing a thread", () => {
    test("is refused while it runs, done when it does not, and then there is nothing left to remove", async () => {
      const cp = subject();
      const run = await begin(cp);
      const before = await everything(cp, run.ref);
      expect(await cp.remove(run.ref)).toBe("busy");
      expect(await everything(cp, run.ref)).toEqual(before);
      await end(cp, run);
      expect(await cp.remove(run.ref)).toBe("removed");
      expect(await cp.remove(run.ref)).toBe("missing");
      expect(await cp.remove(freshRef())).toBe("missing");
    });

    test("takes all that could be read of it", async () => {
      const cp = subject();
      const run = await step(cp, await begin(cp, { messages: [placed(0)] }), { messages: [placed(1)] });
      const paused = pauseRun(run);
      await commit(cp, paused);
      await cp.remove(run.ref);
      const none = { items: [], next: null };
      expect(await everything(cp, run.ref)).toMatchObject({
        head: null,
        threads: none,
        runs: none,
        messages: none,
        interrupts: [none, none, none, none],
        checkpoints: none,
        log: [],
        decisions: [],
      });
      expect(await cp.run(run.ref, run.runId)).toBeNull();
      expect(await cp.runMessages(run.ref, run.runId)).toEqual([]);
      expect(await cp.interrupt(run.ref.tenant, paused.open[0]?.id ?? "")).toBeNull();
      expect(await cp.openedAt(run.ref, paused.seq)).toEqual([]);
      expect(await cp.loadAt(run.ref, { seq: paused.seq })).toBeNull();
      expect(await cp.requestStop(run.ref, stopOf("now"))).toEqual({ was: "missing" });
    });

    test("leaves numbers that are never used again: a new thread of its id goes on above (3, 7)", async () => {
      const cp = subject();
      const old = await begin(cp);
      await cp.reserve(old.ref, old.epoch, 500);
      const last = { ...endRun(old), seq: 400, limit: 400 };
      await commit(cp, last);
      await commit(cp, { ...patchThread(await headOf(cp, old.ref)), limit: 600 });
      await cp.remove(old.ref);
      const missing = await cp.load(old.ref);
      expect(missing.head).toBeNull();
      const from = missing.head === null ? missing.seq : 0;
      expect(from).toBeGreaterThanOrEqual(600);

      expect(await cp.write(createThread(old.ref, { from: 0 }))).toEqual({ outcome: "moved" });
      await commit(cp, createThread(old.ref, { from, metadata: { life: 2 } }));
      const created = await loadThread(cp, old.ref);
      expect(created.head).toMatchObject({ seq: from, status: "idle", runId: null, metadata: { life: 2 } });
      expect(created.snapshot).toMatchObject({ step: 0, values: {}, messages: [] });

      const run = await begin(cp, { ref: old.ref });
      expect(run.epoch).toBeGreaterThan(old.epoch);
      expect(run.seq).toBeGreaterThan(600);
      expect(await cp.write(commitStep({ ...old, seq: run.seq }))).toEqual({ outcome: "fenced" });
      expect(await cp.write(last)).toEqual({ outcome: "fenced" });
      const record = { taskId: "t", key: "k", value: 1 };
      expect(await cp.record(old.ref, old.epoch, record)).toBe(false);
      expect(await cp.reserve(old.ref, old.epoch, 9000)).toBe(false);
    });

    test("leaves no log: that of the next life begins with what happens in it", async () => {
      const cp = subject();
      const old = await begin(cp);
      await end(cp, old);
      await cp.remove(old.ref);
      const missing = await cp.load(old.ref);
      const from = missing.head === null ? missing.seq : 0;
      await commit(cp, createThread(old.ref, { from }));
      expect(await cp.log(old.ref, 0, 10)).toEqual([]);
      const run = await begin(cp, { ref: old.ref });
      expect((await cp.log(old.ref, 0, 10)).map(({ runId }) => runId)).toEqual([run.runId]);
    });

    test("leaves who decided what, through every life of the id", async () => {
      const cp = subject();
      const one = await paused(cp);
      const yes = answerTo(one.interrupt, { by: "ann", reason: "private", data: { secret: 1 } });
      await commit(cp, decide(await headOf(cp, one.ref), [yes]));
      await cp.remove(one.ref);
      const ofOne = {
        interruptId: one.interrupt.id,
        threadId: one.ref.threadId,
        node: "WORK",
        decision: "approve",
        by: "ann",
        at: yes.at,
        digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      };
      expect(await cp.decisionRecords(one.ref)).toEqual([ofOne]);

      const run = await begin(cp, { ref: one.ref });
      const [two, open] = await pause(cp, run, [{ key: "#1" }, { key: "#2" }]);
      if (two === undefined || open === undefined) throw new Error("two interrupts were to open");
      const no = answerTo(two, { decision: "deny", by: "bob" });
      await commit(cp, decide(await headOf(cp, one.ref), [no]));
      await cp.remove(one.ref);
      const records = await cp.decisionRecords(one.ref);
      expect(records).toHaveLength(2);
      expect(records).toContainEqual(ofOne);
      expect(records).toContainEqual(
        expect.objectContaining({ interruptId: two.id, decision: "deny", by: "bob", at: no.at }),
      );
      expect(new Set(records.map(({ digest }) => digest)).size).toBe(2);
    });
  });
}
