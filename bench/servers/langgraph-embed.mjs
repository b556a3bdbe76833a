/** LangGraph's embedded server: the fair peer for latency, since it runs the graph inside the request. */
import { serve } from "@hono/node-server";
import { createEmbedServer } from "@langchain/langgraph-api/experimental/embed";
import { chain, saverOf } from "../contestants/langgraph.mjs";

const threads = new Map();
const app = createEmbedServer({
  graph: { ten: chain(10, {}) },
  checkpointer: await saverOf("postgres", process.env.DATABASE_URL),
  threads: {
    get: async (id) => threads.get(id),
    set: async (id, { metadata }) => {
      const thread = { thread_id: id, metadata: { ...threads.get(id)?.metadata, ...metadata } };
      threads.set(id, thread);
      return thread;
    },
    delete: async (id) => void threads.delete(id),
  },
});
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) =>
  console.log(JSON.stringify({ event: "listening", url: `http://127.0.0.1:${port}` })),
);
