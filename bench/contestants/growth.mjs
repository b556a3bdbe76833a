/** (c) A thread that already has so many messages of 200 characters: one step more, and one turn more with loading. */
import { AIMessage, HumanMessage } from "@langchain/core/messages";
import { MessagesAnnotation, START as LG_START, StateGraph as LangGraph } from "@langchain/langgraph";
import { END, PgCheckpointer, START, StateGraph } from "../../dist/index.js";
import pg from "pg";
import { newId } from "../lib/loops.mjs";
import { saverOf } from "./langgraph.mjs";

const TEXT = "x".repeat(200);
const STEPS = 20;

async function walOf(url) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return {
    /** Bytes of write-ahead log so far, of the whole server: nothing else writes. */
    at: async () =>
      Number((await client.query("SELECT pg_current_wal_insert_lsn() - '0/0' AS at")).rows[0].at),
    rows: async (schema) =>
      Number(
        (
          await client.query(
            "SELECT coalesce(sum(n_tup_ins), 0) AS rows FROM pg_stat_user_tables WHERE schemaname = $1",
            [schema],
          )
        ).rows[0].rows,
      ),
    end: () => client.end(),
  };
}

/** A round: steps that append a message (time and WAL each), then turns of a process that must load the thread. */
const measured = (wal, { step, turn }) => ({
  async round(ms) {
    const until = performance.now() + ms;
    const latencies = [];
    const turns = [];
    let [ops, bytes] = [0, 0];
    do {
      const from = await wal.at();
      const t0 = performance.now();
      await step(STEPS);
      const t1 = performance.now();
      latencies.push((t1 - t0) / STEPS);
      bytes += (await wal.at()) - from;
      ops += STEPS;
      const t2 = performance.now();
      await turn();
      turns.push(performance.now() - t2);
    } while (performance.now() < until);
    return { ops, wal: bytes, latencies, turns, ms: latencies.reduce((sum, each) => sum + each * STEPS, 0) };
  },
});

export async function holdpoint({ url, messages }) {
  const checkpointer = new PgCheckpointer({ url });
  const wal = await walOf(url);
  const graph = new StateGraph()
    .addNode("SAY", () => ({ messages: TEXT }))
    .addEdge(START, "SAY")
    .addConditionalEdges("SAY", (state) => (state.context.length >= until ? END : "SAY"), ["SAY", END])
    .compile({ name: "growth", checkpointer });
  const threadId = newId();
  let until = 0;
  let has = 0;
  const say = async (many) => {
    has = until = has + many;
    await graph.invoke({}, { threadId, recursionLimit: many + 1 });
  };
  await graph
    .invoke({ messages: Array.from({ length: messages }, () => TEXT) }, { threadId: newId() })
    .catch(() => undefined);
  has = messages - 1;
  until = messages;
  await graph.invoke(
    { messages: Array.from({ length: messages - 1 }, () => TEXT) },
    { threadId, recursionLimit: 2 },
  );
  has = messages;
  return {
    ...measured(wal, { step: say, turn: () => say(1) }),
    close: () => Promise.all([checkpointer.close(), wal.end()]),
  };
}

export async function langgraph({ url, messages }) {
  const checkpointer = await saverOf("postgres", url);
  const wal = await walOf(url);
  let left = 0;
  const graph = new LangGraph(MessagesAnnotation)
    .addNode("SAY", () => ({ messages: [new AIMessage(TEXT)] }))
    .addEdge(LG_START, "SAY")
    .addConditionalEdges("SAY", () => (--left > 0 ? "SAY" : "__end__"), ["SAY", "__end__"])
    .compile({ checkpointer });
  const config = { configurable: { thread_id: newId() }, recursionLimit: 1000 };
  const say = async (many) => {
    left = many;
    await graph.invoke({ messages: [] }, config);
  };
  left = 1;
  await graph.invoke(
    { messages: Array.from({ length: messages - 1 }, () => new HumanMessage(TEXT)) },
    config,
  );
  return {
    ...measured(wal, { step: say, turn: () => say(1) }),
    close: () => Promise.all([checkpointer.end(), wal.end()]),
  };
}

/** The floor: one row a step; a turn selects all messages and writes one. */
export async function rows({ url, messages }) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const wal = await walOf(url);
  await client.query("CREATE SCHEMA IF NOT EXISTS floor");
  await client.query(
    "CREATE TABLE IF NOT EXISTS floor.said (thread text, ord bigint, role text, content text, PRIMARY KEY (thread, ord))",
  );
  const thread = newId();
  await client.query(
    "INSERT INTO floor.said SELECT $1, ord, 'user', $2 FROM generate_series(1, $3::int) AS ord",
    [thread, TEXT, messages],
  );
  let ord = messages;
  const say = async (many) => {
    for (let i = 0; i < many; i++)
      await client.query({
        name: "say",
        text: "INSERT INTO floor.said VALUES ($1, $2, 'assistant', $3)",
        values: [thread, ++ord, TEXT],
      });
  };
  const turn = async () => {
    await client.query({
      name: "all",
      text: "SELECT * FROM floor.said WHERE thread = $1 ORDER BY ord",
      values: [thread],
    });
    await say(1);
  };
  return { ...measured(wal, { step: say, turn }), close: () => Promise.all([client.end(), wal.end()]) };
}
