/** A reader that is cut off again and again, and comes back to either server, while the run changes hands. */
import { describe, expect, test } from "vitest";
import { eventsOf, get, send, threadWhen, type StreamEvent } from "../process/client.js";
import { newScene } from "../process/scene.js";
import { openStream, type Frame } from "../support/sse.js";
import { crash, type Server } from "../support/server.js";
import { beatsPast, LEASED } from "./stage.js";

const STEPS = 12;

/** WORK goes round and says something live each time; the sixth waits at the gate "middle". */
const ROUNDS = `
export const rounds = new StateGraph({ state: z.object({ count: z.number().default(0) }) })
  .addNode("WORK", async ({ count }, ctx: NodeContext) => {
    for (let i = 0; i < 3; i++) { ctx.emit("round", { count, i, pid: process.pid }); await sleep(5); }
    if (count === 5) {
      mark("middle");
      await gate("middle");
      for (let i = 3; i < 6; i++) ctx.emit("round", { count, i, pid: process.pid });
      mark("talked");
    }
    return { count: count + 1, messages: [{ role: "assistant", content: "round " + count }] };
  })
  .addEdge(START, "WORK")
  .addConditionalEdges("WORK", ({ count }) => (count < ${STEPS} ? "WORK" : END))
  .compile({ name: "rounds" });
`;

/** Reads on from where it was, by either server in turn, a few frames at a time, until it has the end. */
class Reader {
  readonly seen: Frame[] = [];
  readonly #servers: Server[];
  #turn: number;

  constructor(servers: readonly Server[], first: number) {
    this.#servers = [...servers];
    this.#turn = first;
  }

  /** That one is not asked any more. */
  without(server: Server): void {
    this.#servers.splice(this.#servers.indexOf(server), 1);
  }

  async read(until: (frame: Frame) => boolean): Promise<void> {
    for (;;) {
      const server = this.#servers[this.#turn++ % this.#servers.length] as Server;
      const after = this.seen.at(-1)?.id ?? 0;
      const stream = await openStream(`${server.url}/threads/t1/stream?after=${after}`);
      for (let i = 0; i < 4; i++) {
        const frame = await stream.next();
        if (frame === null) break;
        this.seen.push(frame);
        if (until(frame)) {
          stream.leave();
          return;
        }
      }
      stream.leave();
    }
  }
}

/** What was seen grows, and of what is committed nothing is missing or different. */
function expectEverything(seen: readonly Frame[], log: readonly StreamEvent[]): void {
  const ids = seen.map(({ id }) => id);
  expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
  const committed = new Set(log.map(({ id }) => id));
  expect(seen.filter(({ id }) => committed.has(id)).map(({ chunk }) => chunk)).toEqual(
    log.map(({ data }) => data),
  );
  const steps = log.filter(({ type }) => type === "update").map(({ data }) => data.data.step);
  expect(steps).toEqual(Array.from({ length: STEPS }, (_each, i) => i + 1));
  expect(log.filter(({ type }) => type === "end")).toHaveLength(1);
}

const isFifth = ({ name, chunk }: Frame): boolean => name === "update" && chunk.data.step === 5;
const isEnd = ({ name }: Frame): boolean => name === "end";

describe("Invariant 7: every committed event once, in order, on any server", () => {
  test("for readers that reconnect over both servers while one is killed and the other takes over", async () => {
    const scene = await newScene("postgres", ROUNDS);
    const [one, two] = [await scene.start(LEASED), await scene.start(LEASED)];
    send(one, "/threads/t1/run", { input: {} });
    await threadWhen(two, "t1", "running");
    const readers = [0, 1].map((first) => new Reader([one, two], first));
    await Promise.all(readers.map((reader) => reader.read(isFifth)));
    await scene.marked("middle", 1, one.pid);
    await crash(one);
    for (const reader of readers) reader.without(one);
    scene.open("middle", two.pid);
    await Promise.all(readers.map((reader) => reader.read(isEnd)));
    const log = await eventsOf(two, "t1");
    for (const { seen } of readers) expectEverything(seen, log);
    expect(log.some(({ type }) => type === "restart")).toBe(true);
  });

  test("for readers of both while the one is frozen, loses its run, wakes, and its node still talks", async () => {
    const scene = await newScene("postgres", ROUNDS);
    const [one, two] = [await scene.start(LEASED), await scene.start(LEASED)];
    send(one, "/threads/t1/run", { input: {} });
    await threadWhen(two, "t1", "running");
    const readers = [new Reader([one, two], 0), new Reader([one], 0), new Reader([two], 0)];
    await Promise.all(readers.map((reader) => reader.read(isFifth)));
    await scene.marked("middle", 1, one.pid);
    const following = readers.map((reader) => reader.read(isEnd));
    one.kill("SIGSTOP");
    await scene.marked("middle", 1, two.pid);
    scene.open("middle", one.pid);
    one.kill("SIGCONT");
    await scene.marked("talked", 1, one.pid);
    await beatsPast(scene, 600);
    expect((await get(one, "/threads/t1")).body).toMatchObject({ status: "running", step: 5 });
    scene.open("middle", two.pid);
    await Promise.all(following);
    const log = await eventsOf(two, "t1");
    expect(await eventsOf(one, "t1")).toEqual(log);
    for (const { seen } of readers) expectEverything(seen, log);
    // Nothing that the former owner said after it had lost its run is in the log.
    const said = log.filter(({ type, data }) => type === "custom" && data.data.value.count >= 5);
    expect([...new Set(said.map(({ data }) => data.data.value.pid))]).toEqual([two.pid]);
  });
});
