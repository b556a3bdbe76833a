/** How a thread is loaded: its messages in parts, threads in groups, and the same as `load_v1` gave, whatever is in a body. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { PgCheckpointer, PgliteDatabase } from "../../src/checkpoint/postgres/index.js";
import type { Database } from "../../src/checkpoint/postgres/database.js";
import { PgDatabase } from "../../src/checkpoint/postgres/pg-database.js";
import type { ThreadRef } from "../../src/checkpoint/checkpointer.js";
import type { Message } from "../../src/engine/index.js";
import { begin, loadThread, step } from "../contract/scenes.js";
import { freshRef, placed } from "../contract/writes.js";
import { newPostgresDatabase } from "../support/databases.js";

/** Messages of a part. */
const PART = 512;

const DATABASES: Record<string, () => Promise<Database>> = {
  PostgreSQL: async () => new PgDatabase({ url: await newPostgresDatabase(), waitMs: 0 }),
  embedded: () =>
    Promise.resolve(
      new PgliteDatabase({
        dataDir: null,
        loadDataDir: new Blob([readFileSync(inject("embeddedDump"))]),
      }),
    ),
};

/** Bodies as they may stand in a database, which are not all as this code would write them. */
const BODIES = [
  `{"id":"plain","role":"user","content":"a","created_at":""}`,
  `{"id":"nul","content":"a\\u0000b","\\u0000":"\\u0000"}`,
  `{"id":"lone","content":"\\ud800","\\udc00":"\\udc00\\ud800"}`,
  `{"id":"proto","__proto__":{"polluted":true},"constructor":{"prototype":1}}`,
  `{"id":"numbers","n":[1e400,-1e400,-0,0.1,1e21,9007199254740993,1e-400,-1.5e-300]}`,
  `{"id":"twice","a":1,"a":2}`,
  ` { "id" : "spaces" ,\n\t"content":"\\n\\r\\t" } `,
  `{"id":"quotes","content":"\\"],[\\"\\\\","10":1,"9":2,"":3}`,
  `{"id":"wide","content":"é😀𝒳\u2028\u2029\ufeff\u007f\u0085"}`,
  `{"id":"deep","content":${"[".repeat(99)}1${"]".repeat(99)}}`,
  `{"id":"long","content":"${"0123456789abcdeü".repeat(62_500)}"}`,
];

describe.each(Object.entries(DATABASES))("on %s", (_name, open) => {
  let database: Database;
  let checkpointer: PgCheckpointer;

  beforeAll(async () => {
    database = await open();
    checkpointer = new PgCheckpointer({ database });
    await checkpointer.open();
  });
  afterAll(() => checkpointer.close());

  /** A thread with so many messages, which says of each where it is. */
  async function thread(count: number, of: (pos: number) => string = (pos) => `{"at":${pos}}`) {
    const { ref, seq } = await begin(checkpointer);
    const bodies = Array.from({ length: count }, (_, pos) => of(pos));
    await put(
      ref,
      bodies.map((body, pos) => [pos, seq, body]),
    );
    return { ref, seq, messages: bodies.map((body) => JSON.parse(body) as Message) };
  }

  async function put(ref: ThreadRef, rows: readonly (readonly [pos: number, seq: number, body: string])[]) {
    await database.query(
      "INSERT INTO holdpoint.message (tenant, thread_id, pos, seq, body) SELECT $1, $2, * FROM unnest($3::integer[], $4::bigint[], $5::text[])",
      [ref.tenant, ref.threadId, ...[0, 1, 2].map((i) => rows.map((row) => row[i]))],
    );
  }

  const context = async (ref: ThreadRef): Promise<readonly Message[]> =>
    (await loadThread(checkpointer, ref)).snapshot.messages;

  /** What servers of the former release make of it. */
  async function before(ref: ThreadRef): Promise<Message[]> {
    const [row] = await database.query<{ loaded: { context: string[] | null } }>(
      "SELECT holdpoint.load_v1($1, $2) AS loaded",
      [ref.tenant, ref.threadId],
    );
    return (row?.loaded.context ?? []).map((body) => JSON.parse(body) as Message);
  }

  test.each([0, 1, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 7])(
    "%s messages come in their order",
    async (count) => {
      const { ref, messages } = await thread(count);
      expect(await context(ref)).toEqual(messages);
      expect(await before(ref)).toEqual(messages);
    },
  );

  test("a replaced message comes in its last version, once, on either side of where a part ends", async () => {
    const count = 2 * PART + 9;
    const { ref, seq, messages } = await thread(count);
    const at = [0, 8, 9, PART + 8, PART + 9, count - 1];
    for (const [i, pos] of at.entries()) {
      const versions = Array.from({ length: i + 1 }, (_, v) => `{"at":${pos},"version":${v}}`);
      await put(
        ref,
        versions.map((body, v) => [pos, seq + 1 + v, body]),
      );
      messages[pos] = JSON.parse(versions[i] ?? "") as Message;
    }
    // More versions than a part has messages.
    await put(
      ref,
      Array.from({ length: 2 * PART }, (_, v) => [20, seq + 1 + v, `{"version":${v}}`]),
    );
    messages[20] = JSON.parse(`{"version":${2 * PART - 1}}`) as Message;
    expect(await context(ref)).toEqual(messages);
    expect(await before(ref)).toEqual(messages);
  });

  test("a place that is missing is passed over, also where a whole part is missing", async () => {
    const { ref, seq } = await begin(checkpointer);
    const places = [3, PART, 5 * PART, 5 * PART + 1];
    for (let pos = 9 * PART; pos < 10 * PART + 9; pos++) places.push(pos);
    await put(
      ref,
      places.map((pos) => [pos, seq, `{"at":${pos}}`]),
    );
    const wanted = places.map((at) => ({ at }));
    expect([await context(ref), await before(ref)]).toEqual([wanted, wanted]);
  });

  test("every body comes as it came from load_v1, and as JSON.parse reads it alone", async () => {
    const bodyAt = (pos: number): string => BODIES[(pos * 7) % BODIES.length] ?? "";
    const { ref, messages } = await thread(BODIES.length + 1, bodyAt);
    const loaded = await context(ref);
    const former = await before(ref);
    // Megabytes in a message help nobody.
    for (const [pos, want] of messages.entries()) {
      const got = loaded[pos];
      expect(JSON.stringify(got) === JSON.stringify(want), `${want.id}: as text`).toBe(true);
      expect(Object.is(got, want) || sameAs(got, want), `${want.id}: as a value`).toBe(true);
      expect(sameAs(got, former[pos]), `${want.id}: as before`).toBe(true);
    }
    expect(loaded).toHaveLength(messages.length);
    expect(Object.getPrototypeOf(loaded.find(({ id }) => id === "proto"))).toBe(Object.prototype);
  });

  test("threads that are loaded together each have their own, long and short, new, deleted and missing", async () => {
    const long = await thread(2 * PART + 1);
    const empty = await thread(0);
    const short = await thread(3, (pos) => `{"short":${pos}}`);
    const exact = await thread(PART, (pos) => `{"exact":${pos}}`);
    const gone = await begin(checkpointer);
    await database.query(
      "INSERT INTO holdpoint.tombstone (tenant, thread_id, seq, epoch) VALUES ($1, $2, 77, 1)",
      [gone.ref.tenant, "gone"],
    );
    const all = [
      long.ref,
      { tenant: gone.ref.tenant, threadId: "gone" },
      empty.ref,
      freshRef(),
      short.ref,
      long.ref,
      exact.ref,
    ];
    // The first goes alone, the others together behind it.
    const [, ...loaded] = await Promise.all([gone.ref, ...all].map((ref) => checkpointer.load(ref)));
    expect(
      loaded.map((each) => (each.head === null ? each.seq : [each.head.threadId, each.snapshot.messages])),
    ).toEqual([
      [long.ref.threadId, long.messages],
      77,
      [empty.ref.threadId, []],
      0,
      [short.ref.threadId, short.messages],
      [long.ref.threadId, long.messages],
      [exact.ref.threadId, exact.messages],
    ]);
  });

  test("a long thread as it was is read in the versions of that time", async () => {
    let run = await begin(checkpointer);
    const said = Array.from({ length: PART + 10 }, (_, pos) => placed(pos, { content: `first ${pos}` }));
    run = await step(checkpointer, run, { messages: said });
    const then = run.seq;
    const [changed] = said;
    if (changed === undefined) throw new Error("nothing was said");
    const version = { ...changed, message: { ...changed.message, content: "second" } };
    run = await step(checkpointer, run, { messages: [version, placed(PART + 10, { content: "last" })] });
    const at = await checkpointer.loadAt(run.ref, { seq: then });
    expect(at?.snapshot.messages).toEqual(said.map(({ message }) => message));
    const now = await context(run.ref);
    expect(now).toHaveLength(PART + 11);
    expect([now[0]?.content, now[1]?.content, now.at(-1)?.content]).toEqual(["second", "first 1", "last"]);
  });
});

/** The same value down to `-0` and the order of keys. */
function sameAs(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return Object.is(a, b);
  const keys = Object.keys(a);
  return (
    Array.isArray(a) === Array.isArray(b) &&
    keys.join() === Object.keys(b).join() &&
    keys.every((key) => sameAs(a[key as never], b[key as never]))
  );
}
