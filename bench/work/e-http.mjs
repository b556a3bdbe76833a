/** (e) Over HTTP: a run of three nodes to its end, everything durable. */
import { served } from "./served.mjs";

const at = (concurrency) => ({
  name: `http-${concurrency}`,
  letter: "e",
  title: `HTTP run of 3 nodes to the end, ${concurrency} ${concurrency === 1 ? "client" : "clients"}`,
  needs: "postgres",
  rounds: 5,
  warmMs: 10_000,
  warmCallers: 16,
  windowMs: 1500,
  unit: "run",
  contestants: [
    served("floor: Fastify and one INSERT", "fastify", "runs", { concurrency }),
    served("Holdpoint", "holdpoint", "runs", { concurrency }),
  ],
  goals: [
    { text: "a quarter of Fastify and one INSERT", over: "floor: Fastify and one INSERT", times: 0.25 },
  ],
});

export const one = at(1);
export const many = at(16);
