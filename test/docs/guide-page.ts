/**
 * A page of the guide as what it says to run. Its `ts` blocks whose first line names a file (`// my/transfer.ts`) are
 * files; the others are one script, in the page's order. Its `sh` blocks are run line by line. Every line of a file or a
 * script is where it is on the page, so that errors name the page's lines.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";
import { expect, onTestFinished } from "vitest";
import { newDataDir } from "../process/scene.js";
import { startServer, type Env, type Server } from "../support/server.js";
import { newChecks, withChecks } from "./expectations.js";
import { pullsThePlug, Shell, shellSteps, type ShellStep } from "./shell-steps.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export interface GuidePage {
  readonly name: string;
  readonly lines: number;
  /** By path. */
  readonly files: ReadonlyMap<string, string>;
  /** Empty where the page has none. */
  readonly script: string;
  readonly steps: readonly ShellStep[];
}

/** Reads a page. Throws for a block of another language than ts, sh and text, which nothing would run. */
export function readPage(name: string, text: string): GuidePage {
  const lines = text.trimEnd().split("\n");
  const files = new Map<string, string>();
  const script = lines.map(() => "");
  const steps: ShellStep[] = [];
  for (let i = 0; i < lines.length; i++) {
    const fence = /^\s*(?:`{3,}|~{3,})(.*)$/.exec(lines[i] ?? "");
    if (fence === null) continue;
    const end = lines.indexOf("```", i + 1);
    if (!(lines[i] ?? "").startsWith("```") || end === -1)
      throw new Error(`${name}:${i + 1}: a block begins with \`\`\` at the margin and ends so`);
    const block = lines.slice(i + 1, end);
    const path = /^\/\/ (my\/\S+\.ts)$/.exec(block[0] ?? "")?.[1];
    if (fence[1] === "ts" && path !== undefined)
      files.set(path, "\n".repeat(i + 1) + block.join("\n") + "\n");
    else if (fence[1] === "ts") script.splice(i + 1, block.length, ...block);
    else if (fence[1] === "sh") steps.push(...shellSteps(block.join("\n"), i + 2));
    else if (fence[1] !== "text")
      throw new Error(`${name}:${i + 1}: nothing runs a block of "${fence[1] ?? ""}"`);
    i = end;
  }
  const empty = script.every((line) => line === "");
  return { name, lines: lines.length, files, script: empty ? "" : script.join("\n") + "\n", steps };
}

/** The page's files, over those of the pages before it: what its reader has in front of them. */
function filesOf(page: GuidePage, before: readonly GuidePage[]): Map<string, string> {
  return new Map([...before, page].flatMap(({ files }) => [...files]));
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "holdpoint-guide-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}

/** A folder that is to Node what a clone with `npm ci` and a build is, with these files in it. */
function cloneWith(files: ReadonlyMap<string, string>): string {
  const folder = newFolder();
  for (const name of ["node_modules", "dist"]) symlinkSync(join(ROOT, name), join(folder, name));
  cpSync(join(ROOT, "package.json"), join(folder, "package.json"));
  for (const [path, text] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

/** Runs the page's script against the sources, its expectations checked. Gives how many there were. */
export async function runScript(page: GuidePage, before: readonly GuidePage[]): Promise<number> {
  const script = join("my", `${page.name}.ts`);
  const checked = withChecks(page.script, page.name);
  const folder = cloneWith(filesOf(page, before).set(script, checked));
  const checks = newChecks();
  Object.assign(globalThis, { pageChecks: checks });
  await import(pathToFileURL(join(folder, script)).href);
  expect(checks.count).toBe(checked.split("globalThis.pageChecks.").length - 1);
  return checks.count;
}

const START_LINE = /^(HOLDPOINT_GRAPHS)=(\S+) npm start$/;

/**
 * Runs the page's shell lines, on the embedded database. `… npm start` is a server that this process starts; `my/try.ts`
 * is the script as page 1 says to write it, without the lines that throw.
 */
export async function runSteps(page: GuidePage, before: readonly GuidePage[]): Promise<void> {
  const files = filesOf(page, before);
  if (page.script !== "") files.set("my/try.ts", page.script.replaceAll(/^.*\/\/ throws .*$/gm, ""));
  const folder = cloneWith(files);
  const shell = new Shell(folder);
  const data = { HOLDPOINT_DATA_DIR: newDataDir() };
  let env: Env = {};
  let server: Server | null = null;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    server?.kill(signal);
    await server?.exit;
  };
  for (const step of page.steps) {
    const started = START_LINE.exec(step.command);
    if (started !== null) {
      await end("SIGTERM");
      env = { ...data, HOLDPOINT_GRAPHS: join(folder, started[2] ?? "") };
      server = await startServer(env, { cwd: folder });
    } else if (pullsThePlug(step)) {
      await end("SIGKILL");
      server = await startServer(env, { cwd: folder });
    } else {
      // A cache in node_modules would be one of the real project's.
      await shell.run(step, {
        JITI_FS_CACHE: "false",
        ...(server === null ? {} : { HOLDPOINT_URL: server.url }),
      });
    }
  }
  await end("SIGTERM");
}

/** What a strict compiler says of all code of these pages. */
export function typeFaults(pages: readonly GuidePage[]): string[] {
  const roots = pages.flatMap((page, i) => {
    const files = filesOf(page, pages.slice(0, i));
    if (page.script !== "") files.set(`my/${page.name}.ts`, page.script + "\nexport {};\n");
    const folder = cloneWith(files);
    return [...files.keys()].map((path) => join(folder, path));
  });
  const { config } = ts.readConfigFile(join(ROOT, "tsconfig.json"), (path) => ts.sys.readFile(path)) as {
    config: object;
  };
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [] }, ts.sys, ROOT);
  const program = ts.createProgram(roots, {
    ...options,
    typeRoots: [join(ROOT, "node_modules", "@types")],
  });
  return roots.flatMap((root) => {
    const file = program.getSourceFile(root);
    if (file === undefined) throw new Error(`the compiler did not read ${root}`);
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
      ({ start = 0, messageText }) =>
        `${root.slice(root.lastIndexOf("/my/") + 1)}:${file.getLineAndCharacterOfPosition(start).line + 1}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`,
    );
  });
}
