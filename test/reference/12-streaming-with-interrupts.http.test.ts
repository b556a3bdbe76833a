import { expect, it } from "vitest";
import { approval } from "../../examples/approval.js";
import { expectProblem } from "../support/http-server.js";
import { names, type Frame } from "../support/sse.js";
import { onServers, worked } from "./http.js";

const REQUEST = { input: { messages: ["Process sensitive request"] } };
const spoken = (frames: readonly Frame[]): unknown[] =>
  frames.filter(({ name }) => name === "message").map(({ chunk }) => chunk.data.message.content);

onServers({ approval }, (api) => {
  it("stream to the pause, ask the person, and stream on: the page's pattern", async () => {
    const chunks = await (await api.stream("demo/stream", REQUEST)).rest();
    expect(worked(chunks)).toEqual(["ANALYZE_REQUEST"]);
    const paused = chunks.at(-1)?.chunk;
    expect(paused).toMatchObject({ event_type: "interrupted", node_name: "EXECUTE_ACTION" });
    expect(paused.content).toContain("EXECUTE_ACTION");
    expect(paused.data.result.interrupts[0].decisions).toContain("approve");

    const answer = { decision: "approve", messages: ["Human approved"] };
    const resumed = await (await api.stream("demo/resume", answer)).rest();
    expect(names(resumed)[0]).toBe("decision");
    expect(worked(resumed)).toEqual(["EXECUTE_ACTION", "FINALIZE"]);
    expect(spoken(resumed)).toEqual([
      "Human approved",
      "Executed: Process sensitive request",
      "All finished. Executed on this thread so far: 1.",
    ]);
    expect(names(resumed).at(-1)).toBe("end");
    const whole = await (await api.stream("demo/stream?after=0")).rest();
    expect(whole).toEqual([...chunks, ...resumed]);
  });

  it("if the person says no, a stop cancels the pause: the operation never happens", async () => {
    await (await api.stream("cancelled/stream", REQUEST)).until("interrupted");
    const receipt = await api.stop("cancelled");
    expect(receipt).toMatchObject({ ok: true, running: false, status: "stopped" });
    const late = await api.post("/threads/cancelled/resume", { decision: "approve" });
    expectProblem(late, 409, "not_resumable");
    expect(await api.thread("cancelled")).toMatchObject({ status: "stopped", interrupts: [] });
    const whole = await (await api.stream("cancelled/stream?after=0")).rest();
    expect(worked(whole)).toEqual(["ANALYZE_REQUEST"]);
    expect((await api.state("cancelled")).state.done).toEqual([]);
  });

  it("a page that was closed at the pause opens later at its cursor, and misses nothing of the answer", async () => {
    const page = await api.stream("closed/stream", REQUEST);
    const seen = await page.until("interrupted");
    const cursor = String(seen.at(-1)?.id);
    expect((await api.get(`/threads/closed/stream?after=${cursor}`)).status).toBe(204);

    const answered = await (await api.stream("closed/resume", { decision: "approve" })).rest();
    const reopened = await api.stream("closed/stream", undefined, { "Last-Event-ID": cursor });
    expect(await reopened.rest()).toEqual(answered);
  });

  it("a page that follows sees the pause and what somebody else's answer sets going", async () => {
    await api.post("/threads", { thread_id: "followed", graph: "approval" });
    const page = await api.stream("followed/stream?follow=true");
    await api.run("followed", REQUEST);
    expect(worked(await page.until("interrupted"))).toEqual(["ANALYZE_REQUEST"]);
    await api.resume("followed", { decision: "deny", messages: ["No."] });
    const rest = await page.until("end");
    expect(rest[0]).toMatchObject({ name: "decision", chunk: { data: { decision: { decision: "deny" } } } });
    expect(worked(rest)).toEqual([]);
    expect(spoken(rest)).toEqual(["No."]);
    page.leave();
  });
});
