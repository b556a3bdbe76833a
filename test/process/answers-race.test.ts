/** Two servers on one PostgreSQL that each take one of the last two answers at the same moment. */
import { expect, test } from "vitest";
import { expectCounts, FIVE_DEEP } from "./branches.js";
import { eventsOf, get, post, stateOf, threadWhen } from "./client.js";
import { newScene } from "./scene.js";

test("of two answers to the last two open interrupts, by two servers at once, exactly one starts the run (invariant 5)", async () => {
  const scene = await newScene("postgres", FIVE_DEEP);
  const [one, two] = [await scene.start(), await scene.start()];
  const threads = Array.from({ length: 8 }, (_, i) => `t${i}`);
  for (const thread of threads) {
    const { interrupts } = (await post(one, `/threads/${thread}/run`, { input: {} })).body;
    const [first, second, ...rest] = interrupts.map(({ id }: { id: string }) => id) as string[];
    const answers = rest.map((id) => ({ interrupt_id: id, decision: "approve" }));
    expect(await post(two, `/threads/${thread}/resume`, { answers })).toMatchObject({ status: 202 });

    const replies = await Promise.all([
      post(one, `/interrupts/${first}/decision`, { decision: "approve" }),
      post(two, `/interrupts/${second}/decision`, { decision: "deny", reason: "no" }),
    ]);
    expect(replies.map(({ status }) => status).sort()).toEqual([200, 202]);
    expect(replies.find(({ status }) => status === 200)?.body).toMatchObject({
      status: "completed",
      decision: { decision: "deny", reason: "no" },
    });
    await threadWhen(one, thread, "completed");
    expect((await get(one, `/threads/${thread}/runs`)).body.items).toHaveLength(2);
    const events = await eventsOf(two, thread);
    expect(events.filter(({ type }) => type === "start")).toHaveLength(2);
    expect(events.filter(({ type }) => type === "decision")).toHaveLength(5);
    const { log } = await stateOf(two, thread);
    expect(log.filter((line: string) => line.startsWith("acted"))).toEqual(
      ["1", "3", "4", "5"].map((item) => `acted ${item}`),
    );
  }
  const each = threads.length;
  expectCounts(scene, { split: each, join: each, "act 1": each, "act 2": 0, "act 3": each, "act 5": each });
});
