/** docs/client.md: what stands there compiles, and does what it says. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";
import { expect, onTestFinished, test, vi } from "vitest";
import { refunds } from "../../examples/refunds.js";
import { serve } from "../support/http-server.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PAGE = readFileSync(join(ROOT, "docs/client.md"), "utf8");
const BUILT = pathToFileURL(join(ROOT, "dist/client/index.js")).href;

const code = /```ts\n([\s\S]*?)```/.exec(PAGE)?.[1] ?? "";

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "holdpoint-client-page-"));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

test("the page's code is typed right", { timeout: 120_000 }, () => {
  const file = join(folder(), "page.mts");
  writeFileSync(file, `declare const baseUrl: string;\n${code}`);
  const program = ts.createProgram([file], {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2023,
    lib: ["lib.es2023.d.ts", "lib.dom.d.ts"],
    types: [],
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    paths: { "holdpoint/client": [join(ROOT, "dist/client/index.d.ts")] },
  });
  const faults = ts.getPreEmitDiagnostics(program);
  expect(faults.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"))).toEqual([]);
});

test("and holds a refund, meets the hold, approves, and reads what was said", async () => {
  const made = folder();
  vi.stubEnv("REFUNDS_LEDGER", join(made, "ledger.ndjson"));
  const server = await serve({ refunds });
  const said: unknown[][] = [];
  const log = vi.spyOn(console, "log").mockImplementation((...words) => void said.push(words));
  onTestFinished(async () => {
    log.mockRestore();
    vi.unstubAllEnvs();
    await server.close();
  });
  const { outputText } = ts.transpileModule(code, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  const file = join(made, "page.mjs");
  writeFileSync(
    file,
    `const baseUrl = ${JSON.stringify(server.url)};\n${outputText.replace('"holdpoint/client"', JSON.stringify(BUILT))}`,
  );
  await import(/* @vite-ignore */ pathToFileURL(file).href);
  const order = "Order 1042 arrived broken, I want my 129.90 back";
  expect(said).toEqual([
    [order],
    ["Refund 129.90 for order 1042?"],
    ["user", order],
    ["assistant", "Done: 129.90 for order 1042 is on its way to you."],
  ]);
});
