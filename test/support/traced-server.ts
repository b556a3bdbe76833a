/** A real server that tells which functions of src a request ran. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { until } from "./poll.js";
import { startServer, type Env, type Server } from "./server.js";

/** A function that ran; an anonymous one has the name of the one around it. */
export interface Call {
  readonly file: string;
  readonly name: string;
}

export interface TracedServer extends Server {
  /** What ran since it was asked last, in the order of the first calls; of functions that ran before that, too. */
  calls(): Promise<Call[]>;
}

/** An hour between heartbeats: nothing runs but what requests ask for. */
const QUIET = { HOLDPOINT_LEASE_MS: "3600000", HOLDPOINT_HEARTBEAT_MS: "3600000" };

export async function startTracedServer(env: Env): Promise<TracedServer> {
  const into = mkdtempSync(join(tmpdir(), "holdpoint-trace-"));
  onTestFinished(() => rmSync(into, { recursive: true, force: true }));
  const server = await startServer({
    ...QUIET,
    ...env,
    NODE_OPTIONS: `--import=${new URL("trace-calls.mjs", import.meta.url).href}`,
    TRACE_DIST: new URL("../../dist/", import.meta.url).href,
    TRACE_INTO: into,
  });
  let asked = 0;
  return {
    ...server,
    async calls() {
      const file = join(into, `${asked++}.json`);
      server.kill("SIGUSR2");
      await until("the server says what ran", () => existsSync(file));
      return JSON.parse(readFileSync(file, "utf8")) as Call[];
    },
  };
}
