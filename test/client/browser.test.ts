/** What is built of `holdpoint/client` is for browsers: one bundle of it works with nothing but what a page has. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { expect, test } from "vitest";
import { refund } from "../http/graphs.js";
import { served } from "../support/http-server.js";

const BUILT = fileURLToPath(new URL("../../dist/client/index.js", import.meta.url));

/** The bundler that the test runner brings along. */
interface Bundler {
  readonly build: (
    options: object,
  ) => Promise<readonly { output: readonly { code: string; imports: string[] }[] }[]>;
}

async function bundled(): Promise<{ code: string; imports: string[] }> {
  const path = createRequire(import.meta.resolve("vitest")).resolve("vite");
  const { build } = (await import(path)) as Bundler;
  const [made] = await build({
    configFile: false,
    logLevel: "silent",
    build: {
      write: false,
      minify: false,
      lib: { entry: BUILT, formats: ["iife"], name: "client" },
      rollupOptions: { external: /^node:/ },
    },
  });
  const [chunk, ...more] = made?.output ?? [];
  if (chunk === undefined || more.length > 0) throw new Error("it is one file");
  return chunk;
}

const server = served({ refund: refund() });

test("its bundle imports nothing, knows no Node, and holds, answers and streams a run", async () => {
  const { code, imports } = await bundled();
  expect(imports).toEqual([]);
  expect(code).not.toMatch(/\bnode:|\brequire\(|\bprocess\.|\bBuffer\b|\bglobal\./);
  // Small enough to be loaded by a page without a thought.
  expect(code.length).toBeLessThan(60_000);

  const page = {
    fetch,
    URL,
    URLSearchParams,
    Request,
    Response,
    Headers,
    AbortController,
    ReadableStream,
    TextDecoder,
    crypto,
    setTimeout,
    clearTimeout,
  };
  const run = runInContext(
    `${code};
    async (baseUrl) => {
      const holdpoint = new client.HoldpointClient({ baseUrl });
      const thread = holdpoint.thread("of-a-page");
      const seen = [];
      for await (const event of thread.stream({ input: { messages: ["back"], amount: 5 } })) seen.push(event.event_type);
      let refused;
      try { await thread.run(); } catch (error) { refused = error instanceof client.ThreadInterruptedError; }
      const { status } = await thread.resume({ decision: "approve" });
      return [seen.at(-1), refused, status];
    }`,
    createContext(page),
  ) as (url: string) => Promise<unknown[]>;
  expect([...(await run(server.url))]).toEqual(["interrupted", true, "completed"]);
});
