/** Graph modules from anywhere on disk, and what their code does to the server. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { until } from "../support/poll.js";
import { startServer, type Server } from "../support/server.js";
import { get, post, send, threadWhen } from "./client.js";
import { newDataDir, newFolder, newScene, put } from "./scene.js";

const IMPORTS = `import { END, START, StateGraph, InMemoryCheckpointer } from "holdpoint";
import { z } from "zod";
const graph = (answer) => new StateGraph({ state: z.object({ word: z.string().default("") }) })
  .addNode("A", () => ({ word: answer })).addEdge(START, "A").addEdge("A", END);
`;
const TS_IMPORTS = IMPORTS.replace("(answer)", "(answer: string)");

/** A server with these modules, in a folder that knows no node_modules. */
async function serverWith(files: Record<string, string>, paths?: string[]): Promise<Server> {
  const folder = newFolder();
  for (const [name, text] of Object.entries(files)) put(join(folder, name), text);
  const graphs = paths?.map((path) => join(folder, path)).join(",") ?? folder;
  return startServer({ HOLDPOINT_GRAPHS: graphs, HOLDPOINT_DATA_DIR: newDataDir() });
}

async function wordOf(server: Server, graph: string): Promise<unknown> {
  const { body } = await post(server, `/threads/of-${graph}/run`, { graph, input: {} });
  expect(body).toMatchObject({ status: "completed", graph });
  return body.state.word;
}

async function graphsOf(server: Server): Promise<string[]> {
  const { items } = (await get(server, "/graphs")).body;
  return (items as { name: string }[]).map(({ name }) => name).sort();
}

test("TypeScript, JavaScript and .mjs modules outside the project load, and their graphs run", async () => {
  const server = await serverWith({
    "typed.ts": `${TS_IMPORTS} export const typed = graph("from ts").compile();`,
    "plain.js": `${IMPORTS} export const plain = graph("from js").compile();`,
    "module.mjs": `${IMPORTS} export const module = graph("from mjs").compile();`,
    "types.d.ts": "export type Nothing = never;",
    "notes.md": "# not a module",
  });
  expect(await graphsOf(server)).toEqual(["module", "plain", "typed"]);
  expect(await wordOf(server, "typed")).toBe("from ts");
  expect(await wordOf(server, "plain")).toBe("from js");
  expect(await wordOf(server, "module")).toBe("from mjs");
});

test("a TypeScript module may have enums, parameter properties, satisfies, type imports and a top-level await", async () => {
  const server = await serverWith({
    "rich.ts": `${TS_IMPORTS}
      import type { NodeContext, StateOf } from "holdpoint";
      import { type RunResult } from "holdpoint";
      enum Colour { Red = "red", Blue = "blue" }
      const enum Size { Small = 1, Large }
      namespace Words { export const joined = (...words: string[]): string => words.join(" "); }
      class Painter { constructor(private readonly colour: Colour) {} paint(): string { return this.colour; } }
      const waited = await new Promise<string>((resolve) => setImmediate(() => resolve("late")));
      const settings = { size: Size.Large } satisfies Record<string, number>;
      type Unused = NodeContext | RunResult | StateOf<never>;
      export const rich = graph(Words.joined(new Painter(Colour.Blue).paint(), String(settings.size), waited)).compile();`,
  });
  expect(await wordOf(server, "rich")).toBe("blue 2 late");
});

test("a graph is called by compile, else by its export, and a default export by its file", async () => {
  const server = await serverWith({
    "by-file.ts": `${TS_IMPORTS} export default graph("default").compile();`,
    "several.ts": `${TS_IMPORTS}
      export const exported = graph("export").compile();
      export const ignored = graph("name").compile({ name: "by-compile" });
      const twice = graph("twice").compile();
      export { twice, twice as again };
      export const other = 1;
      export function helper(): void {}`,
  });
  expect(await graphsOf(server)).toEqual(["again", "by-compile", "by-file", "exported"].sort());
  expect(await wordOf(server, "by-file")).toBe("default");
  expect(await wordOf(server, "by-compile")).toBe("name");
});

test("modules may import each other, and what they import holdpoint for is one copy", async () => {
  const server = await serverWith(
    {
      "graphs/main.ts": `import { graph } from "../shared/builder.js"; export const main = graph("shared").compile();`,
      "graphs/more.mts.ts": `import { graph } from "../shared/builder"; export const more = graph("again").compile();`,
      "shared/builder.ts": `${TS_IMPORTS} export { graph };`,
    },
    ["graphs"],
  );
  expect(await graphsOf(server)).toEqual(["main", "more"]);
  expect(await wordOf(server, "main")).toBe("shared");
});

test("zod may be imported by any of its names, also where the module's folder has none", async () => {
  const module = (name: string, from: string): string => `${IMPORTS.replace('"zod"', `"${from}"`)}
    export const ${name} = graph("by ${from}").compile();`;
  const server = await serverWith({
    "plain.mjs": module("plain", "zod"),
    "v4.mjs": module("v4", "zod/v4"),
    "mini.ts": `import { END, START, StateGraph } from "holdpoint";
      import * as z from "zod/mini";
      const State = z.object({ word: z._default(z.string(), "") });
      export const mini = new StateGraph({ state: State })
        .addNode("A", () => ({ word: "by zod/mini" })).addEdge(START, "A").addEdge("A", END).compile();`,
  });
  expect(await wordOf(server, "plain")).toBe("by zod");
  expect(await wordOf(server, "v4")).toBe("by zod/v4");
  expect(await wordOf(server, "mini")).toBe("by zod/mini");
});

test("files and folders may be mixed", async () => {
  const server = await serverWith(
    {
      "one/a.ts": `${TS_IMPORTS} export const a = graph("a").compile();`,
      "two/b.ts": `${TS_IMPORTS} export const b = graph("b").compile();`,
      "two/c.ts": `${TS_IMPORTS} export const c = graph("c").compile();`,
    },
    ["one", "two/b.ts"],
  );
  expect(await graphsOf(server)).toEqual(["a", "b"]);
});

test("a checkpointer given to compile is set aside with a warning, and the server's is used", async () => {
  const server = await serverWith({
    "own.ts": `${TS_IMPORTS} export const own = graph("kept").compile({ checkpointer: new InMemoryCheckpointer() });`,
    "none.ts": `${TS_IMPORTS} export const none = graph("kept").compile();`,
  });
  const warnings = server.logs().filter(({ level, msg }) => level === 40 && /set aside/.test(String(msg)));
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatchObject({ graph: "own", file: expect.stringMatching(/own\.ts$/) });
  expect(await wordOf(server, "own")).toBe("kept");
  expect((await get(server, "/threads/of-own")).body.status).toBe("completed");
});

const CARELESS = `
export const careless = new StateGraph()
  .addNode("DROP", async () => {
    void Promise.reject(new Error("nobody catches this"));
    await gate("go on");
    return {};
  })
  .addEdge(START, "DROP").addEdge("DROP", END).compile();`;

/** A run whose node has let a rejection fall and goes on, and what was logged of it. */
async function carelessRun() {
  const scene = await newScene("embedded", CARELESS);
  const server = await scene.start();
  send(server, "/threads/t1/run", { input: {} });
  const logged = await until("the rejection is logged", () =>
    server.logs().find(({ level, err }) => level === 50 && JSON.stringify(err).includes("nobody catches")),
  );
  return { scene, server, logged };
}

test("a rejection that node code lets fall is logged with its thread and run, and ends nothing", async () => {
  const { scene, server, logged } = await carelessRun();
  const { body } = await get(server, "/threads/t1");
  expect(body.status).toBe("running");
  expect(Object.values(logged)).toEqual(expect.arrayContaining(["t1", body.run_id]));
  scene.open("go on");
  await threadWhen(server, "t1", "completed");
  expect(server.ended()).toBeNull();
});

test("a rejection that node code lets fall names thread and run as all other log lines do", async () => {
  const { server, logged } = await carelessRun();
  const { body } = await get(server, "/threads/t1");
  expect(logged).toMatchObject({ thread_id: "t1", run_id: body.run_id });
});
