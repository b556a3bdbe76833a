import { expect, it } from "vitest";
import { approval } from "../../examples/approval.js";
import { expectProblem } from "../support/http-server.js";
import { onServers } from "./http.js";

const REQUEST = { input: { messages: ["Execute sensitive action"] } };

onServers({ approval }, (api) => {
  it("the page's test passes against a server: interrupted with the node in the reason, then approved", async () => {
    const result = await api.run("test-interrupt", REQUEST);
    expect(result.interrupted).toBe(true);
    expect(result.interrupt_reason).toContain("EXECUTE_ACTION");

    const final = await api.resume("test-interrupt", { decision: "approve", messages: ["APPROVED"] });
    expect(final.interrupted).toBe(false);
    expect(final.messages.length).toBeGreaterThan(0);
  });

  it("a test that deletes its thread can be run again under the same name, and finds nothing of before", async () => {
    for (let time = 0; time < 2; time++) {
      expect((await api.run("again", REQUEST)).interrupted).toBe(true);
      const final = await api.resume("again", { decision: "approve" });
      expect(final.state.done).toEqual(["Execute sensitive action"]);
      expect(await api.said("again")).toHaveLength(4);
      expect((await api.delete("/threads/again")).status).toBe(204);
      expectProblem(await api.get("/threads/again"), 404, "not_found");
    }
  });

  it("tests that run side by side on threads of their own get their own answers", async () => {
    const threads = Array.from({ length: 12 }, (_, i) => ({ thread: `side-${i}`, approve: i % 3 === 0 }));
    const paused = await Promise.all(
      threads.map(({ thread }) => api.run(thread, { input: { messages: [`action of ${thread}`] } })),
    );
    expect(new Set(paused.map(({ interrupts }) => interrupts[0].id)).size).toBe(threads.length);
    const ended = await Promise.all(
      threads.map(({ thread, approve }) => api.resume(thread, { decision: approve ? "approve" : "deny" })),
    );
    expect(ended.map(({ thread_id, status, state }) => [thread_id, status, state.done])).toEqual(
      threads.map(({ thread, approve }) => [thread, "completed", approve ? [`action of ${thread}`] : []]),
    );
  });
});
