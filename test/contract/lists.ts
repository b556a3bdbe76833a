import { describe, expect, test } from "vitest";
import {
  encodeCursor,
  type CheckpointRecord,
  type Checkpointer,
  type Page,
  type PageRequest,
  type ThreadRef,
} from "../../src/checkpoint/checkpointer.js";
import { HoldpointError } from "../../src/errors.js";
import type { Interrupt, ThreadStatus } from "../../src/engine/index.js";
import { newId } from "../../src/runs/ids.js";
import { ALL, begin, commit, end, headOf, pagesOf, pause, paused, step, type Subject } from "./scenes.js";
import { answerTo, cancel, createThread, decide, freshRef, placed, type Run } from "./writes.js";

const everyThread = { statuses: null, graph: null };

const recordFields = (of: CheckpointRecord): CheckpointRecord => ({
  checkpointId: of.checkpointId,
  parentId: of.parentId,
  runId: of.runId,
  seq: of.seq,
  step: of.step,
  path: of.path,
  status: of.status,
  nextNodes: of.nextNodes,
  source: of.source,
  createdAt: of.createdAt,
});

export function listsContract(subject: Subject): void {
  /** Reads a list in pages of two: no more, no less and nothing twice, and the same again. */
  async function pagesOfTwo<T>(read: (page: PageRequest) => Promise<Page<T>>): Promise<T[]> {
    const pages = await pagesOf(2, read);
    const all = pages.flat();
    expect(pages.map(({ length }) => length)).toEqual(pages.map((_, i) => Math.min(2, all.length - 2 * i)));
    expect(await pagesOf(2, read)).toEqual(pages);
    expect(await read(ALL)).toEqual({ items: all, next: null });
    return all;
  }

  /** Threads of one tenant, made one after the other. */
  async function threadsIn(tenant: string, count: number): Promise<ThreadRef[]> {
    const refs: ThreadRef[] = [];
    for (let i = 0; i < count; i++) {
      const ref = { tenant, threadId: newId() };
      await commit(subject(), createThread(ref));
      refs.push(ref);
    }
    return refs;
  }

  describe("the list of threads", () => {
    test.each([1, 4, 5])("gives %i in pages of two, newest first", async (count) => {
      const cp = subject();
      const { tenant } = freshRef();
      const refs = await threadsIn(tenant, count);
      const heads = await pagesOfTwo((page) => cp.threads(tenant, everyThread, page));
      expect(heads).toEqual(await Promise.all(refs.toReversed().map((ref) => headOf(cp, ref))));
    });

    test("keeps its order when a thread changes, and goes on where it was when one is added", async () => {
      const cp = subject();
      const { tenant } = freshRef();
      const refs = await threadsIn(tenant, 4);
      const one = await cp.threads(tenant, everyThread, { limit: 2, cursor: null });
      await threadsIn(tenant, 1);
      const oldest = refs[0] ?? freshRef();
      await begin(cp, { ref: oldest });
      const two = await cp.threads(tenant, everyThread, { limit: 2, cursor: one.next });
      expect([...one.items, ...two.items].map(({ threadId }) => threadId)).toEqual(
        refs.toReversed().map(({ threadId }) => threadId),
      );
    });

    test("gives each once when all were made at the same time", async () => {
      const cp = subject();
      const { tenant } = freshRef();
      const at = "2026-05-05T05:05:05.555Z";
      const ids = Array.from({ length: 5 }, () => newId());
      for (const threadId of ids) await commit(cp, createThread({ tenant, threadId }, { at }));
      const heads = await pagesOfTwo((page) => cp.threads(tenant, everyThread, page));
      expect(heads.map(({ threadId }) => threadId).sort()).toEqual(ids.sort());
    });

    test("can be narrowed by status and by graph", async () => {
      const cp = subject();
      const { tenant } = freshRef();
      const make = (graph: string) => begin(cp, { ref: { tenant, threadId: newId() }, graph });
      const [idle] = await threadsIn(tenant, 1);
      const [a, b, c] = [await make("a"), await make("b"), await make("a")];
      await end(cp, b);
      await pause(cp, c);
      const ids = async (statuses: readonly ThreadStatus[] | null, graph: string | null) =>
        (await pagesOfTwo((page) => cp.threads(tenant, { statuses, graph }, page))).map(
          ({ threadId }) => threadId,
        );
      const of = (...runs: Run[]) => runs.map(({ ref }) => ref.threadId);
      expect(await ids(null, "a")).toEqual(of(c, a));
      expect(await ids(["running"], null)).toEqual(of(a));
      expect(await ids(["interrupted_before", "completed"], null)).toEqual(of(c, b));
      expect(await ids(["interrupted_before", "completed"], "a")).toEqual(of(c));
      expect(await ids(["idle"], null)).toEqual([idle?.threadId]);
      expect(await ids(["stopped"], null)).toEqual([]);
      expect(await ids(null, "nobody's")).toEqual([]);
    });
  });

  test("the list of runs gives those of the thread in pages, newest first", async () => {
    const cp = subject();
    const ref = freshRef();
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) {
      const run = await begin(cp, { ref });
      if (i < 4) await end(cp, run);
      ids.push(run.runId);
    }
    await begin(cp, { ref: { ...ref, threadId: newId() } });
    const runs = await pagesOfTwo((page) => cp.runs(ref, page));
    expect(runs.map(({ runId }) => runId)).toEqual(ids.toReversed());
    expect(runs).toEqual(await Promise.all(runs.map(({ runId }) => cp.run(ref, runId))));
  });

  test("the list of messages gives those of the thread in pages, oldest first", async () => {
    const cp = subject();
    const run = await begin(cp, { messages: [0, 1, 2].map((i) => placed(i, { id: `m${i}` })) });
    await step(cp, run, { messages: [3, 4].map((i) => placed(i, { id: `m${i}` })) });
    await begin(cp, { ref: { ...run.ref, threadId: newId() }, messages: [placed(0, { id: "m0" })] });
    const messages = await pagesOfTwo((page) => cp.messages(run.ref, page));
    expect(messages.map(({ id }) => id)).toEqual(["m0", "m1", "m2", "m3", "m4"]);
  });

  describe("the list of interrupts", () => {
    test("gives the open ones of all threads in pages, newest first", async () => {
      const cp = subject();
      const { tenant } = freshRef();
      const opened: Interrupt[] = [];
      for (let i = 0; i < 3; i++) {
        const run = await begin(cp, { ref: { tenant, threadId: newId() } });
        opened.push(...(await pause(cp, run, [{ key: "#1" }, { key: "#2" }])));
      }
      const filter = { status: "open" as const, graph: null, threadId: null };
      const listed = await pagesOfTwo((page) => cp.interrupts(tenant, filter, page));
      expect(listed).toEqual(opened.toReversed());
    });

    test("gives those that opened at the same time by their ids, so that reversed they are as they opened", async () => {
      const cp = subject();
      const run = await begin(cp);
      const createdAt = "2026-05-05T05:05:05.555Z";
      const asked = ["#1", "#2", "#3"].map((key) => ({ key, createdAt }));
      const opened = await pause(cp, run, asked);
      const filter = { status: "open" as const, graph: null, threadId: run.ref.threadId };
      const listed = await pagesOfTwo((page) => cp.interrupts(run.ref.tenant, filter, page));
      expect(listed).toEqual(opened.toReversed());
    });

    test("can be narrowed by status, graph and thread", async () => {
      const cp = subject();
      const { tenant } = freshRef();
      const make = (graph: string) => paused(cp, { ref: { tenant, threadId: newId() }, graph });
      const [a, b, c, d] = [await make("a"), await make("b"), await make("a"), await make("b")];
      await commit(cp, decide(await headOf(cp, c.ref), [answerTo(c.interrupt)]));
      await commit(cp, cancel(await headOf(cp, d.ref), [d.interrupt]));
      const ids = async (
        status: Interrupt["status"],
        graph: string | null = null,
        threadId: string | null = null,
      ) => (await cp.interrupts(tenant, { status, graph, threadId }, ALL)).items.map(({ id }) => id);
      expect(await ids("open")).toEqual([b.interrupt.id, a.interrupt.id]);
      expect(await ids("open", "a")).toEqual([a.interrupt.id]);
      expect(await ids("open", null, b.ref.threadId)).toEqual([b.interrupt.id]);
      expect(await ids("open", "a", b.ref.threadId)).toEqual([]);
      expect(await ids("resolved")).toEqual([c.interrupt.id]);
      expect(await ids("resolved", "b")).toEqual([]);
      expect(await ids("cancelled")).toEqual([d.interrupt.id]);
      expect(await ids("expired")).toEqual([]);
    });
  });

  describe("the list of checkpoints", () => {
    test("gives those of the thread in pages, newest first, each with the one before it", async () => {
      const cp = subject();
      const { run, ids } = await fiveCheckpoints(cp);
      const records = await pagesOfTwo((page) => cp.checkpoints(run.ref, page));
      expect(records.map(({ checkpointId }) => checkpointId)).toEqual(ids.toReversed());
      expect(records.map(({ parentId }) => parentId)).toEqual([...ids.slice(0, -1).toReversed(), null]);
      expect(records.map(({ step: at }) => at)).toEqual([4, 3, 2, 1, 0]);
      expect(records.map(({ source }) => source)).toEqual(["step", "step", "step", "step", "input"]);
      for (const record of records) {
        expect(record).toMatchObject({ runId: run.runId, status: "running", path: [], nextNodes: ["WORK"] });
        expect((await cp.loadAt(run.ref, { id: record.checkpointId }))?.record).toEqual(recordFields(record));
      }
    });

    test("gives records, and nothing of how they are kept", async () => {
      const cp = subject();
      const { run } = await fiveCheckpoints(cp);
      const { items } = await cp.checkpoints(run.ref, ALL);
      expect(items).toEqual(items.map(recordFields));
    });
  });

  describe("a cursor", () => {
    const garbage = [
      "",
      "garbage",
      "!!!",
      "\u0000",
      "\ud800",
      "null",
      Buffer.from("{}").toString("base64url"),
      Buffer.from("[]").toString("base64url"),
      Buffer.from("[null]").toString("base64url"),
      Buffer.from("[[1]]").toString("base64url"),
      encodeCursor(["a", "b", "c"]),
      "x".repeat(100_000),
    ];

    test.each(listNames)("that no list gave is refused as bad_cursor by the list of %s", async (name) => {
      const cp = subject();
      const { ref } = await paused(cp, { messages: [placed(0)] });
      for (const cursor of garbage) {
        const answer = readers[name](cp, ref, { limit: 2, cursor });
        const error = await answer.then(
          () => null,
          (thrown: unknown) => thrown,
        );
        expect(error, `for ${JSON.stringify(cursor).slice(0, 40)}`).toBeInstanceOf(HoldpointError);
        expect(error).toMatchObject({ code: "bad_cursor" });
      }
    });

    test.each(listNames)(
      "that was forged gives a page or bad_cursor, from the list of %s (11)",
      async (name) => {
        const cp = subject();
        const { ref } = await paused(cp, { messages: [placed(0)] });
        const forged = [
          ...[1e308, -1e308, 2 ** 63, 0.5, -1].map((n) => [n]),
          ...["\u0000", "\ud800", "", "yesterday", "'; --", "9".repeat(5000)].flatMap((s) => [
            [s, s],
            ["2026-01-01T00:00:00.000Z", s],
          ]),
        ];
        for (const key of forged) {
          const answer = readers[name](cp, ref, { limit: 2, cursor: encodeCursor(key) });
          const outcome = await answer.then(
            () => "page",
            (error: unknown) => (error instanceof HoldpointError ? error.code : error),
          );
          expect(["page", "bad_cursor"], JSON.stringify(key).slice(0, 60)).toContain(outcome);
        }
      },
    );
  });
}

async function fiveCheckpoints(cp: Checkpointer): Promise<{ run: Run; ids: string[] }> {
  const id = async (run: Run): Promise<string> => (await headOf(cp, run.ref)).checkpointId ?? "";
  let run = await begin(cp);
  const ids = [await id(run)];
  for (let i = 0; i < 4; i++) {
    run = await step(cp, run);
    ids.push(await id(run));
  }
  return { run, ids };
}

const listNames = ["threads", "runs", "messages", "interrupts", "checkpoints"] as const;

const readers: Record<
  (typeof listNames)[number],
  (cp: Checkpointer, ref: ThreadRef, page: PageRequest) => Promise<Page<unknown>>
> = {
  threads: (cp, { tenant }, page) => cp.threads(tenant, everyThread, page),
  runs: (cp, ref, page) => cp.runs(ref, page),
  messages: (cp, ref, page) => cp.messages(ref, page),
  interrupts: (cp, { tenant }, page) =>
    cp.interrupts(tenant, { status: "open", graph: null, threadId: null }, page),
  checkpoints: (cp, ref, page) => cp.checkpoints(ref, page),
};
