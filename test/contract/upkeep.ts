import { describe, expect, test } from "vitest";
import type { Checkpointer, ThreadRef, Timer, TimerKind } from "../../src/checkpoint/checkpointer.js";
import type { FinalStatus } from "../../src/engine/index.js";
import { newId } from "../../src/runs/ids.js";
import { until } from "../support/poll.js";
import {
  ALL,
  begin,
  claimUntil,
  commit,
  end,
  everything,
  first,
  headOf,
  loadThread,
  newWorker,
  pause,
  pagesOf,
  recordOf,
  simultaneously,
  step,
  type Subject,
} from "./scenes.js";
import {
  answerTo,
  cancel,
  checkpointOf,
  createThread,
  decide,
  endRun,
  freshRef,
  pauseRun,
  placed,
  startRun,
  type InterruptOf,
  type Run,
} from "./writes.js";

const MINUTE = 60_000;
const from = (ms: number): string => new Date(Date.now() + ms).toISOString();
const ago = (ms: number): string => from(-ms);

/** What is due of the interrupts of one graph: no other test has it. */
async function due(cp: Checkpointer, graph: string, of: { limit?: number; holdMs?: number } = {}) {
  const { limit = 10, holdMs = MINUTE } = of;
  return cp.upkeep.dueTimers({ kinds: ["interrupt"], graphs: [graph], limit, holdMs });
}
const idsOf = (timers: readonly Timer[]): string[] => timers.map(({ id }) => id);

/** A thread that waits, with the deadlines of its interrupts. */
async function waiting(cp: Checkpointer, asked: readonly InterruptOf[], graph = newId()) {
  const run = await begin(cp, { graph });
  const open = await pause(
    cp,
    run,
    asked.map((of, i) => ({ key: `#${i}`, ...of })),
  );
  return { graph, run, open };
}

export function upkeepContract(subject: Subject): void {
  deadlines(subject);
  jobs(subject);
  sweeps(subject);
  oldEvents(subject);
}

function deadlines(subject: Subject): void {
  describe("the deadline of an interrupt", () => {
    test("is kept, and is due when it has come, not before", async () => {
      const cp = subject();
      const asked = [{ expiresAt: ago(5) }, { expiresAt: from(MINUTE) }, {}];
      const { graph, run, open } = await waiting(cp, asked);
      expect((await loadThread(cp, run.ref)).interrupts.map(({ expiresAt }) => expiresAt)).toEqual([
        asked[0]?.expiresAt,
        asked[1]?.expiresAt,
        null,
      ]);
      const found = await due(cp, graph);
      expect(found.due).toMatchObject([{ ref: run.ref, kind: "interrupt", id: open[0]?.id }]);
      expect(found.nextMs).toBeGreaterThan(MINUTE / 2);
      expect(found.nextMs).toBeLessThanOrEqual(MINUTE);
    });

    test("comes earliest first, and as many as are asked for", async () => {
      const cp = subject();
      const { graph, open } = await waiting(
        cp,
        [2, 3, 1].map((age) => ({ expiresAt: ago(age * 1000) })),
      );
      const [two, three, one] = open.map(({ id }) => id);
      const page = await due(cp, graph, { limit: 2 });
      expect(idsOf(page.due)).toEqual([three, two]);
      // More is due now: no time is to be lost.
      expect(page.nextMs).toBe(0);
      expect(idsOf((await due(cp, graph)).due)).toEqual([one]);
    });

    test("is claimed by one of many", async () => {
      const cp = subject();
      const { graph, open } = await waiting(
        cp,
        Array.from({ length: 6 }, () => ({ expiresAt: ago(1000) })),
      );
      const claims = await simultaneously(12, () => due(cp, graph, { limit: 3 }));
      const claimed = claims.flatMap(({ due: timers }) => idsOf(timers));
      // Who found them locked by others has none of them: the next look has.
      claimed.push(...idsOf((await due(cp, graph)).due));
      expect(claimed.toSorted()).toEqual(open.map(({ id }) => id).toSorted());
    });

    test("comes back to anybody when its claim has run out, and is no longer the first one's", async () => {
      const cp = subject();
      const { graph } = await waiting(cp, [{ expiresAt: ago(1000) }]);
      const mine = first((await due(cp, graph, { holdMs: 1 })).due);
      const other = await until("the claim has run out", async () => (await due(cp, graph)).due[0]);
      expect(other).toMatchObject({ id: mine.id, ref: mine.ref });
      expect(await cp.upkeep.moveTimer(mine, MINUTE)).toBeNull();
      expect(await cp.upkeep.endTimer(mine)).toBe(false);
      expect(await cp.upkeep.endTimer(other)).toBe(true);
    });

    test("comes at the time that it was put off to, and never once it was ended", async () => {
      const cp = subject();
      const { graph } = await waiting(cp, [{ expiresAt: ago(1000) }]);
      const moved = await cp.upkeep.moveTimer(first((await due(cp, graph)).due), 2 * MINUTE);
      const later = await due(cp, graph);
      expect(later.due).toEqual([]);
      expect(later.nextMs).toBeGreaterThan(MINUTE);
      if (moved === null) throw new Error("nobody else had it");
      expect(await cp.upkeep.moveTimer(moved, 1)).not.toBeNull();
      const again = await until("it is due", async () => (await due(cp, graph)).due[0]);
      expect(await cp.upkeep.endTimer(again)).toBe(true);
      expect(await due(cp, graph)).toEqual({ due: [], nextMs: null });
    });

    test.each<[string, (cp: Checkpointer, run: Run, id: string) => Promise<unknown>]>([
      [
        "an answer with which a run begins",
        async (cp, run, id) => {
          const head = await headOf(cp, run.ref);
          await commit(cp, startRun(run.ref, head.seq, head, { decide: [answerTo({ id })] }));
        },
      ],
      [
        "an answer while others are missing",
        async (cp, run, id) => commit(cp, decide(await headOf(cp, run.ref), [answerTo({ id })])),
      ],
      [
        "a stop",
        async (cp, run) => {
          const { head, interrupts } = await loadThread(cp, run.ref);
          await commit(cp, cancel(head, interrupts));
        },
      ],
      ["the end of its thread", async (cp, run) => cp.remove(run.ref)],
    ])("is gone with %s", async (_what, act) => {
      const cp = subject();
      const { graph, run, open } = await waiting(cp, [{ expiresAt: from(MINUTE) }]);
      expect((await due(cp, graph)).nextMs).not.toBeNull();
      await act(cp, run, first(open).id);
      expect(await due(cp, graph)).toEqual({ due: [], nextMs: null });
    });

    test("is nobody's who has not loaded the graph, and nobody's who asks for something else", async () => {
      const cp = subject();
      const { graph, open } = await waiting(cp, [{ expiresAt: ago(1000) }]);
      const nothing = { due: [], nextMs: null };
      expect(await due(cp, newId())).toEqual(nothing);
      expect(await cp.upkeep.dueTimers({ kinds: [], graphs: [graph], limit: 10, holdMs: MINUTE })).toEqual(
        nothing,
      );
      expect(idsOf((await due(cp, graph)).due)).toEqual(idsOf(open as never));
    });
  });

  describe("an interrupt that expired", () => {
    test("has its answer, if it has one, and is open no more (5)", async () => {
      const cp = subject();
      const { run, open } = await waiting(cp, [{ expiresAt: ago(5) }, { expiresAt: ago(5) }]);
      const [answered, failed] = open.map(({ id }) => id);
      if (answered === undefined || failed === undefined) throw new Error("two were opened");
      const answer = answerTo({ id: answered }, { by: "expiry", decision: "deny" });
      const head = await headOf(cp, run.ref);
      const write = decide(head, []);
      const at = from(0);
      await commit(cp, {
        ...write,
        decide: [
          { id: answered, status: "expired", answer, resumedBy: null, at },
          { id: failed, status: "expired", answer: null, resumedBy: run.runId, at },
        ],
      });
      const { interrupts } = await loadThread(cp, run.ref);
      expect(interrupts).toMatchObject([
        { id: answered, status: "expired", decision: answer, decidedAt: at, resumedBy: null },
        { id: failed, status: "expired", decision: null, decidedAt: at, resumedBy: run.runId },
      ]);
      const filter = { status: "expired" as const, graph: null, threadId: null };
      expect((await cp.interrupts(run.ref.tenant, filter, ALL)).items.map(({ id }) => id).toSorted()).toEqual(
        [answered, failed].toSorted(),
      );
      const late = decide(await headOf(cp, run.ref), [answerTo({ id: failed })]);
      expect(await cp.write(late)).toEqual({ outcome: "moved" });
      await cp.remove(run.ref);
      expect(await cp.decisionRecords(run.ref)).toMatchObject([
        { interruptId: answered, by: "expiry", decision: "deny" },
      ]);
    });
  });
}

/** A job of the cluster; no two tests claim one of a kind. */
async function job(cp: Checkpointer, kind: TimerKind, holdMs = MINUTE): Promise<Timer | undefined> {
  return (await cp.upkeep.dueTimers({ kinds: [kind], graphs: [], limit: 10, holdMs })).due[0];
}

function jobs(subject: Subject): void {
  describe("a job of the cluster", () => {
    test.each<TimerKind>(["sweep-keys", "sweep-workers", "sweep-events", "sweep-threads", "sweep-inbox"])(
      "%s is due from the start, for one process, and again when it says so",
      async (kind) => {
        const cp = subject();
        const claims = await simultaneously(8, () => job(cp, kind));
        const claimed = claims.flatMap((timer) => timer ?? []);
        expect(claimed).toMatchObject([{ kind, id: "", ref: { tenant: "", threadId: "" } }]);
        expect(await cp.upkeep.moveTimer(first(claimed), MINUTE)).not.toBeNull();
        const filter = { kinds: [kind], graphs: [], limit: 10, holdMs: MINUTE };
        const { due: now, nextMs } = await cp.upkeep.dueTimers(filter);
        expect(now).toEqual([]);
        expect(nextMs).toBeGreaterThan(MINUTE / 2);
      },
    );
  });
}

/** A thread as it stands after a run that ended so long ago. */
async function ended(
  cp: Checkpointer,
  status: FinalStatus,
  at: string,
  ref = freshRef(),
): Promise<ThreadRef> {
  const run = await begin(cp, { ref, at });
  await commit(cp, endRun(run, status, { at }));
  return run.ref;
}

const LONG = 365 * 24 * 60 * MINUTE;

function sweeps(subject: Subject): void {
  describe("a sweep", () => {
    test("of idempotency keys takes those that have expired, some at a time, and no other", async () => {
      const cp = subject();
      const ref = freshRef();
      const keys = [ago(2), ago(1), from(MINUTE)].map((expiresAt, i) => ({
        key: `key-${i}-${ref.threadId}`,
        body: "digest",
        expiresAt,
      }));
      for (const [i, key] of keys.entries()) {
        const of = { tenant: ref.tenant, threadId: `${ref.threadId}-${i}` };
        await commit(cp, { ...startRun(of, 0, null), key });
      }
      expect(await cp.upkeep.sweepKeys(1)).toBe(1);
      await until("none is left", async () => (await cp.upkeep.sweepKeys(1000)) === 0);
      expect(await cp.usedKey(ref.tenant, keys[2]?.key ?? "")).not.toBeNull();
      for (const { key } of keys.slice(0, 2)) expect(await cp.usedKey(ref.tenant, key)).toBeNull();
    });

    test("of threads takes those that have been quiet for so long, and none that runs, waits in the queue or for a person", async () => {
      const cp = subject();
      const old = ago(2 * LONG);
      const gone = [
        await ended(cp, "completed", old),
        await ended(cp, "error", old),
        await ended(cp, "stopped", old),
      ];
      const idle = freshRef();
      await commit(cp, createThread(idle, { at: old }));
      gone.push(idle);
      const running = await begin(cp, { at: old });
      const paused = await begin(cp, { at: old });
      await commit(cp, pauseRun(paused, [{}], { at: old }));
      const queued = freshRef();
      await cp.enqueue({
        ref: queued,
        runId: newId(),
        graph: "contract",
        recursionLimit: 25,
        metadata: {},
        request: null,
        at: old,
        free: false,
        stop: null,
      });
      const used = await ended(cp, "completed", from(0));
      const kept = [running.ref, paused.ref, queued, used];
      const before = await Promise.all(kept.map((ref) => everything(cp, ref)));

      const swept = await pagesOf(1, async () => {
        const items = await cp.upkeep.sweepThreads(LONG, 1);
        return { items, next: items.length === 0 ? null : "more" };
      });
      const key = ({ tenant, threadId }: ThreadRef): string => `${tenant} ${threadId}`;
      expect(swept.flat().map(key).toSorted()).toEqual(gone.map(key).toSorted());
      for (const ref of gone) expect(await cp.thread(ref)).toBeNull();
      expect(await Promise.all(kept.map((ref) => everything(cp, ref)))).toEqual(before);
      // Numbers are not used again.
      const [completed] = gone;
      if (completed === undefined) throw new Error("it was there");
      expect((await cp.load(completed)) as { seq: number }).toMatchObject({ head: null, seq: 2 });
    });

    test("of processes takes those that are silent and own nothing: a run of one that is gone is still taken over (8)", async () => {
      const cp = subject();
      const [silent, owner] = [newWorker(1), newWorker(1)];
      await cp.beat(silent);
      await cp.beat(owner);
      const graph = newId();
      const run = await begin(cp, { graph, worker: owner.id });
      await until("the silent one is gone", async () => (await cp.upkeep.sweepWorkers(1)) > 0);
      while ((await cp.upkeep.sweepWorkers(1)) > 0);
      const heir = newWorker(MINUTE);
      await cp.beat(heir);
      const [claim] = await claimUntil(cp, heir, [graph]);
      expect(claim).toMatchObject({ runId: run.runId, crashed: true });
    });
  });
}

const values = (n: number) => ({ n, text: "x".repeat(n) });

/** A thread of two runs, whose values were stored whole at some of its steps. */
async function longThread(cp: Checkpointer, at: string, whole: readonly number[]) {
  const checkpoint = (n: number) => ({
    ops: [["set", "n", n] as const],
    values: whole.includes(n) ? { n } : null,
  });
  let run = await begin(cp, { at, checkpoint: checkpointOf({ source: "input" }), messages: [placed(0)] });
  for (const n of [1, 2, 3])
    run = await step(cp, run, { at, checkpoint: checkpoint(n), messages: [placed(n)] });
  await commit(cp, endRun(run, "completed", { at }));
  const { ref } = run;
  let last = await begin(cp, { ref, at, checkpoint: checkpointOf({ source: "input" }) });
  for (const n of [4, 5, 6])
    last = await step(cp, last, { at, checkpoint: checkpoint(n), messages: [placed(n)] });
  await commit(cp, endRun(last, "completed", { at }));
  return { ref, first: run, last };
}

/** Sweeps all old events, some threads at a time. */
async function sweepEvents(cp: Checkpointer, quietMs: number): Promise<void> {
  let after: ThreadRef | null = null;
  do after = await cp.upkeep.sweepEvents(quietMs, 2, after);
  while (after !== null);
}

function oldEvents(subject: Subject): void {
  describe("a sweep of old events", () => {
    test("takes what is behind the last whole values; the thread is what it was, and goes on", async () => {
      const cp = subject();
      const thread = await longThread(cp, ago(2 * LONG), [2, 5]);
      const { ref } = thread;
      const [before, log, checkpoints] = [
        await loadThread(cp, ref),
        await cp.log(ref, 0, 100),
        (await cp.checkpoints(ref, ALL)).items,
      ];
      const at = await Promise.all(
        checkpoints.map(({ checkpointId }) => cp.loadAt(ref, { id: checkpointId })),
      );
      await sweepEvents(cp, LONG);

      const after = await loadThread(cp, ref);
      const left = await cp.log(ref, 0, 100);
      const floor = after.head.logFloor;
      expect(left.length).toBeLessThan(log.length);
      expect(left).toEqual(log.filter(({ seq }) => seq > floor));
      expect(log.some(({ seq }) => seq === floor)).toBe(true);
      expect({ ...after, head: { ...after.head, logFloor: 0 } }).toEqual(before);
      // The last run has all its events, and every checkpoint that is left says what it said.
      expect(floor).toBeLessThan((await recordOf(cp, thread.last)).firstSeq);
      expect(await cp.runMessages(ref, thread.last.runId)).toHaveLength(3);
      expect(await cp.runMessages(ref, thread.first.runId)).toHaveLength(2);
      for (const [i, { checkpointId, seq }] of checkpoints.entries())
        expect(await cp.loadAt(ref, { id: checkpointId })).toEqual(seq > floor ? at[i] : null);
      expect((await cp.checkpoints(ref, ALL)).items).toEqual(checkpoints.filter(({ seq }) => seq > floor));
      expect((await cp.messages(ref, ALL)).items).toHaveLength(7);
      expect((await cp.runs(ref, ALL)).items).toHaveLength(2);

      const next = await step(cp, await begin(cp, { ref }), { checkpoint: { ops: [["set", "n", 7]] } });
      await end(cp, next);
      expect((await loadThread(cp, ref)).snapshot.values).toEqual({ n: 7 });
    });

    test("leaves a thread that is used, one that waits, and one without whole values, as they are", async () => {
      const cp = subject();
      const old = ago(2 * LONG);
      const used = await longThread(cp, from(0), [2, 5]);
      const small = await longThread(cp, old, []);
      const paused = await begin(cp, { at: old });
      const whole = await step(cp, paused, { at: old, checkpoint: { ops: [], values: values(3) } });
      await commit(cp, pauseRun(whole, [{}], { at: old }));
      const refs = [used.ref, small.ref, paused.ref];
      const before = await Promise.all(refs.map((ref) => everything(cp, ref)));
      await sweepEvents(cp, LONG);
      expect(await Promise.all(refs.map((ref) => everything(cp, ref)))).toEqual(before);
    });

    test("finds nothing more the second time, however many threads there are", async () => {
      const cp = subject();
      const threads = await simultaneously(5, () => longThread(cp, ago(2 * LONG), [2, 5]));
      await sweepEvents(cp, LONG);
      const floors = await Promise.all(threads.map(async ({ ref }) => (await headOf(cp, ref)).logFloor));
      expect(Math.min(...floors)).toBeGreaterThan(0);
      await sweepEvents(cp, LONG);
      expect(await Promise.all(threads.map(async ({ ref }) => (await headOf(cp, ref)).logFloor))).toEqual(
        floors,
      );
    });
  });
}
