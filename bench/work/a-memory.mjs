/** (a) What the engine costs when nothing is stored: 10 nodes that count. */
const ours = { name: "Holdpoint, in memory", file: "holdpoint", make: "chained", role: "holdpoint" };

export default {
  name: "memory",
  letter: "a",
  title: "10 trivial nodes in memory",
  rounds: 9,
  warmMs: 8000,
  windowMs: 600,
  unit: "node",
  contestants: [
    { name: "floor: awaited function calls", file: "floors", make: "calls", role: "floor" },
    ours,
    { name: "Mastra, no storage", file: "mastra", make: "chained", role: "peer" },
    { name: "LangGraph, no checkpointer", file: "langgraph", make: "chained", role: "peer" },
    {
      name: "LangGraph, MemorySaver",
      file: "langgraph",
      make: "chained",
      options: { saver: "memory" },
      role: "peer",
    },
  ],
  goals: [
    { text: "at most 5 µs a node", us: 5 },
    {
      text: "100 × LangGraph (with MemorySaver: events and checkpoints included)",
      over: "LangGraph, MemorySaver",
      times: 100,
    },
    { text: "100 × LangGraph without checkpointer", over: "LangGraph, no checkpointer", times: 100 },
    { text: "5 × Mastra", over: "Mastra, no storage", times: 5 },
  ],
};
