/** docs/architecture.md says what is so: each message tells what to write. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { PgCheckpointer } from "../../src/checkpoint/postgres/index.js";
import { newPostgresDatabase } from "../support/databases.js";
import { startTracedServer, type Call } from "../support/traced-server.js";
import { folders, imports, paths, places, rules, scripts, way, type WayRow } from "./architecture-page.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const SOURCES = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => `src/${name}`)
  .sort();

/** What is in one list and not in the other, each as the sentence that mends it. */
function differences(
  written: readonly string[],
  real: readonly string[],
  say: { add: (name: string) => string; remove: (name: string) => string },
): string[] {
  return [
    ...[...new Set(real)].filter((name) => !written.includes(name)).map(say.add),
    ...[...new Set(written)].filter((name) => !real.includes(name)).map(say.remove),
    ...written.filter((name, i) => written.indexOf(name) < i).map((name) => `${name} stands there twice`),
  ];
}

describe("the way of POST /threads/:id/resume", () => {
  test(
    "is what the page says, file by file, in the order of the first calls",
    { timeout: 120_000 },
    async () => {
      const { request, stream } = await traceResumes();
      expect([...wayFaults(way(), request), ...streamFaults(way(), request, stream)]).toEqual([]);
    },
  );
});

/** The calls of two resumes of the README's refund; others went before, so that everything is loaded. */
async function traceResumes(): Promise<{ request: Call[]; stream: Call[] }> {
  const folder = mkdtempSync(join(tmpdir(), "holdpoint-way-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const server = await startTracedServer({
    DATABASE_URL: await newPostgresDatabase(),
    HOLDPOINT_GRAPHS: join(ROOT, "examples/refunds.ts"),
    REFUNDS_LEDGER: join(folder, "ledger.ndjson"),
  });
  const post = async (path: string, body: object, accept: string): Promise<string> => {
    const headers = { Accept: accept };
    return (
      await fetch(`${server.url}${path}`, { method: "POST", headers, body: JSON.stringify(body) })
    ).text();
  };
  const resume = async (thread: string, accept: string): Promise<void> => {
    const answer = await post(`/threads/${thread}/resume`, { decision: "approve" }, accept);
    expect(answer, "the refund is approved and paid").toContain('"status":"completed"');
  };
  const [json, events] = ["application/json", "text/event-stream"];
  for (const thread of ["warm-json", "warm-events", "json", "events"]) {
    const input = { messages: ["Order 1042 arrived broken, I want my 129.90 back"] };
    const held = await post(`/threads/${thread}/run`, { input }, json);
    expect(held, "the refund waits").toContain('"status":"interrupted_before"');
  }
  await resume("warm-json", json);
  await resume("warm-events", events);
  await server.calls();
  await resume("json", json);
  const request = await server.calls();
  await resume("events", events);
  return { request, stream: await server.calls() };
}

const quote = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(", ");
const rowOf = (file: string, calls: readonly Call[]): string =>
  `| \`${file}\` | ${quote(namesIn(file, calls))} | what happens there |`;
const namesIn = (file: string, calls: readonly Call[]): string[] => [
  ...new Set(calls.filter((call) => call.file === file).map(({ name }) => name)),
];
const isLeaf = (file: string, leaves: readonly string[]): boolean =>
  leaves.some((leaf) => leaf === file || (leaf.endsWith("/*") && dirname(file) === leaf.slice(0, -2)));
const placeOf = (calls: readonly Call[], file: string, name: string): number =>
  calls.findIndex((call) => call.file === file && call.name === name);

/** What the tables and the leaves say that is not so of this request. */
function wayFaults({ request, leaves, aside }: ReturnType<typeof way>, calls: readonly Call[]): string[] {
  const named = request.map(({ file }) => file);
  return [
    ...unnamedFaults(calls, request, [...leaves, ...aside]),
    ...rowFaults(request, calls),
    ...orderFaults(request, calls),
    ...named
      .filter((file, i) => named.indexOf(file) < i)
      .map((file) => `${file} has two rows: make them one`),
    ...leaves
      .filter((leaf) => !calls.some(({ file }) => isLeaf(file, [leaf])))
      .map((leaf) => `nothing of the leaf ${leaf} runs: take it out of the leaves`),
    ...named
      .filter((file) => isLeaf(file, leaves))
      .map((file) => `${file} is a leaf and has a row: take one of them away`),
    ...storageFaults(request, calls),
  ];
}

function unnamedFaults(calls: readonly Call[], rows: readonly WayRow[], leaves: readonly string[]): string[] {
  const ran = [...new Set(calls.map(({ file }) => file))];
  const known = (file: string): boolean => rows.some((row) => row.file === file);
  return ran
    .filter((file) => !known(file) && !isLeaf(file, leaves))
    .map((file) => {
      const before = ran.slice(0, ran.indexOf(file)).findLast(known);
      return `${file} runs and has no row. Write, near that of ${before ?? "the first file"}: ${rowOf(file, calls)} (with the functions that matter), or name it among the leaves`;
    });
}

function rowFaults(rows: readonly WayRow[], calls: readonly Call[]): string[] {
  return rows.flatMap(({ file, functions }) => {
    const here = namesIn(file, calls);
    if (functions.length === 0) return [`the row of ${file} names no function: name some of ${quote(here)}`];
    return functions
      .filter((name) => !here.includes(name))
      .map((name) => {
        const elsewhere = calls.filter((call) => call.name === name).map((call) => call.file);
        const hint =
          elsewhere.length === 0 ? "" : `; one of that name ran in ${[...new Set(elsewhere)].join(", ")}`;
        if (here.length === 0) return `nothing of ${file} runs: take its row away${hint}`;
        return `\`${name}\` of ${file} does not run${hint}. Name others of ${quote(here)}`;
      });
  });
}

/** Rows, and functions within rows, that do not stand in the order of their first calls. */
function orderFaults(rows: readonly WayRow[], calls: readonly Call[]): string[] {
  const ranRows = rows
    .map(({ file, functions }) => ({
      file,
      functions: functions.filter((name) => placeOf(calls, file, name) !== -1),
    }))
    .filter(({ functions }) => functions.length > 0);
  const within = ranRows.flatMap(({ file, functions }) => {
    const sorted = functions.toSorted((a, b) => placeOf(calls, file, a) - placeOf(calls, file, b));
    return sorted.join() === functions.join()
      ? []
      : [`the functions of ${file} are called in this order: ${quote(sorted)}`];
  });
  if (within.length > 0) return within;
  const firstOf = ({ file, functions }: WayRow): number => placeOf(calls, file, functions[0] ?? "");
  const ordered = ranRows.toSorted((a, b) => firstOf(a) - firstOf(b));
  const moved = (row: WayRow, i: number): boolean => row !== ordered[i];
  const from = ranRows.findIndex(moved);
  if (from === -1) return [];
  const files = ordered.slice(from, ranRows.findLastIndex(moved) + 1).map(({ file }) => file);
  return [
    `behind the row of ${ordered[from - 1]?.file ?? "nothing"} the rows belong in the order of the first calls: ${files.join(", ")}`,
  ];
}

/** What is asked of the storage is told in full. */
function storageFaults(rows: readonly WayRow[], calls: readonly Call[]): string[] {
  const file = "src/checkpoint/postgres/pg-checkpointer.ts";
  const methods = Object.getOwnPropertyNames(PgCheckpointer.prototype);
  const written = rows.find((row) => row.file === file)?.functions ?? [];
  return differences(
    written,
    namesIn(file, calls).filter((name) => methods.includes(name)),
    {
      add: (name) => `this request asks \`${name}\` of the storage: name it in the row of ${file}`,
      remove: (name) =>
        `this request does not ask \`${name}\` of the storage: take it out of the row of ${file}`,
    },
  );
}

/** Asked or not, as the reader is ahead of the run or behind it: whether it waits, and whether it meets the end in the log. */
const BY_CHANCE = ["src/runs/run-control.ts", "src/checkpoint/postgres/sql/load.ts"];

/** What the table of the stream says that is not so: it names what runs then and did not run before. */
function streamFaults(
  { stream, leaves, aside }: ReturnType<typeof way>,
  before: readonly Call[],
  calls: readonly Call[],
): string[] {
  const added = calls.filter(
    ({ file, name }) => placeOf(before, file, name) === -1 && !BY_CHANCE.includes(file),
  );
  return [
    ...unnamedFaults(added, stream, [...leaves, ...aside]),
    ...rowFaults(stream, calls),
    ...stream.flatMap(({ file, functions }) =>
      functions
        .filter((name) => placeOf(before, file, name) !== -1)
        .map((name) => `\`${name}\` of ${file} runs without a stream, too: name it in the tables above`),
    ),
  ].map((fault) => `as a stream: ${fault}`);
}

describe("what the page names is there", () => {
  test("every path", () => {
    expect(paths().length).toBeGreaterThan(50);
    const missing = paths().filter((path) => !existsSync(join(ROOT, path)));
    expect(missing.map((path) => `there is no ${path}: name what took its place`)).toEqual([]);
  });

  test("every name, in the file that is said to have it", () => {
    expect(places().length).toBeGreaterThan(40);
    const missing = places().filter(
      ({ name, file }) =>
        !existsSync(join(ROOT, file)) || !new RegExp(`(?<![\\w#])${name}(?!\\w)`).test(read(file)),
    );
    expect(
      missing.map(({ name, file }) => `there is no \`${name}\` in ${file}: say where it is now`),
    ).toEqual([]);
  });

  test("every npm script", () => {
    const known = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    expect(scripts().filter((name) => known.scripts[name] === undefined)).toEqual([]);
  });
});

test("every folder of src has its paragraph, and no other", () => {
  const faults = differences(
    folders().map(({ folder }) => folder),
    SOURCES.map((file) => dirname(file)),
    {
      add: (folder) => `write a paragraph under "The folders" that begins with **\`${folder}/\`**`,
      remove: (folder) => `${folder}/ has no sources: take its paragraph away`,
    },
  );
  expect(faults).toEqual([]);
});

describe("who may import whom", () => {
  test("every rule of .dependency-cruiser.cjs has its row, with its comment, and no other", () => {
    const config = createRequire(import.meta.url)("../../.dependency-cruiser.cjs") as {
      forbidden: { name: string; comment: string }[];
    };
    const faults = differences(
      rules().map(({ name, instead }) => `${name}: ${instead}`),
      config.forbidden.map(({ name, comment }) => `${name}: ${comment}`),
      {
        add: (rule) => `write a row for the rule and what it says to do instead, in its words: ${rule}`,
        remove: (rule) => `there is no such rule in .dependency-cruiser.cjs: ${rule}`,
      },
    );
    expect(faults).toEqual([]);
  });

  test("what imports what today is what the sources say", () => {
    const faults = differences(imports(), SOURCES.flatMap(importsOf), {
      add: (edge) => `write it in the row of its part, if it is meant: ${edge}`,
      remove: (edge) => `nothing imports so any more: ${edge}`,
    });
    expect(faults).toEqual([]);
  });
});

/** A root by its name, anything else by its folder; the adapters are parts of their own. */
function partOf(file: string): string {
  const [, folder = "", sub = "", ...more] = file.split("/");
  if (sub === "") return file;
  return folder === "checkpoint" && more.length > 0 ? `src/${folder}/${sub}` : `src/${folder}`;
}

function importsOf(file: string): string[] {
  const targets = [...read(file).matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map(([, target = ""]) =>
    join(dirname(file), target),
  );
  return targets
    .map((target) => [partOf(file), partOf(target.replace(/\.js$/, ".ts"))] as const)
    .filter(([from, to]) => from !== to)
    .map(([from, to]) => `${from} -> ${to}`);
}
