import { describe, expect, test } from "vitest";
import type { LogEntry } from "../../src/checkpoint/checkpointer.js";
import type { Message } from "../../src/engine/index.js";
import { ALL, begin, commit, end, headOf, loadThread, send, step, type Subject } from "./scenes.js";
import { commitStep, createThread, endRun, freshRef, patchThread, placed, type Run } from "./writes.js";

const fieldsOf = ({ seq, runId, checkpointId, events, messages }: LogEntry): LogEntry => ({
  seq,
  runId,
  checkpointId,
  events,
  messages,
});

export function logContract(subject: Subject): void {
  /** Five commits of a run: its start, three steps of two events and a message each, its end. */
  async function told(): Promise<{ run: Run; seqs: number[] }> {
    const cp = subject();
    let run = await begin(cp);
    const seqs = [run.seq];
    for (let i = 0; i < 3; i++) {
      run = await step(cp, run, {
        messages: [placed(i, { content: `said ${i}` })],
        events: [{ content: `first of ${i}` }, { eventType: "update", content: `second of ${i}` }],
      });
      seqs.push(run.seq);
    }
    const last = endRun(run);
    await commit(cp, last);
    return { run, seqs: [...seqs, last.seq] };
  }

  describe("the log (invariant 7)", () => {
    test("gives each commit as it was written, with its messages", async () => {
      const cp = subject();
      const run = await begin(cp);
      const write = commitStep(run, {
        messages: [placed(0), placed(1, { role: "assistant", metadata: { model: "m" } })],
        events: [
          {
            event: "node_execution",
            eventType: "custom",
            nodeName: "WORK",
            path: ["SUB", "WORK"],
            content: "halfway",
            data: { name: "progress", value: [1, { two: 2 }] },
            metadata: { trace: "t" },
          },
          { eventType: "update", data: { step: 1 } },
        ],
      });
      await commit(cp, write);
      expect((await cp.log(run.ref, run.seq, 10)).map(fieldsOf)).toEqual([
        {
          seq: write.seq,
          runId: run.runId,
          checkpointId: write.checkpoint?.id,
          events: write.events,
          messages: write.messages,
        },
      ]);
    });

    test("gives nothing of how an entry is kept", async () => {
      const cp = subject();
      const run = await begin(cp);
      const entries = await cp.log(run.ref, 0, 10);
      expect(entries).toEqual(entries.map(fieldsOf));
    });

    test("gives the commits in order, with events that only grow", async () => {
      const cp = subject();
      const { run, seqs } = await told();
      const entries = await cp.log(run.ref, 0, 100);
      expect(entries.map(({ seq }) => seq)).toEqual(seqs);
      const events = entries.flatMap((entry) => entry.events);
      expect(events.map(({ seq }) => seq)).toEqual([...events.keys()].map((i) => i + 1));
      expect(entries.flatMap(({ messages }) => messages.map(({ pos }) => pos))).toEqual([0, 1, 2]);
    });

    test("gives what is above a seq, an entry that spans it whole", async () => {
      const cp = subject();
      const { run, seqs } = await told();
      const whole = await cp.log(run.ref, 0, 100);
      for (let after = 0; after <= (seqs.at(-1) ?? 0) + 1; after++)
        expect(await cp.log(run.ref, after, 100)).toEqual(whole.filter(({ seq }) => seq > after));
      expect(await cp.log(run.ref, Number.MAX_SAFE_INTEGER, 100)).toEqual([]);
    });

    test("gives no more entries than were asked for, the oldest first", async () => {
      const cp = subject();
      const { run, seqs } = await told();
      const read: number[] = [];
      for (let after = 0; ; after = read.at(-1) ?? 0) {
        const entries = await cp.log(run.ref, after, 2);
        expect(entries.length).toBeLessThanOrEqual(2);
        if (entries.length === 0) break;
        read.push(...entries.map(({ seq }) => seq));
      }
      expect(read).toEqual(seqs);
      expect((await cp.log(run.ref, 0, 1)).map(({ seq }) => seq)).toEqual(seqs.slice(0, 1));
    });

    test("has gaps where live events were not kept, and commits without events", async () => {
      const cp = subject();
      const run = await begin(cp);
      const silent = await send(cp, run, { ...commitStep(run, { events: [] }), seq: run.seq + 5 });
      const after = await step(cp, silent);
      const entries = await cp.log(run.ref, run.seq, 10);
      expect(entries.map(({ seq, events }) => [seq, events.length])).toEqual([
        [silent.seq, 0],
        [after.seq, 1],
      ]);
    });

    test("keeps a message as its commit wrote it, also when a later one replaced it", async () => {
      const cp = subject();
      const run = await step(cp, await begin(cp), { messages: [placed(0, { id: "a", content: "a1" })] });
      const after = await step(cp, run, { messages: [placed(0, { id: "a", content: "a2" })] });
      const entries = await cp.log(run.ref, 0, 10);
      const said = (seq: number) =>
        entries.find((entry) => entry.seq === seq)?.messages.map(({ message }) => message.content);
      expect(said(run.seq)).toEqual(["a1"]);
      expect(said(after.seq)).toEqual(["a2"]);
    });

    test("goes on over runs and what is between them, each entry with its run", async () => {
      const cp = subject();
      const ref = freshRef();
      await commit(cp, createThread(ref));
      await commit(cp, patchThread(await headOf(cp, ref)));
      const one = await begin(cp, { ref });
      await end(cp, one);
      await commit(cp, patchThread(await headOf(cp, ref)));
      const two = await begin(cp, { ref });
      const entries = await cp.log(ref, 0, 10);
      expect(entries.map(({ runId }) => runId)).toEqual([null, one.runId, one.runId, null, two.runId]);
      const seqs = entries.map(({ seq }) => seq);
      expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
      expect(new Set(seqs).size).toBe(seqs.length);
    });
  });

  describe("messages", () => {
    test("that were replaced keep their place, and the newest text counts", async () => {
      const cp = subject();
      const run = await begin(cp, {
        messages: [placed(0, { id: "a", content: "a1" }), placed(1, { id: "b", content: "b1" })],
      });
      await step(cp, run, {
        messages: [placed(0, { id: "a", content: "a2" }), placed(2, { id: "c", content: "c1" })],
      });
      const { items } = await cp.messages(run.ref, ALL);
      expect(items.map(({ id, content }) => [id, content])).toEqual([
        ["a", "a2"],
        ["b", "b1"],
        ["c", "c1"],
      ]);
    });

    test("that were added and replaced in one commit are there once, with the last text", async () => {
      const cp = subject();
      const run = await begin(cp);
      await step(cp, run, {
        messages: [
          placed(0, { id: "a", content: "a1" }),
          placed(1, { id: "b", content: "b1" }),
          placed(0, { id: "a", content: "a2" }),
        ],
      });
      const said = ["a2", "b1"];
      const texts = (messages: readonly Message[]) => messages.map(({ content }) => content);
      expect(texts((await loadThread(cp, run.ref)).snapshot.messages)).toEqual(said);
      expect(texts((await cp.messages(run.ref, ALL)).items)).toEqual(said);
      expect(texts(await cp.runMessages(run.ref, run.runId))).toEqual(said);
    });

    test("of a run are those that it added, oldest first, each once", async () => {
      const cp = subject();
      const one = await begin(cp, { messages: [placed(0, { id: "a", content: "a1" })] });
      const more = await step(cp, one, {
        messages: [placed(1, { id: "b", content: "b1" }), placed(0, { id: "a", content: "a2" })],
      });
      await end(cp, more);
      const two = await begin(cp, { ref: one.ref, messages: [placed(2, { id: "c", content: "c1" })] });
      const said = async ({ runId }: Run) =>
        (await cp.runMessages(one.ref, runId)).map(({ content }) => content);
      expect(await said(one)).toEqual(["a2", "b1"]);
      expect(await said(two)).toEqual(["c1"]);
    });

    test("of a run are not those that were added between it and the next", async () => {
      const cp = subject();
      const run = await begin(cp, { messages: [placed(0, { content: "the run's" })] });
      await end(cp, run);
      const patch = patchThread(await headOf(cp, run.ref), {
        messages: [placed(1, { content: "a person's" })],
      });
      await commit(cp, patch);
      const said = await cp.runMessages(run.ref, run.runId);
      expect(said.map(({ content }) => content)).toEqual(["the run's"]);
      expect((await cp.messages(run.ref, ALL)).items).toHaveLength(2);
    });

    test("of a run stay as it left them when a later run replaces one, and the later run has its own", async () => {
      const cp = subject();
      const one = await begin(cp, { messages: [placed(0, { id: "a", content: "a1" })] });
      await end(cp, one);
      const two = await begin(cp, { ref: one.ref, messages: [placed(0, { id: "a", content: "a2" })] });
      const said = async ({ runId }: Run) =>
        (await cp.runMessages(one.ref, runId)).map(({ content }) => content);
      expect(await said(one)).toEqual(["a1"]);
      expect(await said(two)).toEqual(["a2"]);
    });
  });
}
