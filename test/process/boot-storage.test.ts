/** Starts that meet a data directory or a database in another state than hoped for. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { expect, inject, onTestFinished, test } from "vitest";
import { newPostgresDatabase } from "../support/databases.js";
import { until, within } from "../support/poll.js";
import { crash, listening, spawnHoldpoint, startServer, urlOf, type Env } from "../support/server.js";
import { get, post } from "./client.js";
import { connected, query } from "./own-postgres.js";
import { newDataDir, newFolder, put } from "./scene.js";
import { refusedStart } from "./refused-start.js";

const GRAPH = `import { END, START, StateGraph } from "holdpoint";
export const a = new StateGraph().addNode("A", () => "done").addEdge(START, "A").addEdge("A", END).compile();`;
const graphs = (): Env => ({ HOLDPOINT_GRAPHS: put(join(newFolder(), "graph.ts"), GRAPH) });

test("a data directory that another living process has stops the start, naming that process", async () => {
  const env = { ...graphs(), HOLDPOINT_DATA_DIR: newDataDir() };
  const first = await startServer(env);
  const { said, lines } = await refusedStart({ env });
  expect(said).toContain(env.HOLDPOINT_DATA_DIR);
  expect(said).toMatch(new RegExp(`process ${first.pid}\\b`));
  expect(lines).toHaveLength(1);
  expect((await get(first, "/readyz")).status).toBe(200);
  expect((await post(first, "/threads/t1/run", { input: {} })).body.status).toBe("completed");
});

test("of several servers that start at the same moment on one data directory at most one runs", async () => {
  const env = { PORT: "0", ...graphs(), HOLDPOINT_DATA_DIR: newDataDir() };
  for (let round = 0; round < 3; round++) {
    const all = [0, 1, 2].map(() => spawnHoldpoint(["serve"], { env }));
    await until(
      "each of them listens or has ended",
      () => all.every((each) => each.ended() !== null || urlOf(each) !== null),
      60_000,
    );
    const running = all.filter((each) => each.ended() === null);
    expect(running.length).toBeLessThanOrEqual(1);
    for (const each of all.filter((one) => !running.includes(one))) {
      expect(each.ended()).toBe(1);
      const [, pid] = /in use by process (\d+)/.exec(each.errors()) ?? [];
      expect(all.filter((one) => one !== each).map((one) => String(one.pid))).toContain(pid);
    }
    for (const each of running) await crash(each);
  }
  const last = await startServer(env);
  expect((await post(last, "/threads/t1/run", { input: {} })).body.status).toBe("completed");
});

test("what a process left in its data directory when it was killed is no obstacle to the next", async () => {
  const env = { ...graphs(), HOLDPOINT_DATA_DIR: newDataDir() };
  for (let round = 0; round < 3; round++) {
    const server = await startServer(env);
    expect((await post(server, `/threads/t${round}/run`, { input: {} })).body.status).toBe("completed");
    await crash(server);
  }
  const last = await startServer(env);
  expect((await get(last, "/threads")).body.items).toHaveLength(3);
});

test("a process that was killed during its first start leaves a data directory that the next start can use", async () => {
  const env = { PORT: "0", ...graphs(), HOLDPOINT_DATA_DIR: join(newFolder(), "data") };
  const first = spawnHoldpoint(["serve"], { env });
  await until("the first start prepares its database", () =>
    first.logs().some(({ event }) => event === "preparing"),
  );
  await crash(first);
  const second = await startServer(env);
  expect((await post(second, "/threads/t1/run", { input: {} })).body.status).toBe("completed");
});

test("half a database, left by a kill at the worst moment of a first start, is begun again", async () => {
  const dataDir = newDataDir();
  // The last files were not written yet, and the mark that stands until they are is still there.
  for (const file of ["postgresql.conf", "pg_hba.conf", "pg_ident.conf", "postmaster.pid"])
    rmSync(join(dataDir, "db", file));
  writeFileSync(join(dataDir, "unfinished"), "");
  const env = { ...graphs(), HOLDPOINT_DATA_DIR: dataDir };
  const server = await startServer(env);
  expect(server.logs().map(({ event }) => event)).toContain("preparing");
  expect((await post(server, "/threads/t1/run", { input: {} })).body.status).toBe("completed");
  await crash(server);
  const next = await startServer(env);
  expect((await get(next, "/threads/t1")).body.status).toBe("completed");
});

test("a data directory whose path has 150 characters works, and a second process is told who has it", async () => {
  const env = { ...graphs(), HOLDPOINT_DATA_DIR: longDataDir() };
  const first = await startServer(env);
  expect((await post(first, "/threads/t1/run", { input: {} })).body.status).toBe("completed");
  const { said } = await refusedStart({ env });
  expect(said).toMatch(new RegExp(`process ${first.pid}\\b`));
});

test("what a killed process left in a data directory whose path has 150 characters is no obstacle to the next", async () => {
  const env = { ...graphs(), HOLDPOINT_DATA_DIR: longDataDir() };
  const first = await startServer(env);
  expect((await post(first, "/threads/t1/run", { input: {} })).body.status).toBe("completed");
  await crash(first);
  const second = await startServer(env);
  expect((await get(second, "/threads/t1")).body.status).toBe("completed");
});

test("two data directories whose long paths differ only at their end are two", async () => {
  const folder = newFolder();
  const [one, two] = ["1", "2"].map((end) => longDataDir(folder, end));
  const servers = [
    await startServer({ ...graphs(), HOLDPOINT_DATA_DIR: one ?? "" }),
    await startServer({ ...graphs(), HOLDPOINT_DATA_DIR: two ?? "" }),
  ];
  for (const server of servers) expect((await get(server, "/readyz")).status).toBe(200);
});

test("a data directory that is named by another way, relative and through other folders, is the same one", async () => {
  const folder = newFolder();
  newDataDir(join(folder, "data"));
  const shared = graphs();
  const first = await startServer({ ...shared, HOLDPOINT_DATA_DIR: "data" }, { cwd: folder });
  const { said } = await refusedStart({
    env: { ...shared, HOLDPOINT_DATA_DIR: join(folder, "x", "..", "data") },
  });
  expect(said).toMatch(new RegExp(`process ${first.pid}\\b`));
});

test("a data directory that is a file stops the start, naming it", async () => {
  const file = put(join(newFolder(), "data"), "not a folder");
  const { said, lines } = await refusedStart({ env: { ...graphs(), HOLDPOINT_DATA_DIR: file } });
  expect(said).toContain(file);
  expect(lines).toHaveLength(1);
});

test("a database that is broken stops the start, naming the data directory", async () => {
  const dataDir = newDataDir();
  mkdirSync(join(dataDir, "db", "global"), { recursive: true });
  writeFileSync(join(dataDir, "db", "global", "pg_control"), "");
  const { said } = await refusedStart({ env: { ...graphs(), HOLDPOINT_DATA_DIR: dataDir } });
  expect(said).toContain(dataDir);
});

test("a DATABASE_URL where nothing listens stops the start in bounded time, without telling the password", async () => {
  const port = await freePort();
  const env = {
    ...graphs(),
    DATABASE_URL: `postgres://holdpoint:hunter2@127.0.0.1:${port}/db`,
    HOLDPOINT_DATABASE_WAIT_MS: "500",
  };
  const { said, lines, ms } = await refusedStart({ env });
  expect(said).toMatch(/DATABASE_URL/);
  expect(said).toContain(`127.0.0.1:${port}`);
  expect(said).toContain("500 ms");
  expect(said).not.toContain("hunter2");
  expect(lines).toHaveLength(1);
  expect(ms).toBeLessThan(20_000);
});

test("a DATABASE_URL whose server takes connections and says nothing stops the start in bounded time", async () => {
  const sockets = new Set<Socket>();
  const mute = createServer((socket) => sockets.add(socket.on("error", () => undefined)));
  const port = await new Promise<number>((resolve) =>
    mute.listen(0, "127.0.0.1", () => resolve((mute.address() as { port: number }).port)),
  );
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    mute.close();
  });
  const url = `postgres://holdpoint@127.0.0.1:${port}/db`;
  const { said, ms } = await refusedStart({
    env: { ...graphs(), DATABASE_URL: url, HOLDPOINT_DATABASE_WAIT_MS: "500" },
  });
  expect(said).toContain(`127.0.0.1:${port}`);
  expect(ms).toBeLessThan(20_000);
});

test("a DATABASE_URL with the name of a database that does not exist stops the start at once, naming it", async () => {
  const url = new URL(inject("postgresUrl"));
  url.pathname = "/no_such_database";
  const env = { ...graphs(), DATABASE_URL: url.href, HOLDPOINT_DATABASE_WAIT_MS: "3600000" };
  const { said, lines } = await refusedStart({ env });
  expect(said).toMatch(/database "no_such_database" does not exist/);
  expect(lines).toHaveLength(1);
});

test("a DATABASE_URL that is no URL stops the start, naming the setting", async () => {
  const { said } = await refusedStart({ env: { ...graphs(), DATABASE_URL: "postgres://[" } });
  expect(said).toMatch(/DATABASE_URL/);
});

test("a database that appears while the start waits for it is used", async () => {
  const url = new URL(await newPostgresDatabase());
  const port = await freePort();
  const target = Number(url.port);
  url.port = String(port);
  const spawned = spawnHoldpoint(["serve"], {
    env: { PORT: "0", ...graphs(), DATABASE_URL: url.href, HOLDPOINT_DATABASE_WAIT_MS: "60000" },
  });
  await until("the start waits", () => spawned.logs().some(({ event }) => event === "waiting"));
  expect(urlOf(spawned)).toBeNull();
  await forward(port, target);
  const server = await listening(spawned);
  expect((await post(server, "/threads/t1/run", { input: {} })).body.status).toBe("completed");
});

// One that restarts while servers do: in the middle of the migrations, of the first heartbeat, of the first look for runs.
test.each([
  "SELECT pg_advisory_xact_lock(7265301)",
  "LOCK TABLE holdpoint.worker",
  "LOCK TABLE holdpoint.thread",
])(
  "a database that was there and goes away in the middle of the start is waited for (at %s)",
  async (block) => {
    const url = await newPostgresDatabase();
    const env = { PORT: "0", ...graphs(), DATABASE_URL: url };
    const first = await listening(spawnHoldpoint(["serve"], { env }));
    await crash(first);
    const other = await connected(url);
    await other.query("BEGIN");
    await other.query(block);
    const second = spawnHoldpoint(["serve"], { env });
    for (let times = 0; times < 2; times++) {
      await until("the start has lost its connection", async () => {
        const ended = await query(
          url,
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        );
        return ended.length > 0;
      });
    }
    await other.query("COMMIT");
    const server = await listening(second);
    expect((await post(server, "/threads/t1/run", { input: {} })).body.status).toBe("completed");
  },
);

test("two servers that start at the same moment on one empty PostgreSQL database both run", async () => {
  const env = { PORT: "0", ...graphs(), DATABASE_URL: await newPostgresDatabase() };
  const [one, two] = [spawnHoldpoint(["serve"], { env }), spawnHoldpoint(["serve"], { env })];
  const servers = [await listening(one), await listening(two)];
  for (const server of servers) {
    const { body } = await post(server, `/threads/of-${server.pid}/run`, { input: {} });
    expect(body.status).toBe("completed");
  }
  for (const server of servers) expect((await get(server, "/threads")).body.items).toHaveLength(2);
});

test("the first start on an empty data directory says what takes so long", async () => {
  const env = { PORT: "0", ...graphs(), HOLDPOINT_DATA_DIR: join(newFolder(), "deep", "data") };
  const spawned = spawnHoldpoint(["serve"], { env });
  await listening(spawned);
  expect(spawned.logs().filter(({ event }) => event === "preparing")).toHaveLength(1);
  spawned.kill("SIGTERM");
  expect(await within("the server ends", spawned.exit)).toBe(0);
  const again = await startServer(env);
  expect(again.logs().filter(({ event }) => event === "preparing")).toHaveLength(0);
});

/** A data directory, with a database in it, whose path has 150 characters. */
function longDataDir(folder = newFolder(), end = ""): string {
  const path = newDataDir(join(folder, "d".repeat(150 - folder.length - 1 - end.length) + end));
  expect(path).toHaveLength(150);
  return path;
}

/** Every connection to `port` goes on to `target`. */
async function forward(port: number, target: number): Promise<void> {
  const sockets = new Set<Socket>();
  const proxy = createServer((near) => {
    const far = connect(target, "127.0.0.1");
    for (const socket of [near, far]) sockets.add(socket.on("error", () => undefined));
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => proxy.listen(port, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
