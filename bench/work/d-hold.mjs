/** (d) To a hold point, and on to the end. */
export default {
  name: "hold",
  letter: "d",
  title: "run to a hold point, then resume to the end",
  needs: "postgres",
  rounds: 7,
  warmMs: 10_000,
  warmCallers: 16,
  windowMs: 1000,
  unit: "pair",
  contestants: [
    { name: "floor: the raw statements", file: "floors", make: "rawHeld", role: "floor" },
    { name: "Holdpoint", file: "holdpoint", make: "held", role: "holdpoint" },
    { name: "Mastra, suspend and resume", file: "mastra", make: "held", role: "peer" },
    { name: "LangGraph, interruptBefore", file: "langgraph", make: "held", role: "peer" },
    { name: "DBOS, recv and send", file: "dbos", make: "held", role: "peer" },
  ],
  goals: [{ text: "at most twice the raw statements", over: "floor: the raw statements", times: 0.5 }],
};
