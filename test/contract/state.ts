import { describe, expect, test } from "vitest";
import type { StateOp, Values } from "../../src/engine/index.js";
import { newId } from "../../src/runs/ids.js";
import { begin, commit, end, everything, first, loadThread, simultaneously, step } from "./scenes.js";
import { checkpointOf, commitStep, endRun, patchThread, placed, positionAt, type Run } from "./writes.js";
import type { Subject } from "./scenes.js";

export function stateContract(subject: Subject): void {
  describe("state", () => {
    const chapters: readonly { ops: readonly StateOp[]; values?: Values; gives: Values }[] = [
      { ops: [["set", "n", 1]], gives: { n: 1 } },
      { ops: [["set", "list", ["a"]]], gives: { n: 1, list: ["a"] } },
      { ops: [["append", "list", ["b", { c: 1 }]]], gives: { n: 1, list: ["a", "b", { c: 1 }] } },
      {
        ops: [
          ["set", "n", 2],
          ["append", "list", ["d"]],
          ["append", "list", ["e", "f"]],
        ],
        values: { n: 2, list: ["a", "b", { c: 1 }, "d", "e", "f"] },
        gives: { n: 2, list: ["a", "b", { c: 1 }, "d", "e", "f"] },
      },
      { ops: [], gives: { n: 2, list: ["a", "b", { c: 1 }, "d", "e", "f"] } },
      {
        ops: [
          ["set", "list", ["g"]],
          ["append", "list", ["h"]],
          ["set", "n", null],
          ["set", "empty", {}],
        ],
        gives: { n: null, list: ["g", "h"], empty: {} },
      },
    ];

    /** A run that commits the chapters, each with its message and its position. */
    async function told(): Promise<{ run: Run; ids: string[]; seqs: number[] }> {
      const cp = subject();
      let run = await begin(cp);
      const ids: string[] = [];
      const seqs: number[] = [];
      for (const [i, { ops, values = null }] of chapters.entries()) {
        const id = newId();
        const position = positionAt(run.runId, i + 1, `NODE${i}`);
        run = await step(cp, run, {
          checkpoint: { id, ops, values },
          position,
          messages: [placed(i, { id: `m${i}`, content: `said ${i}` })],
        });
        ids.push(id);
        seqs.push(run.seq);
      }
      return { run, ids, seqs };
    }

    test("is no longer its writer's: what is done to a write, or to what was read, changes nothing", async () => {
      const cp = subject();
      const run = await begin(cp);
      const write = commitStep(run, {
        checkpoint: { ops: [["set", "list", [{ n: 1 }]]] },
        messages: [placed(0, { metadata: { kept: true } })],
      });
      await commit(cp, write);
      const before = await everything(cp, run.ref);
      // eslint-disable-next-line @typescript-eslint/no-explicit-any
      const [mine, read]: any[] = [write, await loadThread(cp, run.ref)];
      const changes = [
        () => (mine.checkpoint.ops[0][2][0].n = 2),
        () => (mine.messages[0].message.metadata.kept = false),
        () => (mine.events[0].data.step = 9),
        () => mine.position.tasks.pop(),
        () => (read.snapshot.values.list[0].n = 2),
        () => (read.snapshot.messages[0].metadata.kept = false),
        () => read.snapshot.position.tasks.pop(),
      ];
      for (const change of changes) {
        try {
          change();
        } catch (error) {
          // Frozen is one way to keep it, a copy another.
          expect(error).toBeInstanceOf(TypeError);
        }
      }
      expect(await everything(cp, run.ref)).toEqual(before);
    });

    test("is what its changes come to, in order, across whole values and lists that grow", async () => {
      const cp = subject();
      let run = await begin(cp);
      for (const { ops, values = null, gives } of chapters) {
        run = await step(cp, run, { checkpoint: { ops, values } });
        expect((await loadThread(cp, run.ref)).snapshot.values).toEqual(gives);
      }
    });

    test("that was loaded stays as it was when a list grows", async () => {
      const cp = subject();
      const run = await step(cp, await begin(cp), { checkpoint: { ops: [["set", "list", [1]]] } });
      const earlier = await loadThread(cp, run.ref);
      await step(cp, run, {
        checkpoint: {
          ops: [
            ["append", "list", [2]],
            ["append", "list", [3]],
          ],
        },
      });
      expect(earlier.snapshot.values).toEqual({ list: [1] });
      expect((await loadThread(cp, run.ref)).snapshot.values).toEqual({ list: [1, 2, 3] });
    });

    test("can be read as it was at each checkpoint, by its id and by its seq, with messages and position", async () => {
      const cp = subject();
      const { run, ids, seqs } = await told();
      for (const [i, { gives }] of chapters.entries()) {
        const byId = await cp.loadAt(run.ref, { id: ids[i] ?? "" });
        expect(byId?.snapshot).toMatchObject({
          step: i + 1,
          values: gives,
          position: positionAt(run.runId, i + 1, `NODE${i}`),
        });
        expect(byId?.snapshot.values).toEqual(gives);
        expect(byId?.snapshot.messages.map(({ id }) => id)).toEqual(
          chapters.slice(0, i + 1).map((_, m) => `m${m}`),
        );
        expect(byId?.record).toMatchObject({ checkpointId: ids[i], seq: seqs[i], step: i + 1 });
        expect(await cp.loadAt(run.ref, { seq: seqs[i] ?? 0 })).toEqual(byId);
      }
    });

    test("at its newest checkpoint is what load gives", async () => {
      const cp = subject();
      const { run, ids } = await told();
      const { snapshot } = await loadThread(cp, run.ref);
      expect((await cp.loadAt(run.ref, { id: ids.at(-1) ?? "" }))?.snapshot).toEqual(snapshot);
    });

    test("at a seq between two checkpoints is that of the one before", async () => {
      const cp = subject();
      const { run, ids, seqs } = await told();
      const last = seqs.at(-1) ?? 0;
      await commit(cp, endRun(run));
      for (const seq of [last + 1, last + 1000])
        expect((await cp.loadAt(run.ref, { seq }))?.record.checkpointId).toBe(ids.at(-1));
      expect(await cp.loadAt(run.ref, { seq: 0 })).toBeNull();
    });

    test("is not given for a checkpoint that is another thread's, or nobody's", async () => {
      const cp = subject();
      const { ids } = await told();
      const other = await begin(cp);
      expect(await cp.loadAt(other.ref, { id: first(ids) })).toBeNull();
      expect(await cp.loadAt(other.ref, { id: newId() })).toBeNull();
    });

    test("of a message that was replaced is, at each checkpoint, the text of then", async () => {
      const cp = subject();
      const start = await begin(cp, { messages: [placed(0, { id: "a", content: "a1" })] });
      const [one, two] = [newId(), newId()];
      const wrote = await step(cp, start, {
        checkpoint: { id: one },
        messages: [placed(1, { id: "b", content: "b1" })],
      });
      await step(cp, wrote, {
        checkpoint: { id: two },
        messages: [placed(0, { id: "a", content: "a2" }), placed(2, { id: "c", content: "c1" })],
      });
      const at = async (id: string) =>
        (await cp.loadAt(start.ref, { id }))?.snapshot.messages.map(({ content }) => content);
      expect(await at(one)).toEqual(["a1", "b1"]);
      expect(await at(two)).toEqual(["a2", "b1", "c1"]);
      const { messages } = (await loadThread(cp, start.ref)).snapshot;
      expect(messages.map(({ content }) => content)).toEqual(["a2", "b1", "c1"]);
    });

    test("comes back with what was said of its size (9)", async () => {
      const cp = subject();
      const run = await begin(cp);
      const sinceValues = { bytes: 123, size: 4567 };
      const after = await step(cp, run, { checkpoint: { sinceValues } });
      expect((await loadThread(cp, run.ref)).sinceValues).toEqual(sinceValues);
      await step(cp, after, { checkpoint: null });
      expect((await loadThread(cp, run.ref)).sinceValues).toEqual(sinceValues);
    });

    test("patched between two runs is in its place in the history", async () => {
      const cp = subject();
      const run = await step(cp, await begin(cp), { checkpoint: { ops: [["set", "n", 1]] } });
      await end(cp, run, "stopped");
      const checkpoint = checkpointOf({ source: "patch", ops: [["set", "n", 2]] });
      const before = await loadThread(cp, run.ref);
      await commit(cp, patchThread(before.head, { checkpoint }));
      const patched = await cp.loadAt(run.ref, { id: checkpoint.id });
      expect(patched?.record).toMatchObject({ source: "patch", parentId: before.head.checkpointId });
      expect(patched?.snapshot).toEqual({ ...before.snapshot, values: { n: 2 } });
    });
  });

  describe("results that a task has stored", () => {
    const value = { charged: true };
    const task = (run: Run): string => first(positionAt(run.runId, run.step).tasks).id;

    test("come back with the tasks that are next, and only with those", async () => {
      const cp = subject();
      const run = await begin(cp);
      const records = [
        { taskId: task(run), key: "a", value },
        { taskId: task(run), key: "b", value: [1] },
      ];
      const other = { taskId: "other", key: "a", value: 1 };
      for (const record of [...records, other])
        expect(await cp.record(run.ref, run.epoch, record)).toBe(true);
      const loaded = (await loadThread(cp, run.ref)).records;
      expect(loaded).toHaveLength(2);
      expect(loaded).toEqual(expect.arrayContaining(records));
      await step(cp, run);
      expect((await loadThread(cp, run.ref)).records).toEqual([]);
    });

    test("keep their first value", async () => {
      const cp = subject();
      const run = await begin(cp);
      const taskId = task(run);
      expect(await cp.record(run.ref, run.epoch, { taskId, key: "k", value: "first" })).toBe(true);
      expect(await cp.record(run.ref, run.epoch, { taskId, key: "k", value: "second" })).toBe(true);
      expect((await loadThread(cp, run.ref)).records).toEqual([{ taskId, key: "k", value: "first" }]);
    });

    test("keep one value of 20 that come at once", async () => {
      const cp = subject();
      const run = await begin(cp);
      const taskId = task(run);
      const stored = await simultaneously(20, (value) =>
        cp.record(run.ref, run.epoch, { taskId, key: "k", value }),
      );
      expect(stored).toEqual(stored.map(() => true));
      expect((await loadThread(cp, run.ref)).records).toHaveLength(1);
    });

    test.each([null, false, 0, ""])("keep %j", async (nothing) => {
      const cp = subject();
      const run = await begin(cp);
      const record = { taskId: task(run), key: "k", value: nothing };
      await cp.record(run.ref, run.epoch, record);
      await cp.record(run.ref, run.epoch, { ...record, value: "second" });
      expect((await loadThread(cp, run.ref)).records).toEqual([record]);
    });

    test("are refused under another epoch, and change nothing (3)", async () => {
      const cp = subject();
      const run = await begin(cp);
      const before = await everything(cp, run.ref);
      for (const epoch of [run.epoch - 1, run.epoch + 1])
        expect(await cp.record(run.ref, epoch, { taskId: task(run), key: "k", value })).toBe(false);
      expect(await everything(cp, run.ref)).toEqual(before);
    });

    test("are taken after the run has ended, until another begins", async () => {
      const cp = subject();
      const run = await begin(cp);
      await end(cp, run, "stopped");
      const record = { taskId: task(run), key: "late", value };
      expect(await cp.record(run.ref, run.epoch, record)).toBe(true);
      expect((await loadThread(cp, run.ref)).records).toEqual([record]);
      await begin(cp, { ref: run.ref });
      expect(await cp.record(run.ref, run.epoch, { ...record, key: "later" })).toBe(false);
    });
  });
}
