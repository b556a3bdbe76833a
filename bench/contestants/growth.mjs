/**
 * (c) A thread that has grown to so many messages of 200 characters: one step more, and one turn more with loading. A short
 * thread is begun anew for each sample, for else it would soon be a long one; a long one is kept, and a round takes few samples.
 */
import { AIMessage, HumanMessage } from "@langchain/core/messages";
import { MessagesAnnotation, START as LG_START, StateGraph as LangGraph } from "@langchain/langgraph";
import { END, PgCheckpointer, START, StateGraph } from "../../dist/index.js";
import pg from "pg";
import { newId } from "../lib/loops.mjs";
import { saverOf } from "./langgraph.mjs";

const TEXT = "x".repeat(200);
/** Steps of a sample. */
const STEPS = 20;
/** Samples of a round at most where the thread is kept. */
const MOST = 10;
/** Messages of a thread that is begun anew for each sample. */
const SHORT = 100;
/** Messages of the threads whose steps are not timed. */
const SIZE = 10;
/** Steps of a run while a thread grows. */
const RUN = 100;

async function walOf(url) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return {
    /** Bytes of write-ahead log so far, of the whole server: nothing else writes. */
    at: async () =>
      Number((await client.query("SELECT pg_current_wal_insert_lsn() - '0/0' AS at")).rows[0].at),
    end: () => client.end(),
  };
}

/**
 * What the steps of a run cost: from the beginning of its first node, when the thread is loaded, to its end. Not from node to node,
 * since LangGraph's nodes go on while what they made is still being stored.
 */
class Watch {
  #wal;
  #armed = false;
  #from = null;

  constructor(wal) {
    this.#wal = wal;
  }

  /** The next node is the first. */
  arm() {
    this.#armed = true;
  }

  /** By each node. */
  async begin() {
    if (!this.#armed) return;
    this.#armed = false;
    this.#from = { wal: await this.#wal.at(), at: performance.now() };
  }

  async end() {
    const ms = performance.now() - this.#from.at;
    return { ms, wal: (await this.#wal.at()) - this.#from.wal };
  }
}

/**
 * A round: steps that append a message (time and WAL), then turns of one step, which must load the thread. Where a contestant
 * need not load what it had last, each turn comes after one that was made `elsewhere`; then turns `again` that do not. `begin`
 * makes a thread of so many messages and leaves the one before; `thread` says which it is, and `goBackTo` goes back to it.
 */
async function growing({ messages, watch, begin, thread, goBackTo, say, elsewhere = null, close }) {
  const isShort = messages <= SHORT;
  if (!isShort) await begin(messages);
  /** As often as fits into so many milliseconds. */
  const sample = async (ms, work, before = null) => {
    let spent = 0;
    for (let i = 0; i === 0 || (spent < ms && (isShort || i < MOST)); i++) {
      if (isShort) await begin(messages);
      await before?.();
      const from = performance.now();
      await work();
      spent += performance.now() - from;
    }
  };
  return {
    async round(ms) {
      const latencies = [];
      const turns = [];
      const again = [];
      // The others had the machine for half a minute: the first steps after that are nobody's measure. They are of short threads
      // for all, else a long one would grow by thousands, or get fewer of them.
      const kept = thread();
      for (const until = performance.now() + ms / 3; performance.now() < until;) {
        await begin(SIZE);
        await say(STEPS);
      }
      goBackTo(kept);
      if (!isShort) await say(STEPS);
      let [ops, wal] = [0, 0];
      await sample((ms * 2) / 3, async () => {
        watch.arm();
        await say(STEPS);
        const steps = await watch.end();
        latencies.push(steps.ms / STEPS);
        wal += steps.wal;
        ops += STEPS;
      });
      // Behind them, and not in between: what a load leaves to be collected is not the steps'.
      const turn = async (into) => {
        const from = performance.now();
        await say(1);
        into.push(performance.now() - from);
      };
      await sample(ms / 3, () => turn(turns), elsewhere);
      if (elsewhere !== null) await sample(ms / 3, () => turn(again));
      return { ops, wal, latencies, turns, again };
    },
    /** For counting rows. */
    steps: say,
    close,
  };
}

export async function holdpoint({ url, messages }) {
  const checkpointers = [new PgCheckpointer({ url }), new PgCheckpointer({ url })];
  const wal = await walOf(url);
  const watch = new Watch(wal);
  let [threadId, has, until] = ["", 0, 0];
  const [here, there] = checkpointers.map((checkpointer) =>
    new StateGraph()
      .addNode("SAY", async () => {
        await watch.begin();
        return { messages: TEXT };
      })
      .addEdge(START, "SAY")
      .addConditionalEdges("SAY", (state) => (state.context.length >= until ? END : "SAY"), ["SAY", END])
      .compile({ name: "growth", checkpointer }),
  );
  const saying =
    (graph) =>
    async (many = 1) => {
      has = until = has + many;
      await graph.invoke({}, { threadId, recursionLimit: many + 1 });
    };
  const say = saying(here);
  // It keeps the messages of a thread that it had last: after a turn of another process it must load them.
  const elsewhere = saying(there);
  const begin = async (count) => {
    [threadId, has] = [newId(), 0];
    while (has < count) await say(Math.min(RUN, count - has));
  };
  const thread = () => [threadId, has];
  const goBackTo = (former) => ([threadId, has] = former);
  const close = () => Promise.all([...checkpointers.map((each) => each.close()), wal.end()]);
  return growing({ messages, watch, begin, thread, goBackTo, say, elsewhere, close });
}

/** Its thread begins with all messages in one input: to grow step by step it would write 7 GB of WAL. */
export async function langgraph({ url, messages }) {
  const checkpointer = await saverOf("postgres", url);
  const wal = await walOf(url);
  const watch = new Watch(wal);
  let [config, left] = [null, 0];
  const graph = new LangGraph(MessagesAnnotation)
    .addNode("SAY", async () => {
      await watch.begin();
      return { messages: [new AIMessage(TEXT)] };
    })
    .addEdge(LG_START, "SAY")
    .addConditionalEdges("SAY", () => (--left > 0 ? "SAY" : "__end__"), ["SAY", "__end__"])
    .compile({ checkpointer });
  const say = async (many, input = []) => {
    left = many;
    await graph.invoke({ messages: input }, config);
  };
  const begin = (count) => {
    config = { configurable: { thread_id: newId() }, recursionLimit: 1000 };
    return say(
      1,
      Array.from({ length: count - 1 }, () => new HumanMessage(TEXT)),
    );
  };
  const thread = () => config;
  const goBackTo = (former) => (config = former);
  const close = () => Promise.all([checkpointer.end(), wal.end()]);
  return growing({ messages, watch, begin, thread, goBackTo, say, close });
}

/** The floor: one row a step; a run selects all messages first. */
export async function rows({ url, messages }) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const wal = await walOf(url);
  const watch = new Watch(wal);
  await client.query("CREATE SCHEMA IF NOT EXISTS floor");
  await client.query(
    "CREATE TABLE IF NOT EXISTS floor.said (thread text, ord bigint, role text, content text, PRIMARY KEY (thread, ord))",
  );
  let [id, ord] = ["", 0];
  const insert = () =>
    client.query({
      name: "say",
      text: "INSERT INTO floor.said VALUES ($1, $2, 'assistant', $3)",
      values: [id, ++ord, TEXT],
    });
  const say = async (many) => {
    await client.query({
      name: "all",
      text: "SELECT * FROM floor.said WHERE thread = $1 ORDER BY ord",
      values: [id],
    });
    for (let i = 0; i < many; i++) {
      await watch.begin();
      await insert();
    }
  };
  const begin = async (count) => {
    [id, ord] = [newId(), 0];
    while (ord < count) await insert();
  };
  const thread = () => [id, ord];
  const goBackTo = (former) => ([id, ord] = former);
  const close = () => Promise.all([client.end(), wal.end()]);
  return growing({ messages, watch, begin, thread, goBackTo, say, close });
}
