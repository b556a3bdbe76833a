/** The lint rules that are this project's own refuse what was planted for them, in the files they are about. */
import { fileURLToPath } from "node:url";
import { ESLint } from "eslint";
import { beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PURE = "The engine is pure: take it as an argument.";
const ENVIRONMENT = "Only src/config.ts reads process.env: add a setting there.";

const eslint = new ESLint({ cwd: ROOT });

/** Rules that refuse `text` as an error in place of what `file` holds. The file must exist: the lint is typed. */
async function refusals(file: string, text: string): Promise<string[]> {
  const [result] = await eslint.lintText(`${text}\n`, { filePath: file });
  return (result?.messages ?? [])
    .filter(({ severity }) => severity === 2)
    .map(({ ruleId, message }) => `${ruleId}: ${message}`);
}

// The first file that is linted pays for the types of the whole project.
beforeAll(async () => {
  await refusals("src/engine/plan.ts", "export {};");
}, 120_000);

describe("the engine is pure", () => {
  test.each([
    ["a clock", "export const now = () => new Date().toISOString();", "no-restricted-globals"],
    ["a clock by name", "export const now = () => Date.now();", "no-restricted-globals"],
    ["another clock", "export const now = () => performance.now();", "no-restricted-globals"],
    ["a timer", "export const later = (work: () => void) => setTimeout(work, 1);", "no-restricted-globals"],
    [
      "a repeated timer",
      "export const often = (f: () => void) => setInterval(f, 1);",
      "no-restricted-globals",
    ],
    [
      "a turn of the loop",
      "export const soon = (f: () => void) => setImmediate(f);",
      "no-restricted-globals",
    ],
    ["a microtask", "export const next = (f: () => void) => queueMicrotask(f);", "no-restricted-globals"],
    ["an id of its own", "export const id = () => crypto.randomUUID();", "no-restricted-globals"],
    ["the process", "export const pid = () => process.pid;", "no-restricted-globals"],
    ["the network", 'export const get = () => fetch("http://localhost");', "no-restricted-globals"],
    ["the terminal", 'export const say = () => { console.log("here"); };', "no-restricted-globals"],
    ["a way round", "export const now = () => globalThis.Date.now();", "no-restricted-globals"],
    ["chance", "export const some = () => Math.random();", "no-restricted-properties"],
    ["chance, taken apart", "const { random } = Math; export { random };", "no-restricted-properties"],
  ])("%s is refused in src/engine", async (_what, text, rule) => {
    const found = await refusals("src/engine/plan.ts", text);
    expect(found).toContainEqual(
      expect.stringMatching(new RegExp(`^${rule}: .*${PURE.replaceAll(".", "\\.")}$`)),
    );
  });

  test("and none of that elsewhere, or where it is an argument", async () => {
    const own = "export const at = (now: Date): string => now.toISOString();";
    expect(await refusals("src/engine/plan.ts", own)).toEqual([]);
    expect(
      await refusals("src/runs/ids.ts", "export const now = (): string => new Date().toISOString();"),
    ).toEqual([]);
  });
});

test("the lint knows types: a promise that nobody waits for is refused", async () => {
  const found = await refusals("src/runs/ids.ts", "export const go = () => { Promise.resolve(1); };");
  expect(found).toContainEqual(expect.stringMatching(/^@typescript-eslint\/no-floating-promises: /));
});

describe("a function is read on one screen, a file in one sitting", () => {
  const long = (lines: number): string =>
    `export const sum = (): number => {\n  let n = 0;\n${"  n += 1;\n".repeat(lines - 4)}  return n;\n};`;
  const many = (lines: number): string => "export {};\n".repeat(lines - 1) + "export {};";

  test("a function of 60 lines passes in src, one of 61 does not", async () => {
    expect(await refusals("src/runs/ids.ts", long(60))).toEqual([]);
    expect(await refusals("src/runs/ids.ts", long(61))).toEqual([
      expect.stringMatching(/^max-lines-per-function: /),
    ]);
  });

  test("a file of 400 lines passes in src, one of 401 does not", async () => {
    const sizes = async (lines: number): Promise<string[]> =>
      (await refusals("src/runs/ids.ts", many(lines))).filter((each) => each.startsWith("max-lines:"));
    expect(await sizes(400)).toEqual([]);
    expect(await sizes(401)).toHaveLength(1);
  });
});

describe("one reader of the environment", () => {
  const ways = [
    ["process.env", "export const port = process.env.PORT;"],
    ["by a string", 'export const port = process["env"].PORT;'],
    ["taken apart", "const { env } = process; export const port = env.PORT;"],
    ["by the global object", "export const port = globalThis.process.env.PORT;"],
    ["imported", 'import { env } from "node:process"; export const port = env.PORT;'],
  ] as const;

  test.each(ways)("%s is refused in src", async (_way, text) => {
    for (const file of ["src/runs/ids.ts", "src/engine/plan.ts", "src/main.ts"])
      expect(await refusals(file, text), file).toContain(`no-restricted-syntax: ${ENVIRONMENT}`);
  });

  test("and allowed in src/config.ts, and in tests", async () => {
    const text = "export const port = process.env.PORT;";
    expect(await refusals("src/config.ts", text)).toEqual([]);
    expect(await refusals("test/support/server.ts", text)).toEqual([]);
  });
});
