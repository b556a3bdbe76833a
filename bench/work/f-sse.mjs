/** (f) Streams: a run of ten nodes, and 1,000 events of one node. */
import { served } from "./served.mjs";

const at = (concurrency, times) => ({
  name: `sse-${concurrency}`,
  letter: "f",
  title: `SSE, a run of 10 nodes streamed to its end, ${concurrency} ${concurrency === 1 ? "client" : "clients"}`,
  needs: "postgres",
  rounds: 5,
  warmMs: 10_000,
  warmCallers: 16,
  windowMs: 2000,
  unit: "run",
  contestants: [
    served("floor: Fastify, 12 events, nothing stored", "fastify", "streams", { concurrency }),
    served("Holdpoint", "holdpoint", "streams", { concurrency }),
    served("LangGraph's embedded server, PostgresSaver", "langgraph-embed", "streams", { concurrency }),
  ],
  goals: [
    {
      text: `${times} × LangGraph's embedded server`,
      over: "LangGraph's embedded server, PostgresSaver",
      times,
    },
    ...(concurrency === 1 ? [{ text: "first data within 3 ms", firstMs: 3 }] : []),
  ],
});

export const one = at(1, 10);
export const many = at(16, 20);

export const events = {
  name: "sse-events",
  letter: "f",
  title: "SSE, 1,000 events on one stream",
  needs: "postgres",
  rounds: 5,
  warmMs: 10_000,
  warmCallers: 16,
  windowMs: 1500,
  unit: "run",
  contestants: [
    served("floor: Fastify", "fastify", "streams", { what: "talk" }),
    served("Holdpoint, deltas", "holdpoint", "streams", { what: "talk" }),
  ],
  goals: [{ text: "at most 25 µs of CPU an event", cpuPerEvent: 25 }],
};
