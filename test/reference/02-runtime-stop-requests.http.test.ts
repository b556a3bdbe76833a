import { expect, it } from "vitest";
import { latch, settled } from "../support/latch.js";
import { names } from "../support/sse.js";
import { line } from "./helpers.js";
import { onServers, worked, type Api } from "./http.js";

/** Three steps; the second waits for `held` when it runs for the first time. */
function agent(api: Api) {
  const [began, held] = [latch(), latch()];
  const ran: string[] = [];
  const graph = api.add(
    line({
      READ: () => {
        ran.push("READ");
        return { amount: 1, messages: ["I have read it."] };
      },
      THINK: async () => {
        ran.push("THINK");
        if (ran.filter((name) => name === "THINK").length > 1) return { amount: 2 };
        began.open();
        await held.opened;
        return { amount: 666, messages: ["too late"] };
      },
      WRITE: () => {
        ran.push("WRITE");
        return "I have written it.";
      },
    }),
  );
  return { began, held, ran, graph };
}

onServers({}, (api) => {
  it("a stream in the background is stopped from outside, and nothing of the run happens any more", async () => {
    const { began, held, ran, graph } = agent(api);
    const chunks = await api.stream("my-session/stream", { graph, input: { messages: ["go"] } });
    await began.opened;
    const status = await api.stop("my-session", { reason: "changed my mind" });
    expect(status).toMatchObject({ ok: true, running: true, status: "stopped", node: "THINK" });

    const heard = await chunks.rest();
    expect(heard.at(-1)).toMatchObject({ name: "stopped", id: status.seq });
    held.open();
    await settled();
    expect(ran).toEqual(["READ", "THINK"]);
    expect(await api.said("my-session")).toEqual(["go", "I have read it."]);
    expect(await api.state("my-session")).toMatchObject({
      status: "stopped",
      state: { amount: 1 },
      next_nodes: ["THINK"],
      seq: status.seq,
    });
    const stopped = (await api.get(`/threads?status=stopped&graph=${graph}`)).body.items;
    expect(stopped).toMatchObject([{ thread_id: "my-session" }]);
  });

  it("a stopped run is continued where it was, and its finished steps are not repeated", async () => {
    const { began, held, ran, graph } = agent(api);
    const chunks = await api.stream("pausing/stream", { graph });
    await began.opened;
    await api.stop("pausing");
    await chunks.rest();
    const resumed = await (await api.stream("pausing/resume", {})).rest();
    held.open();
    expect(worked(resumed)).toEqual(["THINK", "WRITE"]);
    expect(names(resumed).at(-1)).toBe("end");
    expect(ran).toEqual(["READ", "THINK", "THINK", "WRITE"]);
    expect((await api.state("pausing")).state.amount).toBe(2);
  });

  it("a run whose frontend is gone goes on, until somebody stops it", async () => {
    const { began, held, ran, graph } = agent(api);
    const frontend = await api.stream("gone/stream", { graph });
    await frontend.until("update");
    frontend.leave();
    await began.opened;
    expect(await api.thread("gone")).toMatchObject({ status: "running", current_node: "THINK" });

    const status = await api.stop("gone");
    expect(status).toMatchObject({ running: true, status: "stopped" });
    expect(await api.stop("gone")).toMatchObject({ ok: true, running: false, reason: "not-running" });
    const replay = await (await api.stream("gone/stream?after=0")).rest();
    expect(replay.at(-1)).toMatchObject({ name: "stopped", id: status.seq });
    expect(ran).toEqual(["READ", "THINK"]);
    held.open();
  });
});
