/**
 * Readers whose connections are cut at every place where one can be cut (invariant 7: every committed event once, in order).
 * HOLDPOINT_CUTS_SEED makes a failure come again: it is in the name of the test that failed.
 */
import { END, START, StateGraph } from "holdpoint";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { Random } from "../chaos/random.js";
import { cuttingProxy, type CuttingProxy, type Line } from "../support/cutting-proxy.js";
import { served, STORAGES, unique, type TestServer } from "../support/http-server.js";
import { latch, type Latch } from "../support/latch.js";
import { single } from "../http/graphs.js";
import { CutReader, logOf, type Heard } from "./cut-reader.js";

const SEED = process.env.HOLDPOINT_CUTS_SEED ?? `${Date.now()}`;
/** Of a finished thread and of a run under way each: 1 000 in memory. */
const CUTS: Readonly<Record<string, number>> = { memory: 500, PostgreSQL: 200 };
const ROUNDS = 24;

/** One, two, three and four bytes a character, those that look like the end of a line or of an event, and none. */
const WORDS = [
  "plain ",
  "größer ",
  "日本語 ",
  "👩🏽‍🚀 ",
  "a\nb ",
  "\r\n\r\n",
  "\u2028 ",
  "\0 ",
  "id: 7\n\n",
  "𝄞",
];
const word = (round: number, i: number): string => WORDS[(round * 3 + i) % WORDS.length] ?? "";

/** Goes round and talks. Round by round it waits for `gates` before it commits, where there is one. */
function talker(gates: readonly (Latch | undefined)[] = [], rounds = ROUNDS) {
  return new StateGraph({ state: z.object({ round: z.number().default(0), note: z.string().default("") }) })
    .addNode("TALK", async function* ({ round }, ctx) {
      for (let i = 0; i < 6; i++) {
        yield word(round, i);
        ctx.emit(`said ${word(round, i)}`, { zeta: word(round, i + 1), alpha: [round, i, null], ключ: 1.5 });
      }
      ctx.emit("round", { round });
      await gates[round]?.opened;
      return { round: round + 1, note: word(round, 0).repeat(20), messages: [`${round}`] };
    })
    .addNode("ANSWER", ({ round }) => `${round} ${word(round, 5)}`)
    .addEdge(START, "TALK")
    .addEdge("TALK", "ANSWER")
    .addConditionalEdges("ANSWER", ({ round }) => (round < rounds ? "TALK" : END))
    .compile();
}

/** How bad a connection is, by chance; it always gets somewhere in the end. */
function badLine(random: Random): Line {
  const kind = random.weighted({ whole: 4, torn: 2, bytes: 1, held: 2, stalled: 1 });
  // The headers are some 300 bytes of that; a result has some 10 000.
  const ranges = [
    [0, 400],
    [350, 1500],
    [350, 2500],
    [350, kind === "bytes" ? 800 : 20_000],
  ] as const;
  const [least, most] = random.pick(ranges);
  return {
    cutAfter: random.whole(least, most),
    reset: random.chance(0.3),
    ...(kind === "torn" ? { pieces: [random.whole(1, 9), random.whole(1, 200), random.whole(1, 3)] } : {}),
    ...(kind === "bytes" ? { pieces: [1] } : {}),
    ...(kind === "held" ? { heldBack: random.whole(1, 40) } : {}),
    ...(kind === "stalled" ? { stall: { after: random.whole(0, 1500), ms: random.whole(1, 15) } } : {}),
  };
}

interface Cut {
  readonly proxy: CuttingProxy;
  readonly reader: CutReader;
}

/** A reader of the stream at `path` behind a bad network of its own. */
async function cutReader(server: TestServer, path: string, random: Random): Promise<Cut> {
  const proxy = await cuttingProxy(server.url, () => badLine(random));
  return { proxy, reader: new CutReader(`${proxy.url}${path}`) };
}

const total = (readers: readonly Cut[]): number => readers.reduce((sum, { proxy }) => sum + proxy.cuts(), 0);
const isDelta = ({ name }: Heard): boolean => name === "delta";
const withoutDeltas = (events: readonly Heard[]): Heard[] => events.filter((event) => !isDelta(event));
const idsOf = (events: readonly Heard[]): number[] => events.map(({ id }) => id);
const isRound =
  (round: number) =>
  ({ name, data }: Heard): boolean =>
    name === "custom" && data.includes(`"value":{"round":${round}}`);

/** Ids first: they say more about what went wrong. */
function expectSame(heard: readonly Heard[], expected: readonly Heard[]): void {
  expect(idsOf(heard)).toEqual(idsOf(expected));
  expect(heard).toEqual(expected);
}

/** Of what is in the log each event once; of the rest, only what a message that it heard has superseded is missing. */
function expectSequence(reader: CutReader, log: readonly Heard[], whole: readonly Heard[]): void {
  expect(reader.faults).toEqual([]);
  expectSame(withoutDeltas(reader.heard), log);
  const has = new Set(idsOf(reader.heard));
  expectSame(
    reader.heard,
    whole.filter(({ id }) => has.has(id)),
  );
  const said = new Set(
    reader.heard.filter(({ name }) => name === "message").map(({ data }) => JSON.parse(data).data.message.id),
  );
  for (const { id, data } of whole.filter(isDelta))
    if (!has.has(id)) expect(said).toContain(JSON.parse(data).data.message_id);
}

describe.each(STORAGES.filter(([name]) => name in CUTS))("a reader that is cut on %s", (name, make) => {
  // Comments between the events, and a push for what a line holds back.
  const server = served({}, async () => ({ checkpointer: await make(), http: { sseHeartbeatMs: 20 } }));
  const seed = `${SEED}/${name}`;
  const cuts = CUTS[name] ?? 0;

  test(
    `hears of a finished thread what its log has, across ${cuts} cuts (seed ${SEED})`,
    { timeout: 180_000 },
    async () => {
      const thread = unique("t");
      const path = `/threads/${thread}/stream`;
      await server.post(`/threads/${thread}/run`, {
        graph: server.add(talker()),
        input: { messages: [WORDS.join("")] },
        config: { recursion_limit: 100 },
      });
      const log = await logOf(server.url + path);
      expect(log.length).toBeGreaterThan(300);
      const readers: Cut[] = [];
      const random = new Random(`${seed}/replay`);
      while (total(readers) < cuts) {
        const four = await Promise.all(
          [0, 1, 2, 3].map((i) => cutReader(server, `${path}?after=0`, random.fork(`${readers.length + i}`))),
        );
        readers.push(...four);
        await Promise.all(four.map(({ reader }) => reader.readOn()));
        for (const { reader } of four) expectSequence(reader, log, log);
      }
    },
  );

  test(
    `hears of a run under way what its log will have, across ${cuts} cuts (seed ${SEED})`,
    { timeout: 180_000 },
    async () => {
      const readers: Cut[] = [];
      while (total(readers) < cuts) readers.push(...(await readersOfRun(readers.length)));
    },
  );

  /** Four cut readers of a run that they watch from its first event to its last. */
  async function readersOfRun(already: number): Promise<Cut[]> {
    // Every second round waits until all have heard it: nothing of it may be missing, deltas neither.
    const gates = Array.from({ length: ROUNDS }, (_each, i) => (i % 2 === 0 ? latch() : undefined));
    const thread = unique("t");
    const path = `/threads/${thread}/stream`;
    const run = { graph: server.add(talker(gates)), config: { recursion_limit: 100 } };
    await server.post(`/threads/${thread}/run`, run, { Prefer: "respond-async" });
    const random = new Random(`${seed}/live`);
    const readers = await Promise.all(
      [0, 1, 2, 3].map((i) => cutReader(server, `${path}?after=0`, random.fork(`${already + i}`))),
    );
    const witness = new CutReader(`${server.url}${path}?after=0`);
    const all = [witness, ...readers.map(({ reader }) => reader)];
    const reading = Promise.all(all.map((reader) => reader.readOn()));
    for (const [round, gate] of gates.entries()) {
      if (gate === undefined) continue;
      await Promise.all(all.map((reader) => reader.hears(isRound(round))));
      gate.open();
    }
    await reading;

    const log = await logOf(server.url + path);
    expectSame(withoutDeltas(witness.heard), log);
    for (const { reader } of readers) {
      expectSequence(reader, log, witness.heard);
      for (const round of gates.keys())
        if (gates[round] !== undefined) expectWholeRound(reader, witness, round);
    }
    return readers;
  }
});

describe("a short stream", () => {
  const server = served();
  const lanes = Array.from({ length: 8 }, (_each, i) => i);
  /** Some 3 000 bytes. */
  const short = (): string =>
    server.add(
      single(async function* (_state, ctx) {
        yield "é𝄞";
        ctx.emit("👩🏽‍🚀", "\n\n");
      }),
    );

  /** Cuts one answer after another behind the first byte, the one `stride` further, and so on to its end; gives the last place. */
  async function cutEvery(stride: number, read: (proxy: CuttingProxy, cutNext: () => void) => Promise<void>) {
    const ends = await Promise.all(
      lanes.map(async (lane) => {
        let line: Line = {};
        const proxy = await cuttingProxy(server.url, () => {
          const first = line;
          line = {};
          return first;
        });
        for (let after = 1 + lane * stride; ; after += lanes.length * stride) {
          const before = proxy.cuts();
          await read(proxy, () => void (line = { cutAfter: after }));
          if (proxy.cuts() === before) return after;
        }
      }),
    );
    return Math.min(...ends);
  }

  test(
    "of a finished thread loses nothing, whatever byte it is cut behind",
    { timeout: 180_000 },
    async () => {
      const path = `/threads/${unique("t")}/stream`;
      await new CutReader(server.url + path).readOnce({ graph: short() });
      const log = await logOf(server.url + path);
      const end = await cutEvery(1, async (proxy, cutNext) => {
        const reader = new CutReader(`${proxy.url}${path}?after=0`);
        cutNext();
        await reader.readOn();
        expectSequence(reader, log, log);
      });
      expect(end).toBeGreaterThan(log.map(({ data }) => data).join("").length);
    },
  );

  test("of the request that begins the run loses nothing either", { timeout: 180_000 }, async () => {
    const graph = short();
    const end = await cutEvery(11, async (proxy, cutNext) => {
      const path = `/threads/${unique("t")}/stream`;
      const reader = new CutReader(proxy.url + path);
      cutNext();
      await reader.readOnce({ graph });
      await reader.readOn();
      const log = await logOf(server.url + path);
      expectSequence(reader, log, reader.heard);
    });
    expect(end).toBeGreaterThan(2000);
  });

  test("arrives in pieces of one byte as it is", { timeout: 180_000 }, async () => {
    const path = `/threads/${unique("t")}/stream`;
    await new CutReader(server.url + path).readOnce({ graph: short() });
    const proxy = await cuttingProxy(server.url, () => ({ pieces: [1] }));
    const reader = new CutReader(`${proxy.url}${path}?after=0`);
    await reader.readOn();
    const log = await logOf(server.url + path);
    expectSequence(reader, log, log);
    expect(proxy.cuts()).toBe(0);
  });
});

/** Every delta that came before the round's last word. */
function expectWholeRound(reader: CutReader, witness: CutReader, round: number): void {
  const last = witness.heard.find(isRound(round))?.id ?? 0;
  const first = witness.heard.findLast(({ id, name }) => id < last && name === "progress")?.id ?? 0;
  const of = (heard: readonly Heard[]): Heard[] => heard.filter(({ id }) => id >= first && id <= last);
  expect(of(witness.heard).filter(isDelta)).toHaveLength(6);
  expectSame(of(reader.heard), of(witness.heard));
}
