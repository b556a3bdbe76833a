/**
 * One process a data directory. The embedded database has no lock of its own: a second process would open it and lose rows.
 *
 * Each process listens on a socket of its own name in the directory, then looks at the others. L1: whoever finds another
 * one alive gives way, so of two only one can have found nobody (the later to listen sees the earlier). L2: a socket
 * cannot outlive its process, so a leftover of a kill -9 is told by knocking; its name never comes back, so it may be
 * removed by anybody.
 */
import { mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HoldpointError } from "../../errors.js";

export interface DataDirLock {
  release(): Promise<void>;
}

const NAME = /^lock-(\d+)-\w+\.sock$/;
/** What Linux (108) and macOS (104) take, with the end. */
const SOCKET_PATH_BYTES = 103;
const NAME_BYTES = "/lock-4194304-abcdef.sock".length;
/** Two that start at the same moment may both give way: each tries again after a while of its own. */
const TRIES = 4;

/** Throws `database_unavailable` naming the owner. */
export async function lockDataDir(dataDir: string): Promise<DataDirLock> {
  const near = await shortWay(dataDir);
  try {
    for (let tries = 1; ; tries++) {
      const own = `lock-${process.pid}-${Math.random().toString(36).slice(2, 8)}.sock`;
      const server = await listen(join(near.path, own));
      const owner = await findOther(near.path, own);
      if (owner === null) return { release: () => close(server).then(near.forget) };
      await close(server);
      if (tries >= TRIES) {
        throw new HoldpointError(
          "database_unavailable",
          `The data directory ${dataDir} is in use by process ${owner}. Stop that Holdpoint, or give this one a directory of its own (HOLDPOINT_DATA_DIR).`,
        );
      }
      await sleep(20 + Math.random() * 80);
    }
  } catch (error) {
    await near.forget();
    throw error;
  }
}

/**
 * A socket's path may have some hundred bytes; a longer one is cut without a word, and two directories would share a
 * socket. Where the directory's own path is too long, it is reached by a link from the folder for temporary files.
 */
async function shortWay(dataDir: string): Promise<{ path: string; forget: () => Promise<void> }> {
  const near = relative(process.cwd(), dataDir);
  const [path = dataDir] = [dataDir, near === "" ? "." : near].sort(
    (a, b) => Buffer.byteLength(a) - Buffer.byteLength(b),
  );
  if (Buffer.byteLength(path) + NAME_BYTES <= SOCKET_PATH_BYTES)
    return { path, forget: () => Promise.resolve() };
  const folder = await mkdtemp(join(tmpdir(), "holdpoint-"));
  await symlink(dataDir, join(folder, "d"), "dir");
  return { path: join(folder, "d"), forget: () => rm(folder, { recursive: true, force: true }) };
}

/** The process id of somebody else who is alive, or null. Removes what the dead have left. */
async function findOther(folder: string, own: string): Promise<string | null> {
  let found: string | null = null;
  for (const name of await readdir(folder)) {
    const pid = NAME.exec(name)?.[1];
    if (pid === undefined || name === own) continue;
    const path = join(folder, name);
    if (await answers(path)) found ??= pid;
    else await rm(path, { force: true });
  }
  return found;
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error) => {
      reject(
        new HoldpointError(
          "database_unavailable",
          `The data directory cannot be locked by ${path}: ${error.message}.`,
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
