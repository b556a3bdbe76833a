/** Programs of the system, for tests that `npm test` does not run. `packages` beside this file says where Debian has them. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const PACKAGES = new Map(
  readFileSync(new URL("packages", import.meta.url), "utf8")
    .trim()
    .split("\n")
    .map((row) => row.split(" ") as [string, string]),
);

/** Where a program is. Throws with the package that has it. */
export function program(name: string): string {
  const from = PACKAGES.get(name);
  if (from === undefined) throw new Error(`test/system/packages does not say which package has ${name}`);
  // Those of daemons are in no path of a plain user.
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/sbin"];
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  if (found === undefined) throw new Error(`${name} is not installed (Debian: apt-get install ${from})`);
  return found;
}
