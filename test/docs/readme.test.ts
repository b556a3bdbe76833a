/** The README's walk-through, line by line, in one shell, against a real server that is killed in the middle. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { newPostgresDatabase } from "../support/databases.js";
import { startServer, type Env } from "../support/server.js";
import { pullsThePlug, Shell, shellSteps, type ShellStep } from "./shell-steps.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The block's commands. */
function walkThrough(): ShellStep[] {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const block = /```sh walk-through\n([\s\S]*?)```/.exec(readme)?.[1];
  if (block === undefined) throw new Error("the README has no walk-through block");
  return shellSteps(block);
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
    expect(steps.some(pullsThePlug)).toBe(true);
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
    const shell = new Shell(folder);
    let server = await startServer(env);
    for (const step of walkThrough()) {
      if (pullsThePlug(step)) {
        server.kill("SIGKILL");
        await server.exit;
        server = await startServer(env);
        continue;
      }
      await shell.run(step, { HOLDPOINT_URL: server.url, REFUNDS_LEDGER: ledger });
    }
  });
});
