/**
 * One process a data directory. The embedded database has no lock of its own: a second process would open it and lose rows.
 *
 * Each process listens on a socket of its own name in the directory, then looks at the others. L1: whoever finds another
 * one alive gives way, so of two only one can have found nobody (the later to listen sees the earlier). L2: a socket
 * cannot outlive its process, so a leftover of a kill -9 is told by knocking; its name never comes back, so it may be
 * removed by anybody.
 */
import { mkdirSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HoldpointError } from "../../errors.js";

export interface DataDirLock {
  release(): Promise<void>;
}

const NAME = /^lock-(\d+)-\w+\.sock$/;
/** Two that start at the same moment may both give way: each tries again after a while of its own. */
const TRIES = 4;

/** Throws `database_unavailable` naming the owner. */
export async function lockDataDir(dataDir: string): Promise<DataDirLock> {
  mkdirSync(dataDir, { recursive: true });
  for (let tries = 1; ; tries++) {
    const own = `lock-${process.pid}-${Math.random().toString(36).slice(2, 8)}.sock`;
    const server = await listen(socketPath(dataDir, own));
    const owner = await findOther(dataDir, own);
    if (owner === null) return { release: () => close(server) };
    await close(server);
    if (tries >= TRIES) {
      throw new HoldpointError(
        "database_unavailable",
        `The data directory ${dataDir} is in use by process ${owner}. Stop that Holdpoint, or give this one a directory of its own (HOLDPOINT_DATA_DIR).`,
      );
    }
    await sleep(20 + Math.random() * 80);
  }
}

/** The process id of somebody else who is alive, or null. Removes what the dead have left. */
async function findOther(dataDir: string, own: string): Promise<string | null> {
  let found: string | null = null;
  for (const name of await readdir(dataDir)) {
    const pid = NAME.exec(name)?.[1];
    if (pid === undefined || name === own) continue;
    const path = socketPath(dataDir, name);
    if (await answers(path)) found ??= pid;
    else await rm(path, { force: true });
  }
  return found;
}

/** A socket's path may have some hundred bytes only, so the shorter way to name it is taken. */
function socketPath(dataDir: string, name: string): string {
  const full = join(dataDir, name);
  const near = relative(process.cwd(), full);
  return near.length < full.length ? near : full;
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error) => {
      reject(
        new HoldpointError(
          "database_unavailable",
          `The data directory cannot be locked by ${path}: ${error.message}. Choose one with a shorter path by HOLDPOINT_DATA_DIR.`,
        ),
      );
    });
    server.listen(path, () => {
      server.unref();
      resolve(server);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
