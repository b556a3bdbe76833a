import { expect, it } from "vitest";
import { inspection } from "../../examples/inspection.js";
import { onServers } from "./http.js";

const REVIEW = { input: { messages: ["Great service, but slow and expensive"] } };
const WORDS = ["great", "service", "but", "slow", "and", "expensive"];

onServers({ inspection }, (api) => {
  it("the page's loop looks at the state after each major step, and goes on with an empty resume", async () => {
    const inspected: unknown[] = [];
    let result = await api.run("debug-session", REVIEW);
    while (result.interrupted) {
      const { execution_meta, state, next_nodes } = await api.state("debug-session");
      expect(state).toEqual(result.state);
      inspected.push([execution_meta.interrupted_node, state.words, state.score, next_nodes]);
      result = await api.resume("debug-session");
    }
    expect(inspected).toEqual([
      ["PREPROCESS", WORDS, 0, ["MODEL_INFERENCE"]],
      ["MODEL_INFERENCE", WORDS, expect.closeTo(-1 / 3), ["POSTPROCESS"]],
    ]);
    expect(result.status).toBe("completed");
    expect((await api.said("debug-session")).at(-1)).toBe("The text is negative (-0.33).");
  });

  it("a word list that is corrected at the first pause is what the model sees", async () => {
    await api.run("corrected", REVIEW);
    const second = await api.resume("corrected", {
      decision: "edit",
      state: { words: ["great", "service"] },
    });
    expect(second).toMatchObject({
      status: "interrupted_after",
      current_node: "MODEL_INFERENCE",
      state: { words: ["great", "service"], score: 1 },
    });
    await api.resume("corrected");
    expect((await api.said("corrected")).at(-1)).toBe("The text is positive (1.00).");
  });

  it("a score that is corrected at the second pause is not computed again", async () => {
    await api.run("scored", REVIEW);
    await api.resume("scored");
    const result = await api.resume("scored", { decision: "edit", state: { score: 0.5 } });
    expect(result).toMatchObject({ status: "completed", state: { score: 0.5, words: WORDS } });
    expect((await api.said("scored")).at(-1)).toBe("The text is positive (0.50).");
  });

  it("the states that were looked at can still be read when the thread has gone on", async () => {
    const seen = [];
    let result = await api.run("history", REVIEW);
    while (result.interrupted) {
      seen.push(await api.state("history"));
      result = await api.resume("history", { decision: "edit", state: { score: 1 } });
    }
    for (const then of seen)
      expect(await api.state("history", then.checkpoint_id as string)).toMatchObject({
        checkpoint_id: then.checkpoint_id,
        status: "interrupted_after",
        state: then.state,
        next_nodes: then.next_nodes,
      });
    expect((await api.state("history")).status).toBe("completed");
  });
});
