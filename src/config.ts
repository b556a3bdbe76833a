/**
 * The settings: one schema gives the checks, the flags, `--help` and `.env.example`. The only reader of the environment.
 */
import { existsSync } from "node:fs";
import { z } from "zod";
import { durationMs } from "./lib/duration.js";
import { show } from "./lib/show.js";
import { didYouMean } from "./lib/nearest.js";

const list = z.string().transform((text) =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== ""),
);
const whole = (least: number, most: number) => z.coerce.number<string>().int().min(least).max(most);
const duration = z.string().transform((text, ctx) => {
  const ms = durationMs(text);
  if (ms !== null) return ms;
  ctx.addIssue({ code: "custom", message: "it is a time above zero, as 30d, 12h, 90m, 30s or 500ms" });
  return z.NEVER;
});
const origin = z
  .string()
  .refine(
    (text) => text === "null" || (URL.canParse(text) && new URL(text).origin === text),
    "an origin is scheme://host[:port], without a path",
  );
const databaseUrl = z
  .string()
  .refine(
    (url) => /^postgres(ql)?:\/\//.test(url) && URL.canParse(url),
    "it is a URL that begins with postgres:// or postgresql://",
  );

/** Times are milliseconds. */
const schema = z.object({
  PORT: whole(0, 65_535).default(3000).describe("where to listen; 0 picks a free port and prints it"),
  HOST: z.string().min(1).default("127.0.0.1").describe("the address to listen on"),
  DATABASE_URL: databaseUrl.optional().describe("PostgreSQL 14 or newer; without it the embedded database"),
  DATABASE_DIRECT_URL: databaseUrl
    .optional()
    .describe("PostgreSQL itself, for LISTEN, where DATABASE_URL is a pooler; default DATABASE_URL"),
  HOLDPOINT_DATA_DIR: z.string().min(1).default(".holdpoint").describe("where the embedded database lives"),
  HOLDPOINT_GRAPHS: list.default(["examples"]).describe("comma-separated files or folders of graph modules"),
  HOLDPOINT_CORS_ORIGINS: list
    .pipe(z.array(origin))
    .default([])
    .describe("comma-separated origins whose pages may call this server"),
  HOLDPOINT_CONCURRENCY: whole(1, 100_000).default(64).describe("runs executing at once in this process"),
  HOLDPOINT_LEASE_MS: whole(100, 3_600_000)
    .default(10_000)
    .describe("after this long without a heartbeat a process's runs are taken over"),
  HOLDPOINT_HEARTBEAT_MS: whole(10, 3_600_000)
    .optional()
    .describe("between two heartbeats; default a third of the lease, at most 1500"),
  HOLDPOINT_GRACE_MS: whole(0, 3_600_000)
    .default(1000)
    .describe("how long a stopped node that looked at its signal has to come back, unless it says otherwise"),
  HOLDPOINT_STOP_WAIT_MS: whole(1, 3_600_000)
    .default(10_000)
    .describe("how long a stop waits for the run to end before it answers `stopping`"),
  HOLDPOINT_POLL_MS: whole(1, 3_600_000)
    .default(250)
    .describe("how often a reader looks for what other processes wrote, while it cannot hear them"),
  HOLDPOINT_SLOW_POLL_MS: whole(1, 3_600_000)
    .default(5000)
    .describe("the same while it hears them: a notification may be lost"),
  HOLDPOINT_SSE_HEARTBEAT_MS: whole(1, 3_600_000)
    .default(15_000)
    .describe("silence on a stream after which a comment is sent"),
  HOLDPOINT_SSE_RETRY_MS: whole(0, 3_600_000)
    .default(1000)
    .describe("how long a browser waits before it reconnects a stream"),
  HOLDPOINT_SSE_STALL_MS: whole(1, 3_600_000)
    .default(30_000)
    .describe("a stream whose reader takes nothing for so long is closed; it comes back with its cursor"),
  HOLDPOINT_SSE_BUFFER: whole(1024, 1 << 30)
    .default(1_048_576)
    .describe(
      "bytes of events that wait in memory for a reader that is slower than its run; what is beyond them it is given from the log",
    ),
  HOLDPOINT_DRAIN_MS: whole(0, 3_600_000)
    .default(10_000)
    .describe("how long a shutdown waits for steps to finish"),
  HOLDPOINT_DATABASE_WAIT_MS: whole(0, 3_600_000)
    .default(30_000)
    .describe("how long the start waits for a database that is not there"),
  HOLDPOINT_POOL_SIZE: whole(1, 1000)
    .default(10)
    .describe("connections to PostgreSQL for requests and runs; the heartbeat has one more"),
  HOLDPOINT_QUERY_TIMEOUT_MS: whole(100, 3_600_000)
    .default(30_000)
    .describe("a statement to PostgreSQL without an answer after this long counts as lost"),
  HOLDPOINT_BODY_LIMIT: whole(1, 1 << 30)
    .default(1_048_576)
    .describe("the largest request body, in bytes"),
  HOLDPOINT_RETENTION: duration
    .optional()
    .describe(
      "threads in which nothing has happened for so long are deleted (30d, 12h); never one that runs or waits",
    ),
  HOLDPOINT_EVENT_RETENTION: duration
    .optional()
    .describe("of threads in which nothing has happened for so long old events are deleted (30d, 12h)"),
  HOLDPOINT_SWEEP_MS: whole(1, 86_400_000)
    .default(3_600_000)
    .describe("between two sweeps of what is old, once for all processes"),
  HOLDPOINT_OPEN: z
    .enum(["0", "1"])
    .default("0")
    .transform((flag) => flag === "1")
    .describe("1: listen beyond loopback without credentials"),
  LOG_LEVEL: z
    .enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"])
    .default("info")
    .describe("how much to log; pretty in a terminal, JSON otherwise"),
});

export type Settings = Readonly<z.output<typeof schema>>;
type Name = keyof typeof schema.shape;
const NAMES = Object.keys(schema.shape) as Name[];

/** A setting that does not parse; its message is for the person who starts the server. */
export class ConfigError extends Error {}

/** `PORT` is `--port`, `HOLDPOINT_DATA_DIR` is `--data-dir`. */
const flagOf = (name: string): string =>
  name
    .replace(/^HOLDPOINT_/, "")
    .toLowerCase()
    .replaceAll("_", "-");

export const FLAGS: ReadonlyMap<string, Name> = new Map(NAMES.map((name) => [flagOf(name), name]));

/** The settings from flags, then the environment, then defaults; frozen. Throws ConfigError naming what is wrong. */
export function readSettings(
  flags: Readonly<Record<string, string>> = {},
  env: Readonly<Record<string, string | undefined>> = environment(),
): Settings {
  for (const name of Object.keys(env)) {
    if (name.startsWith("HOLDPOINT_") && !NAMES.includes(name as Name)) {
      throw new ConfigError(
        `There is no setting ${name}${didYouMean(name, NAMES)} Run "holdpoint serve --help" for the list.`,
      );
    }
  }
  const given: Record<string, string> = {};
  for (const name of NAMES) {
    const value = flags[flagOf(name)] ?? env[name];
    // An empty variable is an unset one, as in a compose file.
    if (value !== undefined && value !== "") given[name] = value;
  }
  const parsed = schema.safeParse(given);
  if (parsed.success) return Object.freeze(parsed.data);
  const [issue] = parsed.error.issues;
  const name = String(issue?.path[0] ?? "");
  const from = flags[flagOf(name)] === undefined ? name : `--${flagOf(name)}`;
  // A connection string may carry a password.
  const value = /^DATABASE_/.test(name) ? "…" : (given[name] ?? "");
  throw new ConfigError(
    `${from}=${value} is not a value for this setting: ${issue?.message ?? ""} (${meaning(name as Name)}).`,
  );
}

function environment(): Record<string, string | undefined> {
  // Values that are set already win over the file.
  if (process.env.NODE_ENV !== "production" && existsSync(".env")) process.loadEnvFile(".env");
  return process.env;
}

const meaning = (name: Name): string => schema.shape[name].description ?? "";

function defaultText(name: Name): string {
  const result = schema.shape[name].safeParse(undefined);
  const value: unknown = result.success ? result.data : undefined;
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return "none";
  if (typeof value === "boolean") return value ? "1" : "0";
  return Array.isArray(value) ? value.join(",") : show(value).replaceAll('"', "");
}

/** One line a setting, for `--help`. */
export function settingsHelp(): string {
  const width = Math.max(...NAMES.map((name) => flagOf(name).length)) + 2;
  return NAMES.map(
    (name) => `  --${flagOf(name).padEnd(width)}${name}: ${meaning(name)} (default ${defaultText(name)})`,
  ).join("\n");
}

/** The text of `.env.example`; a test keeps the file the same. */
export function envExample(): string {
  const entries = NAMES.map(
    (name) => `# ${meaning(name)}\n# ${name}=${defaultText(name) === "none" ? "" : defaultText(name)}\n`,
  );
  return `# Every setting, with its default. Copy to .env and uncomment what you change.\n# Made from src/config.ts by "npm run env-example".\n\n${entries.join("\n")}`;
}
