/**
 * Each part of `npm run check` can fail: run as it stands in package.json, with the settings of this project, over a small
 * tree in which something is wrong for each of them.
 */
import { spawn } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");

interface Manifest {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
}
const manifest = JSON.parse(read("package.json")) as Manifest;

/** Without a fault, but for the files below. */
const TREE: Record<string, string> = {
  "src/main.ts": 'import { answer } from "./index.js";\n\nconsole.log(answer);\n',
  "src/index.ts": "export const answer = 42;\n",
};

interface Planted {
  readonly file: string;
  readonly text: string;
  /** What the check says of it. */
  readonly says: RegExp;
}

/** By script: what it must refuse. */
const PLANTED: Record<string, readonly Planted[]> = {
  "check:format": [
    { file: "src/loose.ts", text: "export const loose   = 'quotes'\n", says: /src\/loose\.ts/ },
    {
      file: "test/long.ts",
      text: `export const long = [${'"word", '.repeat(20)}];\n`,
      says: /test\/long\.ts/,
    },
    { file: "scripts/loose.mjs", text: "export const loose   = 1\n", says: /scripts\/loose\.mjs/ },
  ],
  "check:lint": [
    {
      file: "src/runs/fallen.ts",
      text: "export const go = (): void => {\n  Promise.resolve(1);\n};\n",
      says: /src\/runs\/fallen\.ts\n.*no-floating-promises/,
    },
    {
      file: "test/engine/unused.test.ts",
      text: "const never = 1;\n",
      says: /test\/engine\/unused\.test\.ts\n.*no-unused-vars/,
    },
  ],
  "check:types": ["src", "test", "examples"].flatMap((folder) => [
    {
      file: `${folder}/wrong.ts`,
      text: 'export const wrong: number = "text";\n',
      says: new RegExp(`${folder}/wrong\\.ts\\(1,14\\): error TS2322`),
    },
    {
      file: `${folder}/maybe.ts`,
      text: "export const first = (list: string[]): string => list[0];\n",
      says: new RegExp(`${folder}/maybe\\.ts\\(1,.*: error TS2322`),
    },
  ]),
  // Rule by rule in import-rules.test.ts.
  "check:imports": [
    {
      file: "src/lib/leaf.ts",
      text: 'export { answer } from "../index.js";\n',
      says: /error lib-imports-nothing: src\/lib\/leaf\.ts → src\/index\.ts/,
    },
  ],
  "check:unused": [
    { file: "src/orphan.ts", text: "export const orphan = 1;\n", says: /Unused files[\s\S]*src\/orphan\.ts/ },
    {
      file: "test/orphan.ts",
      text: "export const orphan = 1;\n",
      says: /Unused files[\s\S]*test\/orphan\.ts/,
    },
    {
      file: "src/half.ts",
      text: "export const used = 1;\nexport const idle = 2;\n",
      says: /Unused exports[\s\S]*\bidle\b.*src\/half\.ts/,
    },
    {
      file: "examples/half.ts",
      text: 'import "../src/half.js";\nimport "nowhere";\n',
      says: /Unlisted[\s\S]*nowhere/,
    },
    {
      file: "package.json",
      text: JSON.stringify({ ...manifest, dependencies: { ...manifest.dependencies, "left-over": "1.0.0" } }),
      says: /Unused dependencies[\s\S]*left-over/,
    },
  ],
  "check:api": [
    {
      file: "openapi.yaml",
      text: read("openapi.yaml").replace(/\$ref: "?'?#\/components\/schemas\/\w+/, "$&Nowhere"),
      says: /Can't resolve \$ref[\s\S]*no-unresolved-refs/,
    },
  ],
};

const folder = mkdtempSync(join(tmpdir(), "holdpoint-checks-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(file: string, text: string): void {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), text);
}

/** How `npm run NAME` in the small tree ends, and what it says. */
function check(name: string): Promise<{ code: number | null; said: string }> {
  const child = spawn("npm", ["run", "--silent", name], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  const hear = (text: string): void => void (said += text);
  child.stdout.setEncoding("utf8").on("data", hear);
  child.stderr.setEncoding("utf8").on("data", hear);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, said }));
  });
}

describe("npm run check", () => {
  const checks = Object.keys(manifest.scripts).filter((name) => name.startsWith("check:"));

  beforeAll(() => {
    for (const entry of readdirSync(ROOT, { withFileTypes: true }))
      if (entry.isFile() && entry.name !== ".env")
        copyFileSync(join(ROOT, entry.name), join(folder, entry.name));
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
    for (const [file, text] of Object.entries(TREE)) write(file, text);
    for (const { file, text } of Object.values(PLANTED).flat()) write(file, text);
  });

  test("runs every check, and the tests", () => {
    const runs = manifest.scripts.check?.split(" && ") ?? [];
    // `npm test -- --coverage` is all the tests too.
    const plain = runs.map((each) => each.replace(/ -- --coverage$/, ""));
    expect(plain.sort()).toEqual([...checks.map((name) => `npm run ${name}`), "npm test"].sort());
  });

  test("is what CI runs, before the tests that need packages of Debian", () => {
    const runs = read(".ci/run")
      .split("\n")
      .filter((each) => each.startsWith("npm "));
    expect(runs).toEqual(["npm ci", "npm run check", "npm run test:system"]);
  });

  test("has something planted for each check", () => {
    expect(Object.keys(PLANTED).sort()).toEqual(checks.sort());
  });

  test.each(Object.entries(PLANTED))(
    "%s refuses what was planted for it",
    { timeout: 90_000 },
    async (name, planted) => {
      const { code, said } = await check(name);
      for (const { file, says } of planted) expect(said, file).toMatch(says);
      expect(code).not.toBe(0);
      // Of what is right it says nothing.
      expect(said).not.toMatch(/src\/main\.ts/);
    },
  );
});
