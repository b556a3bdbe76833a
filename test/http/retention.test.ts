/** What is left of a thread whose old events were deleted. */
import { expect, it } from "vitest";
import { z } from "zod";
import {
  expectJson,
  expectProblem,
  onEveryStorage,
  unique,
  type TestServer,
} from "../support/http-server.js";
import { until } from "../support/poll.js";
import { single } from "./graphs.js";

/** Three runs whose state is stored whole now and then, and the sweep that takes the events of the first. */
async function swept(server: TestServer) {
  const state = z.object({ text: z.string().default("") });
  const work = ({ text }: { text: string }) => ({
    text: `${text.length}`.padEnd(5000, "x"),
    messages: "Done.",
  });
  const graph = server.add(single(work as never, state));
  const thread = unique("t");
  const request = (i: number) => ({
    body: { graph, input: { messages: [`${i}`] } },
    key: { "Idempotency-Key": `${thread}-${i}` },
  });
  for (const i of [0, 1, 2]) {
    const { body, key } = request(i);
    expect((await server.post(`/threads/${thread}/${i === 0 ? "stream" : "run"}`, body, key)).status).toBe(
      200,
    );
  }
  const listed = (await server.get(`/threads/${thread}/runs`)).body.items;
  const runs: string[] = listed.map(({ run_id: id }: { run_id: string }) => id).toReversed();
  const { body: before } = await server.get(`/threads/${thread}/state`);
  const { items: history } = (await server.get(`/threads/${thread}/checkpoints`)).body;
  const { checkpointer } = server.runtime;
  const ref = { tenant: "default", threadId: thread };
  await until("the events are old", async () => {
    for (let after = null as Awaited<ReturnType<typeof checkpointer.upkeep.sweepEvents>>; ;) {
      after = await checkpointer.upkeep.sweepEvents(1, 100, after);
      if (after === null) break;
    }
    return ((await checkpointer.thread(ref))?.logFloor ?? 0) > 0;
  });
  return { graph, thread, runs, request, before, history };
}

onEveryStorage("a thread whose old events are gone", (server) => {
  it("has its state and its messages, runs on and is forked from what is left", async () => {
    const { graph, thread, before, history } = await swept(server);
    expect((await server.get(`/threads/${thread}/state`)).body).toEqual(before);
    expect((await server.get(`/threads/${thread}/messages`)).body.items).toHaveLength(6);
    const oldest = history.at(-1).checkpoint_id as string;
    const newest = history[0].checkpoint_id as string;
    expectProblem(await server.get(`/threads/${thread}/state?checkpoint=${oldest}`), 404, "not_found");
    const fork = { checkpoint_id: oldest };
    expectProblem(await server.post(`/threads/${thread}/fork`, fork), 404, "not_found");
    const forked = await server.post(`/threads/${thread}/fork`, { checkpoint_id: newest });
    expect(expectJson(forked, 201, "thread").status).toBe("completed");
    const next = await server.post(`/threads/${thread}/run`, { graph });
    expect(expectJson(next, 200, "result")).toMatchObject({
      status: "completed",
      state: { text: "5000".padEnd(5000, "x") },
    });
  });

  it("shows its old runs without messages and state, the last one whole", async () => {
    const { thread, runs } = await swept(server);
    const { items } = (await server.get(`/threads/${thread}/runs`)).body;
    expect(items.map(({ run_id: id }: { run_id: string }) => id)).toEqual(runs.toReversed());
    const [last] = items;
    const first = expectJson(await server.get(`/threads/${thread}/runs/${runs[0]}`), 200, "run");
    expect(last).toMatchObject({ status: "completed", state: { text: "5000".padEnd(5000, "x") } });
    expect(last.messages).toHaveLength(2);
    expect(first).toMatchObject({ status: "completed", messages: [], state: { context_summary: null } });
    expect(first.ended_at).not.toBeNull();
  });

  it("tells a reader with an old cursor what is missing, then what is there", async () => {
    const { thread } = await swept(server);
    const floor = (await server.runtime.checkpointer.thread({ tenant: "default", threadId: thread }))
      ?.logFloor;
    const stream = async (after: number): Promise<string> =>
      (await fetch(`${server.url}/threads/${thread}/stream?after=${after}`)).text();
    const all = await stream(0);
    expect(all).toContain(`\n\nevent: gap\ndata: {"from":1,"to":${floor}}\n\nid: `);
    expect(all.match(/^event: gap$/gm)).toHaveLength(1);
    expect(await stream(1)).toContain(`data: {"from":2,"to":${floor}}`);
    const ids = [...all.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
    expect(Math.min(...ids)).toBeGreaterThan(floor ?? 0);
    expect(await stream(floor ?? 0)).not.toContain("event: gap");
  });

  it("tells whoever sends the request of an old run again what it came to, and of no other run", async () => {
    const { thread, runs, request } = await swept(server);
    const { body, key } = request(0);
    const { text } = await server.post(`/threads/${thread}/stream`, body, key);
    const frames = text.split("\n\n").filter((each) => each.includes("event: "));
    expect(frames).toHaveLength(1);
    expect(frames[0]).toMatch(/^event: end\ndata: /);
    expect(frames[0]).toContain(`"run_id":"${runs[0]}"`);
    const again = request(1);
    const reply = await server.post(`/threads/${thread}/run`, again.body, again.key);
    expect(expectJson(reply, 200, "result")).toMatchObject({ run_id: runs[1], status: "completed" });
  });
});
