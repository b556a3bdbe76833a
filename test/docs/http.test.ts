/** docs/http.md against a real server: every command is run, every answer and every event compared with what comes back. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { EventSource } from "eventsource";
import { describe, expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { EventType } from "../../src/engine/index.js";
import { newPostgresDatabase } from "../support/databases.js";
import type { Body } from "../support/http-server.js";
import { until } from "../support/poll.js";
import { startServer } from "../support/server.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const run = promisify(execFile);

const doc = read("docs/http.md");
/** The fenced blocks, in order, by what stands behind their fence. */
const blocks = [...doc.matchAll(/^```(.+)\n([\s\S]*?)^```$/gm)].map(([, kind = "", text = ""]) => ({
  kind,
  text,
}));

/** The text between a heading and the next one of its rank or above. */
function section(heading: string): string {
  const rank = heading.split(" ")[0]?.length ?? 0;
  const [, after] = doc.split(`\n${heading}\n`);
  if (after === undefined) throw new Error(`docs/http.md has no "${heading}"`);
  return after.split(new RegExp(`^#{1,${rank}} `, "m"))[0] ?? "";
}

interface Row {
  readonly cells: readonly string[];
}
/** The rows of the first table of a section, without its head. */
function table(heading: string): Row[] {
  const lines = section(heading)
    .split("\n")
    .filter((line) => line.startsWith("| "));
  return lines.slice(1).map((line) => ({
    cells: line
      .slice(2, -2)
      .split(" | ")
      .map((cell) => cell.trim()),
  }));
}

/** Ids and times differ from run to run; which ids are the same stays to be seen. */
function normal(text: string): string {
  const ids: string[] = [];
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/g, (id) => {
      if (!ids.includes(id)) ids.push(id);
      return `<id ${ids.indexOf(id) + 1}>`;
    })
    .replace(/"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/g, '"<time>"');
}

/** The same, for JSON in whatever layout: keys in their order, values as they are. */
const normalJson = (text: string): string => normal(JSON.stringify(JSON.parse(text), null, 1));

interface Frame {
  readonly name: string;
  /** As it was sent, without the empty line at its end. */
  readonly text: string;
  readonly chunk: Body;
}

/** The events of what a stream sent. Fails where one does not have the three lines of an event. */
function framesOf(text: string): Frame[] {
  const parts = text.split("\n\n").filter((part) => /^(?:id|event|data):/m.test(part));
  return parts.map((part) => {
    const lines = /^id: (\d+)\nevent: (\w+)\ndata: (\{.*\})\n?$/.exec(part);
    if (lines === null) throw new Error(`not an event: ${part}`);
    return { name: lines[2] ?? "", text: part.trimEnd(), chunk: JSON.parse(lines[3] ?? "") };
  });
}
const placeOf = ({ chunk }: Frame): string => `${chunk.thread_id}#${chunk.seq}`;
const namesOf = (frames: readonly Frame[]): string[] => [...new Set(frames.map(({ name }) => name))].sort();

/** EventSource gives the name `error` to broken connections. */
const UNION = Object.values(EventType)
  .map((type) => (type === "error" ? "failed" : type))
  .sort();
const documented = blocks.filter(({ kind }) => kind === "sse").flatMap(({ text }) => framesOf(text));

/** What a server said to all that the page asks of one. */
interface Story {
  /** What each `sh` block printed. */
  readonly printed: readonly string[];
  /** What a stream that stays open sent, to the first comment behind its events. */
  readonly quiet: string;
  /** What the page's EventSource heard before it stopped asking. */
  readonly heard: readonly Body[];
  /** What each line of "Not there yet" was answered. */
  readonly refusals: readonly string[];
}
let told: Promise<Story> | undefined;
const story = (): Promise<Story> => (told ??= tell());

async function tell(): Promise<Story> {
  const folder = mkdtempSync(join(tmpdir(), "holdpoint-http-doc-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const graph = blocks.find(({ kind }) => kind === "ts report.ts")?.text;
  if (graph === undefined) throw new Error("docs/http.md has no graph for its events");
  writeFileSync(join(folder, "report.ts"), graph);
  const { url } = await startServer({
    DATABASE_URL: await newPostgresDatabase(),
    HOLDPOINT_GRAPHS: `${join(ROOT, "examples")},${join(folder, "report.ts")}`,
    HOLDPOINT_SSE_HEARTBEAT_MS: "200",
    CHAT_DELAY_MS: "3600000",
    REFUNDS_LEDGER: join(folder, "ledger.ndjson"),
  });

  const printed: string[] = [];
  for (const { text } of blocks.filter(({ kind }) => kind === "sh")) {
    const env = { PATH: process.env.PATH, HOLDPOINT_URL: url };
    printed.push((await run("bash", ["-ec", text], { cwd: folder, env })).stdout);
  }

  const refusals: string[] = [];
  for (const [request = ""] of table("## Not there yet").map(({ cells }) => cells)) {
    const [, method = "", path = "", body] = /^`(\w+) (\S+?)(?: (\{.*\}))?`$/.exec(request) ?? [];
    const answer = await fetch(`${url}${path}`, { method, ...(body === undefined ? {} : { body }) });
    refusals.push(`${answer.status} \`${((await answer.json()) as Body).code}\``);
  }
  return { printed, refusals, quiet: await toHeartbeat(url), heard: await listen(url, folder) };
}

async function toHeartbeat(url: string): Promise<string> {
  const leaving = new AbortController();
  const stream = await fetch(`${url}/threads/s1/stream?follow=true`, { signal: leaving.signal });
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream.body ?? []) {
    text += decoder.decode(bytes as Uint8Array, { stream: true });
    if (text.includes("event: end\n") && /\n\n:[^\n]*\n\n$/.test(text)) break;
  }
  leaving.abort();
  return text;
}

/** Runs the page's script in a module of its own, until its EventSource gives up by itself. */
async function listen(url: string, folder: string): Promise<Body[]> {
  const script = blocks.find(({ kind }) => kind === "js")?.text ?? "";
  const file = join(folder, "listen.mjs");
  writeFileSync(file, `export default (EventSource, url, show) => {\n${script}\nreturn source;\n};\n`);
  const { default: start } = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as {
    default: (of: typeof EventSource, url: string, show: (chunk: Body) => void) => EventSource;
  };
  const heard: Body[] = [];
  const source = start(EventSource, url, (chunk) => heard.push(chunk));
  onTestFinished(() => source.close());
  await until("EventSource stops asking", () => source.readyState === EventSource.CLOSED);
  return heard;
}

describe("the routes", () => {
  const api: Body = parse(read("openapi.yaml"));
  const described = Object.entries(api.paths as Record<string, Record<string, Body>>).flatMap(
    ([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        route: `\`${method.toUpperCase()} ${path}\``,
        does: operation.summary as string,
        statuses: Object.keys(operation.responses as object),
      })),
  );

  test("are those of openapi.yaml, with what they do and the statuses that they answer with", () => {
    const rows = table("## Routes").map(({ cells }) => cells);
    const expected = described.map(({ route, does, statuses }) => [
      route,
      does,
      statuses.filter((status) => status !== "403").join(", "),
    ]);
    expect(rows).toEqual(expected);
  });

  test("may all answer 403, as the page says of them together", () => {
    expect(described.filter(({ statuses }) => !statuses.includes("403"))).toEqual([]);
  });
});

test("every code that the page names is in docs/errors.md, with the same status", () => {
  const known = new Map(
    [...read("docs/errors.md").matchAll(/^\| `(\w+)` \| ([\w ]+) \|/gm)].map(([, code, status]) => [
      code,
      status,
    ]),
  );
  const named = [...doc.matchAll(/(\d{3}) \[`(\w+)`\]\(errors\.md\)/g)];
  expect(named.length).toBe(doc.match(/`\]\(errors\.md\)/g)?.length ?? 0);
  expect(named.map(([, status, code]) => `${status} ${code}`)).toEqual(
    named.map(([, , code]) => `${known.get(code)} ${code}`),
  );
});

describe("the answers", { timeout: 120_000 }, () => {
  test("are a server's", async () => {
    const { printed } = await story();
    let compared = 0;
    let command = -1;
    for (const [i, { kind, text }] of blocks.entries()) {
      if (kind === "sh") command++;
      if (kind !== "json") continue;
      expect(blocks[i - 1]?.kind, text).toBe("sh");
      expect(normalJson(text), blocks[i - 1]?.text).toBe(normalJson(printed[command] ?? ""));
      compared++;
    }
    expect(compared).toBeGreaterThanOrEqual(7);
  });

  test("to what is not there yet are as they are said to be", async () => {
    const { refusals } = await story();
    expect(table("## Not there yet").map(({ cells }) => cells[1])).toEqual(refusals);
    expect(refusals.length).toBeGreaterThanOrEqual(3);
  });
});

describe("the events", { timeout: 120_000 }, () => {
  const headings = [...section("## Events").matchAll(/^### (\w+)$/gm)].map(([, name = ""]) => name);

  test("are all of the union, and no other, each under its own heading", () => {
    expect([...headings].sort()).toEqual(UNION);
    expect(documented.map(({ name }) => name)).toEqual(headings);
    for (const name of headings)
      expect(section(`### ${name}`)).toMatch(new RegExp("```sse\\nid: \\d+\\nevent: " + name));
  });

  test("are a server's", async () => {
    const sent = (await story()).printed.flatMap(framesOf);
    expect(namesOf(sent)).toEqual(UNION);
    const real = new Map(sent.map((frame) => [placeOf(frame), normal(frame.text)]));
    for (const frame of documented) expect(normal(frame.text), placeOf(frame)).toBe(real.get(placeOf(frame)));
  });

  test("have the keys that the page explains, and each says what its data is", () => {
    const explained = table("## Events").flatMap(({ cells }) =>
      [...(cells[0] ?? "").matchAll(/`(\w+)`/g)].map(([, key]) => key),
    );
    for (const { name, text, chunk } of documented) {
      expect(Object.keys(chunk as object).sort(), name).toEqual([...explained].sort());
      const prose = section(`### ${name}`).replace(text, "");
      for (const key of Object.keys(chunk.data as object))
        expect(prose, `${name}: data.${key}`).toContain(`\`${key}\``);
    }
  });

  test("come after the page's opening, and with the page's comment in a quiet time", async () => {
    const { quiet, printed } = await story();
    const [opening = "", heartbeat = "", ...others] = blocks
      .filter(({ kind, text }) => kind === "sse" && framesOf(text).length === 0)
      .map(({ text }) => text);
    expect(others).toEqual([]);
    const streams = printed.filter((text) => framesOf(text).length > 0);
    expect(streams.length).toBeGreaterThan(0);
    for (const text of [...streams, quiet]) expect(text.slice(0, opening.length)).toBe(opening);
    expect(quiet.slice(-heartbeat.length)).toBe(heartbeat);
    expect(heartbeat).toMatch(/^:/);
  });

  test("are all heard by the page's EventSource, which stops asking after the terminal one", async () => {
    const { heard, printed } = await story();
    const script = blocks.find(({ kind }) => kind === "js")?.text ?? "";
    expect([...script.matchAll(/"(\w+)"/g)].map(([, name]) => name).sort()).toEqual(UNION);
    const run = printed.flatMap(framesOf).filter(({ chunk }) => chunk.run_id === heard[0]?.run_id);
    const kept = run.filter(({ name }) => name !== "delta" && name !== "decision").map(({ chunk }) => chunk);
    expect(heard).toEqual(kept);
    expect(heard.at(-1)?.event_type).toBe("end");
  });
});
