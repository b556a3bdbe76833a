/** Messages that a process keeps of long threads: a thread is read the same with them as without, whoever wrote it since. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import type { ThreadRef, Write } from "../../src/checkpoint/checkpointer.js";
import type { Database } from "../../src/checkpoint/postgres/database.js";
import { KeptMessages } from "../../src/checkpoint/postgres/kept-messages.js";
import { PgCheckpointer, PgliteDatabase } from "../../src/checkpoint/postgres/index.js";
import { PgDatabase } from "../../src/checkpoint/postgres/pg-database.js";
import type { Message, PlacedMessage } from "../../src/engine/index.js";
import { END, START, StateGraph } from "../../src/index.js";
import { begin, commit, end, loadThread, step } from "../contract/scenes.js";
import { commitStep, createThread, freshRef, placed, startRun, type Run } from "../contract/writes.js";
import { newPostgresDatabase } from "../support/databases.js";
import { latch } from "../support/latch.js";
import { until } from "../support/poll.js";

/** Long enough that three of them are worth keeping. */
const LONG = "m".repeat(16_000);

const DATABASES: Record<string, () => Promise<Database>> = {
  PostgreSQL: async () => new PgDatabase({ url: await newPostgresDatabase(), waitMs: 0 }),
  embedded: () =>
    Promise.resolve(
      new PgliteDatabase({ dataDir: null, loadDataDir: new Blob([readFileSync(inject("embeddedDump"))]) }),
    ),
};

const say = (from: number, count: number, what = ""): PlacedMessage[] =>
  Array.from({ length: count }, (_, i) => placed(from + i, { content: `${from + i} ${what}${LONG}` }));

describe.each(Object.entries(DATABASES))("on %s", (_name, open) => {
  let database: Database;
  let here: PgCheckpointer;
  /** Parts of messages that loads were given since this was emptied. */
  let parts: string[] = [];
  /** Called with each answer to a load before it arrives. */
  let answered: () => Promise<void> = () => Promise.resolve();

  beforeAll(async () => {
    database = await open();
    const query = database.query.bind(database);
    database.query = async <Row extends object>(...args: Parameters<typeof query>): Promise<Row[]> => {
      // No hints arrive: a late one would let go of what is kept by then (its test is the last one here).
      if (args[0].includes("pg_notify")) return [];
      const rows = await query<Row>(...args);
      if (!args[0].includes("load_v2")) return rows;
      for (const { messages } of rows as { messages?: string | null }[]) if (messages) parts.push(messages);
      await answered();
      return rows;
    };
    here = new PgCheckpointer({ database });
    await here.open();
  });
  afterAll(() => here.close());

  /** As another process. */
  const another = (): PgCheckpointer => new PgCheckpointer({ database });

  const context = async (checkpointer: PgCheckpointer, ref: ThreadRef): Promise<readonly Message[]> =>
    (await loadThread(checkpointer, ref)).snapshot.messages;

  /** A read that the database has answered, and whose answer does not arrive before `go` is opened. */
  async function heldRead(checkpointer: PgCheckpointer, ref: ThreadRef) {
    const [arrived, go] = [latch(), latch()];
    answered = () => {
      arrived.open();
      return go.opened;
    };
    const reading = context(checkpointer, ref);
    await arrived.opened;
    answered = () => Promise.resolve();
    return { reading, go };
  }

  /** What `checkpointer` says of the thread is what one says that never read it; gives the parts that it took. */
  async function agrees(checkpointer: PgCheckpointer, ref: ThreadRef): Promise<number> {
    const wanted = await loadThread(another(), ref);
    parts = [];
    const got = await loadThread(checkpointer, ref);
    const took = parts.length;
    // Also where nothing is a string of the same length.
    expect(
      JSON.stringify(got.snapshot.messages) === JSON.stringify(wanted.snapshot.messages),
      "messages",
    ).toBe(true);
    expect({ ...got, snapshot: { ...got.snapshot, messages: [] } }).toEqual({
      ...wanted,
      snapshot: { ...wanted.snapshot, messages: [] },
    });
    return took;
  }

  async function longThread(): Promise<Run> {
    return step(here, await begin(here), { messages: say(0, 4) });
  }

  test("a long thread is read once, and then goes on with what is written here", async () => {
    let run = await longThread();
    expect(await agrees(here, run.ref)).toBe(1);
    expect(await agrees(here, run.ref)).toBe(0);
    run = await step(here, run, { messages: say(4, 2) });
    run = await step(here, run, { messages: [...say(1, 1, "again "), ...say(6, 1)] });
    run = await step(here, run);
    expect(await agrees(here, run.ref)).toBe(0);
    await end(here, run);
    expect(await agrees(here, run.ref)).toBe(0);
    run = await begin(here, { ref: run.ref, messages: say(7, 1) });
    expect(await agrees(here, run.ref)).toBe(0);
    expect(await context(here, run.ref)).toHaveLength(8);
  });

  test("a short one is read each time", async () => {
    const run = await step(here, await begin(here), { messages: [placed(0, { content: "short" })] });
    expect([await agrees(here, run.ref), await agrees(here, run.ref)]).toEqual([1, 1]);
  });

  test("what another process has written since is read, and what it has deleted is gone", async () => {
    const other = another();
    let run = await longThread();
    await agrees(here, run.ref);
    run = await step(other, run, { messages: say(4, 1, "other ") });
    expect(await agrees(here, run.ref)).toBe(1);
    // Here again, on what is kept now; the other one has what it read before.
    await agrees(other, run.ref);
    run = await step(here, run, { messages: say(2, 1, "here ") });
    expect([await agrees(here, run.ref), await agrees(other, run.ref)]).toEqual([0, 1]);
    await end(other, run);
    expect(await other.remove(run.ref)).toBe("removed");
    expect(await here.load(run.ref)).toMatchObject({ head: null });
    const anew = await begin(here, { ref: run.ref, messages: [placed(0, { content: "anew" })] });
    expect(await agrees(here, anew.ref)).toBe(1);
    expect(await context(here, anew.ref)).toHaveLength(1);
  });

  test("another commit under the same number is not taken for the one that is kept", async () => {
    const run = await longThread();
    await agrees(here, run.ref);
    // As on a standby which had not heard of the last commit, and is written to since.
    await database.query(
      "UPDATE holdpoint.message SET body = $3 WHERE tenant = $1 AND thread_id = $2 AND pos = 3",
      [run.ref.tenant, run.ref.threadId, JSON.stringify({ ...placed(3).message, content: "elsewhere" })],
    );
    await database.query(
      "UPDATE holdpoint.thread SET checkpoint_id = 'elsewhere' WHERE tenant = $1 AND thread_id = $2",
      [run.ref.tenant, run.ref.threadId],
    );
    expect(await agrees(here, run.ref)).toBe(1);
    expect((await context(here, run.ref))[3]?.content).toBe("elsewhere");
  });

  test("a thread that is made again goes on with nothing of the one that was deleted", async () => {
    // By another process, whose hint is late or lost; the new one begins with the number that the former one ended with.
    for (const made of ["by its first run", "here", "by the other", "here, unread"]) {
      const [one, other] = [another(), another()];
      const run = await longThread();
      await end(here, run);
      await agrees(one, run.ref);
      expect(await other.remove(run.ref)).toBe("removed");
      if (made !== "by its first run") {
        const loaded = await (made === "here" ? one : other).load(run.ref);
        const create = createThread(run.ref, { from: loaded.head === null ? loaded.seq : -1 });
        await commit(made === "by the other" ? other : one, create);
      }
      const anew = await begin(one, { ref: run.ref, messages: [placed(0, { content: "anew" })] });
      await agrees(one, anew.ref);
      expect(await context(one, anew.ref), made).toHaveLength(1);
    }
  });

  test("a read that a deletion overtakes is not kept", async () => {
    for (const isHere of [true, false]) {
      const [one, other] = [another(), another()];
      const run = await longThread();
      await end(here, run);
      const { reading, go } = await heldRead(one, run.ref);
      await (isHere ? one : other).remove(run.ref);
      const gone = await other.load(run.ref);
      await commit(other, createThread(run.ref, { from: gone.head === null ? gone.seq : -1 }));
      const messages = [placed(0, { content: "anew" })];
      // The read is answered after this process has seen the new thread, and before it writes to it.
      const { head } = await loadThread(one, run.ref);
      go.open();
      expect(await reading).toHaveLength(4);
      await commit(one, startRun(run.ref, head.seq, head, { messages }));
      await agrees(one, run.ref);
      expect(await context(one, run.ref)).toHaveLength(1);
    }
  });

  test("a write that overtakes a read leaves it what it read, and is not undone by it", async () => {
    let run = await longThread();
    await agrees(here, run.ref);
    for (const known of [true, false]) {
      const reader = known ? here : another();
      const wanted = JSON.stringify(await context(another(), run.ref));
      const { reading, go } = await heldRead(reader, run.ref);
      const next = known ? 4 : 5;
      run = await step(here, run, { messages: [...say(0, 1, `over ${known} `), ...say(next, 1)] });
      go.open();
      expect(JSON.stringify(await reading) === wanted, "as it was read").toBe(true);
      await agrees(here, run.ref);
      expect(await context(here, run.ref)).toHaveLength(next + 1);
    }
  });

  test("a read under way stays as it was when messages are added, and undoes nothing that is read meanwhile", async () => {
    for (const known of [true, false]) {
      const one = another();
      const run = await longThread();
      if (known) await agrees(one, run.ref);
      const { reading, go } = await heldRead(one, run.ref);
      await step(one, run, { messages: say(4, 1) });
      await context(one, run.ref);
      go.open();
      expect(await reading).toHaveLength(4);
      expect(await agrees(one, run.ref)).toBe(0);
    }
  });

  test("what is written without a checkpoint has no name to be kept by", async () => {
    let run = await longThread();
    await agrees(here, run.ref);
    run = await step(here, run, { checkpoint: null, position: null });
    expect(await agrees(here, run.ref)).toBe(0);
    await step(here, run, { checkpoint: null, position: null, messages: say(4, 1) });
    expect(await agrees(here, run.ref)).toBe(1);
  });

  test("whoever was given messages can change neither what is kept nor what others get", async () => {
    const { ref } = await longThread();
    for (let i = 0; i < 3; i++) {
      const given = (await context(here, ref)) as Message[];
      expect(() => ((given[0] as { content: string }).content = "changed")).toThrow(TypeError);
      expect(() => given.pop()).toThrow(TypeError);
      await agrees(here, ref);
    }
  });

  test("a node can change no message that was there before its run, however short the thread is", async () => {
    for (const said of ["short", LONG.repeat(3)]) {
      const frozen: unknown[] = [];
      const graph = new StateGraph()
        .addNode("CHANGE", ({ context: [first] }) => {
          frozen.push(first && Object.isFrozen(first));
          return { messages: "Another." };
        })
        .addEdge(START, "CHANGE")
        .addEdge("CHANGE", END)
        .compile({ name: `changing-${said.length}`, checkpointer: here });
      const { threadId } = freshRef();
      for (let i = 0; i < 3; i++) await graph.invoke({ messages: [said] }, { threadId });
      expect(frozen).toEqual([true, true, true]);
    }
  });

  test("a message that JSON changes is kept as it will be read", async () => {
    let run = await longThread();
    await agrees(here, run.ref);
    const odd = { ...placed(4).message, metadata: { zero: -0, none: undefined } };
    run = await step(here, run, { messages: [{ pos: 4, message: odd as unknown as Message }] });
    expect(await agrees(here, run.ref)).toBe(0);
    const [kept, read] = [await context(here, run.ref), await context(another(), run.ref)];
    expect(kept[4]).toStrictEqual(read[4]);
  });

  test("of many long threads those are kept that were asked for last", async () => {
    const runs: Run[] = [];
    for (let i = 0; i < 10; i++)
      runs.push(
        await step(here, await begin(here), {
          messages: Array.from({ length: 125 }, (_, pos) => placed(pos, { content: LONG })),
        }),
      );
    for (const { ref } of runs) await context(here, ref);
    const took: number[] = [];
    for (const { ref } of runs.slice(-3)) took.push(await agrees(here, ref));
    expect(took).toEqual([0, 0, 0]);
    expect(await agrees(here, runs[0]?.ref ?? freshRef())).toBeGreaterThan(0);
  }, 60_000);

  test("two processes and any order of what they do", async () => {
    const act = fc.record({
      by: fc.nat(1),
      what: fc.constantFrom("load", "append", "append two", "replace", "nothing", "turn", "anew"),
      at: fc.nat(100),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 25 }), async (acts) => {
        const both = [another(), another()] as const;
        let run = await begin(both[0]);
        let has = 4;
        run = await step(both[0], run, { messages: say(0, has) });
        for (const { by, what, at } of acts) {
          const one = both[by as 0 | 1];
          if (what === "load") await agrees(one, run.ref);
          else if (what === "turn") {
            await end(one, run);
            run = await begin(one, { ref: run.ref, messages: say(has++, 1, `${by} `) });
          } else if (what === "anew") {
            await end(one, run);
            await one.remove(run.ref);
            has = 3;
            run = await begin(both[1], { ref: run.ref, messages: say(0, has, "anew ") });
          } else {
            const more = what === "append" ? 1 : what === "append two" ? 2 : 0;
            const messages = what === "replace" ? say(at % has, 1, `${by}${at} `) : say(has, more, `${by} `);
            has += more;
            run = await step(one, run, { messages });
          }
        }
        for (const one of both) await agrees(one, run.ref);
      }),
      { numRuns: 40 },
    );
  }, 120_000);
});

describe("how much is kept", () => {
  const say1 = (ref: ThreadRef, from: number, content: string): Write =>
    commitStep(
      { ref, runId: "run", graph: "contract", epoch: 1, seq: from, step: from },
      { messages: [placed(0, { content })] },
    );
  const isKept = (kept: KeptMessages, ref: ThreadRef): boolean => {
    const reading = kept.begin(ref);
    kept.end(reading);
    return reading.known !== null;
  };
  const keep = (kept: KeptMessages, ref: ThreadRef, size: number): void => {
    const reading = kept.begin(ref);
    kept.keep(reading, { seq: 1, checkpointId: "first" }, [placed(0).message], size);
    kept.end(reading);
  };

  test("a thread that is written to again and again takes no more room than it has", () => {
    const kept = new KeptMessages();
    const [quiet, busy] = [freshRef(), freshRef()];
    keep(kept, quiet, 1_000_000);
    keep(kept, busy, 1_000_000);
    for (let seq = 1; seq < 50; seq++) kept.committed(say1(busy, seq, "short"));
    for (let i = 0; i < 50; i++) keep(kept, freshRef(), 10);
    for (let i = 0; i < 50; i++) {
      const gone = freshRef();
      keep(kept, gone, 1_000_000);
      kept.forget(gone);
    }
    expect([isKept(kept, quiet), isKept(kept, busy)]).toEqual([true, true]);
  });

  test("what is written counts, and the thread that was asked for longest ago goes first", () => {
    const kept = new KeptMessages();
    const [first, second, third] = [freshRef(), freshRef(), freshRef()];
    for (const ref of [first, second, third]) keep(kept, ref, 5_500_000);
    expect(isKept(kept, first)).toBe(true);
    kept.committed(say1(third, 1, "m".repeat(500_000)));
    expect([first, second, third].map((ref) => isKept(kept, ref))).toEqual([true, false, true]);
    for (let seq = 2; seq < 40; seq++) kept.committed(say1(third, seq, "m".repeat(500_000)));
    expect(isKept(kept, third)).toBe(false);
  });
});

test("a hint of another process lets go of what it has written", async () => {
  // Only memory is won by it: the next read would not be believed anyway.
  const url = await newPostgresDatabase();
  const [database, other] = [new PgDatabase({ url, waitMs: 0 }), new PgCheckpointer(url)];
  const query = database.query.bind(database);
  let asked: readonly unknown[] = [];
  database.query = (...args: Parameters<typeof query>) => {
    if (args[0].includes("load_v2")) asked = args[1] ?? [];
    return query(...args) as never;
  };
  const here = new PgCheckpointer({ database });
  try {
    await other.open();
    await here.open();
    await until("both hear", () => here.hears && other.hears);
    let run = await step(here, await begin(here), { messages: say(0, 4) });
    const kept = async (): Promise<boolean> => {
      await here.load(run.ref);
      return asked[2] !== null;
    };
    expect([await kept(), await kept()]).toEqual([false, true]);
    let isTold = false;
    here.onWake((wake) => (isTold ||= wake.kind === "thread" && wake.ref.threadId === run.ref.threadId));
    run = await step(other, run, { messages: say(4, 1) });
    await until("it is told", () => isTold);
    expect(await kept()).toBe(false);
  } finally {
    await here.close();
    await other.close();
  }
});
