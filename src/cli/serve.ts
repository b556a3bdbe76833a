import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { buildApp, type App } from "../app.js";
import { PgCheckpointer } from "../checkpoint/postgres/index.js";
import type { Checkpointer } from "../checkpoint/checkpointer.js";
import { FLAGS, readSettings, settingsHelp, type Settings } from "../config.js";
import { didYouMean } from "../lib/nearest.js";
import { isLoopback } from "../lib/loopback.js";
import { followRuns } from "../runs/index.js";
import { createLogger, type PinoLogger } from "../telemetry/index.js";
import { UsageError } from "./usage-error.js";

const usage = (): string => `Starts the server.

Usage: holdpoint serve [options]

Each option is also an environment variable (a .env file is read unless NODE_ENV is "production"):
${settingsHelp()}

A first Ctrl-C (SIGINT, SIGTERM) lets steps finish, hands runs over and exits with 0; a second one exits at once, with 1.`;

/** Milliseconds for a start that was stopped to leave nothing behind. */
const GIVE_UP_MS = 5000;

/** `holdpoint serve`: settings, storage, graphs, then listen; ends by signal. */
export async function serve(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args);
  if (flags === null) {
    console.log(usage());
    return;
  }
  const settings = readSettings(flags);
  const interactive = process.stdout.isTTY;
  const log = createLogger(settings.LOG_LEVEL, interactive);
  if (!isLoopback(settings.HOST) && !settings.HOLDPOINT_OPEN) {
    throw new UsageError(
      `HOST=${settings.HOST} is not a loopback address, and there are no credentials: anybody who reaches it could approve. Keep HOST at 127.0.0.1, or set HOLDPOINT_OPEN=1 if something in front keeps guard.`,
    );
  }
  const checkpointer = pickCheckpointer(settings, log);
  const currentRun = followRuns();
  process.on("unhandledRejection", (error) =>
    log.error({ err: error, ...currentRun() }, "node code let a rejection fall; the run goes on"),
  );

  const stop = onSignals(log);
  const app = await start(() => buildApp(settings, checkpointer, log, stop), stop);
  // A start that was stopped in the middle leaves nothing behind.
  if (app === null) process.exit(0);
  if (!stop.aborted) announce(app, await listen(app, settings), log, interactive);
  await new Promise<void>((resolve) => {
    if (stop.aborted) resolve();
    else stop.addEventListener("abort", () => resolve());
  });
  await app.close(settings.HOLDPOINT_DRAIN_MS);
  process.exit(0);
}

/** What `build` makes; null where a signal ended that, or it does not come to an end after one. */
async function start(build: () => Promise<App>, stop: AbortSignal): Promise<App | null> {
  const given = new Promise<null>((resolve) => {
    stop.addEventListener("abort", () => setTimeout(() => resolve(null), GIVE_UP_MS));
  });
  try {
    return await Promise.race([build(), given]);
  } catch (error) {
    if (stop.aborted) return null;
    throw error;
  }
}

function pickCheckpointer(settings: Settings, log: PinoLogger): Checkpointer {
  const { DATABASE_URL: url, DATABASE_DIRECT_URL: directUrl, HOLDPOINT_DATABASE_WAIT_MS: waitMs } = settings;
  const dataDir = settings.HOLDPOINT_DATA_DIR;
  if (url !== undefined) {
    return new PgCheckpointer({
      url,
      ...(directUrl === undefined ? {} : { directUrl }),
      waitMs,
      poolSize: settings.HOLDPOINT_POOL_SIZE,
      queryTimeoutMs: settings.HOLDPOINT_QUERY_TIMEOUT_MS,
      onWait: (message) => log.warn({ event: "waiting" }, `waiting for the database: ${message}`),
      onHearing: (hears, why) => {
        if (hears) log.debug({ event: "hearing" }, "hears what other processes write");
        else
          log.warn(
            { event: "deaf", poll_ms: settings.HOLDPOINT_POLL_MS },
            `does not hear other processes, and looks for what they wrote instead: ${why ?? ""}`,
          );
      },
    });
  }
  // V8 would compile the embedded database a second time, to code that was measured 0 to 5 % faster, and on Node 24 would
  // take 0.4 GB of memory for that. Both flags are needed, before the first WebAssembly is compiled.
  for (const flag of ["--no-wasm-tier-up", "--no-wasm-dynamic-tiering"]) setFlagsFromString(flag);
  return new PgCheckpointer({
    dataDir,
    onFirstStart: () =>
      log.info(
        { event: "preparing", data_dir: dataDir },
        "preparing the embedded database (first start only, a few seconds)",
      ),
  });
}

async function listen(app: App, settings: Settings): Promise<string> {
  try {
    const url = await app.server.listen({ host: settings.HOST, port: settings.PORT });
    return url.replace("[::1]", "localhost");
  } catch (error) {
    await app.close(0);
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EADDRINUSE")
      throw new UsageError(
        `Port ${settings.PORT} of ${settings.HOST} is in use, maybe by another Holdpoint. Stop that, or choose another with PORT=3001 (PORT=0 picks a free one).`,
      );
    if (code === "EACCES" || code === "EADDRNOTAVAIL")
      throw new UsageError(
        `Cannot listen on ${settings.HOST}:${settings.PORT}: ${(error as Error).message}.`,
      );
    throw error;
  }
}

/** Aborts at the first signal, which drains and ends with 0; a second one ends at once, with 1. */
function onSignals(log: PinoLogger): AbortSignal {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(1);
      log.info({ signal }, "shutting down: steps may finish, runs are handed over");
      stop.abort();
    });
  }
  return stop.signal;
}

function announce(app: App, url: string, log: PinoLogger, interactive: boolean): void {
  const database = app.runtime.checkpointer.describe;
  const first = app.graphs.includes("approval") ? "approval" : (app.graphs[0] ?? "");
  if (interactive) {
    console.log(`
  Holdpoint listens on ${url}
  database  ${database}
  graphs    ${app.graphs.join(", ")}
  try       curl ${url}/threads/t1/run -d '{"graph":"${first}","input":{"messages":["Delete all production data"]}}'
`);
  }
  log.info({ event: "listening", url, database, graphs: app.graphs }, "Holdpoint listens");
}

function parseFlags(args: readonly string[]): Record<string, string> | null {
  const options = Object.fromEntries([...FLAGS.keys()].map((flag) => [flag, { type: "string" as const }]));
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { ...options, help: { type: "boolean", short: "h" } },
      strict: true,
    });
    const { help, ...flags } = values;
    return help === true ? null : flags;
  } catch (error) {
    const unknown = /'--([^']+)'/.exec((error as Error).message)?.[1];
    const hint = unknown === undefined ? "" : didYouMean(unknown, FLAGS.keys());
    throw new UsageError(`${(error as Error).message}${hint} Run "holdpoint serve --help" for the list.`);
  }
}
