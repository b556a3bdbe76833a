/** (h) From SIGKILL of the process that executes a run to its next committed step in another one. */
import { newId } from "../lib/loops.mjs";
import { startServers } from "../lib/server.mjs";
import { spread, spreadText, table } from "../lib/stats.mjs";

const LEASES = [3000, 10_000];

async function takeoverOnce(env, leaseMs, profile) {
  const settings = { HOLDPOINT_LEASE_MS: String(leaseMs) };
  const [one, two] = await startServers(2, "holdpoint", { ...env, env: settings, profile });
  try {
    const id = newId();
    await fetch(`${one.url}/threads/${id}/run`, {
      method: "POST",
      headers: { Prefer: "respond-async" },
      body: JSON.stringify({ graph: "steps", input: {}, config: { recursion_limit: 100_000 } }),
    });
    const stepOf = async () => (await (await fetch(`${two.url}/threads/${id}`)).json()).step;
    while ((await stepOf()) < 10) await new Promise((resolve) => setTimeout(resolve, 20));
    one.kill("SIGKILL");
    const from = performance.now();
    await one.ended;
    const last = await stepOf();
    while ((await stepOf()) <= last) await new Promise((resolve) => setTimeout(resolve, 10));
    const ms = performance.now() - from;
    await fetch(`${two.url}/threads/${id}/stop`, { method: "POST" });
    return ms;
  } finally {
    one.kill("SIGKILL");
    await two.stop();
  }
}

async function run({ env, rounds, tell, profile }) {
  const times = new Map(LEASES.map((lease) => [lease, []]));
  for (let round = 0; round < rounds; round++)
    for (const lease of LEASES) {
      tell(`takeover: round ${round + 1} of ${rounds}, lease ${lease} ms`);
      times.get(lease).push(await takeoverOnce(env, lease, profile));
    }
  return {
    table: table(
      ["lease, ms", "SIGKILL to the next committed step, ms", "kills"],
      LEASES.map((lease) => [String(lease), spreadText(times.get(lease)), String(times.get(lease).length)]),
    ),
    goals: LEASES.map((lease) => ({
      text: `lease of ${lease} ms: at most lease + 2 s, the slowest`,
      measured: spreadText(times.get(lease)),
      met: spread(times.get(lease)).max <= lease + 2000,
    })),
  };
}

export default {
  name: "takeover",
  letter: "h",
  title: "from SIGKILL to the next committed step in another process",
  needs: "postgres",
  rounds: 5,
  run,
};
