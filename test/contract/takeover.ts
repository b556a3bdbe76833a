import { describe, expect, test } from "vitest";
import type { Checkpointer, Claim, WorkerInfo } from "../../src/checkpoint/checkpointer.js";
import { newId } from "../../src/runs/ids.js";
import {
  begin,
  claimUntil,
  commit,
  end,
  everything,
  headOf,
  newWorker,
  pause,
  recordOf,
  simultaneously,
  step,
  stopOf,
  takenOver,
  type Subject,
} from "./scenes.js";
import { commitStep, endRun, type Run } from "./writes.js";

/** Long enough that no worker of a test dies of it. */
const ALIVE_MS = 60_000;

const freshGraph = (): string => `graph-${newId()}`;

/** A worker that has beaten. */
async function beating(cp: Checkpointer, leaseMs = ALIVE_MS): Promise<WorkerInfo> {
  const worker = newWorker(leaseMs);
  await cp.beat(worker);
  return worker;
}

/** A run whose worker will not be heard of again. */
async function orphan(cp: Checkpointer, graph: string): Promise<Run> {
  const owner = await beating(cp, 1);
  return begin(cp, { graph, worker: owner.id });
}

/** A run that was given up for anybody to claim. */
async function givenUp(cp: Checkpointer, graph: string, inFlight = false): Promise<Run> {
  const owner = await beating(cp);
  const run = await begin(cp, { graph, worker: owner.id });
  expect(await cp.release(run.ref, run.epoch, { inFlight })).toBe(true);
  return run;
}

const runIds = (claims: readonly Claim[]): string[] => claims.map(({ runId }) => runId).sort();

export function takeoverContract(subject: Subject): void {
  describe("a heartbeat", () => {
    test("gives the runs that the worker owns, each with the stop that was asked for", async () => {
      const cp = subject();
      const worker = await beating(cp);
      const one = await begin(cp, { worker: worker.id });
      const two = await begin(cp, { worker: worker.id });
      await begin(cp, { worker: (await beating(cp)).id });
      const stop = stopOf("now", { reason: "enough" });
      await cp.requestStop(two.ref, stop);
      const owned = await cp.beat(worker);
      expect(owned).toHaveLength(2);
      expect(owned).toContainEqual({ ref: one.ref, runId: one.runId, epoch: one.epoch, stop: null });
      expect(owned).toContainEqual({ ref: two.ref, runId: two.runId, epoch: two.epoch, stop });
    });

    test("gives nothing to a worker that owns nothing: new, or its runs ended or given up", async () => {
      const cp = subject();
      const worker = newWorker(ALIVE_MS);
      expect(await cp.beat(worker)).toEqual([]);
      const ended = await begin(cp, { worker: worker.id });
      await end(cp, ended, "stopped");
      const released = await begin(cp, { worker: worker.id, graph: freshGraph() });
      await cp.release(released.ref, released.epoch, { inFlight: false });
      expect(await cp.beat(worker)).toEqual([]);
    });
  });

  describe("a takeover (invariant 8)", () => {
    test("gives the run of a dead worker, as crashed, under a new epoch", async () => {
      const cp = subject();
      const graph = freshGraph();
      const run = await orphan(cp, graph);
      const heir = await beating(cp, 1);
      const { ref, runId } = run;
      const [claim] = await claimUntil(cp, heir, [graph]);
      expect(claim).toEqual({ ref, runId, graph, epoch: run.epoch + 1, crashed: true });
      expect(await headOf(cp, ref)).toMatchObject({ status: "running", runId, epoch: run.epoch + 1 });
      expect(await cp.beat(heir)).toEqual([{ ref, runId, epoch: run.epoch + 1, stop: null }]);
    });

    test("fences the former owner off: it writes nothing more (3)", async () => {
      const cp = subject();
      const graph = freshGraph();
      const run = await orphan(cp, graph);
      const heir = await beating(cp, 1);
      const [claim] = await claimUntil(cp, heir, [graph]);
      if (claim === undefined) throw new Error("nothing was claimed");
      const mine = await takenOver(cp, run, claim);
      const before = await everything(cp, run.ref);
      for (const seq of [run.seq, mine.seq]) {
        expect(await cp.write(commitStep({ ...run, seq }))).toEqual({ outcome: "fenced" });
        expect(await cp.write(endRun({ ...run, seq }))).toEqual({ outcome: "fenced" });
      }
      expect(await cp.reserve(run.ref, run.epoch, 9000)).toBe(false);
      expect(await cp.release(run.ref, run.epoch, { inFlight: true })).toBe(false);
      expect(await cp.record(run.ref, run.epoch, { taskId: "t", key: "k", value: 1 })).toBe(false);
      expect(await everything(cp, run.ref)).toEqual(before);
      const next = await step(cp, mine);
      // Numbers that meet by chance do not make it the repetition of a write that was another's.
      expect(await cp.write({ ...commitStep(run), seq: next.seq })).toEqual({ outcome: "fenced" });
      await end(cp, next);
    });

    test("goes on above all numbers that the former owner may have given (7)", async () => {
      const cp = subject();
      const graph = freshGraph();
      const run = await step(cp, await orphan(cp, graph));
      const { limit } = await headOf(cp, run.ref);
      await cp.reserve(run.ref, run.epoch, limit + 100);
      const [claim] = await claimUntil(cp, await beating(cp, 1), [graph]);
      if (claim === undefined) throw new Error("nothing was claimed");
      const head = await headOf(cp, run.ref);
      expect(head.seq).toBeGreaterThanOrEqual(limit + 100);
      expect(head.limit).toBeGreaterThanOrEqual(head.seq);
      const mine = await step(cp, await takenOver(cp, run, claim));
      expect((await cp.log(run.ref, run.seq, 10)).map(({ seq }) => seq)).toEqual([mine.seq]);
    });

    test("leaves a write that was committed before committed: its repetition says so", async () => {
      const cp = subject();
      const graph = freshGraph();
      const run = await orphan(cp, graph);
      const write = commitStep(run);
      await commit(cp, write);
      await claimUntil(cp, await beating(cp, 1), [graph]);
      const before = await everything(cp, run.ref);
      expect(await cp.write(write)).toMatchObject({ outcome: "committed" });
      expect(await everything(cp, run.ref)).toEqual(before);
    });

    test("leaves the runs of workers that live", async () => {
      const cp = subject();
      const graph = freshGraph();
      const run = await begin(cp, { graph, worker: (await beating(cp)).id });
      const before = await everything(cp, run.ref);
      expect(await cp.claim(await beating(cp), [graph], 10)).toEqual([]);
      expect(await everything(cp, run.ref)).toEqual(before);
    });

    test("leaves the runs that have ended", async () => {
      const cp = subject();
      const graph = freshGraph();
      await end(cp, await orphan(cp, graph), "error");
      await pause(cp, await orphan(cp, graph));
      const run = await orphan(cp, graph);
      const heir = await beating(cp, 1);
      expect(runIds(await claimUntil(cp, heir, [graph]))).toEqual([run.runId]);
      expect(await cp.claim(heir, [graph], 10)).toEqual([]);
    });

    test("never takes a worker's own runs from it, however late its heartbeat", async () => {
      const cp = subject();
      const graph = freshGraph();
      const late = await beating(cp, 1);
      const own = await begin(cp, { graph, worker: late.id });
      const other = await orphan(cp, graph);
      expect(runIds(await claimUntil(cp, late, [graph]))).toEqual([other.runId]);
      expect(await cp.claim(late, [graph], 10)).toEqual([]);
      expect((await headOf(cp, own.ref)).epoch).toBe(own.epoch);
    });

    test("takes only runs of the graphs that are asked for", async () => {
      const cp = subject();
      const [graph, other] = [freshGraph(), freshGraph()];
      const run = await givenUp(cp, graph);
      const worker = await beating(cp);
      expect(await cp.claim(worker, [other], 10)).toEqual([]);
      expect(await cp.claim(worker, [], 10)).toEqual([]);
      expect(runIds(await cp.claim(worker, [other, graph], 10))).toEqual([run.runId]);
    });

    test("takes no more than it is asked for, and the rest the next time", async () => {
      const cp = subject();
      const graph = freshGraph();
      const runs = [await givenUp(cp, graph), await givenUp(cp, graph), await givenUp(cp, graph)];
      const worker = await beating(cp);
      const two = await cp.claim(worker, [graph], 2);
      expect(two).toHaveLength(2);
      const rest = await cp.claim(worker, [graph], 2);
      expect(runIds([...two, ...rest])).toEqual(runs.map(({ runId }) => runId).sort());
      expect(await cp.claim(worker, [graph], 2)).toEqual([]);
    });

    test("takes runs that are to stop beside what it is asked for, also where that is none", async () => {
      const cp = subject();
      const graph = freshGraph();
      const runs = [await givenUp(cp, graph), await givenUp(cp, graph), await givenUp(cp, graph)];
      const [first, second, third] = runs as [Run, Run, Run];
      const own = await begin(cp, { graph, worker: (await beating(cp)).id });
      await cp.requestStop(third.ref, stopOf("now"));
      await cp.requestStop(own.ref, stopOf("now"));
      const worker = await beating(cp);
      expect(runIds(await cp.claim(worker, [freshGraph()], 0))).toEqual([]);
      expect(runIds(await cp.claim(worker, [graph], 0))).toEqual([third.runId]);
      await cp.requestStop(second.ref, stopOf("after_step"));
      const both = await cp.claim(worker, [graph], 1);
      expect(runIds(both)).toEqual([first.runId, second.runId].sort());
      expect(await cp.claim(worker, [graph], 9)).toEqual([]);
    });

    test("gives no run twice to workers that claim at once", async () => {
      const cp = subject();
      const graph = freshGraph();
      const runs = await simultaneously(8, () => givenUp(cp, graph));
      const workers = await simultaneously(4, () => beating(cp));
      const claims = (await Promise.all(workers.map((worker) => cp.claim(worker, [graph], 8)))).flat();
      expect(runIds(claims)).toEqual(runs.map(({ runId }) => runId).sort());
    });

    test("gives no run of a dead worker twice, and none of one that beats", async () => {
      const cp = subject();
      const graph = freshGraph();
      const leaseMs = 1000;
      const [dead, alive] = [await beating(cp, leaseMs), await beating(cp, leaseMs)];
      const orphans = await simultaneously(5, () => begin(cp, { graph, worker: dead.id }));
      const kept = await begin(cp, { graph, worker: alive.id });
      const heirs = Array.from({ length: 4 }, () => newWorker(leaseMs));
      const until = Date.now() + 10_000;
      const claims: Claim[] = [];
      while (claims.length === 0 && Date.now() < until) {
        await Promise.all([alive, ...heirs].map((worker) => cp.beat(worker)));
        claims.push(...(await Promise.all(heirs.map((heir) => cp.claim(heir, [graph], 10)))).flat());
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(runIds(claims)).toEqual(orphans.map(({ runId }) => runId).sort());
      expect((await headOf(cp, kept.ref)).epoch).toBe(kept.epoch);
    });
  });

  describe("a worker that retires (invariant 8)", () => {
    test("leaves what it owns to be taken at once, as crashed, however long its lease", async () => {
      const cp = subject();
      const graph = freshGraph();
      const owner = await beating(cp);
      const run = await begin(cp, { graph, worker: owner.id });
      const heir = await beating(cp);
      expect(await cp.claim(heir, [graph], 10)).toEqual([]);
      await cp.retire(owner.id);
      // Also by one that takes nobody's who is only silent.
      const [claim] = await cp.claim(heir, [graph], 10, false);
      expect(claim).toMatchObject({ runId: run.runId, epoch: run.epoch + 1, crashed: true });
      expect(await cp.claim(heir, [graph], 10)).toEqual([]);
    });

    test("leaves others alone, and may never have been", async () => {
      const cp = subject();
      const graph = freshGraph();
      const run = await begin(cp, { graph, worker: (await beating(cp)).id });
      await cp.retire((await beating(cp)).id);
      await cp.retire(newWorker(ALIVE_MS).id);
      expect(await cp.claim(await beating(cp), [graph], 10)).toEqual([]);
      expect((await headOf(cp, run.ref)).epoch).toBe(run.epoch);
    });

    test("lives again when it beats", async () => {
      const cp = subject();
      const graph = freshGraph();
      const owner = await beating(cp);
      const { ref, runId, epoch } = await begin(cp, { graph, worker: owner.id });
      await cp.retire(owner.id);
      expect(await cp.beat(owner)).toEqual([{ ref, runId, epoch, stop: null }]);
      expect(await cp.claim(await beating(cp), [graph], 10)).toEqual([]);
    });
  });

  describe("a claim that leaves the silent their runs", () => {
    test("takes what was given up, and nothing of a worker that may still renew", async () => {
      const cp = subject();
      const graph = freshGraph();
      const left = await orphan(cp, graph);
      const given = await givenUp(cp, graph);
      const heir = await beating(cp, 1);
      // The silent one is dead by now: whoever asks for others' runs gets them.
      const probe = freshGraph();
      await orphan(cp, probe);
      await claimUntil(cp, heir, [probe]);
      expect(runIds(await cp.claim(heir, [graph], 10, false))).toEqual([given.runId]);
      expect(runIds(await claimUntil(cp, heir, [graph]))).toEqual([left.runId]);
    });
  });

  describe("giving a run up", () => {
    test("lets anybody have it at once, the one who gave it up too", async () => {
      const cp = subject();
      const graph = freshGraph();
      const worker = await beating(cp);
      const run = await begin(cp, { graph, worker: worker.id });
      expect(await cp.release(run.ref, run.epoch, { inFlight: false })).toBe(true);
      const { ref, runId } = run;
      const claim = { ref, runId, graph, epoch: run.epoch + 1, crashed: false };
      expect(await cp.claim(worker, [graph], 10)).toEqual([claim]);
      expect(await cp.release(ref, run.epoch + 1, { inFlight: false })).toBe(true);
      expect(await cp.claim(await beating(cp), [graph], 10)).toEqual([{ ...claim, epoch: run.epoch + 2 }]);
    });

    test("says whether a node may have been in flight", async () => {
      const cp = subject();
      const graph = freshGraph();
      await givenUp(cp, graph, false);
      const worker = await beating(cp);
      expect(await cp.claim(worker, [graph], 10)).toMatchObject([{ crashed: false }]);
      await givenUp(cp, graph, true);
      expect(await cp.claim(worker, [graph], 10)).toMatchObject([{ crashed: true }]);
    });

    test("says it once: who claims the run may be inside a node again", async () => {
      const cp = subject();
      const graph = freshGraph();
      await givenUp(cp, graph, false);
      const heir = await beating(cp, 1);
      expect(await cp.claim(heir, [graph], 10)).toMatchObject([{ crashed: false }]);
      expect(await claimUntil(cp, await beating(cp, 1), [graph])).toMatchObject([{ crashed: true }]);
    });

    test("is fenced for another epoch, and after the end (3)", async () => {
      const cp = subject();
      const graph = freshGraph();
      const run = await begin(cp, { graph, worker: (await beating(cp)).id });
      for (const epoch of [run.epoch - 1, run.epoch + 1])
        expect(await cp.release(run.ref, epoch, { inFlight: false })).toBe(false);
      const worker = await beating(cp);
      expect(await cp.claim(worker, [graph], 10)).toEqual([]);
      await end(cp, run);
      expect(await cp.release(run.ref, run.epoch, { inFlight: false })).toBe(false);
      expect(await cp.claim(worker, [graph], 10)).toEqual([]);
    });
  });

  describe("the count of processes that a run has lost", () => {
    test("grows by each crash and not by a hand-over", async () => {
      const cp = subject();
      const graph = freshGraph();
      const run = await givenUp(cp, graph, true);
      const worker = await beating(cp);
      const lost = async (inFlight: boolean): Promise<number> => {
        const [claim] = await cp.claim(worker, [graph], 1);
        await cp.release(run.ref, claim?.epoch ?? 0, { inFlight });
        return (await recordOf(cp, run)).lostCount;
      };
      expect(await lost(true)).toBe(1);
      expect(await lost(false)).toBe(2);
      expect(await lost(true)).toBe(2);
      expect(await lost(true)).toBe(3);
    });

    test("begins anew with the next checkpoint, not with a write that has none", async () => {
      const cp = subject();
      const graph = freshGraph();
      const run = await orphan(cp, graph);
      const [claim] = await claimUntil(cp, await beating(cp, 1), [graph]);
      if (claim === undefined) throw new Error("nothing was claimed");
      expect((await recordOf(cp, run)).lostCount).toBe(1);
      const mine = await step(cp, await takenOver(cp, run, claim), { checkpoint: null });
      expect((await recordOf(cp, run)).lostCount).toBe(1);
      await step(cp, mine);
      expect((await recordOf(cp, run)).lostCount).toBe(0);
    });

    test("begins anew with the checkpoint of the last write too", async () => {
      const cp = subject();
      const graph = freshGraph();
      const run = await orphan(cp, graph);
      const [claim] = await claimUntil(cp, await beating(cp, 1), [graph]);
      if (claim === undefined) throw new Error("nothing was claimed");
      await commit(cp, endRun(await takenOver(cp, run, claim), "completed", { checkpoint: {} }));
      expect((await recordOf(cp, run)).lostCount).toBe(0);
    });
  });
}
