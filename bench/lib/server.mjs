/** A server in a process of its own, and what that process costs. */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

/** Milliseconds of a clock tick in /proc. */
const TICK_MS = 10;

/** Flags of a process that leaves a CPU profile in the folder `into` when it ends. */
export const profileFlags = (into) => ["--cpu-prof", `--cpu-prof-dir=${into}`, "--cpu-prof-interval=250"];

/** So many servers of the same kind. Those that have started are ended where another one does not start. */
export async function startServers(many, script, options) {
  const started = [];
  try {
    while (started.length < many) started.push(await startServer(script, options));
    return started;
  } catch (error) {
    for (const server of started) await server.stop();
    throw error;
  }
}

/** `script` is a file of bench/servers, or "holdpoint". `profile` is a folder for the CPU profile of Holdpoint. */
export async function startServer(script, { url, env = {}, profile = null }) {
  const isOurs = script === "holdpoint";
  const flags = isOurs && profile !== null ? profileFlags(profile) : [];
  const file = isOurs ? path("../../dist/main.js") : path(`../servers/${script}.mjs`);
  const child = spawn(process.execPath, ["--no-warnings", ...flags, file, ...(isOurs ? ["serve"] : [])], {
    cwd: path(".."),
    env: {
      ...process.env,
      DATABASE_URL: url,
      NODE_ENV: "production",
      ...(isOurs ? { PORT: "0", LOG_LEVEL: "info", HOLDPOINT_GRAPHS: path("../servers/graphs.mjs") } : {}),
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk) => (said = (said + chunk).slice(-4000)));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const listening = new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (!line.includes('"listening"')) return;
      resolve(JSON.parse(line).url);
    });
    void ended.then((code) => reject(new Error(`${script} ended (${code}): ${said}`)));
  });
  return {
    url: await listening,
    pid: child.pid,
    /** Microseconds of CPU so far. */
    cpuUs() {
      const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1].split(" ");
      return (Number(fields[11]) + Number(fields[12])) * TICK_MS * 1000;
    },
    /** Bytes of memory that it has now. */
    rss: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))[1]) * 1024,
    kill: (signal) => child.kill(signal),
    ended,
    async stop() {
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 8000);
      await ended;
      clearTimeout(late);
    },
  };
}
