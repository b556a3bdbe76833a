import { describe, expect, test } from "vitest";
import type { Checkpointer } from "../../src/checkpoint/checkpointer.js";
import { newId } from "../../src/runs/ids.js";
import {
  ALL,
  begin,
  claimUntil,
  commit,
  everything,
  headOf,
  interruptNow,
  newWorker,
  runOf,
  send,
  stopOf,
  type Subject,
} from "./scenes.js";
import {
  answerTo,
  checkpointOf,
  commitStep,
  decide,
  endRun,
  freshRef,
  messageOf,
  pauseRun,
  positionAt,
  seeing,
  startRun,
} from "./writes.js";

/** A paused thread; each call with the same ids gives the same thread in another tenant. */
async function sameIn(
  cp: Checkpointer,
  tenant: string,
  ids: { threadId: string; runId: string; checkpointId: string; messageId: string; interruptId: string },
) {
  const ref = { tenant, threadId: ids.threadId };
  const start = startRun(ref, 0, null, {
    runId: ids.runId,
    threadMetadata: { tenant },
    messages: [{ pos: 0, message: messageOf({ id: ids.messageId, content: tenant }) }],
    checkpoint: checkpointOf({ id: ids.checkpointId, source: "input", ops: [["set", "tenant", tenant]] }),
    position: positionAt(ids.runId, 0),
  });
  const run = runOf(start, await commit(cp, start));
  await cp.record(ref, run.epoch, { taskId: `${ids.runId}/0/0/WORK`, key: "k", value: tenant });
  await send(cp, run, pauseRun(run, [{ id: ids.interruptId, message: tenant }]));
  return { ref, run };
}

const sameIds = () => ({
  threadId: newId(),
  runId: newId(),
  checkpointId: newId(),
  messageId: newId(),
  interruptId: newId(),
});

export function tenantsContract(subject: Subject): void {
  describe("tenants (invariant 10)", () => {
    test("may use the same ids for everything, and each sees its own", async () => {
      const cp = subject();
      const ids = sameIds();
      const { ref: mine } = await sameIn(cp, `tenant-a-${newId()}`, ids);
      const before = await everything(cp, mine);
      const { ref: theirs } = await sameIn(cp, `tenant-b-${newId()}`, ids);
      expect(await everything(cp, mine)).toEqual(before);
      for (const { tenant, threadId } of [mine, theirs]) {
        expect(await everything(cp, { tenant, threadId })).toMatchObject({
          loaded: {
            head: { tenant, metadata: { tenant } },
            snapshot: { values: { tenant }, messages: [{ content: tenant }] },
            interrupts: [{ message: tenant }],
            records: [{ value: tenant }],
          },
          threads: { items: [{ tenant }] },
          runMessages: [[{ content: tenant }]],
          opened: [[], [{ message: tenant }]],
          snapshots: [{ snapshot: { values: { tenant }, messages: [{ content: tenant }] } }],
        });
        expect(await cp.interrupt(tenant, ids.interruptId)).toMatchObject({ message: tenant });
      }
    });

    test("do not change each other's", async () => {
      const cp = subject();
      const ids = sameIds();
      const { ref: mine, run } = await sameIn(cp, `tenant-a-${newId()}`, ids);
      const { ref: theirs } = await sameIn(cp, `tenant-b-${newId()}`, ids);
      const before = await everything(cp, mine);
      const open = await interruptNow(cp, theirs, { id: ids.interruptId });
      await commit(cp, decide(await headOf(cp, theirs), [answerTo(open)]));
      const next = await begin(cp, { ref: theirs });
      await cp.reserve(theirs, next.epoch, 900);
      await cp.requestStop(theirs, stopOf("now"));
      await commit(cp, seeing(endRun(next, "stopped"), "now"));
      await cp.remove(theirs);
      expect(await everything(cp, mine)).toEqual(before);
      expect(run.epoch).toBe((await headOf(cp, mine)).epoch);
    });

    test("find nothing of each other by any id", async () => {
      const cp = subject();
      const ids = sameIds();
      const { ref: mine, run } = await sameIn(cp, `tenant-a-${newId()}`, ids);
      const { tenant } = freshRef();
      const none = { items: [], next: null };
      const asked = { ...mine, tenant };
      expect(await cp.load(asked)).toEqual({ head: null, seq: 0 });
      expect(await cp.interrupt(tenant, ids.interruptId)).toBeNull();
      expect(await cp.interrupts(tenant, { status: "open", graph: null, threadId: null }, ALL)).toEqual(none);
      expect(await cp.threads(tenant, { statuses: null, graph: null }, ALL)).toEqual(none);
      expect(await cp.run(asked, ids.runId)).toBeNull();
      expect(await cp.loadAt(asked, { id: ids.checkpointId })).toBeNull();
      expect(await cp.log(asked, 0, 10)).toEqual([]);
      expect(await cp.requestStop(asked, stopOf("now"))).toEqual({ was: "missing" });
      expect(await cp.remove(asked)).toBe("missing");
      expect(await cp.write(commitStep({ ...run, ref: asked }))).toEqual({ outcome: "fenced" });
    });

    test("share the workers: heartbeats and takeovers look across them", async () => {
      const cp = subject();
      const graph = `graph-${newId()}`;
      const owner = newWorker(1);
      await cp.beat(owner);
      const runs = [
        await begin(cp, { graph, worker: owner.id }),
        await begin(cp, { graph, worker: owner.id }),
      ];
      const tenants = runs.map(({ ref }) => ref.tenant).sort();
      expect((await cp.beat(owner)).map(({ ref }) => ref.tenant).sort()).toEqual(tenants);
      const heir = newWorker(1);
      await cp.beat(heir);
      const claims = await claimUntil(cp, heir, [graph], 2);
      expect(claims.map(({ ref }) => ref.tenant).sort()).toEqual(tenants);
    });
  });
}
