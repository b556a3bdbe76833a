/** What steps log in few characters: read back it is the same, and written only once everybody reads it. */
import fc from "fast-check";
import pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import type { StoredEvent } from "../../src/checkpoint/checkpointer.js";
import {
  eventsOf,
  eventsText,
  positionOf,
  positionText,
  type LogPlace,
} from "../../src/checkpoint/postgres/short-form.js";
import type { Position, Task } from "../../src/engine/index.js";
import { END, PgCheckpointer, START, StateGraph } from "../../src/index.js";
import { newPostgresDatabase } from "../support/databases.js";
import type { Json } from "../../src/lib/json.js";
import { begin } from "../contract/scenes.js";
import { failure } from "../support/latch.js";
import { until } from "../support/poll.js";

const AT = "2026-11-23T06:46:34.031Z";
const ago = (ms: number): string => new Date(Date.parse(AT) - ms).toISOString();
const MESSAGE = { id: "m1", role: "assistant", content: "Paid.", created_at: AT } as const;
const PLACE: LogPlace = {
  seq: 4,
  at: AT,
  checkpointId: "c1",
  step: 1,
  nextNodes: ["NEXT"],
  messages: [{ pos: 0, message: MESSAGE }],
};
const NODE = { nodeName: "PAY", path: ["PAY"], metadata: {} };
const BEGINS: StoredEvent = {
  ...NODE,
  seq: 2,
  event: "node_execution",
  eventType: "progress",
  content: "PAY begins",
  data: { step: 0, attempt: 1 },
  timestamp: ago(8),
};
const SAYS: StoredEvent = {
  ...NODE,
  seq: 3,
  event: "graph_execution",
  eventType: "message",
  content: "Paid.",
  data: { id: "m1" },
  timestamp: ago(1),
};
const IS_COMMITTED: StoredEvent = {
  ...NODE,
  seq: 4,
  event: "graph_execution",
  eventType: "update",
  content: "Step 1 is committed.",
  data: { step: 1, checkpointId: "c1", nextNodes: ["NEXT"], changed: ["paid"] },
  timestamp: AT,
};
const STEP = [BEGINS, SAYS, IS_COMMITTED];

/** Written and read, in the row that is read back. */
const reread = (events: readonly StoredEvent[], place = PLACE): StoredEvent[] =>
  eventsOf(eventsText(events, place), place);

describe("the events of a step", () => {
  test("repeat nothing that their row says", () => {
    expect(eventsText(STEP, PLACE)).toBe('[["p",8,"PAY",2],["m",1],["u",0,null,null,["paid"]]]');
    expect(reread(STEP)).toEqual(STEP);
  });

  test.each<[string, StoredEvent]>([
    ["a later attempt", { ...BEGINS, data: { step: 0, attempt: 3 } }],
    ["a node that begins in another step", { ...BEGINS, data: { step: 7, attempt: 1 } }],
    ["another wording", { ...BEGINS, content: "PAY begins." }],
    ["a node in a nested graph", { ...BEGINS, path: ["REFUND", "PAY"] }],
    ["a name that is not the path's", { ...BEGINS, path: ["OTHER"] }],
    ["nobody", { ...SAYS, nodeName: null, path: [] }],
    ["metadata", { ...SAYS, metadata: { a: 1 } }],
    ["more data than is known", { ...SAYS, data: { id: "m1", more: null } }],
    ["a message that is not in the row", { ...SAYS, data: { id: "m2" } }],
    ["a message that was replaced in the same step", { ...SAYS, content: "Paying." }],
    ["another checkpoint", { ...IS_COMMITTED, data: { ...IS_COMMITTED.data, checkpointId: "c2" } }],
    ["other next nodes", { ...IS_COMMITTED, data: { ...IS_COMMITTED.data, nextNodes: [] } }],
    ["no list of what changed", { ...IS_COMMITTED, data: { ...IS_COMMITTED.data, changed: "paid" } }],
    ["a time to come", { ...IS_COMMITTED, timestamp: ago(-5) }],
    ["a time in another form", { ...IS_COMMITTED, timestamp: "2026-11-23T07:46:34.031+01:00" }],
    ["no time", { ...IS_COMMITTED, timestamp: "yesterday" }],
    ["a seq behind the row's", { ...IS_COMMITTED, seq: 9 }],
    ["an event of another kind", { ...BEGINS, eventType: "custom", data: { name: "n", value: [null] } }],
    ["a pattern of another source", { ...BEGINS, event: "llm_call" }],
  ])("come back as they were: %s", (_, event) => {
    for (const events of [[event], [event, ...STEP], [BEGINS, event, IS_COMMITTED]])
      expect(reread(events)).toEqual(events);
  });

  test("come back as they were from a commit that is no checkpoint, and from one of an older release", () => {
    const bare = { ...PLACE, checkpointId: null, step: null, nextNodes: [] };
    expect(reread(STEP, bare)).toEqual(STEP);
    expect(eventsOf(JSON.stringify(STEP), PLACE)).toEqual(STEP);
  });

  test("come back as they were, whatever they are", () => {
    const word = fc.constantFrom(
      "PAY",
      "NEXT",
      "m1",
      "m2",
      "",
      "__proto__",
      "a/b",
      "\u0000\ud800",
      "PAY begins",
    );
    const some = (of: Json): fc.Arbitrary<Json> =>
      fc.oneof({ weight: 4, arbitrary: fc.constant(of) }, fc.jsonValue() as fc.Arbitrary<Json>);
    const event = fc.constantFrom(...STEP).chain((like) =>
      fc.record({
        seq: fc.nat(9),
        event: fc.constantFrom("graph_execution" as const, "node_execution" as const, like.event),
        eventType: fc.constantFrom(
          "progress" as const,
          "message" as const,
          "update" as const,
          "end" as const,
          like.eventType,
        ),
        nodeName: fc.oneof(fc.constant(like.nodeName), word, fc.constant(null)),
        path: fc.oneof(fc.constant(like.path), fc.array(word, { maxLength: 3 })),
        content: fc.oneof(fc.constant(like.content), word),
        data: fc.oneof(
          fc.constant(like.data),
          fc
            .tuple(fc.constantFrom(...Object.keys(like.data)), fc.jsonValue())
            .map(([key, value]) => ({ ...like.data, [key]: value as Json })),
          fc.dictionary(word, some(1)),
        ),
        metadata: fc.oneof({ weight: 5, arbitrary: fc.constant({}) }, fc.dictionary(word, some(1))),
        timestamp: fc.integer({ min: -3, max: 60_000 }).map(ago),
      }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 6 }), (events) => {
        // As JSON keeps them: it has no -0.
        const given = JSON.parse(JSON.stringify(events)) as StoredEvent[];
        expect(reread(given)).toEqual(given);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("a position", () => {
  const next: Task = { id: "r1/1/0/PAY", node: "PAY", path: ["PAY"], stage: "cleared", attempts: 0 };
  const none = { before: [], after: [] };
  const positions: [string, Position][] = [
    ["with nothing to do", { tasks: [], holds: none }],
    [
      "of tasks that are next",
      { tasks: [next, { ...next, id: "r1/1/1/a/b", node: "a/b", path: ["a/b"] }], holds: none },
    ],
    ["of a run whose id has a slash", { tasks: [{ ...next, id: "r/1/1/0/PAY" }], holds: none }],
    ["of a task in front of its hold point", { tasks: [{ ...next, stage: "due" }], holds: none }],
    ["of a task that was begun", { tasks: [{ ...next, attempts: 1 }], holds: none }],
    ["of a task that was sent a state", { tasks: [{ ...next, sent: { value: null } }], holds: none }],
    ["of a task in a nested graph", { tasks: [{ ...next, path: ["REFUND", "PAY"] }], holds: none }],
    ["of a run with hold points of its own", { tasks: [next], holds: { before: "*", after: [] } }],
    ["of a run that holds nodes", { tasks: [next], holds: { before: [], after: ["PAY"] } }],
  ];

  test.each(positions)("comes back as it was: %s", (_, position) => {
    expect(positionOf(positionText(position))).toEqual(position);
    expect(positionOf(JSON.stringify(position))).toEqual(position);
  });

  test("of tasks that are only next is their ids", () => {
    expect(positionText({ tasks: [next], holds: none })).toBe('["r1/1/0/PAY"]');
  });
});

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

async function opened(url: string): Promise<PgCheckpointer> {
  const checkpointer = new PgCheckpointer(url);
  onTestFinished(() => checkpointer.close());
  await checkpointer.open();
  return checkpointer;
}

describe("beside processes of a former release", () => {
  test("events and positions are written as they read them, until the last of them is gone", async () => {
    const url = await newPostgresDatabase();
    const client = await connected(url);
    const first = await opened(url);
    // It beats as they do, and did so before.
    await client.query("UPDATE holdpoint.form SET in_use = 1");
    await client.query("SELECT * FROM holdpoint.beat_v1('former', 1000)");
    const second = await opened(url);
    const steps = async (checkpointer: PgCheckpointer, threadId: string): Promise<void> => {
      const graph = new StateGraph()
        .addNode("SAY", () => ({ messages: "Said." }))
        .addNode("AGAIN", () => ({ messages: "Said again." }))
        .addEdge(START, "SAY")
        .addEdge("SAY", "AGAIN")
        .addEdge("AGAIN", END)
        .compile({ name: "saying", checkpointer });
      await graph.invoke({}, { threadId });
    };
    const written = async (threadId: string): Promise<boolean[]> => {
      const { rows } = await client.query<{ events: string; position: string }>(
        "SELECT events, position FROM holdpoint.log WHERE thread_id = $1 AND source = 'step' ORDER BY seq",
        [threadId],
      );
      return rows.flatMap(({ events, position }) => [events.startsWith("[["), position.startsWith("[")]);
    };

    await steps(second, "beside-it");
    expect(await written("beside-it")).toEqual([false, false, false, false]);
    const beat = (): Promise<unknown> => second.beat({ id: "second", leaseMs: 1000 });
    await beat();
    await steps(second, "still-beside-it");
    expect(await written("still-beside-it")).toEqual([false, false, false, false]);

    // One that is only slow may come back; one that says goodbye does not.
    await client.query(
      "UPDATE holdpoint.worker SET beat_at = clock_timestamp() - interval '30 s' WHERE id = 'former'",
    );
    await beat();
    await steps(second, "it-is-late");
    expect(await written("it-is-late")).toEqual([false, false, false, false]);
    await client.query("UPDATE holdpoint.worker SET beat_at = '-infinity' WHERE id = 'former'");
    let tries = 0;
    await until("the short form is written", async () => {
      await beat();
      await steps(second, `alone-${++tries}`);
      return (await written(`alone-${tries}`)).every((is) => is);
    });

    const events = async (threadId: string): Promise<unknown[]> =>
      (await first.log({ tenant: "default", threadId }, 0, 100)).flatMap((entry) =>
        entry.events.map(({ eventType, content, nodeName, path, seq }) => ({
          eventType,
          content,
          nodeName,
          path,
          seq,
        })),
      );
    expect(await events(`alone-${tries}`)).toEqual(await events("beside-it"));
  });

  /** A database in which no process of a former release was heard for long, and one that beats as they do. */
  async function silent() {
    const url = await newPostgresDatabase();
    const checkpointer = await opened(url);
    const former = await connected(url);
    const beat = () => former.query("SELECT * FROM holdpoint.beat_v1('former', 1000)");
    await former.query("UPDATE holdpoint.form SET in_use = 1");
    await beat();
    const fallSilent = () =>
      former.query("UPDATE holdpoint.worker SET beat_at = '-infinity' WHERE id = 'former'");
    await fallSilent();
    return { url, checkpointer, former, beat, fallSilent };
  }

  test("one that comes back when they write what it does not read owns nothing any more, and takes nothing over", async () => {
    const { url, checkpointer, former, beat } = await silent();
    const me = { id: "me", leaseMs: 60_000 };
    const claim = async (version: 1 | 2): Promise<number> => {
      const call = version === 1 ? "claim_v1('former', $1, 9)" : "claim_v2('former', $1, 9, true)";
      return (await former.query(`SELECT * FROM holdpoint.${call}`, [["contract"]])).rows.length;
    };
    // Until then it takes over as any other.
    for (const version of [1, 2] as const) {
      const run = await begin(checkpointer);
      await checkpointer.release(run.ref, run.epoch, { inFlight: false });
      expect(await claim(version)).toBe(1);
    }

    await opened(url);
    const { rows } = await former.query("SELECT in_use FROM holdpoint.form");
    expect(rows).toEqual([{ in_use: 2 }]);
    const lost = await begin(checkpointer);
    await checkpointer.release(lost.ref, lost.epoch, { inFlight: false });
    await expect(beat()).rejects.toThrow("stop it");
    expect([await claim(1), await claim(2)]).toEqual([0, 0]);
    // What it had taken is taken from it, and what nobody has.
    await checkpointer.beat(me);
    expect(await checkpointer.claim(me, ["contract"], 9)).toHaveLength(3);
  });

  test("a heartbeat that is under way when they look is heard; one that waits for them is refused", async () => {
    const { url, checkpointer, former, beat, fallSilent } = await silent();
    const other = await connected(url);
    const waits = (pid: number): Promise<unknown> =>
      until("it waits", async () => {
        const { rows } = await other.query("SELECT FROM pg_locks WHERE pid = $1 AND NOT granted", [pid]);
        return rows.length > 0;
      });
    const pidOf = async (client: pg.Client): Promise<number> =>
      (await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")).rows[0]?.pid ?? 0;

    const looking = await connected(url);
    const looker = await pidOf(looking);
    const use = () => looking.query<{ ok: boolean }>("SELECT holdpoint.use_form_v1(2, 60000) AS ok");
    await former.query("BEGIN");
    await beat();
    const looked = use();
    await waits(looker);
    await former.query("COMMIT");
    expect((await looked).rows).toEqual([{ ok: false }]);

    await fallSilent();
    await looking.query("BEGIN");
    expect((await use()).rows).toEqual([{ ok: true }]);
    const pid = await pidOf(former);
    const refused = failure(beat());
    await waits(pid);
    await looking.query("COMMIT");
    expect(String(await refused)).toContain("stop it");
    expect(await checkpointer.beat({ id: "me", leaseMs: 60_000 })).toEqual([]);
  });

  test("silence counts from when they could be heard: after a migration, and after a start of the database", async () => {
    const { former } = await silent();
    const use = async (patienceMs: number): Promise<boolean | undefined> =>
      (await former.query<{ ok: boolean }>("SELECT holdpoint.use_form_v1(2, $1) AS ok", [patienceMs])).rows[0]
        ?.ok;
    const long = 24 * 86_400_000;
    await former.query(
      "UPDATE holdpoint.worker SET lease_ms = 1, beat_at = clock_timestamp() - interval '40 days' WHERE id = 'former'",
    );
    await former.query("UPDATE holdpoint.migration SET applied_at = clock_timestamp() + interval '1 h'");
    expect(await use(1)).toBe(false);
    await former.query("UPDATE holdpoint.migration SET applied_at = clock_timestamp() - interval '40 days'");
    // The server of the tests has not been up for so long.
    expect(await use(long)).toBe(false);
    expect(await use(1)).toBe(true);
  });
});
