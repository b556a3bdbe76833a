/** kill -9 in the middle of branches and nested graphs: what was finished is not run again, what was gated is asked about. */
import { describe, expect, test } from "vitest";
import { crash, type Server } from "../support/server.js";
import { beside, expectCounts, FIVE_DEEP, quickIsStored } from "./branches.js";
import { eventsOf, get, grows, post, send, stateOf, threadWhen } from "./client.js";
import { DATABASES, newScene, type DatabaseKind, type Scene } from "./scene.js";

describe.each(DATABASES)("on the %s database", (database) => {
  test("five instances of a graph in a graph wait over a kill -9, are answered in reverse order, and run once", async () => {
    const scene = await newScene(database, FIVE_DEEP);
    const first = await scene.start();
    const paused = (await post(first, "/threads/t1/run", { input: {} })).body;
    expect(paused).toMatchObject({ status: "interrupted_before", next_nodes: ["ACT"] });
    expect(paused.interrupts.map(({ message, path }: never) => [message, path])).toEqual(
      ["1", "2", "3", "4", "5"].map((item) => [`Act on ${item}?`, ["EACH", "LEAF", "ACT"]]),
    );
    await crash(first);

    const second = await scene.start();
    expect((await get(second, "/threads/t1")).body.interrupts).toEqual(paused.interrupts);
    const ids: string[] = paused.interrupts.map(({ id }: never) => id);
    for (const id of ids.slice(1).reverse()) {
      const reply = await post(second, `/interrupts/${id}/decision`, { decision: "approve" });
      expect(reply).toMatchObject({ status: 202, body: { status: "interrupted_before" } });
      expectCounts(scene, { "act 1": 0, "act 5": 0 });
    }
    // The answers that were given are as durable as the questions.
    await crash(second);
    const third = await scene.start();
    expect((await get(third, "/threads/t1")).body.interrupts).toEqual([paused.interrupts[0]]);
    const last = await post(third, `/interrupts/${ids[0]}/decision`, { decision: "approve" });
    expect(last).toMatchObject({
      status: 200,
      body: { status: "completed", interrupts: [], next_nodes: [] },
    });
    expect((await stateOf(third, "t1")).log).toEqual([
      ...["1", "2", "3", "4", "5"].flatMap((item) => [`prepared ${item}`, `acted ${item}`]),
      "joined",
    ]);
    const each = ["1", "2", "3", "4", "5"].flatMap((item) => [`prepare ${item}`, `act ${item}`]);
    expectCounts(scene, Object.fromEntries(["split", "join", ...each].map((mark) => [mark, 1])));
    const events = await eventsOf(third, "t1");
    expect(grows(events)).toBe(true);
    expect(events.filter(({ type }) => type === "decision")).toHaveLength(5);
    expect(events.filter(({ type }) => type === "restart")).toEqual([]);
  });

  test("of a fan-out that a kill -9 met, what was finished is not run again, and what was in flight is, at every depth", async () => {
    const { scene, second } = await killed(database, beside());
    await scene.marked("SLOW begun", 1, second.pid);
    await scene.marked("PAY begun", 1, second.pid);
    scene.open("slow");
    scene.open("pay");
    await threadWhen(second, "t1", "completed");
    expectCounts(scene, { QUICK: 1, CHECK: 1, "SLOW begun": 2, "PAY begun": 2, TELL: 1, JOIN: 1 });
    expect((await stateOf(second, "t1")).log).toEqual([
      "quick",
      "slow",
      "check",
      "pay",
      "told by the node",
      "join",
    ]);
    const events = await eventsOf(second, "t1");
    const restarts = events
      .filter(({ type }) => type === "restart")
      .map(({ data }) => data.data.path.join("."));
    expect(restarts.sort()).toEqual(["SLOW", "SUB.INNER.PAY"]);
    expect(events.filter(({ type }) => type === "end")).toHaveLength(1);
  });

  const ENDS = {
    approve: {
      body: { decision: "approve" },
      counts: { QUICK: 1, "PAY begun": 2, "PAY done": 1, TELL: 1, JOIN: 1 },
      log: ["quick", "slow", "check", "pay", "told by the node", "join"],
      paid: "by the node",
    },
    edit: {
      body: { decision: "edit", state: { paid: "by hand" } },
      counts: { QUICK: 1, "PAY begun": 1, "PAY done": 0, TELL: 1, JOIN: 1 },
      log: ["quick", "slow", "check", "told by hand", "join"],
      paid: "by hand",
    },
    // The denial finds no onDeny inside: it ends the branch of SUB, and nothing else.
    deny: {
      body: { decision: "deny", reason: "not twice" },
      counts: { QUICK: 1, "PAY begun": 1, "PAY done": 0, TELL: 0, JOIN: 1 },
      log: ["quick", "slow", "check", "join"],
      paid: "",
    },
  };

  test.each(["approve", "edit", "deny"] as const)(
    "a node of a nested graph that a kill -9 met in flight and that may not be repeated is asked about with its path: %s",
    async (decision) => {
      const { scene, second } = await killed(database, beside({ pay: `{ onCrash: "hold" }` }));
      // Its sibling is not held up by the question.
      scene.open("slow");
      scene.open("pay");
      const { interrupts } = await threadWhen(second, "t1", "interrupted_before", "completed", "error");
      expect(interrupts).toMatchObject([
        {
          kind: "crash",
          node: "PAY",
          path: ["SUB", "INNER", "PAY"],
          decisions: ["approve", "edit", "deny"],
          data: { node: "PAY", attempt: 1, cause: "crash" },
        },
      ]);
      expectCounts(scene, { QUICK: 1, CHECK: 1, "SLOW begun": 2, "PAY begun": 1 });
      const bare = await post(second, "/threads/t1/resume", {});
      expect(bare).toMatchObject({ status: 422, body: { code: "decision_required" } });

      const { body, counts, log, paid } = ENDS[decision];
      const reply = await post(second, "/threads/t1/resume", body);
      expect(reply).toMatchObject({ status: 200, body: { status: "completed", decision: { decision } } });
      expect(await stateOf(second, "t1")).toMatchObject({ log, paid });
      expectCounts(scene, { ...counts, "SLOW begun": 2 });
    },
  );

  test("a held node of a nested graph that was approved and in flight is asked about, not run", async () => {
    const scene = await newScene(database, beside({ hold: true }));
    const first = await scene.start();
    scene.open("look");
    scene.open("slow");
    const paused = await post(first, "/threads/t1/run", { input: {} });
    expect(paused.body.interrupts).toMatchObject([{ kind: "before", path: ["SUB", "INNER", "PAY"] }]);
    send(first, "/threads/t1/resume", { decision: "approve" });
    await scene.marked("PAY begun");
    await crash(first);
    scene.open("pay");
    const second = await scene.start();
    const { interrupts } = await threadWhen(second, "t1", "interrupted_before", "completed", "error");
    expect(interrupts).toMatchObject([{ kind: "crash", path: ["SUB", "INNER", "PAY"] }]);
    expectCounts(scene, { QUICK: 1, "SLOW begun": 1, "PAY begun": 1 });
    expect((await post(second, "/threads/t1/resume", { decision: "approve" })).body.status).toBe("completed");
    expectCounts(scene, { QUICK: 1, "SLOW begun": 1, "PAY begun": 2, JOIN: 1 });
  });
});

/** A thread of "beside" whose process was killed when QUICK was stored, and SLOW and PAY in flight; and the next process. */
async function killed(database: DatabaseKind, module: string): Promise<{ scene: Scene; second: Server }> {
  const scene = await newScene(database, module);
  const first = await scene.start();
  send(first, "/threads/t1/run", { input: {} });
  await scene.marked("PAY begun");
  await quickIsStored(scene, database);
  await crash(first);
  return { scene, second: await scene.start() };
}
