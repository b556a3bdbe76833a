// `npm start`: builds when the build is older than the sources, then serves.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);

const newest = (path) =>
  !existsSync(path)
    ? 0
    : statSync(path).isDirectory()
      ? Math.max(statSync(path).mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))))
      : statSync(path).mtimeMs;

const sources = Math.max(...["src", "tsconfig.json", "tsconfig.build.json", "package-lock.json"].map(newest));
const stamp = join("dist", ".built");
if (newest(stamp) < sources) {
  console.log(
    existsSync("dist") ? "The sources are newer than the build: building." : "Building (first start only).",
  );
  const tsc = join("node_modules", "typescript", "bin", "tsc");
  if (!existsSync(tsc)) {
    console.error(
      "TypeScript is not installed, so there is nothing to build with. Run `npm ci` with the development dependencies (not --omit=dev, and without NODE_ENV=production), then `npm start` again.",
    );
    process.exit(1);
  }
  const built = spawnSync(process.execPath, [join("scripts", "build.mjs")], { stdio: "inherit" });
  if (built.status !== 0) process.exit(1);
}

process.argv = [process.argv[0], "holdpoint", "serve", ...process.argv.slice(2)];
await import("../dist/main.js");
