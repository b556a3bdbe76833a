import { describe, expect, test } from "vitest";
import type { Checkpointer, Fork, ThreadRef } from "../../src/checkpoint/checkpointer.js";
import { NO_HOLDS, type Values } from "../../src/engine/index.js";
import { newId } from "../../src/runs/ids.js";
import {
  ALL,
  begin,
  commit,
  end,
  everything,
  first,
  loadThread,
  pause,
  simultaneously,
  step,
  type Subject,
} from "./scenes.js";
import {
  answerTo,
  checkpointOf,
  createThread,
  decide,
  freshRef,
  patchThread,
  placed,
  positionAt,
  tick,
  type Run,
} from "./writes.js";

interface Told {
  readonly run: Run;
  /** Of three steps; at the second a message was replaced. */
  readonly ids: readonly string[];
}

async function told(cp: Checkpointer): Promise<Told> {
  const ids = [newId(), newId(), newId()];
  let run = await begin(cp, { graph: "forked", messages: [placed(0, { id: "a", content: "a1" })] });
  for (const [i, id] of ids.entries()) {
    const replaced = i === 1 ? [placed(0, { id: "a", content: "a2" })] : [];
    run = await step(cp, run, {
      checkpoint: { id, ops: [["set", "n", i]] },
      messages: [...replaced, placed(i + 1, { id: `m${i}`, content: `m${i}` })],
    });
  }
  return { run, ids };
}

function forkOf({ run }: Told, checkpointId: string, of: Partial<Fork> & { values?: Values } = {}): Fork {
  const { values = { n: 1, "odd \u0000 name": "\ud800" }, ...given } = of;
  return {
    ref: run.ref,
    checkpointId,
    threadId: `fork-${newId()}`,
    at: tick(),
    head: {
      graph: "forked",
      status: "stopped",
      step: 2,
      currentNode: "WORK",
      nextNodes: ["WORK"],
      interruptReason: null,
    },
    position: positionAt(run.runId, 2),
    checkpoint: { ...checkpointOf({ source: "fork", sinceValues: { bytes: 0, size: 9 } }), values },
    ...given,
  };
}

const refOf = ({ ref, threadId }: Fork): ThreadRef => ({ tenant: ref.tenant, threadId });

export function forkContract(subject: Subject): void {
  describe("a fork", () => {
    test("is a thread at a checkpoint: state, position, and the messages as they were then", async () => {
      const cp = subject();
      const source = await told(cp);
      const fork = forkOf(source, source.ids[1] ?? "");
      expect(await cp.fork(fork)).toBe("forked");
      const loaded = await loadThread(cp, refOf(fork));
      expect(loaded.head).toEqual({
        ...refOf(fork),
        graph: "forked",
        status: "stopped",
        metadata: {},
        runId: null,
        epoch: 0,
        seq: 1,
        limit: 1,
        step: 2,
        checkpointId: fork.checkpoint.id,
        currentNode: "WORK",
        nextNodes: ["WORK"],
        interruptReason: null,
        logFloor: 0,
        queued: 0,
        createdAt: fork.at,
        updatedAt: fork.at,
      });
      expect(loaded.snapshot).toMatchObject({
        step: 2,
        values: fork.checkpoint.values,
        position: fork.position,
      });
      expect(loaded.snapshot.messages.map(({ id, content }) => [id, content])).toEqual([
        ["a", "a2"],
        ["m0", "m0"],
        ["m1", "m1"],
      ]);
      const { messages } = (await cp.loadAt(source.run.ref, { id: fork.checkpointId }))?.snapshot ?? {
        messages: [],
      };
      expect(loaded.snapshot.messages).toEqual(messages);
      expect(loaded).toMatchObject({
        run: null,
        interrupts: [],
        records: [],
        sinceValues: { bytes: 0, size: 9 },
      });
      expect((await cp.messages(refOf(fork), ALL)).items).toEqual(messages);

      const early = forkOf(source, first(source.ids));
      expect(await cp.fork(early)).toBe("forked");
      const told1 = (await loadThread(cp, refOf(early))).snapshot.messages;
      expect(told1.map(({ content }) => content)).toEqual(["a1", "m0"]);
    });

    test("has one entry without events and one checkpoint, whose parent is the source's", async () => {
      const cp = subject();
      const source = await told(cp);
      const fork = forkOf(source, source.ids[1] ?? "");
      await cp.fork(fork);
      const ref = refOf(fork);
      const { checkpoint } = fork;
      expect(await cp.log(ref, 0, 10)).toEqual([
        { seq: 1, runId: null, checkpointId: checkpoint.id, events: [], messages: [] },
      ]);
      const record = {
        checkpointId: checkpoint.id,
        parentId: fork.checkpointId,
        runId: null,
        seq: 1,
        step: 2,
        path: [],
        status: "stopped",
        nextNodes: ["WORK"],
        source: "fork",
        createdAt: fork.at,
      };
      expect(await cp.checkpoints(ref, ALL)).toEqual({ items: [record], next: null });
      const at = await cp.loadAt(ref, { id: checkpoint.id });
      expect(at).toEqual({ record, snapshot: (await loadThread(cp, ref)).snapshot });
      expect(await cp.loadAt(ref, { id: fork.checkpointId })).toBeNull();
      expect((await cp.runs(ref, ALL)).items).toEqual([]);
    });

    test("has the results of its tasks, of no others, and nothing that is the source's alone", async () => {
      const cp = subject();
      const source = await told(cp);
      const { run } = source;
      const [task] = positionAt(run.runId, 2).tasks;
      const taskId = task?.id ?? "";
      const own = [
        { taskId, key: "pay", value: { id: 1 } },
        { taskId, key: "\\u0000 is no NUL", value: null },
      ];
      for (const record of [
        ...own,
        { taskId, key: "\u0000outcome:0", value: 1 },
        { taskId: "other", key: "pay", value: 2 },
      ])
        await cp.record(run.ref, run.epoch, record);
      const fork = forkOf(source, source.ids[1] ?? "");
      await cp.fork(fork);
      const { records } = await loadThread(cp, refOf(fork));
      expect(records).toHaveLength(2);
      expect(records).toEqual(expect.arrayContaining(own));
      // From here on they are two threads.
      await cp.record(run.ref, run.epoch, { taskId, key: "later", value: 3 });
      expect((await loadThread(cp, refOf(fork))).records).toHaveLength(2);
    });

    test("has no interrupts and no answers, though its tasks have the ids of the source's", async () => {
      const cp = subject();
      const source = await told(cp);
      const [open, answered] = await pause(cp, source.run, [{ key: "#0" }, { key: "#1" }]);
      if (open === undefined || answered === undefined) throw new Error("two interrupts were to open");
      await commit(cp, decide((await loadThread(cp, source.run.ref)).head, [answerTo(answered)]));
      const { position } = (await loadThread(cp, source.run.ref)).snapshot;
      const fork = forkOf(source, source.ids[2] ?? "", { position });
      expect(await cp.fork(fork)).toBe("forked");
      expect((await loadThread(cp, refOf(fork))).interrupts).toEqual([]);
      const own = await cp.interrupts(
        fork.ref.tenant,
        { status: "open", graph: null, threadId: fork.threadId },
        ALL,
      );
      expect(own.items).toEqual([]);
      const again = await begin(cp, { ref: refOf(fork), position });
      const [reopened] = await pause(cp, again, [{ key: "#0", taskId: open.taskId }]);
      expect((await loadThread(cp, refOf(fork))).interrupts).toMatchObject([{ id: reopened?.id, key: "#0" }]);
    });

    test("changes nothing of its source, and goes its own way", async () => {
      const cp = subject();
      const source = await told(cp);
      await end(cp, source.run, "stopped");
      // The list of threads has the new one too.
      const rest = async () => ({ ...((await everything(cp, source.run.ref)) as object), threads: null });
      const before = await rest();
      const fork = forkOf(source, source.ids[1] ?? "");
      await cp.fork(fork);
      const run = await step(cp, await begin(cp, { ref: refOf(fork) }), {
        checkpoint: { ops: [["set", "n", 7]] },
        messages: [placed(0, { id: "a", content: "a3" })],
      });
      await end(cp, run);
      expect(await rest()).toEqual(before);
      const { snapshot } = await loadThread(cp, refOf(fork));
      expect(snapshot.values).toMatchObject({ n: 7 });
      expect(snapshot.messages[0]).toMatchObject({ content: "a3" });
    });

    test("can be made while the source runs, and does not move its run", async () => {
      const cp = subject();
      const source = await told(cp);
      const forks = source.ids.map((id) => forkOf(source, id));
      const [, ...made] = await Promise.all([step(cp, source.run), ...forks.map((fork) => cp.fork(fork))]);
      expect(made).toEqual(["forked", "forked", "forked"]);
      expect((await loadThread(cp, source.run.ref)).head).toMatchObject({ status: "running", step: 4 });
    });

    test("is not made of a checkpoint that the source does not have", async () => {
      const cp = subject();
      const [source, other] = [await told(cp), await told(cp)];
      const fork = forkOf(source, first(other.ids));
      expect(await cp.fork(fork)).toBe("missing");
      expect(await cp.fork(forkOf(source, newId()))).toBe("missing");
      const stranger = { tenant: other.run.ref.tenant, threadId: source.run.ref.threadId };
      expect(await cp.fork(forkOf(source, first(source.ids), { ref: stranger }))).toBe("missing");
      await end(cp, source.run);
      await cp.remove(source.run.ref);
      expect(await cp.fork(forkOf(source, first(source.ids)))).toBe("missing");
      expect(await cp.thread(refOf(fork))).toBeNull();
    });

    test("is not made in the place of a thread, its source included, and changes nothing there", async () => {
      const cp = subject();
      const source = await told(cp);
      const taken = { tenant: source.run.ref.tenant, threadId: `taken-${newId()}` };
      await commit(cp, createThread(taken));
      for (const ref of [taken, source.run.ref]) {
        const before = await everything(cp, ref);
        expect(await cp.fork(forkOf(source, first(source.ids), { threadId: ref.threadId }))).toBe("exists");
        expect(await everything(cp, ref)).toEqual(before);
      }
      expect(await cp.fork(forkOf(source, first(source.ids), { threadId: freshRef().threadId }))).toBe(
        "forked",
      );
    });

    test("of one id is made once of 10 that come at once", async () => {
      const cp = subject();
      const source = await told(cp);
      const threadId = `once-${newId()}`;
      const made = await simultaneously(10, (i) =>
        cp.fork(forkOf(source, source.ids[i % 3] ?? "", { threadId, values: { winner: i } })),
      );
      expect(made.filter((outcome) => outcome === "forked")).toHaveLength(1);
      expect(made.filter((outcome) => outcome === "exists")).toHaveLength(9);
      const { snapshot } = await loadThread(cp, { tenant: source.run.ref.tenant, threadId });
      expect(snapshot.values).toEqual({ winner: made.indexOf("forked") });
      expect(snapshot.messages).toHaveLength((made.indexOf("forked") % 3) + 2);
    });

    test("of an id that was deleted goes on above its numbers (3, 7)", async () => {
      const cp = subject();
      const source = await told(cp);
      const fork = forkOf(source, first(source.ids));
      const old = await begin(cp, { ref: refOf(fork) });
      await end(cp, old);
      const { limit } = (await loadThread(cp, refOf(fork))).head;
      await cp.remove(refOf(fork));
      expect(await cp.fork(fork)).toBe("forked");
      expect((await loadThread(cp, refOf(fork))).head).toMatchObject({
        seq: limit + 1,
        limit: limit + 1,
        epoch: old.epoch,
      });
      expect((await begin(cp, { ref: refOf(fork) })).epoch).toBeGreaterThan(old.epoch);
    });

    test("is whole where its source is deleted at the same moment, or it is not there", async () => {
      const cp = subject();
      for (let i = 0; i < 5; i++) {
        const source = await told(cp);
        await end(cp, source.run);
        const fork = forkOf(source, source.ids[2] ?? "");
        const [made] = await Promise.all([cp.fork(fork), cp.remove(source.run.ref)]);
        const loaded = await cp.load(refOf(fork));
        if (made === "missing") expect(loaded.head).toBeNull();
        else expect(loaded.head === null ? [] : loaded.snapshot.messages).toHaveLength(4);
      }
    });

    test("where nothing is next can be patched, forked and deleted like any thread", async () => {
      const cp = subject();
      const source = await told(cp);
      const head = {
        ...forkOf(source, "").head,
        status: "completed" as const,
        nextNodes: [],
        currentNode: null,
      };
      const fork = forkOf(source, source.ids[2] ?? "", {
        head,
        position: { tasks: [], holds: NO_HOLDS },
        values: { n: 2 },
      });
      await cp.fork(fork);
      const checkpoint = checkpointOf({ source: "patch", ops: [["set", "n", 3]] });
      await commit(
        cp,
        patchThread((await loadThread(cp, refOf(fork))).head, { checkpoint, messages: [placed(4)] }),
      );
      const patched = await cp.loadAt(refOf(fork), { id: checkpoint.id });
      expect(patched).toMatchObject({
        record: { parentId: fork.checkpoint.id },
        snapshot: { values: { n: 3 } },
      });
      expect((await cp.loadAt(refOf(fork), { id: fork.checkpoint.id }))?.snapshot.messages).toHaveLength(4);
      const second = { ...fork, ref: refOf(fork), checkpointId: checkpoint.id, threadId: `fork-${newId()}` };
      expect(await cp.fork(second)).toBe("forked");
      expect((await loadThread(cp, refOf(second))).snapshot.messages).toHaveLength(5);
      expect(await cp.remove(refOf(fork))).toBe("removed");
      expect((await loadThread(cp, refOf(second))).snapshot.messages).toHaveLength(5);
    });
  });
}
