/** What is told to other processes of steps under way is bounded, and has no hole: a real PostgreSQL, whose answers are held. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RunEvent } from "holdpoint";
import type { LiveEdge, ThreadRef } from "../../src/checkpoint/checkpointer.js";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { Relay } from "../../src/runs/relay.js";
import { newPostgresDatabase } from "../support/databases.js";
import { latch } from "../support/latch.js";
import { until } from "../support/poll.js";
import { begin, newWorker } from "../contract/scenes.js";

const KB = 1024;
/** What a thread may have waiting, and a statement hold beside its last thread (src/runs/relay.ts). */
const WAITING = 256 * KB;
const STATEMENT = 1024 * KB;

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
let checkpointer: PgCheckpointer;

beforeAll(async () => {
  checkpointer = new PgCheckpointer(await newPostgresDatabase());
  await checkpointer.open();
  // Two processes: otherwise nobody is told.
  for (let i = 0; i < 2; i++) await checkpointer.beat(newWorker(3_600_000));
});
afterAll(() => checkpointer.close());

/** The edge of the database. It says what each statement held, and waits for `go` with the first one. */
function watched() {
  const edge = checkpointer.liveEdge;
  if (edge === null) throw new Error("PostgreSQL has one");
  const [arrived, go] = [latch(), latch()];
  const statements: { ref: ThreadRef; seq: number; size: number }[][] = [];
  let [now, most] = [0, 0];
  const watching: LiveEdge = {
    isShared: () => edge.isShared(),
    read: (ref, after) => edge.read(ref, after),
    sweep: (limit) => edge.sweep(limit),
    async write(batches, done) {
      statements.push(batches.map(({ ref, seq, events }) => ({ ref, seq, size: events.join("").length })));
      most = Math.max(most, ++now);
      arrived.open();
      await go.opened;
      await edge.write(batches, done);
      now--;
    },
  };
  const seqs = async (ref: ThreadRef): Promise<number[]> =>
    ((await edge.read(ref, 0))?.events ?? []).map(({ seq }) => seq);
  return { relay: new Relay(watching, silent), statements, arrived, go, seqs, mostAtOnce: () => most };
}

const said = (seq: number, characters = 4): RunEvent =>
  ({ seq, eventType: "delta", content: "w".repeat(characters), data: {} }) as unknown as RunEvent;

test("while the database takes nothing a thread keeps a bounded part, and nothing is told behind the hole before the next commit", async () => {
  const { relay, statements, arrived, go, seqs } = watched();
  const [busy, other] = [await begin(checkpointer), await begin(checkpointer)];
  const [tells, others] = [relay.of(busy.ref), relay.of(other.ref)];
  let seq = busy.seq;
  tells.happened(said(++seq));
  await arrived.opened;
  // More than may wait, and then some that would fit again.
  for (let bytes = 0; bytes <= WAITING; bytes += 4 * KB) tells.happened(said(++seq, 4 * KB));
  for (let i = 0; i < 3; i++) tells.happened(said(++seq));
  go.open();
  others.happened(said(other.seq + 1));
  await until("the other thread is told", async () => (await seqs(other.ref)).length > 0);
  expect(await seqs(busy.ref)).toEqual([busy.seq + 1]);

  tells.done(seq);
  tells.happened(said(seq + 1));
  await until("it goes on behind the commit", async () => (await seqs(busy.ref)).includes(seq + 1));
  const told = statements.flat().filter(({ ref }) => ref.threadId === busy.ref.threadId);
  expect(told.map((each) => each.seq)).toEqual([busy.seq + 1, seq + 1]);
  await relay.close();
});

test("what many threads say goes in statements of a bounded size, one at a time, and all of it", async () => {
  const { relay, statements, go, seqs, mostAtOnce } = watched();
  go.open();
  const runs = [];
  for (let i = 0; i < 12; i++) runs.push(await begin(checkpointer));
  const each = 200 * KB;
  for (const { ref, seq } of runs) relay.of(ref).happened(said(seq + 1, each));
  for (const { ref, seq } of runs)
    await until("each thread is told", async () => (await seqs(ref)).includes(seq + 1));
  const sizes = statements.map((batches) => batches.reduce((sum, { size }) => sum + size, 0));
  expect(Math.max(...sizes)).toBeLessThan(STATEMENT + 2 * each);
  expect(statements.length).toBeGreaterThan(1);
  expect(mostAtOnce()).toBe(1);
  await relay.close();
});
