// `npm start`: builds when the build is older than the sources, then serves.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);
const built = spawnSync(process.execPath, [join("scripts", "build.mjs"), "--if-stale"], { stdio: "inherit" });
if (built.status !== 0) process.exit(built.status ?? 1);

process.argv = [process.argv[0], "holdpoint", "serve", ...process.argv.slice(2)];
await import("../dist/main.js");
