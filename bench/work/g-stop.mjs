/** (g) From the request to stop to the terminal event, which a reader of the stream sees. */
import { json, newAgent } from "../lib/client.mjs";
import { newId } from "../lib/loops.mjs";
import { startServers } from "../lib/server.mjs";
import { digits, median, quantile, table } from "../lib/stats.mjs";

/** Starts a run on `at`, stops it by `by`, and gives the milliseconds until a reader at `at` has the `stopped` event. */
async function stopOnce(agent, graph, at, by) {
  const id = newId();
  const leaving = new AbortController();
  const answer = await fetch(`${at}/threads/${id}/stream`, {
    method: "POST",
    body: JSON.stringify({ graph, input: {} }),
    signal: leaving.signal,
  });
  let from = null;
  let text = "";
  const decoder = new TextDecoder();
  for await (const bytes of answer.body) {
    text += decoder.decode(bytes, { stream: true });
    if (from === null && text.includes("event: progress")) {
      from = performance.now();
      void json(agent, `${by}/threads/${id}/stop`, {}).catch(() => undefined);
    }
    if (text.includes("event: stopped")) return performance.now() - from;
  }
  throw new Error(`the stream ended without "stopped": ${text.slice(-500)}`);
}

/** Stops of each case before the first that counts. */
const WARM_UP = 5;

async function run({ env, rounds, tell, profile }) {
  const settings = { HOLDPOINT_GRACE_MS: "0" };
  const [one, two] = await startServers(2, "holdpoint", { ...env, env: settings, profile });
  const agent = newAgent();
  const cases = [
    { name: "same process, a node that listens", graph: "listens", by: one, goal: 10 },
    { name: "same process, one that does not", graph: "deaf", by: one, goal: 10 },
    { name: "another process, a node that listens", graph: "listens", by: two, goal: 50 },
    { name: "another process, one that does not", graph: "deaf", by: two, goal: 50 },
  ];
  const times = cases.map(() => []);
  try {
    for (let round = 1 - WARM_UP; round <= rounds; round++) {
      tell(`stop: ${round > 0 ? `round ${round} of ${rounds}` : "warming up"}`);
      for (const [i, { graph, by }] of cases.entries()) {
        const ms = await stopOnce(agent, graph, one.url, by.url);
        if (round > 0) times[i].push(ms);
      }
    }
  } finally {
    await Promise.all([one.stop(), two.stop()]);
  }
  return {
    table: table(
      ["stop asked of", "p50, ms", "p99, ms", "stops"],
      cases.map(({ name }, i) => [
        name,
        digits(median(times[i])),
        digits(quantile(times[i], 0.99)),
        String(times[i].length),
      ]),
    ),
    goals: cases.map(({ name, goal }, i) => ({
      text: `${name}: median at most ${goal} ms`,
      measured: digits(median(times[i])),
      met: median(times[i]) <= goal,
    })),
  };
}

export default {
  name: "stop",
  letter: "g",
  title: "from the request to stop to the terminal event (HOLDPOINT_GRACE_MS=0)",
  needs: "postgres",
  rounds: 40,
  run,
};
