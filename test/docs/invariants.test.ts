/** CONTRIBUTING.md says which tests attack which invariant; each of them says so too. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

const table = read("CONTRIBUTING.md")
  .split("## Invariants and the tests that attack them")[1]
  ?.split("\n## ")[0];
const rows = [...(table ?? "").matchAll(/^\| (\d+) \|.*\|(.*)\|$/gm)].map(([, number = "", files = ""]) => ({
  number,
  files: [...files.matchAll(/`([^`]+)`/g)].map(([, file = ""]) => file),
}));

test("each of the eleven invariants has a row with tests", () => {
  expect(rows.map(({ number }) => Number(number))).toEqual(Array.from({ length: 11 }, (_each, i) => i + 1));
  for (const { number, files } of rows) expect(files, `tests of invariant ${number}`).not.toEqual([]);
});

test("every test that is named is there, and names the invariant in a title", () => {
  const faults = rows.flatMap(({ number, files }) =>
    files.flatMap((file) => {
      if (!existsSync(join(ROOT, file))) return [`${file} is not there`];
      const says = new RegExp(`["(][Ii]nvariants? (\\d+, )*${number}\\b`);
      return says.test(read(file)) ? [] : [`no title in ${file} says "invariant ${number}"`];
    }),
  );
  expect(faults).toEqual([]);
});

test("every file of test/invariants is in the row of its number", () => {
  const files = readdirSync(join(ROOT, "test/invariants")).filter((name) => name.endsWith(".test.ts"));
  const missing = files.filter((name) => {
    const row = rows.find(({ number }) => Number(number) === parseInt(name, 10));
    return row?.files.includes(`test/invariants/${name}`) !== true;
  });
  expect(missing).toEqual([]);
});
