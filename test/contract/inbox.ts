import { describe, expect, test } from "vitest";
import type { Checkpointer, InboxEntry } from "../../src/checkpoint/checkpointer.js";
import type { Interrupt } from "../../src/engine/index.js";
import { newId } from "../../src/runs/ids.js";
import { until } from "../support/poll.js";
import {
  begin,
  commit,
  first,
  headOf,
  interruptNow,
  pause,
  paused,
  simultaneously,
  type Subject,
} from "./scenes.js";
import { answerTo, cancel, decide, patchThread } from "./writes.js";

/** All entries of a tenant that have numbers. */
const allOf = (cp: Checkpointer, tenant: string): Promise<readonly InboxEntry[]> =>
  cp.inbox.read(tenant, 0, 1000);
/** The same, of what is committed. */
async function numbered(cp: Checkpointer, tenant: string): Promise<readonly InboxEntry[]> {
  await cp.inbox.edge(tenant);
  return allOf(cp, tenant);
}
const short = (entries: readonly InboxEntry[]) => entries.map(({ what, interruptId }) => [what, interruptId]);
const idsOf = (entries: readonly InboxEntry[]) => entries.map(({ interruptId }) => interruptId);

/** A thread of a tenant of its own that waits for several answers. */
async function asked(cp: Checkpointer, count: number, tenant = newId()) {
  const run = await begin(cp, { ref: { tenant, threadId: newId() } });
  const open = await pause(
    cp,
    run,
    Array.from({ length: count }, (_, i) => ({ key: `#${i}` })),
  );
  return { tenant, run, ref: run.ref, open: open as readonly [Interrupt, ...Interrupt[]] };
}

export function inboxContract(subject: Subject): void {
  describe("the inbox", () => {
    test("of a tenant without interrupts is empty, and begins at 0", async () => {
      const cp = subject();
      const tenant = newId();
      expect(await cp.inbox.edge(tenant)).toEqual({ seq: 0, floor: 0 });
      expect(await allOf(cp, tenant)).toEqual([]);
      expect(await cp.inbox.openAt(tenant, 0)).toEqual([]);
      expect(await cp.inbox.find(tenant, [1])).toEqual([]);
    });

    test("has each interrupt when it opens and when it leaves `open`, in that order, and whole", async () => {
      const cp = subject();
      const { tenant, ref, open } = await asked(cp, 3);
      const [one, two, three] = open;
      if (two === undefined || three === undefined) throw new Error("three were to open");
      await commit(cp, decide(await headOf(cp, ref), [answerTo(one)]));
      const expiry = decide(await headOf(cp, ref), [answerTo(two, { by: "expiry" })]);
      await commit(cp, { ...expiry, decide: expiry.decide.map((each) => ({ ...each, status: "expired" })) });
      await commit(cp, cancel(await headOf(cp, ref), [three]));
      const entries = await numbered(cp, tenant);
      expect(short(entries)).toEqual([
        ...open.map(({ id }) => ["opened", id]),
        ["decided", one.id],
        ["expired", two.id],
        ["cancelled", three.id],
      ]);
      expect(entries.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
      expect(await cp.inbox.edge(tenant)).toEqual({ seq: 6, floor: 0 });
      const decided = await interruptNow(cp, ref, one);
      for (const [place, at] of [
        [0, one.createdAt],
        [3, decided.decidedAt],
      ] as const)
        expect(entries[place]).toEqual({
          seq: place + 1,
          what: place === 0 ? "opened" : "decided",
          interruptId: one.id,
          threadId: ref.threadId,
          graph: one.graph,
          at,
          interrupt: decided,
        });
    });

    test("is read by pages", async () => {
      const cp = subject();
      const { tenant, open } = await asked(cp, 5);
      const all = await numbered(cp, tenant);
      expect(idsOf(all)).toEqual(open.map(({ id }) => id));
      expect(await cp.inbox.read(tenant, 0, 2)).toEqual(all.slice(0, 2));
      expect(await cp.inbox.read(tenant, 2, 2)).toEqual(all.slice(2, 4));
      expect(await cp.inbox.read(tenant, 5, 2)).toEqual([]);
    });

    test("has nothing of writes that are refused, and of new words nothing either", async () => {
      const cp = subject();
      const { tenant, ref, open } = await asked(cp, 1);
      const head = await headOf(cp, ref);
      await cp.write(decide({ ...head, seq: head.seq - 1 }, [answerTo(open[0])]));
      await commit(cp, patchThread(head, { retext: [{ id: open[0].id, message: "New.", data: null }] }));
      const entries = await numbered(cp, tenant);
      expect(short(entries)).toEqual([["opened", open[0].id]]);
      expect(entries[0]?.interrupt?.message).toBe("New.");
    });

    test("keeps what opened in a thread that was deleted, and that it was cancelled by that, without words", async () => {
      const cp = subject();
      const { tenant, ref, open } = await asked(cp, 2);
      const [answered, waiting] = open;
      if (waiting === undefined) throw new Error("two were to open");
      await commit(cp, decide(await headOf(cp, ref), [answerTo(answered)]));
      await cp.remove(ref);
      const entries = await numbered(cp, tenant);
      expect(short(entries)).toEqual([
        ["opened", answered.id],
        ["opened", waiting.id],
        ["decided", answered.id],
        ["cancelled", waiting.id],
      ]);
      expect(entries.map(({ interrupt, threadId }) => [interrupt, threadId])).toEqual(
        entries.map(() => [null, ref.threadId]),
      );
    });

    test("is each tenant's own", async () => {
      const cp = subject();
      const [mine, other] = [await asked(cp, 1), await asked(cp, 2)];
      expect(idsOf(await numbered(cp, mine.tenant))).toEqual([mine.open[0].id]);
      expect(await cp.inbox.edge(other.tenant)).toEqual({ seq: 2, floor: 0 });
      expect(await cp.inbox.openAt(mine.tenant, 9)).toEqual([1]);
      expect(idsOf(await cp.inbox.find(mine.tenant, [1, 2]))).toEqual([mine.open[0].id]);
    });

    test("tells at once that there is news, and of steps nothing", async () => {
      const cp = subject();
      let news = 0;
      const deafen = cp.inbox.onNews(() => news++);
      const { ref, interrupt } = await paused(cp);
      expect(news).toBeGreaterThan(0);
      const opened = news;
      await commit(cp, patchThread(await headOf(cp, ref)));
      expect(news).toBe(opened);
      await commit(cp, decide(await headOf(cp, ref), [answerTo(interrupt)]));
      expect(news).toBeGreaterThan(opened);
      deafen();
      const before = news;
      await paused(cp);
      expect(news).toBe(before);
    });

    test("says what was open when it had come to a number, whatever has happened since", async () => {
      const cp = subject();
      const { tenant, ref, open } = await asked(cp, 3);
      const [one, two, three] = open;
      if (two === undefined || three === undefined) throw new Error("three were to open");
      const opened = (await cp.inbox.edge(tenant)).seq;
      const openThen = async (edge: number) =>
        idsOf(await cp.inbox.find(tenant, await cp.inbox.openAt(tenant, edge)));
      await commit(cp, decide(await headOf(cp, ref), [answerTo(two)]));
      // Not numbered yet, then numbered.
      for (const _ of [1, 2]) {
        expect(await openThen(opened)).toEqual([one.id, two.id, three.id]);
        await cp.inbox.edge(tenant);
      }
      const { seq } = await cp.inbox.edge(tenant);
      expect(await openThen(seq)).toEqual([one.id, three.id]);
      await asked(cp, 1, tenant);
      expect(await openThen(seq)).toEqual([one.id, three.id]);
      await cp.remove(ref);
      expect(await openThen(seq)).toEqual([one.id, three.id]);
      expect(await openThen((await cp.inbox.edge(tenant)).seq)).toHaveLength(1);
    });

    test("numbers what is asked for by many at once once, without a hole", async () => {
      const cp = subject();
      const tenant = newId();
      const edges = await simultaneously(20, async () => {
        await asked(cp, 2, tenant);
        return cp.inbox.edge(tenant);
      });
      const entries = await numbered(cp, tenant);
      expect(entries.map(({ seq }) => seq)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
      expect(new Set(idsOf(entries)).size).toBe(40);
      for (const { seq } of edges) expect(seq).toBeLessThanOrEqual(40);
    });
  });

  sweep(subject);
}

function sweep(subject: Subject): void {
  test("a sweep of the inbox takes what is old, never that something opened which still waits, and says up to where", async () => {
    const cp = subject();
    const { tenant, ref, open } = await asked(cp, 3);
    await commit(cp, decide(await headOf(cp, ref), [answerTo(first(open))]));
    // It numbers what nobody has read.
    while (await cp.upkeep.sweepInbox(null, 1));
    expect(await allOf(cp, tenant)).toHaveLength(4);
    expect(await cp.inbox.edge(tenant)).toEqual({ seq: 4, floor: 0 });
    while (await cp.upkeep.sweepInbox(365 * 86_400_000, 100));
    expect(await allOf(cp, tenant)).toHaveLength(4);

    await until("it is old", async () => {
      while (await cp.upkeep.sweepInbox(1, 100));
      return (await cp.inbox.edge(tenant)).floor > 0;
    });
    expect(await cp.inbox.edge(tenant)).toEqual({ seq: 4, floor: 4 });
    const [, two, three] = open;
    const left = await allOf(cp, tenant);
    expect(left.map(({ seq, interruptId }) => [seq, interruptId])).toEqual([
      [2, two?.id],
      [3, three?.id],
    ]);
    expect(await cp.inbox.openAt(tenant, 4)).toEqual([2, 3]);
    expect(await cp.inbox.find(tenant, [3, 4, 2, 9])).toEqual(left);
    await asked(cp, 1, tenant);
    expect((await numbered(cp, tenant)).map(({ seq }) => seq)).toEqual([2, 3, 5]);
  });
}
