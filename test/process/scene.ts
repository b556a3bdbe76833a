/** What tests of whole processes need: a folder outside the project with graph modules, a ledger, gates, and a database. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { inject, onTestFinished, vi } from "vitest";
import { newPostgresDatabase } from "../support/databases.js";
import { until } from "../support/poll.js";
import { startServer, type Env, type Server } from "../support/server.js";

// Each test starts several processes, on machines that may be busy.
vi.setConfig({ testTimeout: 120_000 });

export type DatabaseKind = "embedded" | "postgres";
export const DATABASES: readonly DatabaseKind[] = ["embedded", "postgres"];

/** Milliseconds that no test waits for. */
export const HOUR = "3600000";
/** Settings of a server that looks for nothing by itself: what arrives, a hint has brought. */
export const SILENT: Env = {
  HOLDPOINT_LEASE_MS: HOUR,
  HOLDPOINT_HEARTBEAT_MS: HOUR,
  HOLDPOINT_POLL_MS: HOUR,
  HOLDPOINT_SLOW_POLL_MS: HOUR,
};

/** A line that a node wrote, and the process that it ran in. */
interface Mark {
  readonly mark: string;
  readonly pid: number;
}

export interface Scene {
  readonly folder: string;
  /** Settings of a server of this scene. */
  readonly env: Env;
  start(env?: Env): Promise<Server>;
  ledger(): Mark[];
  /** How often a node wrote this. */
  count(mark: string, pid?: number): number;
  /** Waits until a node has written this so often. */
  marked(mark: string, times?: number, pid?: number): Promise<void>;
  /** Lets nodes go on that wait at a gate; with a process id only those of that process. */
  open(gate: string, pid?: number): void;
}

/** A folder that is gone after the test. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "holdpoint-process-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}

/** Writes a file, and the folders above it. Gives its path. */
export function put(path: string, text: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

/** A data directory with a migrated database in it: making one takes seconds. */
export function newDataDir(path = join(newFolder(), "data")): string {
  mkdirSync(join(path, "db"), { recursive: true });
  execFileSync("tar", ["-xf", inject("embeddedDump"), "-C", join(path, "db")], { stdio: "pipe" });
  return path;
}

/**
 * The embedded database gets a lease that no test outlives: its runs must be taken over because the lock proves the former
 * process dead. PostgreSQL gets a short one.
 */
async function databaseEnv(database: DatabaseKind, server?: string): Promise<Env> {
  if (database === "embedded") return { HOLDPOINT_DATA_DIR: newDataDir(), HOLDPOINT_LEASE_MS: HOUR };
  return { DATABASE_URL: await newPostgresDatabase(server), HOLDPOINT_LEASE_MS: "1000" };
}

/** `module` is the text of a graph module behind `PRELUDE`; `server` is the URL of a PostgreSQL of the test's own. */
export async function newScene(database: DatabaseKind, module: string, server?: string): Promise<Scene> {
  const folder = newFolder();
  put(join(folder, "graphs", "graph.ts"), prelude(folder) + module);
  const env = { HOLDPOINT_GRAPHS: join(folder, "graphs"), ...(await databaseEnv(database, server)) };
  const ledger = (): Mark[] => {
    const path = join(folder, "ledger");
    if (!existsSync(path)) return [];
    return readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Mark);
  };
  const count = (mark: string, pid?: number): number =>
    ledger().filter((line) => line.mark === mark && (pid === undefined || line.pid === pid)).length;
  return {
    folder,
    env,
    start: (more = {}) => startServer({ ...env, ...more }),
    ledger,
    count,
    marked: async (mark, times = 1, pid) => {
      await until(`a node writes "${mark}" ${times} times`, () => count(mark, pid) >= times);
    },
    open: (gate, pid) => writeFileSync(join(folder, `gate-${gate}${pid === undefined ? "" : `-${pid}`}`), ""),
  };
}

/** `mark` writes to the ledger, `gate` waits for a file. */
const prelude = (folder: string): string => `
import { appendFileSync, existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { END, Send, START, StateGraph, type NodeContext } from "holdpoint";
import { z } from "zod";
const FOLDER: string = ${JSON.stringify(folder)};
const mark = (text: string): void => appendFileSync(FOLDER + "/ledger", JSON.stringify({ mark: text, pid: process.pid }) + "\\n");
const isOpen = (name: string): boolean => existsSync(FOLDER + "/gate-" + name) || existsSync(FOLDER + "/gate-" + name + "-" + process.pid);
const gate = async (name: string): Promise<void> => { while (!isOpen(name)) await sleep(10); };
`;

/** The graph "line": FIRST, SLOW, LAST. SLOW writes "SLOW begun", waits at the gate "slow", writes "SLOW done". */
export function line(of: { hold?: boolean; options?: string; slow?: string; compile?: string } = {}): string {
  const { hold = false, options = "{}", slow = "", compile = "" } = of;
  return `
const state = z.object({ log: z.array(z.string()).default([]), paid: z.string().default(""), by: z.number().default(0) });
export const line = new StateGraph({ state, reducers: { log: (log: string[], more: string[]) => [...log, ...more] } })
  .addNode("FIRST", () => { mark("FIRST"); return { log: ["FIRST"] }; })
  .addNode("SLOW", async (_state, ctx: NodeContext) => {
    mark("SLOW begun");
    ${slow}
    await gate("slow");
    mark("SLOW done");
    return { log: ["SLOW"], paid: "by the node", by: process.pid };
  }, ${options})
  .addNode("LAST", () => { mark("LAST"); return { log: ["LAST"] }; })
  .addEdge(START, "FIRST")
  .addEdge("FIRST", "SLOW")
  .addEdge("SLOW", "LAST")
  .addEdge("LAST", END)
  .compile({ name: "line", ${hold ? 'interruptBefore: ["SLOW"],' : ""} ${compile} });
`;
}
