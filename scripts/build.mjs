// `npm run build`: an empty dist, the compiled sources, a fresh embedded database, and a stamp that tells how old they are.
// With --if-stale only where the sources are newer than the build.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));

const newest = (path) =>
  !existsSync(path)
    ? 0
    : statSync(path).isDirectory()
      ? Math.max(statSync(path).mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))))
      : statSync(path).mtimeMs;

const sources = Math.max(
  ...["src", "scripts", "tsconfig.json", "tsconfig.build.json", "package-lock.json"].map(newest),
);
if (process.argv.includes("--if-stale")) {
  if (newest(join("dist", ".built")) >= sources) process.exit(0);
  console.log(
    existsSync("dist") ? "The sources are newer than the build: building." : "Building (first start only).",
  );
}

const tsc = join("node_modules", "typescript", "bin", "tsc");
if (!existsSync(tsc)) {
  console.error(
    "TypeScript is not installed, so there is nothing to build with. Run `npm ci` with the development dependencies (not --omit=dev, and without NODE_ENV=production), then try again.",
  );
  process.exit(1);
}
// Compiled beside and moved in place, so that nobody ever runs half a build.
const fresh = `dist.${process.pid}`;
const compiled = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", fresh], {
  stdio: "inherit",
});
if (compiled.status !== 0) {
  rmSync(fresh, { recursive: true, force: true });
  process.exit(1);
}
mkdirSync(fresh, { recursive: true });

// The stamp names the database engine's version: its fresh database takes seconds to make, so one that fits is kept.
const { version } = JSON.parse(
  readFileSync(join("node_modules", "@electric-sql", "pglite", "package.json"), "utf8"),
);
const [kept, stamp] = [join("dist", "embedded.tgz"), join("dist", ".built")];
if (existsSync(kept) && existsSync(stamp) && readFileSync(stamp, "utf8") === version) {
  copyFileSync(kept, join(fresh, "embedded.tgz"));
} else {
  // Without V8's optimizing compiler, which costs 0.1 to 0.4 GB here and saves no time.
  const args = ["--liftoff-only", join("scripts", "pack-embedded.mjs"), join(fresh, "embedded.tgz")];
  const packed = spawnSync(process.execPath, args, { stdio: "inherit" });
  if (packed.status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    process.exit(1);
  }
}
writeFileSync(join(fresh, ".built"), version);
rmSync("dist", { recursive: true, force: true });
renameSync(fresh, "dist");
