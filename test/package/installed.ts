/** The package as its users have it: packed, then installed into an empty folder. */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

interface Locked {
  readonly version?: string;
  readonly dev?: boolean;
}
interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly engines: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

const json = (file: string): unknown => JSON.parse(readFileSync(join(ROOT, file), "utf8"));
export const manifest = json("package.json") as Manifest;

export interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** What a user's shell would hand down, and nothing of this process's own settings; npm finds its cache and registry. */
export const userEnv = (): Record<string, string | undefined> =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) =>
      /^(PATH|HOME|.*_proxy|NODE_EXTRA_CA_CERTS|npm_config_(cache|registry|userconfig|cafile))$/i.test(name),
    ),
  );

/** Runs a command to its end. */
export function run(
  command: string,
  args: readonly string[],
  { cwd, env = {} }: { cwd: string; env?: Record<string, string> },
): Promise<Ended> {
  const child = spawn(command, args, {
    cwd,
    env: { ...userEnv(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [output, errors] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, output, errors }));
  });
}

/** The same, or an error with all that the command said. */
export async function succeed(...[command, args, options]: Parameters<typeof run>): Promise<string> {
  const { code, output, errors } = await run(command, args, options);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}:\n${output}\n${errors}`);
  return output;
}

/** Packs what is built now, without building again; gives the tarball's path. */
export async function pack(folder: string): Promise<string> {
  await succeed("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: ROOT });
  return join(folder, `${manifest.name}-${manifest.version}.tgz`);
}

/**
 * Installs the tarball into a new folder, with the versions of this project's own lockfile: npm then takes them from its
 * cache, where `npm ci` has put them, and needs no network.
 */
export async function install(tarball: string, folder: string): Promise<void> {
  const { name, version, bin, engines, dependencies } = manifest;
  const { packages } = json("package-lock.json") as { packages: Record<string, Locked> };
  const wanted = { [name]: `file:${tarball}` };
  const needed = Object.entries(packages).filter(([path, { dev }]) => path !== "" && dev !== true);
  const lock = {
    name: "consumer",
    lockfileVersion: 3,
    requires: true,
    packages: {
      "": { name: "consumer", dependencies: wanted },
      [`node_modules/${name}`]: { version, resolved: `file:${tarball}`, bin, engines, dependencies },
      ...Object.fromEntries(needed),
    },
  };
  mkdirSync(folder);
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ private: true, type: "module", dependencies: wanted }),
  );
  writeFileSync(join(folder, "package-lock.json"), JSON.stringify(lock));
  await succeed("npm", ["ci", "--prefer-offline", "--no-audit", "--no-fund"], { cwd: folder });
}
