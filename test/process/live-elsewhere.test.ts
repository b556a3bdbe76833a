/**
 * What a node says while it works, for readers in other processes. Where polls, heartbeats and leases are an hour, what arrives
 * has been told. A node says its next word when the test has opened the gate, so that no word waits for the one behind it.
 */
import { expect, test } from "vitest";
import { until, within } from "../support/poll.js";
import { crash } from "../support/server.js";
import { ids, names, openStream, type Frame, type SseReader } from "../support/sse.js";
import { get, send, threadWhen } from "./client.js";
import { HOUR, newScene, SILENT } from "./scene.js";

/** Far more than it takes, on a busy machine too. */
const SOON = 10_000;
const WORDS = 6;

/** WRITE says words; before each it waits at a gate of its own, and at the gate "done" behind the last. */
const WRITER = `
export const writer = new StateGraph()
  .addNode("WRITE", async function* (_state, ctx: NodeContext) {
    mark("WRITE begun");
    for (let i = 1; i <= ${WORDS}; i++) {
      await gate("word-" + i);
      yield "word " + i + " ";
      mark("said " + i);
      if (i === 3) ctx.emit("half", i);
    }
    await gate("done");
  })
  .addEdge(START, "WRITE")
  .addEdge("WRITE", END)
  .compile({ name: "writer" });
`;

const contents = (frames: readonly Frame[]): unknown[] =>
  frames.filter(({ name }) => name === "delta").map(({ chunk }) => chunk.content);
const words = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => `word ${from + i} `);

/** Frames up to the delta of a word, and how long that was on its way. */
async function untilWord(reader: SseReader, i: number): Promise<{ frames: Frame[]; ms: number }> {
  const frames: Frame[] = [];
  for (;;) {
    frames.push(...(await within(`word ${i} arrives`, reader.until("delta"), SOON)));
    const last = frames.at(-1);
    if (last?.chunk.content === `word ${i} `)
      return { frames, ms: Date.now() - Date.parse(String(last.chunk.timestamp)) };
  }
}

test("each delta reaches a reader on another process before the next one is said, with the ids of a reader here", async () => {
  const scene = await newScene("postgres", WRITER);
  const [one, two] = [await scene.start(SILENT), await scene.start(SILENT)];
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("WRITE begun", 1, one.pid);
  const here = await openStream(`${one.url}/threads/t1/stream`);
  const there = await openStream(`${two.url}/threads/t1/stream`);
  const [inHere, inThere]: [Frame[], Frame[]] = [[], []];
  const took: number[] = [];
  for (let i = 1; i <= WORDS; i++) {
    scene.open(`word-${i}`);
    const { frames, ms } = await untilWord(there, i);
    inThere.push(...frames);
    took.push(ms);
    inHere.push(...(await untilWord(here, i)).frames);
  }
  scene.open("done");
  inThere.push(...(await within("the rest arrives", there.rest(), SOON)));
  inHere.push(...(await within("the rest arrives", here.rest(), SOON)));
  expect(contents(inThere)).toEqual(words(1, WORDS));
  expect(inThere.map(({ id, name, chunk }) => [id, name, chunk])).toEqual(
    inHere.map(({ id, name, chunk }) => [id, name, chunk]),
  );
  expect(names(inThere)).toContain("custom");
  took.sort((a, b) => a - b);
  console.log(
    `deltas on another process: median ${took[WORDS >> 1] ?? 0} ms, longest ${took.at(-1) ?? 0} ms`,
  );
});

test("a reader that comes in the middle of a step gets what was said so far, on a process that has just begun too", async () => {
  const scene = await newScene("postgres", WRITER);
  const one = await scene.start(SILENT);
  send(one, "/threads/t1/run", { input: {} });
  for (let i = 1; i <= 3; i++) scene.open(`word-${i}`);
  // Nobody is there to read it.
  await scene.marked("said 3", 1, one.pid);
  const two = await scene.start(SILENT);
  const reader = await openStream(`${two.url}/threads/t1/stream`);
  const early = (await untilWord(reader, 3)).frames;
  expect(names(early).slice(0, 2)).toEqual(["start", "progress"]);
  scene.open("word-4");
  const more = (await untilWord(reader, 4)).frames;
  const late = await openStream(`${two.url}/threads/t1/stream?after=${early.at(-2)?.id ?? 0}`);
  expect(contents((await untilWord(late, 4)).frames)).toEqual(words(3, 4));
  const [known] = early.slice(-1);
  late.leave();
  const back = await openStream(`${two.url}/threads/t1/stream`, {
    headers: { "Last-Event-ID": String(known?.id) },
  });
  expect(ids((await untilWord(back, 4)).frames)).toEqual(ids(more));
  scene.open("word-5");
  scene.open("word-6");
  expect(contents((await untilWord(back, WORDS)).frames)).toEqual(words(5, WORDS));
  scene.open("done");
  const rest = await within("the rest arrives", back.rest(), SOON);
  expect(names(rest).at(-1)).toBe("end");
  const after = await openStream(`${two.url}/threads/t1/stream?after=0`);
  expect(names(await within("the log arrives", after.rest(), SOON))).not.toContain("delta");
});

test("when the process is killed in the middle, readers elsewhere get a restart and the words again, with ids that only grow", async () => {
  const scene = await newScene("postgres", WRITER);
  const settings = { HOLDPOINT_LEASE_MS: "2000", HOLDPOINT_POLL_MS: HOUR, HOLDPOINT_SLOW_POLL_MS: HOUR };
  const one = await scene.start(settings);
  const others = [await scene.start(settings), await scene.start(settings)];
  send(one, "/threads/t1/run", { input: {} });
  await scene.marked("WRITE begun", 1, one.pid);
  const readers = await Promise.all(others.map(({ url }) => openStream(`${url}/threads/t1/stream`)));
  scene.open("word-1");
  scene.open("word-2");
  const before = await Promise.all(readers.map((reader) => untilWord(reader, 2)));
  await crash(one);
  scene.open("word-3");
  // One of the two executes it now, and the other does not.
  const after = await Promise.all(readers.map((reader) => untilWord(reader, 3)));
  await until("the node begins again", () => scene.count("WRITE begun") === 2);
  for (const name of ["word-4", "word-5", "word-6"]) scene.open(name);
  const more = await Promise.all(readers.map((reader) => untilWord(reader, WORDS)));
  // A step that is committed at once is told by its message alone: the words come first.
  scene.open("done");
  const rest = await Promise.all(readers.map((reader) => within("the rest arrives", reader.rest(), SOON)));
  await threadWhen(others[0] ?? one, "t1", "completed");
  const logged = ids(await (await openStream(`${others[0]?.url ?? ""}/threads/t1/stream?after=0`)).rest());
  for (const i of [0, 1]) {
    const again = [...(after[i]?.frames ?? []), ...(more[i]?.frames ?? []), ...(rest[i] ?? [])];
    const all = [...(before[i]?.frames ?? []), ...again];
    expect(contents(before[i]?.frames ?? [])).toEqual(words(1, 2));
    expect(names(again)[0]).toBe("restart");
    expect(contents(again)).toEqual(words(1, WORDS));
    expect(ids(all)).toEqual([...new Set(ids(all))].sort((a, b) => a - b));
    expect(ids(all).filter((id) => logged.includes(id))).toEqual(logged);
  }
  expect((await get(others[1] ?? one, "/threads/t1")).body).toMatchObject({ status: "completed" });
});
