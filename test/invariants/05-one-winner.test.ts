/** Fifty people answer one question at once, each something else, over three servers. */
import { describe, expect, test } from "vitest";
import { eventsOf, get, post, stateOf } from "../process/client.js";
import { line, newScene } from "../process/scene.js";
import { query } from "./stage.js";

/** Every kind of answer, by both ways; each says which it is. */
function answer(i: number): Record<string, unknown> {
  const reason = `reason ${i}`;
  if (i % 3 === 0) return { decision: "approve", reason };
  if (i % 3 === 1) return { decision: "deny", reason };
  return { decision: "edit", state: { paid: `by ${i}` }, reason };
}

describe("Invariant 5: one winner", () => {
  test("of fifty simultaneous different answers over three servers exactly one takes effect", async () => {
    const scene = await newScene("postgres", line({ hold: true }));
    scene.open("slow");
    const servers = [await scene.start(), await scene.start(), await scene.start()] as const;
    const asked = await post(servers[0], "/threads/t1/run", { input: {} });
    const id: string = asked.body.interrupts[0].id;
    const paths = ["/threads/t1/resume", `/interrupts/${id}/decision`];
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_each, i) =>
        post(servers[(i % 3) as 0 | 1 | 2], paths[i % 2] ?? "", answer(i)),
      ),
    );

    const won = replies.findIndex(({ status }) => status === 200);
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(replies.filter(({ status }) => status === 409)).toHaveLength(49);
    const winner = answer(won);
    for (const server of servers)
      expect((await get(server, `/interrupts/${id}`)).body).toMatchObject({
        status: "resolved",
        decision: { decision: winner.decision, reason: winner.reason },
      });
    expect(await query(scene, "SELECT status FROM holdpoint.interrupt")).toEqual([{ status: "resolved" }]);
    expect((await get(servers[1], "/threads/t1/runs")).body.items).toHaveLength(2);
    const events = await eventsOf(servers[2], "t1");
    const decided = events.filter(({ type }) => type === "decision");
    expect(decided.map(({ data }) => data.data.decision.reason)).toEqual([winner.reason]);
    // What the answer let happen has happened once, and what the others wanted has not.
    expect(scene.count("SLOW done")).toBe(winner.decision === "deny" ? 0 : 1);
    const { paid } = await stateOf(servers[0], "t1");
    expect(["", "by the node"]).toContain(paid);
  });
});
