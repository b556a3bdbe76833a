/** The guide holds: every block of every page is run, type-checked, and does what it says beside it. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { readPage, runScript, runSteps, typeFaults } from "./guide-page.js";

const FOLDER = fileURLToPath(new URL("../../docs/guide/", import.meta.url));
const names = readdirSync(FOLDER).filter((name) => name.endsWith(".md"));
const textOf = (name: string): string => readFileSync(join(FOLDER, name), "utf8");
const pages = names
  .filter((name) => name !== "README.md")
  .sort()
  .map((name) => readPage(name, textOf(name)));

// Graphs that live in memory say so.
beforeEach(() => void vi.spyOn(console, "warn").mockImplementation(() => undefined));

describe.each(pages.map((page, i) => [page.name, page, pages.slice(0, i)] as const))(
  "%s",
  { timeout: 120_000 },
  (_name, page, before) => {
    test("has code, and fewer than 150 lines", () => {
      expect(page.script + [...page.files.keys()].join("")).not.toBe("");
      expect(page.lines).toBeLessThan(150);
    });

    if (page.script !== "")
      test("its script does what it says", async () => {
        expect(await runScript(page, before)).toBeGreaterThan(0);
      });

    if (page.steps.length > 0) test("its commands do what it says", () => runSteps(page, before));
  },
);

test("all code is right to a strict compiler", { timeout: 120_000 }, () => {
  expect(typeFaults(pages)).toEqual([]);
});

test("the index has every page, its links lead somewhere, and it has no code", () => {
  const index = readPage("README.md", textOf("README.md"));
  expect(index.script + [...index.files.keys()].join("") + index.steps.map(String).join("")).toBe("");
  for (const { name } of pages) expect(textOf("README.md")).toContain(`](${name})`);
  for (const name of names)
    for (const [, target = ""] of textOf(name).matchAll(/\]\(([^)#]+)/g))
      expect(existsSync(join(FOLDER, target)), `${name}: ${target}`).toBe(true);
});

describe("a page that is wrong is found out", () => {
  const page = (...lines: string[]) => readPage("planted.md", ["# Planted", "", ...lines].join("\n"));
  const block = (language: string, ...lines: string[]) => ["```" + language, ...lines, "```"];
  const script = (...lines: string[]) => runScript(page(...block("ts", ...lines)), []);

  test("a value that is another", async () => {
    expect(await script("1 + 1; // => 2", "console.log([1]); // => [1]")).toBe(2);
    await expect(script("const two = 2;", "two; // => 3")).rejects.toThrow("planted.md:5");
    await expect(script(`({ a: 1, b: 2 }); // => { a: 1 }`)).rejects.toThrow("planted.md:4");
  });

  test("a refusal that does not come, or is another", async () => {
    expect(await script(`JSON.parse("{"); // throws "SyntaxError"`)).toBe(1);
    await expect(script(`JSON.parse("{}"); // throws "SyntaxError"`)).rejects.toThrow("planted.md:4");
    await expect(script(`JSON.parse("{"); // throws "TypeError"`)).rejects.toThrow("planted.md:4");
  });

  test("an expectation that nothing would check", async () => {
    await expect(script("const two = 2; // => 3")).rejects.toThrow("planted.md:4: not behind an expression");
    await expect(script("// => 3")).rejects.toThrow("not behind an expression");
    await expect(script("function f() {", "  1; // => 1", "}")).rejects.toThrow();
  });

  test("code that throws, and code of a wrong type", async () => {
    await expect(script(`throw new Error("broken");`)).rejects.toThrow("broken");
    expect(typeFaults([page(...block("ts", "const one: number = String(1);"))])).toEqual([
      expect.stringMatching(/^my\/planted\.md\.ts:4: Type 'string'/),
    ]);
    expect(typeFaults([page(...block("ts", "// my/a.ts", "export const one: number = String(1);"))])).toEqual(
      [expect.stringMatching(/^my\/a\.ts:5: Type 'string'/)],
    );
  }, 60_000);

  test("a command whose output is another, and one that fails", async () => {
    const steps = (...lines: string[]) => runSteps(page(...block("sh", ...lines)), []);
    await steps("WORD=two; echo one", "#=> one", "# a comment", "echo $WORD", "#=> two");
    await expect(steps("echo one", "#=> o", "#=> two")).rejects.toThrow("line 4: echo one");
    await expect(steps("false")).rejects.toThrow("false");
    expect(() => page(...block("sh", "# echo", "#=> one"))).toThrow("a promise without a command");
  });

  test("a block that nothing runs", () => {
    expect(() => page(...block("js", "1"))).toThrow('planted.md:3: nothing runs a block of "js"');
    expect(() => page(...block("", "1"))).toThrow("nothing runs");
    expect(() => page(...block("ts", "1").map((line) => `  ${line}`))).toThrow("at the margin");
    expect(() => page("```ts", "1")).toThrow("at the margin");
  });
});
