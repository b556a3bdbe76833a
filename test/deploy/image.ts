/**
 * An image without a container engine: each stage of the Dockerfile has an empty folder for its root, and its own
 * instructions are carried out in there. What is left out: the base image (this machine's Node and npm stand in for it),
 * the user, and the walls.
 */
import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { environmentOf, execForm, last, readDockerfile, type Instruction, type Stage } from "./dockerfile.js";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const run = promisify(execFile);

export interface Image {
  /** Where its `/` is. */
  readonly root: string;
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly command: readonly [string, ...string[]];
  readonly healthcheck: readonly [string, ...string[]];
}

/** Carries out all stages in folders below `folder`. Gives the last one. */
export async function buildImage(folder: string): Promise<Image> {
  const context = join(folder, "context");
  const isSent = contextFilter(readFileSync(join(ROOT, ".dockerignore"), "utf8"));
  cpSync(ROOT, context, {
    recursive: true,
    filter: (path) => resolve(path) === resolve(ROOT) || isSent(relative(ROOT, path)),
  });
  let image: Image | null = null;
  for (const stage of readDockerfile(join(ROOT, "Dockerfile")))
    image = await buildStage(stage, folder, context);
  if (image === null) throw new Error("the Dockerfile has no stage");
  return image;
}

async function buildStage(stage: Stage, folder: string, context: string): Promise<Image> {
  const root = join(folder, stage.name);
  const inside = (path: string, from = "/"): string => join(root, resolve(from, path));
  mkdirSync(root);
  let workdir = "/";
  for (const instruction of stage.instructions) {
    const { keyword, flags, rest } = instruction;
    if (keyword === "WORKDIR") {
      workdir = resolve(workdir, rest);
      mkdirSync(inside(workdir), { recursive: true });
    } else if (keyword === "COPY") {
      const from = flags.from === undefined ? context : join(folder, flags.from);
      copy(instruction, from, (path) => inside(path, workdir));
    } else if (keyword === "RUN") {
      await run("sh", ["-c", rest], {
        cwd: inside(workdir),
        env: { ...ownEnvironment(), ...environmentOf(stage) },
      });
    } else if (!["ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD"].includes(keyword)) {
      throw new Error(`this test does not know how to carry out ${keyword}`);
    }
  }
  // An absolute path is one inside the image.
  const moved = (value: string): string => (value.startsWith("/") ? inside(value) : value);
  const moveAll = ([command, ...args]: [string, ...string[]]): [string, ...string[]] => [
    command,
    ...args.map(moved),
  ];
  const has = (keyword: string): boolean => stage.instructions.some((each) => each.keyword === keyword);
  return {
    root,
    workdir: inside(workdir),
    env: Object.fromEntries(
      Object.entries(environmentOf(stage)).map(([name, value]) => [name, moved(value)]),
    ),
    command: has("CMD") ? moveAll(execForm(last(stage, "CMD"))) : [""],
    healthcheck: has("HEALTHCHECK") ? execForm(last(stage, "HEALTHCHECK")) : [""],
  };
}

/** A folder's content goes to the target, files go into it. */
function copy({ rest }: Instruction, from: string, inside: (path: string) => string): void {
  const names = rest.split(/\s+/);
  const target = names.pop() ?? "";
  for (const name of names) {
    const source = join(from, name);
    if (!existsSync(source)) throw new Error(`COPY ${rest}: there is no ${name} (is it in .dockerignore?)`);
    const into =
      statSync(source).isDirectory() || !target.endsWith("/") ? target : join(target, basename(name));
    cpSync(source, inside(into), { recursive: true, verbatimSymlinks: true });
  }
}

/**
 * What .dockerignore lets through, by its rule that the last line that fits a path or a folder above it decides. Takes
 * plain names and `*` only.
 */
export function contextFilter(dockerignore: string): (path: string) => boolean {
  const lines = dockerignore.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const rules = lines.map((line) => {
    const pattern = line.replace(/^!/, "");
    if (!/^[\w.*/-]+$/.test(pattern) || pattern.includes("**"))
      throw new Error(`not a plain pattern: ${line}`);
    const source = pattern.replaceAll(".", "\\.").replaceAll("*", "[^/]*");
    return { lets: line.startsWith("!"), fits: new RegExp(`^${source}(/|$)`) };
  });
  return (path) => rules.findLast(({ fits }) => fits.test(path))?.lets ?? true;
}

/** For npm: where its registry and cache are, but nothing of the script or the test that runs this. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) =>
      /^npm_config_(registry|cache|userconfig|globalconfig)$/i.test(name) ||
      !/^(npm_|node_env$|vitest)/i.test(name),
  );
  return { ...Object.fromEntries(kept), npm_config_prefer_offline: "true" };
}
