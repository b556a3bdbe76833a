/** Clients of servers. CPU is the server's. */
import { randomUUID } from "node:crypto";
import { json, newAgent, stream } from "../lib/client.mjs";
import { newId, repeat } from "../lib/loops.mjs";
import { startServer } from "../lib/server.mjs";

/** How each kind of server is asked for the same work. */
const KINDS = {
  holdpoint: {
    run: (base) => [`${base}/threads/${newId()}/run`, { graph: "three", input: {} }],
    ten: (base) => [`${base}/threads/${newId()}/stream`, { graph: "ten", input: {} }],
    talk: (base) => [`${base}/threads/${newId()}/stream`, { graph: "talk", input: {} }],
  },
  fastify: {
    run: (base) => [`${base}/insert/${newId()}`, { graph: "three", input: {} }],
    ten: (base) => [`${base}/stream/${newId()}`, { graph: "ten", input: {} }],
    talk: (base) => [`${base}/talk/${newId()}`, {}],
  },
  "langgraph-embed": {
    ten: async (base, agent) => {
      const { thread_id: id } = await json(agent, `${base}/threads`, {
        thread_id: randomUUID(),
        metadata: { graph_id: "ten" },
      });
      return [
        `${base}/threads/${id}/runs/stream`,
        { assistant_id: "ten", input: { n: 0 }, stream_mode: ["updates"] },
      ];
    },
  },
};

/** (e) A run of three nodes to its end, answered as JSON. */
export async function runs({ url, kind, concurrency, profile }) {
  const server = await startServer(kind, { url, profile });
  const agent = newAgent();
  return {
    async round(ms, callers = concurrency) {
      const cpu = server.cpuUs();
      const sample = await repeat(ms, callers, async () => {
        const { status } = await json(agent, ...KINDS[kind].run(server.url));
        if (status !== "completed") throw new Error(`the run is ${status}`);
      });
      return { ...sample, cpuUs: server.cpuUs() - cpu };
    },
    close: () => server.stop(),
  };
}

/** (f) A run of ten nodes, streamed to its end. `what` may be "talk": 1,000 events of one run. */
export async function streams({ url, kind, concurrency = 1, what = "ten", profile }) {
  const server = await startServer(kind, { url, profile });
  const agent = newAgent();
  return {
    async round(ms, callers = concurrency) {
      const cpu = server.cpuUs();
      const first = [];
      let events = 0;
      const sample = await repeat(ms, callers, async () => {
        const [to, body] = await KINDS[kind][what](server.url, agent);
        const read = await stream(agent, to, body);
        first.push(read.firstMs);
        events += read.events;
      });
      return { ...sample, first, events, cpuUs: server.cpuUs() - cpu };
    },
    close: () => server.stop(),
  };
}
