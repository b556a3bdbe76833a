/** (b) Every step durable in PostgreSQL, 10 steps a thread. */
const at = (concurrency, goals) => ({
  name: concurrency === 1 ? "durable-1" : `durable-${concurrency}`,
  letter: "b",
  title: `every step durable, ${concurrency} ${concurrency === 1 ? "thread" : "threads"} at a time`,
  needs: "postgres",
  rounds: 7,
  warmMs: 10_000,
  warmCallers: Math.max(16, concurrency),
  windowMs: 1500,
  unit: "step",
  contestants: [
    {
      name: "floor: one raw statement a step",
      file: "floors",
      make: "rawSteps",
      options: { concurrency },
      role: "floor",
    },
    {
      name: "raw INSERT of one row a step",
      file: "floors",
      make: "rawInserts",
      options: { concurrency },
      role: "floor",
    },
    {
      name: "Holdpoint",
      file: "holdpoint",
      make: "chained",
      options: { durable: true, concurrency },
      role: "holdpoint",
    },
    {
      name: "Mastra",
      file: "mastra",
      make: "chained",
      options: { durable: true, concurrency },
      role: "peer",
    },
    { name: "DBOS", file: "dbos", make: "chained", options: { concurrency }, role: "peer" },
    {
      name: "LangGraph, PostgresSaver",
      file: "langgraph",
      make: "chained",
      options: { saver: "postgres", concurrency },
      role: "peer",
    },
  ],
  goals,
});

export const one = at(1, [
  { text: "0.7 of one raw statement a step", over: "floor: one raw statement a step", times: 0.7 },
  { text: "6 × LangGraph", over: "LangGraph, PostgresSaver", times: 6 },
  { text: "5 × DBOS", over: "DBOS", times: 5 },
  { text: "3 × Mastra", over: "Mastra", times: 3 },
]);

export const many = at(32, [
  {
    text: "faster than one raw statement a step through a pool",
    over: "floor: one raw statement a step",
    times: 1,
  },
  { text: "15 × LangGraph", over: "LangGraph, PostgresSaver", times: 15 },
  { text: "8 × DBOS", over: "DBOS", times: 8 },
  { text: "6 × Mastra", over: "Mastra", times: 6 },
]);
