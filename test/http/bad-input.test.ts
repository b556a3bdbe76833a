/** Whatever is sent, it is refused by the right name and nothing changes. */
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { z } from "zod";
import { expectList, expectProblem, onEveryStorage } from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { BAD_REQUESTS } from "./bad-requests.js";
import { refund, single } from "./graphs.js";

const input = (id: string) => ({ messages: [{ role: "user", content: "x", id }] });
const THREADS = ["paused", "typed", "done", "idle", "busy"];

onEveryStorage("a bad request (invariant 11)", (server) => {
  let paid = 0;
  const [began, held] = [latch(), latch()];
  const known = new Map<string, string>();

  beforeAll(async () => {
    refund(() => paid++).bind(server.runtime, "refunds");
    single(
      () => {
        paid++;
      },
      z.object({}),
      {
        interruptBefore: [
          {
            node: "WORK",
            responseSchema: z.strictObject({ ok: z.boolean() }),
            decisions: ["approve", "edit", "deny"],
          },
        ],
      },
    ).bind(server.runtime, "typed");
    single(async () => {
      began.open();
      await held.opened;
    }).bind(server.runtime, "slow");

    await pause();
    const typed = await server.post("/threads/typed/run", { graph: "typed" });
    await server.post("/threads/done/run", { graph: "refunds", input: input("m1") });
    await server.post("/threads/done/resume", { decision: "deny" });
    await server.post("/threads", { thread_id: "idle", graph: "refunds" });
    void server.post("/threads/busy/run", { graph: "slow" });
    await began.opened;
    known.set(":typed", typed.body.interrupts[0].id as string);
  });
  afterAll(() => held.open());

  /** A refund that waits; made again where a row that should have been refused was not, so that it spoils no other row. */
  async function pause(): Promise<void> {
    const { body: thread } = await server.get("/threads/paused");
    if (thread.status === "interrupted_before" && thread.interrupts[0].id === known.get(":interrupt")) return;
    await server.call("DELETE", "/threads/paused");
    const { body } = await server.post("/threads/paused/run", { graph: "refunds", input: input("m2") });
    known.set(":interrupt", body.interrupts[0].id as string);
    known.set(":run", body.run_id as string);
    known.set(":checkpoint", (await server.get("/threads/paused/state")).body.checkpoint_id as string);
  }
  beforeEach(pause);

  const filled = (text: string): string =>
    [...known].reduce((filling, [name, id]) => filling.replaceAll(name, id), text);

  /** Everything that a request could have changed. */
  async function everything() {
    const { checkpointer } = server.runtime;
    const threads = expectList(await server.get("/threads?limit=200"), "thread").items;
    const refs = THREADS.map((threadId) => ({ tenant: "default", threadId }));
    return {
      paid,
      threads,
      states: await Promise.all(THREADS.map(async (id) => (await server.get(`/threads/${id}/state`)).body)),
      events: await Promise.all(refs.map(async (ref) => (await checkpointer.log(ref, 0, 1000)).length)),
      interrupts: (await server.get("/interrupts?limit=200")).body,
    };
  }

  it.each(BAD_REQUESTS)("$what is refused", async ({ method, path, body, status, code, says }) => {
    const before = await everything();
    expect(before.threads).toHaveLength(THREADS.length);
    const sent =
      body === undefined ? undefined : filled(typeof body === "string" ? body : JSON.stringify(body));
    const problem = expectProblem(await server.call(method, filled(path), sent), status, code);
    if (says !== undefined) expect(problem.detail).toContain(says);
    if (code === "validation_failed") {
      expect(problem.errors.length).toBeGreaterThan(0);
      expect(JSON.stringify(problem)).not.toMatch(/node_modules|\.ts:\d/);
    }
    expect(await everything()).toEqual(before);
  });

  it.each([
    "/threads?graph=a%00b",
    "/interrupts?graph=a%00b",
    "/threads?graph=%ED%A0%80",
    "/interrupts?graph=__proto__",
  ])("a filter that nothing fits finds nothing: %s", async (path) => {
    const answer = await server.get(path);
    expect([answer.status, answer.body]).toEqual([200, { items: [], next_cursor: null }]);
  });

  it.each(["/threads", "/interrupts", "/threads/done/messages", "/threads/done/runs"])(
    "a cursor of %s that somebody made up is answered or refused, never a fault of the server",
    async (list) => {
      const time = new Date(0).toISOString();
      const keys = [
        [time, "a\0b"],
        [time, "\ud800"],
        ["+275760-09-13T00:00:00.000Z", "x"],
        [Number.MAX_SAFE_INTEGER],
        [-1],
        ["a\0b"],
        [time, "x", 1],
      ];
      for (const key of keys) {
        const cursor = Buffer.from(JSON.stringify(key)).toString("base64url");
        const answer = await server.get(`${list}?cursor=${cursor}`);
        if (answer.status !== 200) expectProblem(answer, 400, "bad_cursor");
      }
    },
  );
});
