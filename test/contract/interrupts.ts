import { describe, expect, test } from "vitest";
import type { Interrupt } from "../../src/engine/index.js";
import { newId } from "../../src/runs/ids.js";
import {
  ALL,
  begin,
  commit,
  everything,
  first,
  headOf,
  interruptNow,
  loadThread,
  pause,
  paused,
  recordOf,
  runOf,
  simultaneously,
  step,
  type Subject,
} from "./scenes.js";
import {
  answerTo,
  cancel,
  commitStep,
  decide,
  messageOf,
  patchThread,
  pauseRun,
  placed,
  positionAt,
  startRun,
} from "./writes.js";

export function interruptsContract(subject: Subject): void {
  describe("a pause", () => {
    test("opens its interrupts with the end of its run, together with its step (4)", async () => {
      const cp = subject();
      const run = await begin(cp);
      const message = placed(0);
      const write = pauseRun(run, [{ kind: "request", key: "#1", data: { ask: [1, "two"] } }], {
        checkpoint: { ops: [["set", "n", 1]] },
        messages: [message],
      });
      const opened = first(write.open);
      expect(await cp.interrupt(run.ref.tenant, opened.id)).toBeNull();
      await commit(cp, write);
      expect(await cp.interrupt(run.ref.tenant, opened.id)).toEqual(opened);
      expect(await cp.openedAt(run.ref, write.seq)).toEqual([opened]);
      const loaded = await loadThread(cp, run.ref);
      expect(loaded.interrupts).toEqual([opened]);
      expect(loaded.snapshot).toMatchObject({ values: { n: 1 }, messages: [message.message] });
      expect(loaded.snapshot.position).toEqual(write.position);
      expect(loaded.run).toMatchObject({ status: "interrupted_before", outcome: write.end });
      expect(loaded.head).toMatchObject({
        status: "interrupted_before",
        currentNode: "WORK",
        nextNodes: ["WORK"],
        interruptReason: "interrupt_before: WORK",
      });
      expect(await cp.log(run.ref, run.seq, 10)).toMatchObject([{ seq: write.seq, events: write.events }]);
    });

    test("is seen whole by those who load while it is committed: the end, and what it asks (invariant 4)", async () => {
      const cp = subject();
      for (let round = 0; round < 10; round++) {
        const run = await begin(cp);
        const write = pauseRun(run);
        const reads = [1, 2, 3].map(() => loadThread(cp, run.ref));
        const written = cp.write(write);
        reads.push(...[1, 2, 3].map(() => loadThread(cp, run.ref)));
        expect(await written).toMatchObject({ outcome: "committed" });
        for (const { head, run: record, interrupts, snapshot } of await Promise.all(reads)) {
          const ended = head.seq === write.seq;
          expect(head.status).toBe(ended ? "interrupted_before" : "running");
          expect(record?.status).toBe(head.status);
          expect(interrupts).toEqual(ended ? write.open : []);
          expect(snapshot.position).toEqual(ended ? write.position : positionAt(run.runId, 0));
        }
      }
    });

    test("that is fenced opens nothing (3, 4)", async () => {
      const cp = subject();
      const run = await begin(cp);
      const write = pauseRun({ ...run, epoch: run.epoch + 1 });
      expect(await cp.write(write)).toEqual({ outcome: "fenced" });
      expect(await cp.interrupt(run.ref.tenant, first(write.open).id)).toBeNull();
      expect(await cp.openedAt(run.ref, write.seq)).toEqual([]);
    });

    test("with several gives them in the order in which they opened", async () => {
      const cp = subject();
      const run = await begin(cp);
      const open = await pause(cp, run, [
        { node: "B", taskId: "task-b" },
        { node: "A", taskId: "task-a", key: "#1" },
        { node: "A", taskId: "task-a", key: "#2" },
      ]);
      expect((await loadThread(cp, run.ref)).interrupts).toEqual(open);
      expect(await cp.openedAt(run.ref, first(open).seq)).toEqual(open);
    });
  });

  describe("a decision", () => {
    test("resolves its interrupt and starts the run that goes on, in one write (4)", async () => {
      const cp = subject();
      const { ref, run, interrupt } = await paused(cp);
      const head = await headOf(cp, ref);
      const answer = answerTo(interrupt, {
        decision: "edit",
        reason: "too much",
        data: { a: [0, false, "", null] },
        state: { amount: 5 },
        messages: [messageOf()],
      });
      const write = startRun(ref, head.seq, head, { decide: [answer] });
      const epoch = await commit(cp, write);
      expect(epoch).toBe(run.epoch + 1);
      expect(await interruptNow(cp, ref, interrupt)).toEqual({
        ...interrupt,
        status: "resolved",
        decision: answer,
        decidedAt: answer.at,
        resumedBy: write.runId,
      });
      expect(await recordOf(cp, runOf(write, epoch))).toMatchObject({
        status: "running",
        resumes: true,
        decision: answer,
        firstSeq: head.seq + 2,
      });
      expect(await headOf(cp, ref)).toMatchObject({ status: "running", runId: write.runId });
      expect((await recordOf(cp, run)).status).toBe("interrupted_before");
    });

    test("without a run leaves the thread waiting for the others", async () => {
      const cp = subject();
      const run = await begin(cp);
      const [one, two] = await pause(cp, run, [{ key: "#1" }, { key: "#2" }]);
      if (one === undefined || two === undefined) throw new Error("two interrupts were to open");
      const before = await loadThread(cp, run.ref);
      const answer = answerTo(one);
      const write = decide(before.head, [answer]);
      expect(await cp.write(write)).toMatchObject({ outcome: "committed", epoch: run.epoch });
      const after = await loadThread(cp, run.ref);
      const { seq, limit, at: updatedAt } = write;
      expect(after.head).toEqual({ ...before.head, seq, limit, updatedAt });
      expect(after.interrupts).toEqual([
        { ...one, status: "resolved", decision: answer, decidedAt: answer.at },
        two,
      ]);
    });

    test("shows wherever the interrupt is read", async () => {
      const cp = subject();
      const { ref, interrupt } = await paused(cp);
      const answer = answerTo(interrupt, { decision: "deny", reason: "no" });
      await commit(cp, decide(await headOf(cp, ref), [answer]));
      const now = await interruptNow(cp, ref, interrupt);
      expect(now.decision).toEqual(answer);
      expect(await cp.openedAt(ref, interrupt.seq)).toEqual([now]);
      const list = async (status: Interrupt["status"]) =>
        (await cp.interrupts(ref.tenant, { status, graph: null, threadId: null }, ALL)).items;
      expect(await list("open")).toEqual([]);
      expect(await list("resolved")).toEqual([now]);
    });

    test("with no kind means go on, and is kept as that", async () => {
      const cp = subject();
      const { ref, interrupt } = await paused(cp);
      const answer = answerTo(interrupt, { decision: null });
      await commit(cp, decide(await headOf(cp, ref), [answer]));
      expect(await interruptNow(cp, ref, interrupt)).toMatchObject({ status: "resolved", decision: answer });
    });

    test("given 20 times at once takes effect once, and starts one run (invariants 2, 5)", async () => {
      const cp = subject();
      const { ref, interrupt } = await paused(cp);
      const head = await headOf(cp, ref);
      const answers = Array.from({ length: 20 }, (_, i) => answerTo(interrupt, { by: `person-${i}` }));
      const writes = answers.map((answer) => startRun(ref, head.seq, head, { decide: [answer] }));
      const written = await Promise.all(writes.map((write) => cp.write(write)));
      const won = written.findIndex(({ outcome }) => outcome === "committed");
      expect(written.filter(({ outcome }) => outcome === "committed")).toHaveLength(1);
      expect(written.filter(({ outcome }) => outcome === "moved")).toHaveLength(19);
      expect(await interruptNow(cp, ref, interrupt)).toMatchObject({
        status: "resolved",
        decision: answers[won],
        resumedBy: writes[won]?.runId,
      });
      expect((await cp.runs(ref, ALL)).items).toHaveLength(2);
    });

    test("and a cancellation at once: one of them takes effect (5)", async () => {
      const cp = subject();
      for (let round = 0; round < 10; round++) {
        const { ref, interrupt } = await paused(cp);
        const head = await headOf(cp, ref);
        const writes = [cancel(head, [interrupt]), decide(head, [answerTo(interrupt)])];
        if (round % 2 === 0) writes.reverse();
        const written = await Promise.all(writes.map((write) => cp.write(write)));
        expect(written.map(({ outcome }) => outcome).sort()).toEqual(["committed", "moved"]);
        const won = writes[written.findIndex(({ outcome }) => outcome === "committed")];
        expect((await interruptNow(cp, ref, interrupt)).status).toBe(won?.decide[0]?.status);
        expect((await headOf(cp, ref)).status).toBe(won?.head.status);
      }
    });

    test("of one that is no longer open is moved and changes nothing, whatever else it brings (4, 5)", async () => {
      const cp = subject();
      const run = await begin(cp);
      const [one, two] = await pause(cp, run, [{ key: "#1" }, { key: "#2" }]);
      if (one === undefined || two === undefined) throw new Error("two interrupts were to open");
      await commit(cp, decide(await headOf(cp, run.ref), [answerTo(one)]));
      const head = await headOf(cp, run.ref);
      const before = await everything(cp, run.ref);
      const late = answerTo(one, { decision: "deny", by: "bob" });
      const { ref } = run;
      for (const write of [
        decide(head, [late]),
        decide(head, [answerTo(two), late]),
        startRun(ref, head.seq, head, { decide: [answerTo(two), late] }),
        cancel(head, [one, two]),
      ])
        expect(await cp.write(write)).toEqual({ outcome: "moved" });
      expect(await everything(cp, ref)).toEqual(before);
    });

    test("of one that was cancelled is moved (5)", async () => {
      const cp = subject();
      const { ref, interrupt } = await paused(cp);
      await commit(cp, cancel(await headOf(cp, ref), [interrupt]));
      const before = await everything(cp, ref);
      expect(await cp.write(decide(await headOf(cp, ref), [answerTo(interrupt)]))).toEqual({
        outcome: "moved",
      });
      expect(await everything(cp, ref)).toEqual(before);
    });

    test("of one that was decided does not take effect from inside a run either (5)", async () => {
      const cp = subject();
      const { ref, interrupt } = await paused(cp);
      const head = await headOf(cp, ref);
      const resumed = startRun(ref, head.seq, head, { decide: [answerTo(interrupt)] });
      const run = runOf(resumed, await commit(cp, resumed));
      const before = await everything(cp, ref);
      const { decide: again } = decide(head, [answerTo(interrupt, { decision: "deny", by: "bob" })]);
      const written = await cp.write({ ...commitStep(run), decide: again });
      expect(written.outcome).not.toBe("committed");
      expect(await everything(cp, ref)).toEqual(before);
    });

    test("of one that is not there, or another thread's, is moved and leaves both as they are (5)", async () => {
      const cp = subject();
      const mine = await paused(cp);
      const other = await paused(cp, { ref: { tenant: mine.ref.tenant, threadId: newId() } });
      const before = [await everything(cp, mine.ref), await everything(cp, other.ref)];
      const head = await headOf(cp, mine.ref);
      for (const { id } of [other.interrupt, { id: newId() }])
        expect(await cp.write(decide(head, [answerTo({ id })]))).toEqual({ outcome: "moved" });
      expect([await everything(cp, mine.ref), await everything(cp, other.ref)]).toEqual(before);
    });
  });

  test("a cancellation closes what is open without an answer, and stops the thread", async () => {
    const cp = subject();
    const run = await begin(cp);
    const open = await pause(cp, run, [{ key: "#1" }, { key: "#2" }]);
    const write = cancel(await headOf(cp, run.ref), open);
    await commit(cp, write);
    for (const interrupt of open)
      expect(await interruptNow(cp, run.ref, interrupt)).toEqual({
        ...interrupt,
        status: "cancelled",
        decidedAt: write.at,
      });
    expect(await headOf(cp, run.ref)).toMatchObject({ status: "stopped", interruptReason: null });
    expect((await recordOf(cp, run)).status).toBe("interrupted_before");
  });

  describe("a new text", () => {
    test("changes message and data of an open interrupt, and nothing else of it", async () => {
      const cp = subject();
      const { ref, interrupt } = await paused(cp);
      const head = await headOf(cp, ref);
      const text = { id: interrupt.id, message: "Pay 9?", data: { amount: 9 } };
      await commit(cp, patchThread(head, { retext: [text] }));
      const now = { ...interrupt, message: "Pay 9?", data: { amount: 9 } };
      expect(await interruptNow(cp, ref, interrupt)).toEqual(now);
      expect((await loadThread(cp, ref)).interrupts).toEqual([now]);
      expect(await cp.openedAt(ref, interrupt.seq)).toEqual([now]);
    });

    test("does not change the words that somebody has decided on", async () => {
      const cp = subject();
      const run = await begin(cp);
      const [one, two] = await pause(cp, run, [{ key: "#1" }, { key: "#2" }]);
      if (one === undefined || two === undefined) throw new Error("two interrupts were to open");
      await commit(cp, decide(await headOf(cp, run.ref), [answerTo(one)]));
      const decided = await interruptNow(cp, run.ref, one);
      const retext = [one, two].map(({ id }) => ({ id, message: "other words", data: null }));
      await cp.write(patchThread(await headOf(cp, run.ref), { retext }));
      expect(await interruptNow(cp, run.ref, one)).toEqual(decided);
    });

    test("that is refused changes nothing (4)", async () => {
      const cp = subject();
      const { ref, interrupt } = await paused(cp);
      const head = await headOf(cp, ref);
      const retext = [{ id: interrupt.id, message: "no", data: null }];
      expect(await cp.write(patchThread({ ...head, seq: head.seq - 1 }, { retext }))).toEqual({
        outcome: "moved",
      });
      expect(await interruptNow(cp, ref, interrupt)).toEqual(interrupt);
    });
  });

  describe("loading a thread", () => {
    test("gives the answers of the tasks that are next, until they are not", async () => {
      const cp = subject();
      const { ref, interrupt } = await paused(cp);
      const head = await headOf(cp, ref);
      const { position } = (await loadThread(cp, ref)).snapshot;
      const resumed = startRun(ref, head.seq, head, { decide: [answerTo(interrupt)], position });
      const run = runOf(resumed, await commit(cp, resumed));
      expect((await loadThread(cp, ref)).interrupts).toMatchObject([
        { id: interrupt.id, status: "resolved" },
      ]);
      await step(cp, run);
      expect((await loadThread(cp, ref)).interrupts).toEqual([]);
    });

    test("gives the newest interrupt of each key: what was asked again counts, what was cancelled does not", async () => {
      const cp = subject();
      const { ref, interrupt } = await paused(cp);
      await commit(cp, cancel(await headOf(cp, ref), [interrupt]));
      const { head, snapshot } = await loadThread(cp, ref);
      const resumed = startRun(ref, head.seq, head, { resumes: true, position: snapshot.position });
      const run = runOf(resumed, await commit(cp, resumed));
      const { taskId } = interrupt;
      const asked = await pause(cp, run, [
        { taskId, key: "before" },
        { taskId, key: "#1" },
      ]);
      expect((await loadThread(cp, ref)).interrupts).toEqual(asked);
    });
  });

  test("simultaneous pauses of many threads open each its own", async () => {
    const cp = subject();
    const runs = await simultaneously(20, () => begin(cp));
    const writes = runs.map((run) => pauseRun(run));
    await Promise.all(writes.map((write) => commit(cp, write)));
    for (const { ref, open } of writes) expect((await loadThread(cp, ref)).interrupts).toEqual(open);
  });
}
