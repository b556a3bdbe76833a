/** `npm run bench`: installs what the bench needs, builds, and runs it. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const bench = fileURLToPath(new URL("../bench", import.meta.url));
const root = fileURLToPath(new URL("..", import.meta.url));

function run(command, args, cwd) {
  const { status } = spawnSync(command, args, { cwd, stdio: "inherit", shell: process.platform === "win32" });
  if (status !== 0) process.exit(status ?? 1);
}

if (!existsSync(`${bench}/node_modules`)) {
  console.log("installing the peers (once)");
  run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], bench);
}
run("npm", ["run", "-s", "build"], root);
run(process.execPath, ["--no-warnings", "main.mjs", ...process.argv.slice(2)], bench);
