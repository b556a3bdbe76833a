/** What is written down twice is the same in both places. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { envExample, settingsHelp } from "../../src/config.js";
import { ERRORS } from "../../src/errors.js";
import { spawnHoldpoint } from "../support/server.js";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

describe("docs/errors.md", () => {
  const rows = [...read("docs/errors.md").matchAll(/^\| `(\w+)` \| ([\w ]+) \| (.+?) \| (.+?) \|$/gm)];

  test("has every code once, and no other", () => {
    expect(rows.map(([, code]) => code).sort()).toEqual(Object.keys(ERRORS).sort());
  });

  test("says of each what the code means", () => {
    for (const [, code = "", , means] of rows)
      expect(means, code).toBe(ERRORS[code as keyof typeof ERRORS].message);
  });
});

describe("the settings", () => {
  test(".env.example is what the schema gives", () => {
    expect(read(".env.example").trimEnd()).toBe(envExample().trimEnd());
  });

  test("every setting that the README names exists", () => {
    const named = read("README.md").match(/\b(?:HOLDPOINT_[A-Z_]+|DATABASE_URL)\b/g) ?? [];
    expect(named).toContain("DATABASE_URL");
    const known = settingsHelp();
    for (const name of named.filter((each) => each !== "HOLDPOINT_URL"))
      expect(known, name).toContain(`${name}:`);
  });
});

describe("openapi.yaml", () => {
  test("is what the route schemas give; `npm run openapi` makes it", async () => {
    const printed = spawnHoldpoint(["openapi"]);
    expect(await printed.exit).toBe(0);
    expect(read("openapi.yaml")).toBe(printed.output());
  });
});

describe("src/client/api.gen.ts", () => {
  test("is what openapi.yaml gives; `npm run client-types` makes it", () => {
    const cli = "node_modules/openapi-typescript/bin/cli.js";
    const made = execFileSync(process.execPath, [cli, "openapi.yaml"], {
      cwd: fileURLToPath(new URL("../../", import.meta.url)),
      stdio: ["ignore", "pipe", "ignore"],
      encoding: "utf8",
    });
    expect(read("src/client/api.gen.ts")).toBe(made);
  });
});
