/** What the commands print, and where settings come from. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { readPicture } from "../support/mermaid-picture.js";
import { within } from "../support/poll.js";
import { spawnHoldpoint, startServer } from "../support/server.js";
import { get } from "./client.js";
import { newDataDir, newFolder, put } from "./scene.js";
import { refusedStart } from "./refused-start.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The table of the design. */
const SETTINGS = [
  "PORT",
  "HOST",
  "DATABASE_URL",
  "HOLDPOINT_DATA_DIR",
  "HOLDPOINT_GRAPHS",
  "HOLDPOINT_CORS_ORIGINS",
  "HOLDPOINT_CONCURRENCY",
  "HOLDPOINT_LEASE_MS",
  "HOLDPOINT_BODY_LIMIT",
  "HOLDPOINT_OPEN",
  "LOG_LEVEL",
];

const GRAPH = `import { END, START, StateGraph } from "holdpoint";
export const a = new StateGraph().addNode("A", () => ({})).addEdge(START, "A").addEdge("A", END).compile();`;

async function printed(...args: string[]): Promise<string> {
  const spawned = spawnHoldpoint(args);
  expect({ code: await within("the command ends", spawned.exit), said: spawned.errors() }).toEqual({
    code: 0,
    said: "",
  });
  return spawned.output();
}

test.each([[["--help"]], [["-h"]], [["help"]], [[]]])("holdpoint %j prints the commands", async (args) => {
  const text = await printed(...args);
  for (const command of ["serve", "graph", "openapi", "env-example", "help"])
    expect(text).toMatch(new RegExp(`^  ${command} `, "m"));
});

test("serve --help lists every setting as a flag and a variable, with its default, and starts nothing", async () => {
  const text = await printed("serve", "--help");
  for (const name of SETTINGS) expect(text).toContain(`${name}: `);
  expect(text).toMatch(/--port\s+PORT: .*\(default 3000\)/);
  expect(text).toMatch(/--data-dir\s+HOLDPOINT_DATA_DIR: .*\(default \.holdpoint\)/);
  expect(text).toMatch(/--lease-ms\s+HOLDPOINT_LEASE_MS: .*\(default 10000\)/);
  expect(text).toMatch(/--body-limit\s+HOLDPOINT_BODY_LIMIT: .*\(default 1048576\)/);
  expect(await printed("serve", "-h")).toBe(text);
});

test("env-example prints every setting that serve --help lists, commented out with its default", async () => {
  const text = await printed("env-example");
  const help = await printed("serve", "--help");
  const listed = [...help.matchAll(/^ {2}--\S+\s+([A-Z_]+):/gm)].map(([, name]) => name);
  const offered = [...text.matchAll(/^# ([A-Z_]+)=/gm)].map(([, name]) => name);
  expect(offered).toEqual(listed);
  expect(offered).toEqual(expect.arrayContaining(SETTINGS));
  expect(text).toMatch(/^# PORT=3000$/m);
  expect(text).toMatch(/^# DATABASE_URL=$/m);
  // Every line is a comment: copied as it is, it changes nothing.
  expect(text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))).toEqual([]);
});

test("the .env.example of the repository is what env-example prints", async () => {
  const file = fileURLToPath(new URL("../../.env.example", import.meta.url));
  expect(existsSync(file)).toBe(true);
  expect((await printed("env-example")).trimEnd()).toBe(readFileSync(file, "utf8").trimEnd());
});

test("what is printed may be cut off by whoever reads it", async () => {
  const script = `node dist/main.js openapi | head -1; echo "exit \${PIPESTATUS[0]}"`;
  const { stdout, stderr } = await promisify(execFile)("bash", ["-c", script], { cwd: ROOT });
  expect(stdout).toMatch(/^openapi: .*\nexit 0\n$/);
  expect(stderr).toBe("");
});

test("openapi prints an OpenAPI 3.1 description without a database and graphs", async () => {
  const folder = newFolder();
  const spawned = spawnHoldpoint(["openapi"], { cwd: folder });
  expect(await within("the command ends", spawned.exit)).toBe(0);
  expect(spawned.output()).toMatch(/^openapi: "?3\.1/);
  expect(spawned.output()).toContain("/threads/{id}/resume:");
  expect(existsSync(join(folder, ".holdpoint"))).toBe(false);
});

describe("graph", () => {
  const NESTED = `import { END, START, StateGraph } from "holdpoint";
    const pay = new StateGraph().addNode("PAY", () => ({})).addEdge(START, "PAY").addEdge("PAY", END)
      .compile({ name: "payment", interruptBefore: ["PAY"] });
    export const order = new StateGraph().addNode("PAYMENT", pay).addEdge(START, "PAYMENT").addEdge("PAYMENT", END).compile();
    setInterval(() => undefined, 1000);`;

  test("prints the picture of a graph, without a database, also where its module would keep the process alive", async () => {
    const cwd = newFolder();
    put(join(cwd, "my", "order.ts"), NESTED);
    const spawned = spawnHoldpoint(["graph", "order", "--graphs", "my"], { cwd });
    expect(await within("the command ends", spawned.exit)).toBe(0);
    expect(spawned.errors()).toBe("");
    const { boxes, inside } = readPicture(spawned.output());
    const [held] = [...boxes].find(([, said]) => said === "PAY | held before") ?? [""];
    expect(boxes.get(inside.get(held) ?? "")).toBe("PAYMENT (payment)");
    expect(existsSync(join(cwd, ".holdpoint"))).toBe(false);
  });

  test("takes the graphs from the variable too", async () => {
    const cwd = newFolder();
    put(join(cwd, "order.ts"), NESTED);
    const spawned = spawnHoldpoint(["graph", "order"], { cwd, env: { HOLDPOINT_GRAPHS: "order.ts" } });
    expect(await within("the command ends", spawned.exit)).toBe(0);
    expect(readPicture(spawned.output()).ways).toContain("PAYMENT (payment) -> end");
  });

  test.each([
    [["ordr"], /no graph "ordr"; did you mean "order"\?/],
    [[], /Which graph\?/],
    [["order", "order"], /One graph at a time/],
  ])("with %j lists the names there are, and ends with 1", async (args, says) => {
    const cwd = newFolder();
    put(join(cwd, "order.ts"), NESTED);
    const spawned = spawnHoldpoint(["graph", ...args, "--graphs=order.ts"], { cwd });
    expect(await within("the command ends", spawned.exit)).toBe(1);
    expect(spawned.errors()).toMatch(says);
    expect(spawned.errors()).toMatch(/^ {2}order$/m);
    expect(spawned.output()).toBe("");
  });

  test("has help of its own, and refuses options that it does not have", async () => {
    expect(await printed("graph", "--help")).toMatch(/holdpoint graph NAME/);
    const spawned = spawnHoldpoint(["graph", "order", "--graph", "x"]);
    expect(await within("the command ends", spawned.exit)).toBe(1);
    expect(spawned.errors()).toMatch(/--graph\b/);
  });
});

test("a .env file in the working directory is read, and its relative paths are that directory's", async () => {
  const cwd = newFolder();
  newDataDir(join(cwd, "my-data"));
  put(join(cwd, "my-graphs", "graph.ts"), GRAPH);
  put(
    join(cwd, ".env"),
    "# mine\nHOLDPOINT_DATA_DIR=my-data\nHOLDPOINT_GRAPHS='my-graphs'\nLOG_LEVEL=warn\n",
  );
  // LOG_LEVEL=warn would hide the line that says where it listens; a variable that is set wins over the file.
  const server = await startServer({ LOG_LEVEL: "info" }, { cwd });
  const ready = await get(server, "/readyz");
  expect(ready.body).toMatchObject({ graphs: ["a"], database: expect.stringContaining("my-data") });
});

test("a value in .env that makes no sense stops the start like one of the environment", async () => {
  const cwd = newFolder();
  put(join(cwd, ".env"), "HOLDPOINT_LEASE=5\n");
  const { said } = await refusedStart({ cwd });
  expect(said).toMatch(/HOLDPOINT_LEASE; did you mean "HOLDPOINT_LEASE_MS"\?/);
});

test("in production no .env file is read", async () => {
  const cwd = newFolder();
  put(join(cwd, ".env"), "PORT=abc\n");
  put(join(cwd, "graph.ts"), GRAPH);
  const env = { NODE_ENV: "production", HOLDPOINT_GRAPHS: "graph.ts", HOLDPOINT_DATA_DIR: newDataDir() };
  expect((await get(await startServer(env, { cwd }), "/healthz")).status).toBe(200);
});

test("a flag wins over a variable, and a variable over .env", async () => {
  const cwd = newFolder();
  for (const name of ["flag", "variable", "file"])
    put(join(cwd, name, `${name}.ts`), GRAPH.replace("const a", `const ${name}`));
  put(join(cwd, ".env"), "HOLDPOINT_GRAPHS=file\n");
  const env = { HOLDPOINT_DATA_DIR: newDataDir() };
  const graphs = async (of: { env?: Record<string, string>; args?: string[] }): Promise<unknown> => {
    const server = await startServer({ ...env, ...of.env }, { cwd, args: of.args ?? [] });
    const { body } = await get(server, "/readyz");
    server.kill("SIGTERM");
    expect(await within("the server ends", server.exit)).toBe(0);
    return body.graphs;
  };
  expect(await graphs({})).toEqual(["file"]);
  expect(await graphs({ env: { HOLDPOINT_GRAPHS: "variable" } })).toEqual(["variable"]);
  const args = ["--graphs", "flag"];
  expect(await graphs({ env: { HOLDPOINT_GRAPHS: "variable" }, args })).toEqual(["flag"]);
  expect(await graphs({ env: { HOLDPOINT_GRAPHS: "variable" }, args: ["--graphs=flag,file"] })).toEqual([
    "flag",
    "file",
  ]);
});

test("a variable that is set to nothing counts as unset, as in a compose file", async () => {
  const cwd = newFolder();
  put(join(cwd, "graph.ts"), GRAPH);
  const env = {
    DATABASE_URL: "",
    HOLDPOINT_CONCURRENCY: "",
    HOLDPOINT_GRAPHS: "graph.ts",
    HOLDPOINT_DATA_DIR: newDataDir(),
  };
  const ready = await get(await startServer(env, { cwd }), "/readyz");
  expect(ready.body.database).toMatch(/^embedded/);
});

test("the last line of a successful start names the address, the database and the graphs", async () => {
  const cwd = newFolder();
  put(join(cwd, "graph.ts"), GRAPH);
  const server = await startServer(
    { HOLDPOINT_GRAPHS: "graph.ts", HOLDPOINT_DATA_DIR: newDataDir() },
    { cwd },
  );
  const last = server.logs().at(-1);
  expect(last).toMatchObject({ event: "listening", url: server.url, graphs: ["a"] });
  expect(last?.database).toMatch(/embedded/);
  expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
  expect(server.errors()).toBe("");
});
