/** The README's walk-through, line by line, in one shell, against a real server that is killed in the middle. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { newPostgresDatabase } from "../support/databases.js";
import { startServer, type Env } from "../support/server.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const run = promisify(execFile);

interface Step {
  readonly command: string;
  /** What the line behind `#=>` promises of its output. */
  readonly promises: string | null;
}

/** The block's commands; a comment that pulls the plug is one. */
function walkThrough(): Step[] {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const block = /```sh walk-through\n([\s\S]*?)```/.exec(readme)?.[1];
  if (block === undefined) throw new Error("the README has no walk-through block");
  const lines = block.split("\n").filter((line) => line.trim() !== "");
  return lines.flatMap((line, i): Step[] => {
    if (line.startsWith("#=>") || (line.startsWith("#") && !line.startsWith("# Pull the plug"))) return [];
    const next = lines[i + 1] ?? "";
    return [{ command: line, promises: next.startsWith("#=>") ? next.slice(3).trim() : null }];
  });
}

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "holdpoint-readme-"));
  folders.push(folder);
  return folder;
}

describe("the README's walk-through holds, line by line, with a kill -9 in the middle", () => {
  test("it has what it is meant to show", () => {
    const steps = walkThrough();
    expect(steps.filter(({ command }) => command.startsWith("curl")).length).toBeGreaterThan(10);
    expect(steps.some(({ command }) => command.startsWith("# Pull the plug"))).toBe(true);
  });

  test.each<[string, (folder: string) => Promise<Env>]>([
    ["the embedded database", async (folder) => ({ HOLDPOINT_DATA_DIR: join(folder, "data") })],
    ["PostgreSQL", async () => ({ DATABASE_URL: await newPostgresDatabase(), HOLDPOINT_LEASE_MS: "500" })],
  ])("on %s", { timeout: 120_000 }, async (_name, storage) => {
    const folder = newFolder();
    const ledger = join(folder, "ledger.ndjson");
    const env = {
      ...(await storage(folder)),
      HOLDPOINT_GRAPHS: join(ROOT, "examples"),
      REFUNDS_LEDGER: ledger,
    };
    let server = await startServer(env);
    for (const { command, promises } of walkThrough()) {
      if (command.startsWith("# Pull the plug")) {
        server.kill("SIGKILL");
        await server.exit;
        server = await startServer(env);
        continue;
      }
      const { stdout } = await run("bash", ["-c", command], {
        cwd: folder,
        env: { PATH: process.env.PATH, HOLDPOINT_URL: server.url, REFUNDS_LEDGER: ledger },
      });
      if (promises !== null) expect(stdout, command).toContain(promises);
    }
  });
});
