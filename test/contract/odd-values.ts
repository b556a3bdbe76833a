import { describe, expect, test } from "vitest";
import { jsonEqual, type Json, type JsonObject } from "../../src/lib/json.js";
import type { Checkpointer, ThreadRef } from "../../src/checkpoint/checkpointer.js";
import {
  ALL,
  begin,
  commit,
  first,
  headOf,
  interruptNow,
  loadThread,
  recordOf,
  runOf,
  send,
  step,
  stopOf,
  type Subject,
} from "./scenes.js";
import {
  answerTo,
  checkpointOf,
  decide,
  endRun,
  freshRef,
  messageOf,
  outcomeOf,
  pauseRun,
  placed,
  positionAt,
  seeing,
  startRun,
  type Run,
} from "./writes.js";

/** As a body would bring it: `__proto__` as a key of its own, which no literal makes. */
const parsed = (text: string): Json => JSON.parse(text) as Json;

const nested = (levels: number): Json => parsed('{"a":['.repeat(levels / 2) + "1" + "]}".repeat(levels / 2));

/** Words that a person, a node or a model may say. */
const WORDS = {
  "a NUL": "a\u0000b",
  "nothing but a NUL": "\u0000",
  "a lone high surrogate": "\ud800",
  "a lone low surrogate in between": "a\udc00b",
  "surrogates in the wrong order": "\udc00\ud800",
  "an empty string": "",
  "quotes and backslashes": `'"\\ \\u0000 \\x00 $1 $$ %s :name ; -- /*`,
  "line ends and control characters": "\r\n\t\b\u001b\u007f\u0085\u2028\u2029\ufeff",
  "signs beyond the first plane": "😀𝒳👩‍👩‍👧",
  "one letter in two forms": "é e\u0301",
  "the word null": "null",
  "trailing spaces": "  a  ",
} satisfies Record<string, string>;

const VALUES: Record<string, Json> = {
  ...WORDS,
  "1 MB of text": "0123456789abcdeü".repeat(62_500),
  "1e308": 1e308,
  "-1.5e-300": -1.5e-300,
  "the largest and the smallest number": [Number.MAX_VALUE, Number.MIN_VALUE, -Number.MAX_VALUE],
  "numbers that are hard to print": [0.1, 1 / 3, 1e21, 1e-7, 2 ** 53 + 2, Number.MAX_SAFE_INTEGER],
  "__proto__ as a key": parsed('{"__proto__":{"polluted":true},"constructor":{"prototype":1},"a":1}'),
  "odd keys": { "": 1, "\u0000": 2, "\ud800": 3, "'\"\\`$1": 4, "a.b[0]": 5, length: 6, toString: 7 },
  "90 levels": nested(90),
  "empty lists and objects": [[], {}, [[]], [{}], { a: {} }],
  "null, false and 0": [null, false, 0, { a: null }],
  "keys that look like numbers": { "10": "b", "9": "a", "-1": "c" },
  "2000 members": Array.from({ length: 2000 }, (_, i) => ({ i })),
};

/** Equal as JSON; says where, since a megabyte in a message helps nobody. */
function same(where: string, got: unknown, want: unknown): void {
  expect(jsonEqual(got, want), where).toBe(true);
}

export function oddValuesContract(subject: Subject): void {
  describe("odd values (invariant 11)", () => {
    test.each(Object.keys(VALUES))("%s comes back from wherever a value is kept", async (name) => {
      const cp = subject();
      const odd = VALUES[name] ?? null;
      const bag: JsonObject = { within: [{ odd }] };
      const ref = freshRef();
      const message = messageOf({
        role: "assistant",
        content: typeof odd === "string" ? odd : [{ type: "data", odd }],
        tool_calls: [odd],
        metadata: bag,
      });
      const start = startRun(ref, 0, null, {
        threadMetadata: bag,
        metadata: bag,
        messages: [{ pos: 0, message }],
        checkpoint: checkpointOf({
          source: "input",
          ops: [
            ["set", "odd", odd],
            ["set", "list", [odd]],
          ],
        }),
      });
      let run = runOf(start, await commit(cp, start));
      const taskId = first(positionAt(run.runId, 0).tasks).id;
      await cp.record(ref, run.epoch, { taskId, key: "k", value: bag });
      same("a stored result", (await loadThread(cp, ref)).records[0]?.value, bag);

      const list = [odd, odd, 1];
      run = await step(cp, run, {
        checkpoint: { ops: [["append", "list", [odd, 1]]] },
        events: [{ eventType: "custom", data: bag, metadata: bag }],
      });
      same("state from changes", (await loadThread(cp, ref)).snapshot.values, { odd, list });
      const events = (await cp.log(ref, start.seq, 10)).flatMap((entry) => entry.events);
      same(
        "data and metadata of an event",
        events.map(({ data, metadata }) => [data, metadata]),
        [[bag, bag]],
      );

      const whole = checkpointOf({ values: { odd, list } });
      run = await step(cp, run, { checkpoint: whole });
      same("state as a whole", (await cp.loadAt(ref, { id: whole.id }))?.snapshot.values, { odd, list });

      const paused = pauseRun(run, [{ data: odd, responseSchema: bag }]);
      await send(cp, run, paused);
      const interrupt = await interruptNow(cp, ref, first(paused.open));
      same("what an interrupt asks", interrupt, paused.open[0]);
      const waiting = await loadThread(cp, ref);
      same("a position", waiting.snapshot.position, paused.position);

      const said = messageOf({ metadata: bag });
      const answer = answerTo(interrupt, { data: odd, state: bag, messages: [said] });
      const resumed = startRun(ref, paused.seq, waiting.head, { decide: [answer] });
      const next = runOf(resumed, await commit(cp, resumed));
      same("an answer", (await interruptNow(cp, ref, interrupt)).decision, answer);
      same("the answer of a run", (await recordOf(cp, next)).decision, answer);
      const outcome = outcomeOf("completed", { decision: answer });
      await commit(cp, endRun(next, "completed", { end: outcome }));
      same("an outcome", (await recordOf(cp, next)).outcome, outcome);
      await keptToTheEnd(cp, ref, run, { bag, message });
    });

    async function keptToTheEnd(
      cp: Checkpointer,
      ref: ThreadRef,
      run: Run,
      { bag, message }: { bag: JsonObject; message: unknown },
    ): Promise<void> {
      same("a thread's metadata", (await headOf(cp, ref)).metadata, bag);
      const threads = await cp.threads(ref.tenant, { statuses: null, graph: null }, ALL);
      same("metadata in the list", threads.items[0]?.metadata, bag);
      same("a run's metadata", (await recordOf(cp, run)).metadata, bag);
      same("a loaded message", (await loadThread(cp, ref)).snapshot.messages, [message]);
      same("a listed message", (await cp.messages(ref, ALL)).items, [message]);
      same("a run's message", await cp.runMessages(ref, run.runId), [message]);
      same("a logged message", (await cp.log(ref, 0, 1))[0]?.messages, [{ pos: 0, message }]);
    }

    test.each(Object.entries(WORDS))("%s comes back from wherever words are kept", async (_name, odd) => {
      const cp = subject();
      const ref = freshRef();
      const start = startRun(ref, 0, null, { messages: [placed(0, { name: odd, tool_call_id: odd })] });
      let run = runOf(start, await commit(cp, start));
      const stop = stopOf("now", { reason: odd, by: odd });
      const fault = {
        code: "node_failed" as const,
        message: odd,
        node: odd,
        path: [odd],
        step: 0,
        attempt: 1,
      };
      const outcome = outcomeOf("error", { error: fault, currentNode: odd, nextNodes: [odd] });
      const position = positionAt(run.runId, 1, odd);
      const taskId = first(position.tasks).id;
      run = await step(cp, run, {
        position,
        checkpoint: { path: [odd] },
        events: [{ content: odd, nodeName: odd, path: [odd, odd] }],
      });
      await cp.record(ref, run.epoch, { taskId, key: odd, value: 1 });
      await cp.record(ref, run.epoch, { taskId, key: odd, value: 2 });
      const loaded = await loadThread(cp, ref);
      expect(loaded.records).toEqual([{ taskId, key: odd, value: 1 }]);
      expect(loaded.snapshot.position).toEqual(position);
      expect(loaded.snapshot.messages).toEqual([start.messages[0]?.message]);
      expect((await cp.log(ref, start.seq, 1))[0]?.events).toMatchObject([
        { content: odd, nodeName: odd, path: [odd, odd] },
      ]);
      await cp.requestStop(ref, stop);
      expect((await recordOf(cp, run)).stop).toEqual(stop);
      const failed = endRun(run, "error", { end: outcome, position });
      expect(await cp.write(failed)).toEqual({ outcome: "stopping", stop });
      await commit(cp, seeing(failed, "now"));
      expect((await recordOf(cp, run)).outcome).toEqual(outcome);
      expect(await headOf(cp, ref)).toMatchObject({ currentNode: odd, nextNodes: [odd] });
      expect((await cp.checkpoints(ref, ALL)).items[0]).toMatchObject({ path: [odd] });
    });

    test.each(Object.entries(WORDS))("%s comes back from what is asked and decided", async (_name, odd) => {
      const cp = subject();
      const run = await begin(cp);
      const paused = pauseRun(run, [{ message: odd, reason: odd, node: odd, key: odd, path: [odd] }]);
      const { ref } = run;
      await commit(cp, paused);
      const interrupt = first(paused.open);
      expect(await interruptNow(cp, ref, interrupt)).toEqual(interrupt);
      const waiting = await loadThread(cp, ref);
      expect(waiting.head).toMatchObject({ interruptReason: odd, currentNode: odd, nextNodes: [odd] });
      expect(waiting.interrupts).toEqual([interrupt]);
      const answer = answerTo(interrupt, { reason: odd, by: odd });
      await commit(cp, decide(waiting.head, [answer]));
      expect((await interruptNow(cp, ref, interrupt)).decision).toEqual(answer);
      await cp.remove(ref);
      expect(await cp.decisionRecords(ref)).toMatchObject([{ node: odd, by: odd }]);
    });

    test("ids that nothing can have find nothing, and break nothing", async () => {
      const cp = subject();
      const { ref } = await begin(cp);
      for (const odd of [...Object.values(WORDS), "not-a-uuid", "x".repeat(100_000)]) {
        const there = { tenant: ref.tenant, threadId: odd };
        const where = JSON.stringify(odd).slice(0, 40);
        expect(await cp.load(there), where).toEqual({ head: null, seq: 0 });
        expect(await cp.load({ tenant: odd, threadId: ref.threadId }), where).toEqual({ head: null, seq: 0 });
        expect(await cp.run(ref, odd), where).toBeNull();
        expect(await cp.runMessages(ref, odd), where).toEqual([]);
        expect(await cp.loadAt(ref, { id: odd }), where).toBeNull();
        expect(await cp.interrupt(ref.tenant, odd), where).toBeNull();
        expect(await cp.log(there, 0, 10), where).toEqual([]);
        expect(await cp.requestStop(there, stopOf("now")), where).toEqual({ was: "missing" });
        expect(await cp.remove(there), where).toBe("missing");
        const graph = { statuses: null, graph: odd };
        expect((await cp.threads(ref.tenant, graph, ALL)).items, where).toEqual([]);
      }
    });
  });
}
