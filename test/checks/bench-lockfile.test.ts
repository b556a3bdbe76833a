/** The bench is installed from its lockfile, by hand and long after: what `npm ci` refuses must be known here. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

interface Locked {
  readonly packages: Readonly<Record<string, Readonly<Record<(typeof KINDS)[number], object | undefined>>>>;
}
const KINDS = ["dependencies", "optionalDependencies"] as const;
const FOLDER = "node_modules/";

/** Whether a package finds another: beside it, or beside one of those around it. */
function finds({ packages }: Locked, from: string, name: string): boolean {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf(`/${FOLDER}`)))) {
    if (`${at === "" ? "" : `${at}/`}${FOLDER}${name}` in packages) return true;
    if (at === "") return false;
  }
}

test.each(["package-lock.json", "bench/package-lock.json"])(
  "%s has everything that its packages need, on any platform",
  (file) => {
    const locked = JSON.parse(readFileSync(new URL(`../../${file}`, import.meta.url), "utf8")) as Locked;
    const missing = Object.entries(locked.packages).flatMap(([from, of]) =>
      KINDS.flatMap((kind) => Object.keys(of[kind] ?? {}))
        .filter((name) => !finds(locked, from, name))
        .map((name) => `${from} needs ${name}`),
    );
    expect(missing).toEqual([]);
  },
);
