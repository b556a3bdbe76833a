/** Runs that wait for their thread, or for a process that has room. */
import { describe, expect, test } from "vitest";
import type { Checkpointer, Claim, Enqueue, ThreadRef, Write } from "../../src/checkpoint/checkpointer.js";
import { newId } from "../../src/runs/ids.js";
import { begin, commit, end, headOf, newWorker, paused, recordOf, simultaneously, stopOf } from "./scenes.js";
import type { Subject } from "./scenes.js";
import { commitStep, createThread, endRun, freshRef, startRun, tick, type Run } from "./writes.js";

const GRAPH = "graph";

function enqueueOf(ref: ThreadRef, of: Partial<Enqueue> = {}): Enqueue {
  return {
    ref,
    runId: newId(),
    graph: GRAPH,
    recursionLimit: 7,
    metadata: { source: "test" },
    request: { input: { fields: { odd: "\u0000" }, messages: [] }, holds: {} },
    at: tick(),
    free: false,
    stop: null,
    ...of,
  };
}

/** Enqueues, which must succeed; the run's id. */
async function waiting(cp: Checkpointer, ref: ThreadRef, of: Partial<Enqueue> = {}): Promise<string> {
  const enqueue = enqueueOf(ref, of);
  expect(await cp.enqueue(enqueue)).toMatchObject({ outcome: "queued" });
  return enqueue.runId;
}

/** Claims of one graph, by a worker that has beaten. */
async function claim(cp: Checkpointer, graph: string, limit = 100): Promise<readonly Claim[]> {
  const worker = newWorker(60_000);
  await cp.beat(worker);
  return cp.claim(worker, [graph], limit);
}

/** The write that begins a claimed run, as a start that is guarded by the run. */
async function beginning(cp: Checkpointer, { ref, runId, epoch }: Claim): Promise<Write> {
  const loaded = await cp.load(ref);
  if (loaded.head === null) throw new Error("the thread is gone");
  const { seq } = loaded.head;
  const start = startRun(ref, seq, loaded.head, {});
  return {
    ...start,
    runId,
    guard: { by: "run", from: seq, epoch, runId, seesStop: null },
    start: { ...(start.start as NonNullable<Write["start"]>), runId },
  };
}

const runOfClaim = ({ ref, runId, graph, epoch }: Claim, { seq, head }: Write): Run => ({
  ref,
  runId,
  graph,
  epoch,
  seq,
  step: head.step,
});

export function queueContract(subject: Subject): void {
  describe("a run that waits", () => {
    test("makes its thread, and is there as it was asked for, with nothing of the log", async () => {
      const cp = subject();
      const ref = freshRef();
      const of = enqueueOf(ref);
      expect(await cp.enqueue(of)).toEqual({ outcome: "queued", seq: 0, stopped: null, dropped: [] });
      expect(await headOf(cp, ref)).toMatchObject({ status: "queued", graph: GRAPH, queued: 1, runId: null });
      expect(await cp.run(ref, of.runId)).toMatchObject({
        status: "queued",
        request: of.request,
        recursionLimit: 7,
        metadata: { source: "test" },
        startedAt: null,
        endedAt: null,
      });
      expect(await cp.log(ref, 0, 10)).toEqual([]);
    });

    test("is added once, however often it is sent", async () => {
      const cp = subject();
      const of = enqueueOf(freshRef());
      const sent = await simultaneously(5, () => cp.enqueue(of));
      // One that came between the making of the thread and its row reads again.
      for (const each of sent.filter(({ outcome }) => outcome === "moved"))
        expect(each).toEqual({ outcome: "moved" });
      expect(await cp.enqueue(of)).toMatchObject({ outcome: "queued" });
      expect(await headOf(cp, of.ref)).toMatchObject({ queued: 1 });
    });

    test("does not wait on a thread that is interrupted, of another graph, or not free where it must be", async () => {
      const cp = subject();
      const held = await paused(cp);
      expect(await cp.enqueue(enqueueOf(held.ref, { graph: held.run.graph }))).toEqual({ outcome: "moved" });
      const busy = await begin(cp);
      expect(await cp.enqueue(enqueueOf(busy.ref, { graph: "another" }))).toEqual({ outcome: "moved" });
      expect(await cp.enqueue(enqueueOf(busy.ref, { graph: busy.graph, free: true }))).toEqual({
        outcome: "moved",
      });
      expect(await headOf(cp, busy.ref)).toMatchObject({ status: "running", queued: 0 });
    });

    test("is claimed once, in order within its thread, and oldest threads first", async () => {
      const cp = subject();
      const graph = newId();
      const [a, b] = [freshRef(), freshRef()];
      const first = await waiting(cp, a, { graph });
      const second = await waiting(cp, a, { graph });
      const other = await waiting(cp, b, { graph });
      const won = (await simultaneously(6, () => claim(cp, graph, 1))).flat();
      expect(won.map(({ runId }) => runId).sort()).toEqual([first, other].sort());
      for (const each of won) expect(each).toMatchObject({ crashed: false, graph });
      expect(await headOf(cp, a)).toMatchObject({ status: "running", runId: first, queued: 1 });
      const mine = won.find(({ runId }) => runId === first) as Claim;
      const write = await beginning(cp, mine);
      expect(await commit(cp, write)).toBe(mine.epoch);
      const ended = await cp.write(endRun(runOfClaim(mine, write)));
      expect(ended).toMatchObject({ outcome: "committed", queued: true });
      expect(await headOf(cp, a)).toMatchObject({ status: "queued" });
      expect((await claim(cp, graph)).map(({ runId }) => runId)).toEqual([second]);
    });

    test("begins by a write of its own, fenced and met by a stop like every other", async () => {
      const cp = subject();
      const graph = newId();
      const ref = freshRef();
      const runId = await waiting(cp, ref, { graph });
      const [claimed] = await claim(cp, graph);
      if (claimed === undefined) throw new Error("it was not claimed");
      const write = await beginning(cp, claimed);
      await cp.requestStop(ref, stopOf("now"));
      expect(await cp.write(write)).toMatchObject({ outcome: "stopping" });
      const guard = { ...write.guard, seesStop: "now" as const } as Write["guard"];
      expect(await cp.write({ ...write, guard })).toMatchObject({
        outcome: "committed",
        epoch: claimed.epoch,
      });
      expect(await cp.write({ ...write, guard })).toMatchObject({ outcome: "committed" });
      expect(await cp.run(ref, runId)).toMatchObject({ request: null, firstSeq: write.start?.firstSeq });
      const stale = { ...guard, epoch: claimed.epoch - 1 } as Write["guard"];
      expect(await cp.write({ ...write, guard: stale, seq: write.seq + 9 })).toEqual({ outcome: "fenced" });
    });

    test("that was claimed by a process that died before it began is claimed again, with its request", async () => {
      const cp = subject();
      const graph = newId();
      const of = enqueueOf(freshRef(), { graph });
      await cp.enqueue(of);
      const dying = newWorker(60_000);
      await cp.beat(dying);
      const [first] = await cp.claim(dying, [graph], 1);
      expect(await claim(cp, graph)).toEqual([]);
      await cp.retire(dying.id);
      const [again] = await claim(cp, graph);
      expect(again).toMatchObject({ runId: of.runId, epoch: (first?.epoch ?? 0) + 1 });
      expect(await cp.run(of.ref, of.runId)).toMatchObject({ status: "running", request: of.request });
    });

    test("is dropped by a stop with the run that it waits for, in order, and never begins", async () => {
      const cp = subject();
      const run = await begin(cp);
      const ids = [];
      for (let i = 0; i < 3; i++) ids.push(await waiting(cp, run.ref, { graph: run.graph }));
      expect(await cp.requestStop(run.ref, stopOf("now"))).toMatchObject({ was: "running", dropped: ids });
      expect(await headOf(cp, run.ref)).toMatchObject({ status: "running", queued: 0 });
      for (const id of ids) {
        const dropped = await cp.run(run.ref, id);
        expect(dropped).toMatchObject({ status: "stopped", request: null, startedAt: null });
        expect(dropped?.outcome).toMatchObject({ status: "stopped", nextNodes: [] });
      }
      const listed = await cp.runs(run.ref, { limit: 2, cursor: null });
      const rest = await cp.runs(run.ref, { limit: 2, cursor: listed.next });
      expect([...listed.items, ...rest.items].map(({ runId }) => runId).sort()).toEqual(
        [...ids, run.runId].sort(),
      );
    });

    test("is dropped by a stop of its thread, which is stopped then, and by a write that says so", async () => {
      const cp = subject();
      const ref = freshRef();
      const id = await waiting(cp, ref);
      expect(await cp.requestStop(ref, stopOf("now"))).toEqual({ was: "queued", dropped: [id] });
      expect(await headOf(cp, ref)).toMatchObject({ status: "stopped", queued: 0 });
      expect(await cp.requestStop(ref, stopOf("now"))).toEqual({ was: "not-running" });
    });

    test("takes the other's place where it says so: that one is stopped, those that waited are dropped", async () => {
      const cp = subject();
      const run = await begin(cp);
      const old = await waiting(cp, run.ref, { graph: run.graph });
      const of = enqueueOf(run.ref, { graph: run.graph, stop: stopOf("now") });
      expect(await cp.enqueue(of)).toMatchObject({ outcome: "queued", stopped: run.runId, dropped: [old] });
      expect((await recordOf(cp, run)).stop).toEqual(of.stop);
      expect(await cp.write(commitStep(run))).toMatchObject({ outcome: "stopping" });
      expect(await headOf(cp, run.ref)).toMatchObject({ queued: 1 });
    });

    test("keeps its thread from being deleted and written to, as a run does", async () => {
      const cp = subject();
      const ref = freshRef();
      await waiting(cp, ref);
      expect(await cp.remove(ref)).toBe("busy");
      const loaded = await cp.load(ref);
      expect(await cp.write(startRun(ref, 0, loaded.head, {}))).toEqual({ outcome: "moved" });
    });
  });

  describe("a start that is sent twice", () => {
    test("is committed once, and says so both times, also when the run got further", async () => {
      const cp = subject();
      const ref = freshRef();
      await commit(cp, createThread(ref));
      const loaded = await cp.load(ref);
      const write = startRun(ref, loaded.head?.seq ?? 0, loaded.head, {});
      const first = await cp.write(write);
      expect(await cp.write(write)).toEqual(first);
      const epoch = first.outcome === "committed" ? first.epoch : 0;
      await end(cp, { ref, runId: write.runId ?? "", graph: GRAPH, epoch, seq: write.seq, step: 0 });
      expect(await cp.write(write)).toMatchObject({ outcome: "committed", epoch });
      expect((await cp.runs(ref, { limit: 10, cursor: null })).items).toHaveLength(1);
    });

    test("also where it made the thread", async () => {
      const cp = subject();
      const ref = freshRef();
      const write = startRun(ref, 0, null, {});
      const [one, two] = await simultaneously(2, () => cp.write(write));
      expect([one?.outcome, two?.outcome]).toEqual(["committed", "committed"]);
    });
  });
}
