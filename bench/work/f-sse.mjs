/** (f) Streams: a run of ten nodes, and 1,000 events of one node. */
const at = (concurrency, times) => ({
  name: `sse-${concurrency}`,
  letter: "f",
  title: `SSE, a run of 10 nodes streamed to its end, ${concurrency} ${concurrency === 1 ? "client" : "clients"}`,
  needs: "postgres",
  rounds: 5,
  warmMs: 5000,
  windowMs: 2000,
  unit: "run",
  contestants: [
    {
      name: "floor: Fastify, 12 events, nothing stored",
      file: "http",
      make: "streams",
      options: { kind: "fastify", concurrency },
      role: "floor",
    },
    {
      name: "Holdpoint",
      file: "http",
      make: "streams",
      options: { kind: "holdpoint", concurrency },
      role: "holdpoint",
    },
    {
      name: "LangGraph's embedded server, PostgresSaver",
      file: "http",
      make: "streams",
      options: { kind: "langgraph-embed", concurrency },
      role: "peer",
    },
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
  warmMs: 4000,
  windowMs: 1500,
  unit: "run",
  contestants: [
    {
      name: "floor: Fastify",
      file: "http",
      make: "streams",
      options: { kind: "fastify", what: "talk" },
      role: "floor",
    },
    {
      name: "Holdpoint, deltas",
      file: "http",
      make: "streams",
      options: { kind: "holdpoint", what: "talk" },
      role: "holdpoint",
    },
  ],
  goals: [{ text: "at most 25 µs of CPU an event", cpuPerEvent: 25 }],
};
