import { expect, it } from "vitest";
import { expectJson, expectProblem, onEveryStorage, serve, unique } from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { ids, names, openStream, type SseReader } from "../support/sse.js";
import { refund, single } from "./graphs.js";

const growing = (list: readonly number[]): boolean =>
  list.every((id, i) => i === 0 || id > (list[i - 1] ?? 0));

onEveryStorage("streams", (server) => {
  const attach = (thread: string, query = "", headers?: Record<string, string>): Promise<SseReader> =>
    openStream(`${server.url}/threads/${thread}/stream${query}`, headers === undefined ? {} : { headers });

  /** A node that says "one ", waits, says "two", waits, and is done. */
  function talker() {
    const [said, more, saidMore, end] = [latch(), latch(), latch(), latch()];
    const graph = server.add(
      single(async function* (_state, ctx) {
        yield "one ";
        ctx.emit("half", { way: 1 });
        said.open();
        await more.opened;
        yield "two";
        saidMore.open();
        await end.opened;
      }),
    );
    return { said, more, saidMore, end, graph, thread: unique("t") };
  }

  it("pass over commits that have no events, however many there are in a row", async () => {
    const graph = server.add(single(() => ({})));
    const thread = unique("t");
    const url = `${server.url}/threads/${thread}`;
    await fetch(`${url}/run`, { method: "POST", body: JSON.stringify({ graph, input: {} }) });
    for (let i = 0; i < 120; i++)
      await fetch(`${url}/state`, { method: "PATCH", body: JSON.stringify({ state: {} }) });
    await fetch(`${url}/run`, { method: "POST", body: JSON.stringify({ input: {} }) });
    const frames = await (await attach(thread, "?after=0")).rest();
    expect(names(frames).filter((name) => name === "end")).toHaveLength(2);
  });

  it("of a run have the headers, the opening and every event to the terminal one", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    const reader = await openStream(`${server.url}/threads/${thread}/stream`, {
      body: { graph, input: { messages: ["129.90 back"], amount: 129.9 } },
    });
    const frames = await reader.rest();
    expect(reader.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(reader.headers.get("cache-control")).toBe("no-cache, no-transform");
    expect(reader.headers.get("x-accel-buffering")).toBe("no");
    // `fetch` takes gzip and more: what is compressed comes in lumps.
    expect(reader.headers.get("content-encoding")).toBeNull();
    expect(reader.retry()).toBe(1000);
    expect(reader.comments.length).toBeGreaterThanOrEqual(1);
    expect(names(frames)).toEqual(["start", "message", "progress", "message", "update", "interrupted"]);
    expect(frames[0]?.id).toBe(1);
    expect(growing(ids(frames))).toBe(true);

    const [start, message, progress, , update, last] = frames.map(({ chunk }) => chunk);
    expect(start.event).toBe("graph_execution");
    expect(start.data).toMatchObject({ resumes: false, input: { amount: 129.9 } });
    expect(start.data.input.messages[0].content).toBe("129.90 back");
    expect(message.data.message).toMatchObject({ role: "user", content: "129.90 back" });
    expect(progress).toMatchObject({ node_name: "READ", path: ["READ"], data: { step: 0, attempt: 1 } });
    expect(update.data).toMatchObject({ step: 1, next_nodes: ["PAY"] });
    expect(last).toMatchObject({
      node_name: "PAY",
      data: { interrupted: "before" },
      metadata: { status: "interrupted_before" },
    });

    const location = reader.headers.get("content-location") ?? "";
    expect(location).toBe(`/threads/${thread}/runs/${last.run_id}`);
    const run = expectJson(await server.get(location), 200, "run");
    expect(run).toMatchObject(last.data.result as object);
    expect(last.data.result.seq).toBe(last.seq);
  });

  it("of a resume begin with its decision and end with its terminal event", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    const run = await server.post(`/threads/${thread}/run`, { graph, input: { amount: 5 } });
    const id: string = run.body.interrupts[0].id;
    const reader = await openStream(`${server.url}/interrupts/${id}/decision`, {
      body: { decision: "approve", reason: "fine", data: 0 },
    });
    const frames = await reader.rest();
    expect(names(frames)).toEqual(["decision", "start", "progress", "message", "update", "end"]);
    expect(frames[0]?.id).toBeGreaterThan(run.body.seq as number);
    const [decision, start, , , , end] = frames.map(({ chunk }) => chunk);
    expect(decision.data.decision).toMatchObject({ interrupt_id: id, decision: "approve", data: 0 });
    expect(decision.data.interrupt).toMatchObject({ id, status: "resolved" });
    expect(start.data.resumes).toBe(true);
    expect(end.data.result).toMatchObject({ status: "completed", decision: decision.data.decision });
    const again = await openStream(`${server.url}/interrupts/${id}/decision`, {
      body: { decision: "approve", reason: "fine", data: 0 },
    });
    expect(await again.rest()).toEqual(frames);
    expect(again.headers.get("content-location")).toBe(reader.headers.get("content-location"));
  });

  it("replay the whole thread after 0, the last run without a cursor, and what is newer after one", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    const url = `${server.url}/threads/${thread}`;
    const first = await (await openStream(`${url}/stream`, { body: { graph, input: { amount: 5 } } })).rest();
    const second = await (await openStream(`${url}/resume`, { body: { decision: "approve" } })).rest();
    const whole = await (await attach(thread, "?after=0")).rest();
    expect(whole).toEqual([...first, ...second]);
    expect(growing(ids(whole))).toBe(true);

    const last = await attach(thread);
    expect(last.headers.get("content-location")).toBe(
      `/threads/${thread}/runs/${String(second.at(-1)?.chunk.run_id)}`,
    );
    expect(names(await last.rest())).toEqual(names(second.slice(1)));
    const cursor = String(first.at(-1)?.id);
    expect(await (await attach(thread, `?after=${cursor}`)).rest()).toEqual(second);
    expect(ids(await (await attach(thread, "?after=0", { "Last-Event-ID": "" })).rest())).toEqual(
      ids([...first, ...second]),
    );
    const byHeader = await attach(thread, "?after=0", { "Last-Event-ID": cursor });
    expect(await byHeader.rest()).toEqual(second);
  });

  it("are 204 where nothing is newer and nothing runs, and 404 where there is no thread", async () => {
    const graph = server.add(single(() => "done"));
    const thread = unique("t");
    expectProblem(await server.get(`/threads/${thread}/stream`), 404, "not_found");
    await server.post("/threads", { thread_id: thread, graph });
    expect((await server.get(`/threads/${thread}/stream`)).status).toBe(204);
    expect((await server.get(`/threads/${thread}/stream?after=0`)).status).toBe(204);
    const run = await server.post(`/threads/${thread}/run`);
    const empty = await server.get(`/threads/${thread}/stream?after=${run.body.seq}`);
    expect(empty.status).toBe(204);
    expect(empty.text).toBe("");
    const byHeader = await server.get(`/threads/${thread}/stream`, {
      "Last-Event-ID": String(run.body.seq),
    });
    expect(byHeader.status).toBe(204);
    expect((await attach(thread)).status).toBe(200);
  });

  it("refuse a cursor ahead of everything, and one that is none", async () => {
    const graph = server.add(single(() => "done"));
    const thread = unique("t");
    const run = await server.post(`/threads/${thread}/run`, { graph });
    const url = `/threads/${thread}/stream`;
    const ahead = (run.body.seq as number) + 1;
    expectProblem(await server.get(`${url}?after=${ahead}`), 409, "cursor_ahead");
    expectProblem(await server.get(url, { "Last-Event-ID": String(ahead) }), 409, "cursor_ahead");
    for (const bad of ["-1", "x", "1.5", "1e3", " 1", "9".repeat(40), "%00", ""])
      expectProblem(await server.get(`${url}?after=${bad}`), 400, "bad_cursor");
    expectProblem(await server.get(url, { "Last-Event-ID": "seven" }), 400, "bad_cursor");
  });

  it("give a reader that joins between two deltas all of them, with the ids that the first reader saw", async () => {
    const { said, more, saidMore, end, graph, thread } = talker();
    const first = await openStream(`${server.url}/threads/${thread}/stream`, { body: { graph } });
    await said.opened;
    // Whoever has a live event is past the log, and hears all that follows as it happens.
    const heard = await first.until("custom");
    const second = await attach(thread);
    expect(names(await second.until("custom"))).toEqual(["start", "progress", "delta", "custom"]);
    more.open();
    await saidMore.opened;
    const third = await attach(thread, "?after=0");
    await third.until("custom");
    const late = await third.next();
    expect(late?.chunk).toMatchObject({ event: "streaming", event_type: "delta", content: "two" });
    end.open();
    const all = [...heard, ...(await first.rest())];
    expect(names(all)).toEqual(["start", "progress", "delta", "custom", "delta", "message", "update", "end"]);
    expect(growing(ids(all))).toBe(true);
    expect(ids(await second.rest())).toEqual(ids(all.slice(4)));
    expect(ids(await third.rest())).toEqual(ids(all.slice(5)));
    const deltas = all.filter(({ name }) => name === "delta").map(({ chunk }) => chunk);
    const message = all.find(({ name }) => name === "message")?.chunk.data.message;
    expect(message.content).toBe(deltas.map(({ content }) => content).join(""));
    expect(deltas.map(({ data }) => data.message_id)).toEqual([message.id, message.id]);
    const replay = await (await attach(thread, "?after=0")).rest();
    expect(ids(all)).toEqual(expect.arrayContaining(ids(replay)));
    expect(names(replay).filter((name) => name !== "delta")).toEqual(
      names(all).filter((name) => name !== "delta"),
    );
  });

  it("show any number of readers the same events under the same ids", async () => {
    const { said, more, end, graph, thread } = talker();
    const first = await openStream(`${server.url}/threads/${thread}/stream`, { body: { graph } });
    await said.opened;
    const heard = await first.until("custom");
    const readers = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const reader = await attach(thread, "?after=0");
        return { reader, before: await reader.until("custom") };
      }),
    );
    more.open();
    end.open();
    const all = [...heard, ...(await first.rest())];
    for (const { reader, before } of readers) expect([...before, ...(await reader.rest())]).toEqual(all);
  });

  it("do not stop their run when they leave", async () => {
    const { said, more, end, graph, thread } = talker();
    const reader = await openStream(`${server.url}/threads/${thread}/stream`, { body: { graph } });
    const before = await reader.until("custom");
    reader.leave();
    await said.opened;
    more.open();
    end.open();
    const cursor = String(before.at(-1)?.id);
    const rest = await (await attach(thread, "", { "Last-Event-ID": cursor })).rest();
    expect(names(rest).at(-1)).toBe("end");
    expect(growing([...ids(before), ...ids(rest)])).toBe(true);
  });

  it("name the terminal event of a failed run `failed`, so that EventSource does not take it for a broken line", async () => {
    const graph = server.add(
      single(() => {
        throw new Error("the bank is closed");
      }),
    );
    const thread = unique("t");
    const reader = await openStream(`${server.url}/threads/${thread}/stream`, { body: { graph } });
    // A live event of an attempt that never commits may be heard or not.
    const frames = (await reader.rest()).filter(({ name }) => name !== "progress");
    expect(names(frames)).toEqual(["start", "failed"]);
    expect(frames.at(-1)?.chunk).toMatchObject({
      event_type: "error",
      data: { result: { status: "error", error: { code: "node_failed", node: "WORK" } } },
    });
    expect(await (await attach(thread, "?after=0")).rest()).toEqual(frames);
  });

  it("that follow stay open between runs, and see the answer that somebody else gives later", async () => {
    const graph = server.add(refund());
    const thread = unique("t");
    await server.post("/threads", { thread_id: thread, graph });
    const follower = await attach(thread, "?follow=true");
    expect(follower.status).toBe(200);
    const run = await server.post(`/threads/${thread}/run`, { input: { amount: 3 } });
    const held = await follower.until("interrupted");
    expect(held.at(-1)?.id).toBe(run.body.seq);
    await server.call("PATCH", `/threads/${thread}/state`, { state: { amount: 4 } });
    expect(names(await follower.until("update"))).toEqual(["update"]);
    const resumed = await server.post(`/threads/${thread}/resume`, { decision: "deny" });
    const rest = await follower.until("end");
    // The denied node is a step without output, then comes the step of where the denial goes.
    expect(names(rest)).toEqual(["decision", "start", "update", "progress", "message", "update", "end"]);
    expect(rest.at(-1)?.id).toBe(resumed.body.seq);

    expect((await server.call("DELETE", `/threads/${thread}`)).status).toBe(204);
    expect(await follower.rest()).toEqual([]);
  });

  it("say in a quiet time that they live", async () => {
    const quiet = await serve({ refunds: refund() }, { http: { sseHeartbeatMs: 5, sseRetryMs: 77 } });
    await quiet.post("/threads/t1/run", { input: { amount: 3 } });
    const reader = await openStream(`${quiet.url}/threads/t1/stream?follow=true`);
    await reader.until("interrupted");
    await reader.commented(reader.comments.length + 3);
    expect(reader.retry()).toBe(77);
    await quiet.post("/threads/t1/resume", { decision: "approve" });
    expect(names(await reader.until("end")).at(0)).toBe("decision");
    reader.leave();
    await quiet.close();
  });
});
