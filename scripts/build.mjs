// `npm run build`: an empty dist, the compiled sources, and a stamp that tells `npm start` how old they are.
import { spawnSync } from "node:child_process";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
// Compiled beside and moved in place, so that nobody ever runs half a build.
const fresh = `dist.${process.pid}`;
const tsc = spawnSync(
  process.execPath,
  [join("node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.build.json", "--outDir", fresh],
  { stdio: "inherit" },
);
if (tsc.status !== 0) {
  rmSync(fresh, { recursive: true, force: true });
  process.exit(1);
}
mkdirSync(fresh, { recursive: true });
writeFileSync(join(fresh, ".built"), "");
rmSync("dist", { recursive: true, force: true });
renameSync(fresh, "dist");
