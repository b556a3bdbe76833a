import { expect, test } from "vitest";
import type { Checkpointer } from "../../src/checkpoint/checkpointer.js";
import type { Made } from "./checkpointer.js";
import { begin, claimUntil, commit, everything, headOf, newWorker, paused, step, stopOf } from "./scenes.js";
import { answerTo, decide, endRun, freshRef, placed } from "./writes.js";

/** A storage that outlives its process. */
export interface Durable extends Made {
  /** Closes the storage and opens it again, as a new process would. */
  readonly reopen: () => Promise<Checkpointer>;
}

/** What is written is there after the storage was closed and opened; its own storage, since it closes it. */
export function durabilityContract(make: () => Promise<Durable>): void {
  test("what was written is there when the storage is opened again (invariant 1)", async () => {
    const made = await make();
    try {
      const owner = newWorker(1);
      const before = made.checkpointer;
      await before.beat(owner);
      const answered = await paused(before, { messages: [placed(0)], worker: owner.id });
      await commit(before, decide(await headOf(before, answered.ref), [answerTo(answered.interrupt)]));
      const removed = await paused(before, { worker: owner.id });
      await commit(before, decide(await headOf(before, removed.ref), [answerTo(removed.interrupt)]));
      await before.remove(removed.ref);
      const graph = freshRef().threadId;
      const running = await step(before, await begin(before, { graph, worker: owner.id }), {
        checkpoint: { ops: [["set", "n", 1]], sinceValues: { bytes: 13, size: 2 } },
      });
      await before.record(running.ref, running.epoch, { taskId: "t", key: "k", value: 1 });
      await before.requestStop(running.ref, stopOf("now"));
      const refs = [answered.ref, removed.ref, running.ref];
      const kept = await Promise.all(refs.map((ref) => everything(before, ref)));

      const after = await made.reopen();
      expect(await Promise.all(refs.map((ref) => everything(after, ref)))).toEqual(kept);
      const heir = newWorker(1);
      await after.beat(heir);
      const [claim] = await claimUntil(after, heir, [graph]);
      expect(claim).toMatchObject({ ref: running.ref, runId: running.runId, crashed: true });
      const stopped = endRun(
        { ...running, epoch: claim?.epoch ?? 0, seq: (await headOf(after, running.ref)).seq },
        "stopped",
      );
      expect(await after.write(stopped)).toMatchObject({ outcome: "stopping" });
    } finally {
      await made.close();
    }
  });
}
