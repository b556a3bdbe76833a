/** What `npm publish` would send: its metadata as linters of packages see it, and the package at work in a stranger's folder. */
import { spawn } from "node:child_process";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  mkdirSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { VERSION } from "../../src/app.js";
import { until, within } from "../support/poll.js";
import { install, manifest, pack, ROOT, run, succeed, userEnv } from "./installed.js";

const TSC = join(ROOT, "node_modules", "typescript", "bin", "tsc");

const folder = mkdtempSync(join(tmpdir(), "holdpoint-package-"));
const consumer = join(folder, "consumer");
const installed = join(consumer, "node_modules", manifest.name);
let tarball = "";

beforeAll(async () => {
  tarball = await pack(folder);
  await install(tarball, consumer);
}, 180_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(file: string, text: string): void {
  mkdirSync(dirname(join(consumer, file)), { recursive: true });
  writeFileSync(join(consumer, file), text);
}

describe("the tarball", () => {
  test("holds what a user needs, and nothing else", () => {
    expect(readdirSync(installed).sort()).toEqual([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "dist",
      "docs",
      "examples",
      "migrations",
      "package.json",
    ]);
    const files = readdirSync(installed, { recursive: true, encoding: "utf8" });
    const strange = files.filter((file) => /\.map$|\.test\.|tsbuildinfo|(^|\/)\./.test(file));
    expect(strange).toEqual([]);
    expect(files.filter((file) => file.startsWith("docs/"))).toEqual(["docs/errors.md"]);
    for (const source of ["migrations", "examples"])
      expect(readdirSync(join(installed, source)).sort()).toEqual(readdirSync(join(ROOT, source)).sort());
  });

  test("points at no file that it does not hold", () => {
    const files = readdirSync(join(installed, "dist"), { recursive: true, encoding: "utf8" });
    const code = files.filter((file) => /\.(js|ts)$/.test(file));
    expect(code.length).toBeGreaterThan(100);
    for (const file of code)
      expect(readFileSync(join(installed, "dist", file), "utf8"), file).not.toContain("sourceMappingURL");
  });

  test("publint has nothing to say", async () => {
    const { buffer, byteOffset, byteLength } = readFileSync(tarball);
    const packed = { tarball: buffer.slice(byteOffset, byteOffset + byteLength) };
    const { messages, pkg } = await publint({ pack: packed, level: "suggestion" });
    expect(
      messages.map((message) => `${message.type}: ${formatMessage(message, pkg, { color: false })}`),
    ).toEqual([]);
  });

  test("its types are right for whoever imports it as a module", { timeout: 60_000 }, async () => {
    const attw = join(
      dirname(fileURLToPath(import.meta.resolve("@arethetypeswrong/cli/package.json"))),
      "dist/index.js",
    );
    const args = [attw, tarball, "--profile", "esm-only", "--no-color", "--no-emoji", "--format", "ascii"];
    const { code, output } = await run(process.execPath, args, { cwd: folder });
    expect(output).toMatch(/node16 \(from ESM\)[\s\S]*bundler/);
    expect(code, output).toBe(0);
  });

  test("says one version everywhere", () => {
    expect(VERSION).toBe(manifest.version);
  });
});

describe("in a stranger's folder", () => {
  const APPROVAL = `
    import { END, InMemoryCheckpointer, START, StateGraph } from "holdpoint";
    import { z } from "zod";

    export const transfers = new StateGraph({ state: z.object({ amount: z.number().default(0) }) })
      .addNode("CHECK", (state) => \`You want to move \${state.amount}.\`)
      .addNode("MOVE", (state, ctx) => \`Moved \${state.amount}, \${ctx.answer?.decision} by \${ctx.answer?.by}.\`)
      .addEdge(START, "CHECK")
      .addEdge("CHECK", "MOVE")
      .addEdge("MOVE", END)
      .compile({ name: "transfers", checkpointer: new InMemoryCheckpointer(), interruptBefore: ["MOVE"] });
  `;

  test("a script builds a graph, is held, answers, and ends by itself", async () => {
    write(
      "approval.mjs",
      `${APPROVAL}
      const held = await transfers.invoke({ amount: 5000 }, { threadId: "t1" });
      const done = await transfers.resume({ decision: "approve" }, { threadId: "t1", by: "ada" });
      console.log(JSON.stringify([held.status, done.status, done.messages.map(({ content }) => content)]));`,
    );
    const said = await within(
      "the script ends",
      succeed(process.execPath, ["approval.mjs"], { cwd: consumer }),
    );
    expect(JSON.parse(said)).toEqual(["interrupted_before", "completed", ["Moved 5000, approve by ada."]]);
  });

  test("importing it loads no database, no server and no logger", async () => {
    // Modules go through the hook; what they require as CommonJS is in require.cache.
    write(
      "hook.mjs",
      `import { appendFileSync } from "node:fs";
      export async function load(url, context, next) {
        appendFileSync("loaded.txt", url + "\\n");
        return next(url, context);
      }`,
    );
    write("register.mjs", `import { register } from "node:module"; register("./hook.mjs", import.meta.url);`);
    write(
      "import-only.mjs",
      `import "holdpoint";
      import { appendFileSync } from "node:fs";
      import { createRequire } from "node:module";
      appendFileSync("loaded.txt", Object.keys(createRequire(import.meta.url).cache).join("\\n") + "\\n");`,
    );
    await succeed(process.execPath, ["--import", "./register.mjs", "import-only.mjs"], { cwd: consumer });
    const loaded = readFileSync(join(consumer, "loaded.txt"), "utf8").split("\n");
    const packages = new Set(
      loaded.flatMap((path) => /^.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []),
    );
    expect([...packages].sort()).toEqual([
      "ajv",
      "fast-deep-equal",
      "fast-uri",
      "holdpoint",
      "json-schema-traverse",
      "zod",
    ]);
    expect(loaded.filter((path) => /\/dist\/(http|cli|telemetry|app|config|main)\b/.test(path))).toEqual([]);
  });

  describe("TypeScript", () => {
    const RIGHT = `${APPROVAL}
      import { PgCheckpointer, type Checkpointer, type RunEvent } from "holdpoint";
      import { HoldpointClient } from "holdpoint/client";

      const done = await transfers.resume({ decision: "edit", state: { amount: 1 } }, { threadId: "t1", by: "ada" });
      export const amount: number = done.state.amount;
      export const storage: Checkpointer = new PgCheckpointer("postgres://localhost/holdpoint");
      for await (const event of transfers.stream({ amount: 2 }, { threadId: "t2" })) {
        const { seq }: RunEvent = event;
        if (event.eventType === "end") console.log(seq, event.data.result.status);
      }
      const holdpoint = new HoldpointClient({ baseUrl: "http://127.0.0.1:8700" });
      for await (const event of holdpoint.thread("t3").stream({ graph: "transfers", input: { amount: 2 } })) {
        if (event.event_type === "message") console.log(event.data.message.content);
        if (event.event_type === "interrupted") console.log(event.data.result.interrupts.length);
      }
      for await (const thread of holdpoint.threads.list({ status: "interrupted" })) console.log(thread.thread_id);
      // What is wrong is seen: the types are not any.
      // @ts-expect-error there is no such status
      holdpoint.threads.list({ status: "asleep" });
      // @ts-expect-error there is no such key
      await holdpoint.thread("t3").run({ grahp: "transfers" });
      // @ts-expect-error the amount is a number
      export const text: string = done.state.amount;
      // @ts-expect-error there is no such field
      await transfers.invoke({ amout: 5 });
      // @ts-expect-error there is no such decision
      await transfers.resume({ decision: "maybe" }, { threadId: "t1" });
      // @ts-expect-error there is no such node
      new StateGraph().addNode("A", () => "a").addEdge(START, "B");
    `;

    test.each([
      ["nodenext, with Node's types", { module: "nodenext", lib: ["es2023"], types: ["node"] }],
      [
        "bundler, with the browser's",
        { module: "esnext", moduleResolution: "bundler", lib: ["es2023", "dom"], types: [] },
      ],
    ])("strict, every declaration checked: %s", { timeout: 120_000 }, async (_name, options) => {
      write("typed.ts", RIGHT);
      const compilerOptions = {
        strict: true,
        skipLibCheck: false,
        noEmit: true,
        target: "es2023",
        ...options,
      };
      write("tsconfig.json", JSON.stringify({ compilerOptions, files: ["typed.ts"] }));
      if (!readdirSync(join(consumer, "node_modules")).includes("@types")) {
        mkdirSync(join(consumer, "node_modules", "@types"));
        symlinkSync(join(ROOT, "node_modules/@types/node"), join(consumer, "node_modules/@types/node"));
      }
      const { code, output } = await run(process.execPath, [TSC, "-p", "."], { cwd: consumer });
      expect(output).toBe("");
      expect(code).toBe(0);
    });
  });

  test("npx holdpoint --help says what there is", async () => {
    const said = await succeed("npx", ["--no-install", "holdpoint", "--help"], { cwd: consumer });
    expect(said).toMatch(/Usage: holdpoint <command>[\s\S]*serve/);
  });

  test(
    "holdpoint serve answers for the examples of the package and a graph of one's own",
    { timeout: 90_000 },
    async () => {
      write("graphs/transfers.ts", APPROVAL);
      // The file that npx runs: npx itself does not hand signals on.
      const server = spawn(
        join(consumer, "node_modules", ".bin", "holdpoint"),
        ["serve", "--port", "0", "--graphs", "node_modules/holdpoint/examples,graphs"],
        { cwd: consumer, env: userEnv(), stdio: ["ignore", "pipe", "pipe"] },
      );
      let said = "";
      server.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
      server.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
      const exit = new Promise<number | NodeJS.Signals | null>((resolve) =>
        server.once("close", (code, signal) => resolve(code ?? signal)),
      );
      onTestFinished(async () => {
        server.kill("SIGKILL");
        await exit;
      });
      const url = await until("the server listens", () => {
        if (server.exitCode !== null) throw new Error(`the server ended (${server.exitCode}):\n${said}`);
        return /"event":"listening","url":"([^"]+)"/.exec(said)?.[1];
      });

      const ask = (graph: string, input: object): Promise<Response> =>
        fetch(`${url}/threads/${graph}-1/run`, { method: "POST", body: JSON.stringify({ graph, input }) });
      const own = await ask("transfers", { amount: 7 });
      expect([own.status, await own.json()]).toMatchObject([200, { status: "interrupted_before" }]);
      const example = await ask("refunds", {
        messages: ["Order 1042 arrived broken, I want my 129.90 back"],
      });
      expect([example.status, await example.json()]).toMatchObject([200, { status: "interrupted_before" }]);

      server.kill("SIGTERM");
      expect(await within("the server ends", exit), said).toBe(0);
    },
  );
});
