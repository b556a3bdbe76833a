/** How much memory a process has had at most, and what docs/deployment.md says that it needs. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./image.js";

/** Where the system keeps no peak (macOS), what it has now. */
export function peakMegabytes(pid: number): number {
  const path = `/proc/${pid}/status`;
  const kilobytes = existsSync(path)
    ? /VmHWM:\s+(\d+) kB/.exec(readFileSync(path, "utf8"))?.[1]
    : execFileSync("ps", ["-o", "rss=", "-p", String(pid)]).toString();
  return (Number(kilobytes) * 1024) / 1e6;
}

/** What the table under "Memory" says of a database. */
export function documentedMegabytes(database: "embedded" | "PostgreSQL"): number {
  const text = readFileSync(join(ROOT, "docs", "deployment.md"), "utf8");
  const found = new RegExp(`^\\| ${database} \\| (\\d+) MB`, "m").exec(text)?.[1];
  if (found === undefined)
    throw new Error(`docs/deployment.md does not say what the ${database} database needs`);
  return Number(found);
}
