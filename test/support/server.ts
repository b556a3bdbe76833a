/** Holdpoint as a real process: `node dist/main.js`, in an environment of its own, killed at the end of its test. */
import { spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { until, within } from "./poll.js";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));

export type Env = Readonly<Record<string, string>>;

export interface SpawnOptions {
  readonly env?: Env;
  /** Default: a folder without a `.env` file. */
  readonly cwd?: string;
}

export interface HoldpointProcess {
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  /** What it wrote to stdout so far. */
  output(): string;
  /** What it wrote to stderr so far. */
  errors(): string;
  /** The JSON lines of its log so far. */
  logs(): Record<string, unknown>[];
  /** Its exit code, or the signal that ended it, once all its output is here. */
  readonly exit: Promise<number | NodeJS.Signals>;
  /** The same, at once: null while it lives. */
  ended(): number | NodeJS.Signals | null;
}

export interface Server extends HoldpointProcess {
  readonly url: string;
}

/** Runs a command line of Holdpoint's. Nothing of this process's own settings reaches it. */
export function spawnHoldpoint(args: readonly string[], options: SpawnOptions = {}): HoldpointProcess {
  return spawnCommand(process.execPath, [MAIN, ...args], options);
}

/** The same with another way to say `node dist/main.js`. */
export function spawnCommand(
  command: string,
  args: readonly string[],
  { env = {}, cwd }: SpawnOptions = {},
): HoldpointProcess {
  const child = spawn(command, args, {
    cwd: cwd ?? tmpdir(),
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [output, errors] = ["", ""];
  let ended: number | NodeJS.Signals | null = null;
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const exit = new Promise<number | NodeJS.Signals>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve((ended = code ?? signal ?? -1)));
  });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  return {
    pid: child.pid ?? 0,
    kill: (signal) => void child.kill(signal),
    output: () => output,
    errors: () => errors,
    logs: () => output.split("\n").flatMap(parsed),
    exit,
    ended: () => ended,
  };
}

/** Starts a server on a free port of the loopback and waits until it listens. Throws with its output where it ends instead. */
export async function startServer(
  env: Env,
  options: { args?: readonly string[]; cwd?: string } = {},
): Promise<Server> {
  const { args = [], cwd } = options;
  const spawned = spawnHoldpoint(["serve", ...args], {
    env: { PORT: "0", ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
  return listening(spawned);
}

/** The process once it listens. */
export async function listening(spawned: HoldpointProcess): Promise<Server> {
  const url = await until("the server listens", () => {
    if (spawned.ended() !== null)
      throw new Error(`the server ended (${spawned.ended()}):\n${spawned.errors()}\n${spawned.output()}`);
    return urlOf(spawned);
  });
  return { ...spawned, url };
}

/** Where a process said that it listens; null while it did not. */
export function urlOf(spawned: HoldpointProcess): string | null {
  const line = spawned.logs().find(({ event }) => event === "listening");
  return typeof line?.url === "string" ? line.url : null;
}

/** kill -9, and gone. */
export async function crash(server: HoldpointProcess): Promise<void> {
  server.kill("SIGKILL");
  await within("the killed process is gone", server.exit);
}

function parsed(line: string): Record<string, unknown>[] {
  if (!line.startsWith("{")) return [];
  try {
    return [JSON.parse(line) as Record<string, unknown>];
  } catch {
    // The last line may be half here.
    return [];
  }
}
