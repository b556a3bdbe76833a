/** Who may import whom (docs/architecture.md): every rule of .dependency-cruiser.cjs refuses what was planted for it. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { cruise, type ICruiseResult } from "dependency-cruiser";
import extractDepcruiseConfig from "dependency-cruiser/config-utl/extract-depcruise-config";
import extractTSConfig from "dependency-cruiser/config-utl/extract-ts-config";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** By rule: files of a made-up tree, each with the one import that the rule must refuse. */
const PLANTED: Record<string, Record<string, string>> = {
  // The way back is in ALLOWED: a circle is reported once.
  "no-circles": { "src/telemetry/here.ts": 'import "./there.js"' },
  "lib-imports-nothing": {
    "src/lib/of-the-engine.ts": 'import type { Run } from "../engine/index.js"',
    "src/lib/of-errors.ts": 'import "../errors.js"',
    "src/lib/of-a-leaf.ts": 'import "./leaf.js"',
    "src/lib/of-node.ts": 'import "node:crypto"',
    "src/lib/of-npm.ts": 'import { z } from "zod"',
  },
  "errors-import-lib": { "src/errors.ts": 'import "node:util"' },
  "engine-is-pure": {
    "src/engine/of-runs.ts": 'import type { Runtime } from "../runs/index.js"',
    "src/engine/of-the-port.ts": 'import type { Checkpointer } from "../checkpoint/checkpointer.js"',
    "src/engine/of-node.ts": 'import { randomUUID } from "node:crypto"',
    "src/engine/of-npm.ts": 'import { z } from "zod"',
    "src/engine/of-npm-types.ts": 'import type { z } from "zod"',
  },
  "ports-know-the-engine": {
    "src/checkpoint/of-runs.ts": 'import "../runs/index.js"',
    "src/checkpoint/of-config.ts": 'import "../config.js"',
    "src/checkpoint/of-http.ts": 'import "../http/index.js"',
    "src/checkpoint/of-an-adapter.ts": 'import "./memory/index.js"',
    "src/checkpoint/of-events.ts": 'import "../events/index.js"',
    "src/events/of-the-other-port.ts": 'import "../checkpoint/checkpointer.js"',
    "src/events/of-auth.ts": 'import type { Principal } from "../auth/index.js"',
    "src/events/of-runs.ts": 'import "../runs/index.js"',
  },
  "adapters-know-their-port": {
    "src/checkpoint/memory/of-runs.ts": 'import "../../runs/index.js"',
    "src/checkpoint/postgres/of-config.ts": 'import "../../config.js"',
    "src/checkpoint/postgres/sql/of-events.ts": 'import "../../../events/index.js"',
  },
  "adapters-are-strangers": {
    "src/checkpoint/memory/of-postgres.ts": 'import "../postgres/index.js"',
    "src/checkpoint/postgres/of-memory.ts": 'import "../memory/index.js"',
  },
  "runs-stand-on-ports": {
    "src/runs/of-http.ts": 'import type { App } from "../http/index.js"',
    "src/runs/of-auth.ts": 'import "../auth/index.js"',
    "src/runs/of-graph.ts": 'import "../graph/index.js"',
    "src/runs/of-agents.ts": 'import "../agents/index.js"',
    "src/runs/of-protocols.ts": 'import "../protocols/index.js"',
    "src/runs/of-config.ts": 'import type { Settings } from "../config.js"',
  },
  "the-library-stands-on-runs": {
    "src/graph/of-http.ts": 'import "../http/index.js"',
    "src/graph/of-config.ts": 'import "../config.js"',
    "src/graph/of-telemetry.ts": 'import "../telemetry/index.js"',
    "src/agents/of-auth.ts": 'import "../auth/index.js"',
    "src/agents/of-graph.ts": 'import "../graph/index.js"',
    "src/protocols/of-http.ts": 'import "../http/index.js"',
    "src/protocols/of-app.ts": 'import "../app.js"',
  },
  "http-is-a-face": {
    "src/http/of-the-port.ts": 'import type { Checkpointer } from "../checkpoint/checkpointer.js"',
    "src/http/routes/of-config.ts": 'import "../../config.js"',
    "src/http/of-agents.ts": 'import "../agents/index.js"',
    "src/http/of-app.ts": 'import "../app.js"',
    "src/http/of-cli.ts": 'import "../cli/index.js"',
  },
  "http-knows-graphs-by-type": { "src/http/of-graph.ts": 'import { StateGraph } from "../graph/index.js"' },
  "the-client-stands-alone": {
    "src/client/of-errors.ts": 'import type { ErrorCode } from "../errors.js"',
    "src/client/of-lib.ts": 'import "../lib/leaf.js"',
    "src/client/of-node.ts": 'import { randomUUID } from "node:crypto"',
    "src/client/of-npm.ts": 'import { z } from "zod"',
  },
  "nobody-needs-the-client": { "src/telemetry/of-the-client.ts": 'import "../client/index.js"' },
  "only-roots-pick-adapters": {
    "src/auth/of-memory.ts": 'import "../checkpoint/memory/index.js"',
    "src/runs/of-memory.ts": 'import "../checkpoint/memory/index.js"',
    "src/graph/of-memory.ts": 'import "../checkpoint/memory/index.js"',
    "src/protocols/of-postgres.ts": 'import "../checkpoint/postgres/index.js"',
    "src/main.ts": 'import "./checkpoint/postgres/index.js"',
  },
  "the-default-is-memory": { "src/graph/runtime-for.ts": 'import "../checkpoint/postgres/index.js"' },
  "databases-in-their-adapter": {
    "src/runs/of-pg.ts": 'import pg from "pg"',
    "src/runs/of-pg-types.ts": 'import type { Pool } from "pg"',
    "src/runs/of-pg-later.ts": 'export const pool = async () => import("pg")',
    "src/checkpoint/memory/of-pglite.ts": 'import { PGlite } from "@electric-sql/pglite"',
    "src/cli/of-pglite.ts": 'import type { PGlite } from "@electric-sql/pglite"',
  },
  "fastify-in-http": {
    "src/app.ts": 'import { fastify } from "fastify"',
    "src/protocols/of-fastify-types.ts": 'import type { FastifyInstance } from "fastify"',
    "src/cli/of-a-plugin.ts": 'import cors from "@fastify/cors"',
    "src/auth/of-a-bridge.ts": 'import type { ZodTypeProvider } from "fastify-type-provider-zod"',
  },
  "src-stands-alone": {
    "src/cli/of-a-test.ts": 'import "../../test/support/latch.js"',
    "src/cli/of-the-bench.ts": 'import "../../bench/engine.js"',
    "src/cli/of-the-console.ts": 'import "../../console/view.js"',
    "src/cli/of-an-example.ts": 'import "../../examples/refunds.js"',
    "src/cli/of-a-script.ts": 'import "../../scripts/build.js"',
  },
  "inside-not-through-the-door": { "src/runs/of-its-own-index.ts": 'import "./index.js"' },
  "through-the-front-door": {
    "src/cli/of-inside-runs.ts": 'import "../runs/inside.js"',
    "src/protocols/of-inside-the-engine.ts": 'import type { Plan } from "../engine/inside.js"',
    "src/http/routes/of-inside-auth.ts": 'import "../../auth/inside.js"',
    "src/http/of-inside-protocols.ts": 'import "../protocols/inside.js"',
    "src/index.ts": 'import "./graph/inside.js"',
    "src/config.ts": 'import "./http/routes/inside.js"',
  },
  "storage-has-doors-too": {
    "src/cli/of-inside-the-port.ts": 'import "../checkpoint/inside.js"',
    "src/cli/of-inside-postgres.ts": 'import "../checkpoint/postgres/inside.js"',
    "src/runs/of-inside-the-port.ts": 'import "../checkpoint/inside.js"',
  },
};

/** What folders are meant to do: no rule may object. */
const ALLOWED: Record<string, string> = {
  "src/telemetry/there.ts": 'import "./here.js"',
  "src/engine/above.ts": 'import "../errors.js"; import "../lib/leaf.js"; import "./inside.js"',
  "src/events/above.ts": 'import "../engine/index.js"',
  "src/checkpoint/postgres/above.ts":
    'import pg from "pg"; import "../checkpointer.js"; import "../../engine/index.js"',
  "src/runs/above.ts":
    'import "../checkpoint/checkpointer.js"; import "../events/index.js"; import "../telemetry/index.js"; import { z } from "zod"',
  "src/graph/above.ts":
    'import "../runs/index.js"; import type { Checkpointer } from "../checkpoint/checkpointer.js"',
  "src/http/above.ts":
    'import type { StateGraph } from "../graph/index.js"; import "../protocols/index.js"; import "../auth/index.js"; import { fastify } from "fastify"',
  "src/client/beside.ts": 'import { createParser } from "eventsource-parser"; import "./inside.js"',
  "src/cli/above.ts":
    'import "../checkpoint/postgres/index.js"; import "../http/index.js"; import "../app.js"',
};

const folder = mkdtempSync(join(tmpdir(), "holdpoint-imports-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(file: string, text: string): void {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), `${text};\n`);
}

/** What is imported must be there, or it would be nobody's. */
function plant(files: Record<string, string>): void {
  for (const [file, text] of Object.entries(files)) {
    for (const [, to = ""] of text.matchAll(/"(\.[^"]+)\.js"/g))
      if (!(`${normalize(join(dirname(file), to))}.ts` in everything))
        write(`${join(dirname(file), to)}.ts`, "export const here = 1");
    write(file, text);
  }
}

const everything: Record<string, string> = Object.assign({}, ALLOWED, ...Object.values(PLANTED));
const config = await extractDepcruiseConfig(join(ROOT, ".dependency-cruiser.cjs"));
const rules = config.forbidden ?? [];

/** `file: rule` for every violation in the made-up tree, under the project's own rules and options. */
async function violations(): Promise<string[]> {
  const { options, ...ruleSet } = config;
  const { output } = await cruise(
    ["src"],
    { ...options, baseDir: folder, ruleSet, validate: true },
    {},
    { tsConfig: extractTSConfig(join(ROOT, "tsconfig.json")) },
  );
  return (output as ICruiseResult).summary.violations.map(
    ({ from, rule }) => `${from}: ${rule.name} (${rule.severity})`,
  );
}

describe("every import rule", () => {
  let found: string[] = [];

  beforeAll(async () => {
    plant(everything);
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
    found = await violations();
  });

  test("has something planted for it, and nothing is planted for a rule that is gone", () => {
    expect(Object.keys(PLANTED).sort()).toEqual(rules.map(({ name }) => name ?? "").sort());
  });

  test.each(rules.map((rule) => [rule.name ?? "", rule] as const))(
    "%s says what to do instead",
    (_name, { comment }) => {
      expect(comment?.length).toBeGreaterThan(30);
    },
  );

  test.each(Object.entries(PLANTED))(
    "%s refuses what was planted for it, and no other rule does",
    (rule, files) => {
      const planted = found.filter((violation) =>
        Object.keys(files).some((file) => violation.startsWith(`${file}:`)),
      );
      expect([...new Set(planted)].sort()).toEqual(
        Object.keys(files)
          .map((file) => `${file}: ${rule} (error)`)
          .sort(),
      );
    },
  );

  test("lets everything else pass", () => {
    const planted = Object.values(PLANTED).flatMap(Object.keys);
    expect(found.filter((violation) => !planted.some((file) => violation.startsWith(`${file}:`)))).toEqual(
      [],
    );
  });
});
