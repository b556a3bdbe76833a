/**
 * Contestants do the same work in turns, each in a process of its own: what drifts on the machine between minutes drifts for
 * all of them, and what one leaves on its heap costs nobody else.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { profileFlags } from "./server.mjs";

const CHILD = fileURLToPath(new URL("child.mjs", import.meta.url));

/** Milliseconds that a contestant has to end, and to write its profile. */
const LATE_MS = 10_000;

/** Starts a contestant and brings it to its working speed. */
async function start(contestant, env, { profile }) {
  // With a server the process that does the work is the server's: the child starts it so that it leaves a profile.
  const flags = profile === null || contestant.isServer ? [] : profileFlags(profile);
  const child = fork(CHILD, [], {
    execArgv: ["--no-warnings", ...flags],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    serialization: "advanced",
  });
  let said = "";
  child.stderr.on("data", (chunk) => (said = (said + chunk).slice(-4000)));
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`${contestant.name} ended (${code}): ${said}`);
  });
  ended.catch(() => undefined);
  const ask = async (message) => {
    child.send(message);
    const [answer] = await Promise.race([once(child, "message"), ended]);
    if (answer.error !== undefined) throw new Error(`${contestant.name}: ${answer.error}`);
    return answer.value;
  };
  await ask({
    do: "setup",
    file: contestant.file,
    make: contestant.make,
    options: contestant.options ?? {},
    env: contestant.isServer ? { ...env, profile } : env,
  });
  return {
    contestant,
    ask,
    async stop() {
      await ask({ do: "close" }).catch(() => undefined);
      child.disconnect();
      const late = setTimeout(() => child.kill("SIGKILL"), LATE_MS);
      await ended.catch(() => undefined);
      clearTimeout(late);
    },
  };
}

/**
 * Samples of each contestant, one a round, behind a warm-up: by so many callers at once, where one alone would not bring it to
 * what it does all day. Rounds begin with another contestant each time. What a work does `last`, it does with
 * all of them behind the rounds.
 * @returns {Promise<Map<string, object[]>>}
 */
export async function contest(work, env, { rounds, warmMs, warmCallers, windowMs, profile, tell }) {
  const running = [];
  try {
    for (const contestant of work.contestants) {
      tell(`${work.name}: starting ${contestant.name}`);
      running.push(
        await start(contestant, env, { profile: contestant.role === "holdpoint" ? profile : null }),
      );
    }
    for (const { contestant, ask } of running) {
      tell(`${work.name}: warming up ${contestant.name}`);
      await ask({ do: "round", ms: warmMs, callers: warmCallers });
    }
    const samples = new Map(work.contestants.map(({ name }) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      const order = running.map((_, i) => running[(i + round) % running.length]);
      for (const { contestant, ask } of order) {
        tell(`${work.name}: round ${round + 1} of ${rounds}, ${contestant.name}`);
        samples.get(contestant.name).push(await ask({ do: "round", ms: windowMs }));
      }
    }
    await work.last?.(running);
    return samples;
  } finally {
    for (const each of running) await each.stop();
  }
}
