/**
 * (c) Threads that have grown to few and to many messages of 200 characters: one step more, and one turn more with loading. The
 * short one is begun anew for each sample, for else it would soon be a long one; the long one is kept, and a round takes few
 * samples.
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
/** Samples of a round at most: the long thread grows by each. */
const MOST = 10;
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
 * A round: steps that append a message (time and WAL), of the short and the long thread in turns, since what one process does
 * differs from what another does by more than the two threads do; then turns of one step, which must load the thread. Where a
 * contestant need not load what it had last, each turn comes after one that was made `elsewhere`; then turns `again` that do
 * not. `begin` makes a thread of so many messages and leaves the one before; `thread` says which it is, and `goBackTo` goes back
 * to it.
 */
async function growing({ sizes, watch, begin, thread, goBackTo, say, elsewhere = null, close }) {
  const [short, long] = sizes;
  /** The threads of both sizes that were used last. */
  const last = new Map();
  for (const size of sizes) {
    await begin(size);
    last.set(size, thread());
  }
  /** Does something with a thread of this size: a new one where it is short, else the one that is kept. */
  const on = async (size, work) => {
    if (size === short) await begin(short);
    else goBackTo(last.get(long));
    await work();
    last.set(size, thread());
  };
  const steps = async (into) => {
    watch.arm();
    await say(STEPS);
    const { ms, wal } = await watch.end();
    into.latencies.push(ms / STEPS);
    into.wal += wal;
    into.ops += STEPS;
  };
  const turn = async (into) => {
    const from = performance.now();
    await say(1);
    into.push(performance.now() - from);
  };
  /** As often as fits into so many milliseconds, and not too often. */
  const often = async (ms, work) => {
    const until = performance.now() + ms;
    for (let i = 0; i === 0 || (i < MOST && performance.now() < until); i++) await work();
  };
  return {
    async round(ms) {
      const [forShort, forLong] = sizes.map(() => ({ ops: 0, wal: 0, latencies: [], turns: [], again: [] }));
      // The others had the machine for half a minute: the first steps after that are nobody's measure.
      for (const until = performance.now() + ms / 4; performance.now() < until;)
        await on(short, () => say(STEPS));
      const both = [() => on(short, () => steps(forShort)), () => on(long, () => steps(forLong))];
      await often(ms / 2, async () => {
        for (const each of both.reverse()) await each();
      });
      // Behind them, and not in between: what a load leaves to be collected is not the steps'.
      for (const [size, into] of [
        [short, forShort],
        [long, forLong],
      ]) {
        const turns = (list, before) =>
          often(ms / 8, () =>
            on(size, async () => {
              await before?.();
              await turn(list);
            }),
          );
        await turns(into.turns, elsewhere);
        if (elsewhere !== null) await turns(into.again);
      }
      return { short: forShort, long: forLong };
    },
    /** For counting rows. */
    async steps({ many, size }) {
      goBackTo(last.get(size));
      await say(many);
    },
    close,
  };
}

export async function holdpoint({ url, sizes }) {
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
  return growing({ sizes, watch, begin, thread, goBackTo, say, elsewhere, close });
}

/** Its thread begins with all messages in one input: to grow step by step it would write 7 GB of WAL. */
export async function langgraph({ url, sizes }) {
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
  return growing({ sizes, watch, begin, thread, goBackTo, say, close });
}

/** The floor: one row a step; a run selects all messages first. */
export async function rows({ url, sizes }) {
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
  return growing({ sizes, watch, begin, thread, goBackTo, say, close });
}
