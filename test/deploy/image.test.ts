/** The Dockerfile, carried out: what it builds has no more than it needs, starts, keeps what it is told, and ends when told to. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { get, post } from "../process/client.js";
import { newPostgresDatabase } from "../support/databases.js";
import { freePort } from "../support/free-port.js";
import { until, within } from "../support/poll.js";
import { spawnCommand, type Env, type Server } from "../support/server.js";
import { readCompose } from "./compose.js";
import { buildImage, contextFilter, ROOT, type Image } from "./image.js";
import { documentedMegabytes, peakMegabytes } from "./memory.js";

const run = promisify(execFile);
let folder: string;
let image: Image;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "holdpoint-image-"));
  image = await buildImage(folder);
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }), 300_000);

/** Its command in its environment, with `env` as by `docker run --env`; waits until its health check says yes. */
async function start(env: Env = {}): Promise<Server> {
  const whole = { PATH: process.env.PATH ?? "", ...image.env, PORT: String(await freePort()), ...env };
  const [command, ...args] = image.command;
  const spawned = spawnCommand(command, args, { env: whole, cwd: image.workdir });
  await until("the health check passes", () => {
    if (spawned.ended() !== null)
      throw new Error(`it ended (${spawned.ended()}): ${spawned.errors()}${spawned.output()}`);
    return isHealthy(whole);
  });
  return { ...spawned, url: `http://127.0.0.1:${whole.PORT}` };
}

async function isHealthy(env: Env): Promise<boolean> {
  const [command, ...args] = image.healthcheck;
  return run(command, args, { env, timeout: 5000 }).then(
    () => true,
    () => false,
  );
}

/** What `docker stop` sends. */
async function stop(server: Server): Promise<void> {
  server.kill("SIGTERM");
  expect(await within("the server ends", server.exit)).toBe(0);
}

const ask = (amount: string) => ({
  graph: "refunds",
  input: { messages: [`Order 1042 arrived broken, I want my ${amount} back`] },
});

test("the build is sent what it is made of: no settings, no data, no history, no installed packages", () => {
  const isSent = contextFilter(readFileSync(join(ROOT, ".dockerignore"), "utf8"));
  const private_ = [
    ".env",
    ".git/config",
    ".holdpoint/db/PG_VERSION",
    "node_modules/pg/package.json",
    "refunds-ledger.ndjson",
  ];
  expect(private_.filter(isSent)).toEqual([]);
  expect(["src/main.ts", "migrations/0001_tables.sql", "package-lock.json"].filter(isSent)).toHaveLength(3);
});

test("the image has the server and its examples, and no package that only development needs", () => {
  expect(readdirSync(join(image.root, "app")).sort()).toEqual(
    ["LICENSE", "dist", "examples", "migrations", "node_modules", "package.json"].sort(),
  );
  const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean; optional?: boolean }>;
  };
  const packages = Object.entries(lock.packages).filter(([path]) => path !== "");
  const isThere = ([path]: readonly [string, unknown]): boolean => existsSync(join(image.root, "app", path));
  const forDevelopment = packages.filter(([, { dev }]) => dev === true);
  expect(forDevelopment.length).toBeGreaterThan(100);
  expect(forDevelopment.filter(isThere)).toEqual([]);
  const needed = packages.filter(([, { dev, optional }]) => dev !== true && optional !== true);
  expect(needed.length).toBeGreaterThan(10);
  expect(needed.filter((each) => !isThere(each))).toEqual([]);
});

test(
  "it starts, holds, pays once approved, ends by SIGTERM, and has everything when it starts again",
  { timeout: 120_000 },
  async () => {
    const first = await start();
    expect(await post(first, "/threads/r1/run", ask("129.90"))).toMatchObject({
      body: { status: "interrupted_before" },
    });
    expect(await post(first, "/threads/r1/resume", { decision: "approve" })).toMatchObject({
      body: { status: "completed" },
    });
    expect(await post(first, "/threads/r2/run", ask("77.00"))).toMatchObject({
      body: { status: "interrupted_before" },
    });
    const peaks = [peakMegabytes(first.pid)];
    await stop(first);

    const second = await start();
    expect((await get(second, "/threads/r1")).body).toMatchObject({ status: "completed" });
    expect((await get(second, "/interrupts")).body.items).toMatchObject([{ thread_id: "r2" }]);
    expect(await post(second, "/threads/r2/resume", { decision: "approve" })).toMatchObject({
      body: { status: "completed" },
    });
    peaks.push(peakMegabytes(second.pid));
    await stop(second);

    const data = image.env.HOLDPOINT_DATA_DIR ?? "";
    expect(readFileSync(join(data, "refunds-ledger.ndjson"), "utf8").trim().split("\n")).toHaveLength(2);
    expect(existsSync(join(data, "db", "PG_VERSION"))).toBe(true);
    for (const peak of peaks) expect(peak).toBeLessThan(documentedMegabytes("embedded"));
  },
);

test("with the environment of docker-compose.yml it runs on PostgreSQL", { timeout: 120_000 }, async () => {
  const there = new URL(await newPostgresDatabase());
  const { server } = readCompose({ POSTGRES_PASSWORD: "letmein" }).services;
  const env = Object.entries(server?.environment ?? {}).map(([name, value]) => {
    if (name !== "DATABASE_URL") return [name, value];
    // Another host, and on it another name, password and database.
    const url = new URL(value);
    for (const part of ["host", "username", "password", "pathname"] as const) url[part] = there[part];
    return [name, url.href];
  });
  const started = await start(Object.fromEntries(env) as Env);
  expect((await get(started, "/readyz")).body.database).toContain(there.host);
  expect(await post(started, "/threads/r1/run", ask("129.90"))).toMatchObject({
    body: { status: "interrupted_before" },
  });
  expect(peakMegabytes(started.pid)).toBeLessThan(documentedMegabytes("PostgreSQL"));
  await stop(started);
});
