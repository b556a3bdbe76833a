import { PgCheckpointer } from "holdpoint";
import { expect, it } from "vitest";
import { newPostgresDatabase } from "../support/databases.js";
import { serve } from "../support/http-server.js";
import { line } from "./helpers.js";
import { apiOf, contents, onServers } from "./http.js";

/** Processes a transaction once a person agrees; `processed` has each time that it really did. */
function transaction() {
  const processed: unknown[] = [];
  const graph = line(
    {
      CHECK: () => ({ log: ["checked"] }),
      PROCESS: (state) => {
        processed.push(state.context.map(({ content }) => content));
        return "Processed.";
      },
    },
    { interruptBefore: ["PROCESS"] },
  );
  return { processed, graph };
}
const REQUEST = { messages: ["Process the transaction"] };
const YES = { decision: "approve", messages: ["Approved by human"] };

onServers({}, (api) => {
  it("run, read why it is interrupted, answer on the same thread: it goes on from there", async () => {
    const { processed, graph } = transaction();
    const name = api.add(graph);
    const result = await api.run("session-123", { graph: name, input: REQUEST });
    expect(result.interrupted).toBe(true);
    expect(result.interrupt_reason).toBe("interrupt_before: PROCESS");
    expect(processed).toEqual([]);

    const resumed = await api.resume("session-123", YES);
    expect(resumed).toMatchObject({ status: "completed", interrupted: false, interrupt_reason: null });
    expect(contents(resumed.messages)).toEqual(["Approved by human", "Processed."]);
    expect(processed).toEqual([["Process the transaction", "Approved by human"]]);
    expect(resumed.state.log).toEqual(["checked"]);
  });

  it("an answer on one thread leaves every other thread waiting", async () => {
    const { processed, graph } = transaction();
    const name = api.add(graph);
    for (const thread of ["mine", "yours"]) await api.run(thread, { graph: name, input: REQUEST });
    await api.resume("mine", YES);
    expect(processed).toHaveLength(1);
    expect(await api.inbox(name)).toMatchObject([{ thread_id: "yours" }]);
    expect((await api.thread("yours")).status).toBe("interrupted_before");
  });
});

it("the person may take longer than the server lives: another server on the database takes the answer", async () => {
  const url = await newPostgresDatabase();
  const { processed, graph } = transaction();
  const starts = async () => {
    const checkpointer = new PgCheckpointer(url);
    await checkpointer.open();
    return serve({ transaction: graph }, { checkpointer });
  };

  const today = await starts();
  const held = await apiOf(today).run("session-123", { input: REQUEST });
  await today.close();

  const nextWeek = await starts();
  const api = apiOf(nextWeek);
  expect(await api.inbox("transaction")).toEqual(held.interrupts);
  expect(processed).toEqual([]);
  const resumed = await api.resume("session-123", { interrupt_id: held.interrupts[0].id, ...YES });
  expect(resumed).toMatchObject({ status: "completed", state: { log: ["checked"] } });
  expect(processed).toEqual([["Process the transaction", "Approved by human"]]);
  expect(resumed.seq).toBeGreaterThan(held.seq as number);
  await nextWeek.close();
});
