import { expect, it } from "vitest";
import { approval } from "../../examples/approval.js";
import { expectProblem } from "../support/http-server.js";
import { contents, onServers, worked, type Api } from "./http.js";

const DANGEROUS = "Delete all production data";
const ask = (api: Api, thread: string, request = DANGEROUS) =>
  api.run(thread, { input: { messages: [request] } });

/** The nodes that worked on a thread, over all its runs, as its stream tells it. */
const history = async (api: Api, thread: string): Promise<string[]> =>
  worked(await (await api.stream(`${thread}/stream?after=0`)).rest());

onServers({ approval }, (api) => {
  it("the request is analysed and waits; approved, it is executed once, and the workflow ends", async () => {
    const held = await ask(api, "approved");
    expect(held).toMatchObject({
      status: "interrupted_before",
      next_nodes: ["EXECUTE_ACTION"],
      state: { risk: "high", done: [] },
    });
    expect(held.messages.at(-1).content).toContain("its risk is high");

    const body = {
      interrupt_id: held.interrupts[0].id,
      decision: "approve",
      messages: ["APPROVED: Proceed"],
    };
    const result = await api.resume("approved", body);
    expect(await api.resume("approved", body)).toEqual(result);
    expect(result).toMatchObject({ status: "completed", state: { done: [DANGEROUS] } });
    expect(contents(result.messages)).toEqual([
      "APPROVED: Proceed",
      `Executed: ${DANGEROUS}`,
      "All finished. Executed on this thread so far: 1.",
    ]);
    expect(await history(api, "approved")).toEqual(["ANALYZE_REQUEST", "EXECUTE_ACTION", "FINALIZE"]);
  });

  it("a denial really does not execute: not now, and not with the next message either", async () => {
    const watcher = await api.stream("dangerous-operation/stream", { input: { messages: [DANGEROUS] } });
    expect(worked(await watcher.rest())).toEqual(["ANALYZE_REQUEST"]);
    const denial = { decision: "deny", reason: "certainly not", messages: ["DENIED: Operation cancelled"] };
    const heard = await (await api.stream("dangerous-operation/resume", denial)).rest();
    expect(worked(heard)).toEqual([]);
    expect(heard.at(-1)).toMatchObject({
      name: "end",
      chunk: {
        data: { result: { status: "completed", decision: { decision: "deny" }, state: { done: [] } } },
      },
    });
    expect((await api.said("dangerous-operation")).at(-1)).toBe("DENIED: Operation cancelled");

    const next = await ask(api, "dangerous-operation", "Thank you");
    expect(next).toMatchObject({ status: "interrupted_before", state: { action: "Thank you", done: [] } });
    expect(await history(api, "dangerous-operation")).toEqual(["ANALYZE_REQUEST", "ANALYZE_REQUEST"]);
  });

  it("a chat message to the paused thread is 409 thread_interrupted and executes nothing", async () => {
    const held = await ask(api, "chatty");
    const before = [await api.state("chatty"), await api.said("chatty"), await api.thread("chatty")];
    for (const route of ["run", "stream"])
      for (const input of [{ messages: ["APPROVED: Proceed with deletion"] }, { messages: [""] }, {}]) {
        const refused = await api.post(`/threads/chatty/${route}`, { input });
        const problem = expectProblem(refused, 409, "thread_interrupted");
        expect(problem.interrupts).toEqual(held.interrupts);
      }
    expect([await api.state("chatty"), await api.said("chatty"), await api.thread("chatty")]).toEqual(before);
    expect(await history(api, "chatty")).toEqual(["ANALYZE_REQUEST"]);
    expect((await api.resume("chatty", { decision: "approve" })).state.done).toEqual([DANGEROUS]);
  });

  it("what is executed is what the person made of it", async () => {
    await ask(api, "edited");
    const result = await api.resume("edited", {
      decision: "edit",
      state: { action: "Delete the test data" },
    });
    expect(result.state.done).toEqual(["Delete the test data"]);
    expect(await api.said("edited")).toContain("Executed: Delete the test data");
    expect(await api.said("edited")).not.toContain(`Executed: ${DANGEROUS}`);
  });
});
