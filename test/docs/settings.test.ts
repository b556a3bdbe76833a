/** Settings are written down in three places; the schema in src/config.ts makes two, this compares all of them. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { settingsHelp } from "../../src/config.js";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

interface Said {
  readonly default: string;
  readonly meaning: string;
}

/** Fails where a setting is there twice. */
function byName(rows: readonly (readonly [name: string, said: Said])[]): Record<string, Said> {
  const all = Object.fromEntries(rows);
  expect(Object.keys(all)).toHaveLength(rows.length);
  return all;
}

const help = byName(
  [...settingsHelp().matchAll(/^ +--[a-z-]+ +([A-Z_]+): (.*) \(default (.*)\)$/gm)].map(
    ([, name = "", meaning = "", value = ""]) => [name, { default: value, meaning }],
  ),
);

describe("every setting, its default and its meaning are the same in --help and", () => {
  test("everywhere: --help has a line for each", () => {
    expect(Object.keys(help)).toHaveLength(settingsHelp().split("\n").length);
    expect(Object.keys(help)).toContain("DATABASE_URL");
  });

  test(".env.example", () => {
    const entries = [...read(".env.example").matchAll(/^# (.*)\n# ([A-Z_]+)=(.*)$/gm)];
    const example = byName(
      entries.map(([, meaning = "", name = "", value = ""]) => [
        name,
        { default: value === "" ? "none" : value, meaning },
      ]),
    );
    expect(example).toEqual(help);
  });

  test("the table of docs/deployment.md", () => {
    const rows = [...read("docs/deployment.md").matchAll(/^\| `([A-Z_]+)` \| (.*?) \| (.*) \|$/gm)];
    const table = byName(
      rows.map(([, name = "", value = "", meaning = ""]) => [
        name,
        { default: value.replaceAll("`", ""), meaning },
      ]),
    );
    expect(table).toEqual(help);
  });
});
