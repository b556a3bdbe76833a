/**
 * Readers on another process than the one that executes, over random orders of what an owner says, commits, tells and does not
 * tell, of takeovers, and of former owners that do not know of them. Two connections to one PostgreSQL are the two processes.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RunEvent } from "holdpoint";
import type { ThreadRef } from "../../src/checkpoint/checkpointer.js";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { draft, type GraphDefinition } from "../../src/engine/index.js";
import { Live, tail } from "../../src/events/index.js";
import { RunStream } from "../../src/runs/run-stream.js";
import { readEvents } from "../../src/runs/hydrate.js";
import { ThreadReads } from "../../src/runs/thread-reads.js";
import { threadKey } from "../../src/runs/thread-key.js";
import { newPostgresDatabase } from "../support/databases.js";
import { until } from "../support/poll.js";
import { begin, claimUntil, headOf, newWorker } from "../contract/scenes.js";
import { commitStep, freshRef, type Run } from "../contract/writes.js";

const HOUR = 3_600_000;
const BLOCK = 1024;
let here: PgCheckpointer;
let there: PgCheckpointer;

beforeAll(async () => {
  const url = await newPostgresDatabase();
  [here, there] = [new PgCheckpointer(url), new PgCheckpointer(url)];
  await here.open();
  await there.open();
  await until("they hear", () => there.hears);
});
afterAll(async () => {
  await here.close();
  await there.close();
});

/** A process that executes the run, or believes to. What it says is kept until `tell`, or lost by `lose`. */
class Owner {
  readonly stream: RunStream;
  readonly #run: Run;
  readonly #said: Map<number, string>;
  #untold: RunEvent[] = [];
  #lost = false;

  constructor(run: Run, from: { seq: number; limit: number }, said: Map<number, string>) {
    this.#run = run;
    this.#said = said;
    this.stream = new RunStream({
      key: threadKey(run.ref),
      graph: {} as GraphDefinition,
      threadId: run.ref.threadId,
      runId: run.runId,
      ...from,
      live: new Live(1_000_000),
      relay: {
        happened: (event) => {
          said.set(event.seq, JSON.stringify(event));
          if (!this.#lost) this.#untold.push(event);
        },
        done: () => {
          this.#untold = [];
          this.#lost = false;
        },
      },
      reserve: (limit) => here.reserve(run.ref, run.epoch, limit),
    });
  }

  say(what: "delta" | "progress"): void {
    const said =
      what === "delta"
        ? draft("delta", { messageId: "m", part: "text" }, { content: "word" })
        : draft("progress", { step: 1, attempt: 1 });
    this.stream.emit("task", said);
  }

  async tell(): Promise<void> {
    const events = this.#untold.splice(0);
    const { ref } = this.#run;
    const seq = events.at(-1)?.seq;
    if (seq !== undefined)
      await here.liveEdge?.write([{ ref, seq, events: events.map((event) => JSON.stringify(event)) }], []);
  }

  lose(): void {
    if (this.#untold.length > 0) this.#lost = true;
    this.#untold = [];
  }

  /** What its attempt said so far came to nothing. */
  forget(): void {
    this.stream.forget("task");
  }

  async commit(silent: boolean): Promise<void> {
    const batch = this.stream.prepare(silent ? [] : [draft("custom", { name: "committed", value: 1 })]);
    const run = { ...this.#run, seq: this.stream.base };
    const limit = batch.seq + BLOCK;
    const write = { ...commitStep(run), seq: batch.seq, limit, events: batch.stored };
    if ((await here.write(write)).outcome !== "committed") {
      this.stream.abandon();
      return;
    }
    for (const event of batch.publish) this.#said.set(event.seq, JSON.stringify(event));
    this.stream.committed(batch, limit);
  }
}

/** A reader on the other process; it looks where it is told to, or once an hour. */
function readThere(ref: ThreadRef, live: Live, reads: ThreadReads, after: number) {
  const leave = new AbortController();
  const got: RunEvent[] = [];
  const events = tail({
    key: threadKey(ref),
    live,
    after,
    read: (cursor) => reads.log(ref, cursor),
    ahead: (cursor) => reads.ahead(ref, cursor),
    pollMs: () => HOUR,
    signal: leave.signal,
  });
  const done = (async () => {
    for await (const event of events) got.push(event);
  })();
  return { after, got, leave: () => (leave.abort(), done) };
}

const ACTS = [
  "delta",
  "delta",
  "progress",
  "tell",
  "tell",
  "lose",
  "forget",
  "commit",
  "silent commit",
] as const;
const acts = fc.array(
  fc.oneof(
    { weight: 10, arbitrary: fc.record({ act: fc.constantFrom(...ACTS), former: fc.boolean() }) },
    { weight: 1, arbitrary: fc.constant({ act: "take over" as const, former: false }) },
    { weight: 1, arbitrary: fc.constant({ act: "read" as const, former: false }) },
    { weight: 1, arbitrary: fc.constant({ act: "wait" as const, former: false }) },
  ),
  { minLength: 5, maxLength: 30 },
);

test("a reader elsewhere is given every logged event, none twice, in order, and what was said in between as it was said", async () => {
  let deltas = 0;
  await fc.assert(
    fc.asyncProperty(acts, async (list) => {
      const said = new Map<number, string>();
      const ref = freshRef();
      const graph = `graph-${ref.threadId}`;
      const dying = async (): Promise<string> => {
        const worker = newWorker(1);
        await here.beat(worker);
        return worker.id;
      };
      const run = await begin(here, { ref, graph, worker: await dying() });
      let owner = new Owner(run, await headOf(here, ref), said);
      let former = owner;
      const live = new Live(1_000_000);
      const reads = new ThreadReads(there, live);
      const deafen = there.onWake((wake) => {
        if (wake.kind === "live") live.stir(threadKey(wake.ref));
        else if (wake.kind === "thread") live.wake(threadKey(wake.ref));
      });
      const readers = [readThere(ref, live, reads, 0)];
      for (const { act, former: byFormer } of list) {
        const who = byFormer ? former : owner;
        if (act === "delta" || act === "progress") who.say(act);
        else if (act === "tell") await who.tell();
        else if (act === "lose") who.lose();
        else if (act === "forget") who.forget();
        else if (act === "commit" || act === "silent commit") await who.commit(act === "silent commit");
        else if (act === "wait") await new Promise((resolve) => setTimeout(resolve, 20));
        else if (act === "read") readers.push(readThere(ref, live, reads, readers[0]?.got.at(-1)?.seq ?? 0));
        else {
          const heir = newWorker(1);
          await here.beat(heir);
          const [claim] = await claimUntil(here, heir, [graph]);
          former = owner;
          owner = new Owner({ ...run, epoch: claim?.epoch ?? 0 }, await headOf(here, ref), said);
        }
      }
      await owner.commit(false);
      const { seq } = await headOf(here, ref);
      await until(
        "readers come to the end",
        () => readers.every(({ got }) => got.at(-1)?.seq === seq),
        10_000,
      );
      deafen();
      for (const reader of readers) await reader.leave();

      const log = await readEvents(there, ref, 0);
      for (const { after, got } of readers) {
        const seqs = got.map((event) => event.seq);
        expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
        const logged = log.filter((event) => event.seq > after).map((event) => event.seq);
        expect(seqs.filter((each) => logged.includes(each))).toEqual(logged);
        // The start is none of theirs.
        for (const event of got.filter((each) => said.has(each.seq)))
          expect(JSON.stringify(event, sorted)).toBe(
            JSON.stringify(JSON.parse(said.get(event.seq) ?? ""), sorted),
          );
        expect(got.filter((each) => !said.has(each.seq)).map(({ eventType }) => eventType)).toEqual(
          after === 0 ? ["start"] : [],
        );
        deltas += got.filter(({ eventType }) => eventType === "delta").length;
      }
    }),
    { numRuns: 150, endOnFailure: true },
  );
  // The property says nothing where nothing was told ahead of the log.
  expect(deltas).toBeGreaterThan(20);
}, 240_000);

/** Members in one order. */
const sorted = (_key: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value;
