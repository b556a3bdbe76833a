/** A start whose settings make no sense: one clear sentence, exit code 1, nothing listens. */
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { within } from "../support/poll.js";
import { spawnHoldpoint, type Env } from "../support/server.js";
import { newDataDir, newFolder, put } from "./scene.js";
import { listens, refusedStart } from "./refused-start.js";

const CASES: Record<string, { env?: Env; args?: string[]; says: RegExp[] }> = {
  "an unknown HOLDPOINT_ variable": {
    env: { HOLDPOINT_GRAPH: "graphs" },
    says: [/HOLDPOINT_GRAPH\b/, /did you mean "HOLDPOINT_GRAPHS"\?/],
  },
  "an unknown HOLDPOINT_ variable that is near none": {
    env: { HOLDPOINT_XYZZY: "" },
    says: [/There is no setting HOLDPOINT_XYZZY/],
  },
  "a PORT that is no number": { env: { PORT: "abc" }, says: [/PORT=abc is not a value/] },
  "a PORT out of range": { env: { PORT: "65536" }, says: [/PORT=65536 is not a value/] },
  "a --port that is no number": { args: ["--port", "abc"], says: [/--port=abc is not a value/] },
  "a DATABASE_URL of another database": {
    env: { DATABASE_URL: "mysql://localhost/db" },
    says: [/DATABASE_URL/, /postgres/],
  },
  "a lease that is no number": {
    env: { HOLDPOINT_LEASE_MS: "10s" },
    says: [/HOLDPOINT_LEASE_MS=10s is not a value/],
  },
  "a LOG_LEVEL that is none": { env: { LOG_LEVEL: "loud" }, says: [/LOG_LEVEL=loud/, /info/] },
  "a CORS origin with a path": {
    env: { HOLDPOINT_CORS_ORIGINS: "https://a.example/app" },
    says: [/HOLDPOINT_CORS_ORIGINS/, /origin/],
  },
  "an unknown flag": { args: ["--prot", "1"], says: [/--prot/, /did you mean "(--)?port"\?/] },
  "an argument that is no flag": { args: ["graphs"], says: [/graphs/] },
  "a flag without its value": { args: ["--port"], says: [/--port/] },
  "HOST=0.0.0.0 without HOLDPOINT_OPEN": {
    env: { HOST: "0.0.0.0" },
    says: [/HOST=0\.0\.0\.0/, /HOLDPOINT_OPEN=1/],
  },
  "HOST=:: without HOLDPOINT_OPEN": { env: { HOST: "::" }, says: [/HOST=::/, /HOLDPOINT_OPEN=1/] },
};

test.each(Object.entries(CASES))("%s stops the start", async (_name, { env = {}, args = [], says }) => {
  const { said, lines } = await refusedStart({ env, args });
  for (const pattern of says) expect(said).toMatch(pattern);
  expect(lines).toHaveLength(1);
});

test("an unknown command is refused, naming it and the commands that there are", async () => {
  const { said } = await refusedStart({ command: "sevre" });
  expect(said).toMatch(/There is no command "sevre"/);
  for (const command of ["serve", "openapi", "env-example", "help"]) expect(said).toContain(command);
});

test.each(["toString", "constructor", "__proto__"])("%s is no command either", async (command) => {
  const { said } = await refusedStart({ command });
  expect(said).toContain(`There is no command "${command}"`);
});

test("a port in use stops the start, which does not fall through to another port", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void taken.close());
  const port = (taken.address() as { port: number }).port;
  const graphs = put(
    join(newFolder(), "graph.ts"),
    `import { END, START, StateGraph } from "holdpoint";
     export const a = new StateGraph().addNode("A", () => ({})).addEdge(START, "A").addEdge("A", END).compile();`,
  );
  const env = { PORT: String(port), HOLDPOINT_GRAPHS: graphs, HOLDPOINT_DATA_DIR: newDataDir() };
  const { said, lines } = await refusedStart({ env });
  expect(said).toContain(`Port ${port} of 127.0.0.1 is in use`);
  expect(lines).toHaveLength(1);
});

test("a start that is refused leaves its port free", async () => {
  const free = createServer();
  await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
  const port = (free.address() as { port: number }).port;
  await new Promise((resolve) => free.close(resolve));
  await refusedStart({ env: { PORT: String(port), HOLDPOINT_GRAPHS: join(newFolder(), "missing") } });
  expect(await listens(port)).toBe(false);
});

test("a setting that is refused is not begun with: no data directory is made", async () => {
  const folder = newFolder();
  const spawned = spawnHoldpoint(["serve"], { env: { PORT: "abc" }, cwd: folder });
  expect(await within("the start is given up", spawned.exit)).toBe(1);
  const { readdirSync } = await import("node:fs");
  expect(readdirSync(folder)).toEqual([]);
});
