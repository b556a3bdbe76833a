/** `npm run bench [-- NAME ...] [--profile] [--rounds N]`. */
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { contest } from "./lib/contest.mjs";
import { startDatabase } from "./lib/postgres.mjs";
import { goalLines, report } from "./lib/report.mjs";
import { commit, machine, versions, writeSection } from "./lib/results.mjs";
import { WORKS } from "./work/index.mjs";

const USAGE = `Runs Holdpoint, its peers and the machine's floors on the same work, in turns.

npm run bench                       all, one after the other
npm run bench -- NAME ...           only these: ${WORKS.map(({ name }) => name).join(", ")}
  --rounds N    that many rounds instead of each bench's own
  --profile     leaves a CPU profile of Holdpoint's process in bench/profiles (README.md says how to read it)
  --dry         does not write RESULTS.md
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string" },
    profile: { type: "boolean" },
    dry: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  },
});
if (values.help === true) {
  console.log(USAGE);
  process.exit(0);
}
const unknown = positionals.filter((name) => !WORKS.some((work) => work.name === name));
if (unknown.length > 0) {
  console.error(`There is no bench ${unknown.join(", ")}.\n\n${USAGE}`);
  process.exit(2);
}
const chosen = positionals.length === 0 ? WORKS : WORKS.filter(({ name }) => positionals.includes(name));
const isTerminal = process.stderr.isTTY;
const tell = (text) => process.stderr.write(isTerminal ? `\r\x1b[K${text}` : `${text}\n`);

let profile = null;
if (values.profile === true) {
  profile = fileURLToPath(new URL("profiles", import.meta.url));
  mkdirSync(profile, { recursive: true });
}
for (const work of chosen) {
  // One of its own for each: the write-ahead log is the whole server's, and what others left is still being cleared away.
  const database = work.needs === "postgres" ? await startDatabase() : null;
  try {
    await runWork(work, database);
  } finally {
    await database?.stop();
  }
}
process.exit(0);

async function runWork(work, database) {
  const from = Date.now();
  const rounds = values.rounds === undefined ? work.rounds : Number(values.rounds);
  const env = database === null ? {} : { url: database.url };
  const { warmMs, warmCallers, windowMs } = work;
  const options = { rounds, warmMs, warmCallers, windowMs, profile, tell };
  const { table, goals } =
    work.run === undefined
      ? report(work, await contest(work, env, options))
      : await work.run({ env, database, ...options });
  if (isTerminal) process.stderr.write("\r\x1b[K");
  const seconds = Math.round((Date.now() - from) / 1000);
  const each = work.windowMs === undefined ? "" : ` of at least ${work.windowMs / 1000} s a row`;
  const where = `_${rounds} ${rounds === 1 ? "sample" : "samples"}${each}; ${seconds} s in all, ${new Date().toISOString().slice(0, 16)}Z; commit ${commit()}; ${machine()}${
    work.needs === "postgres" ? `; ${database.describe}` : ""
  }; ${versions()}_`;
  const section = [
    `## ${work.name}: (${work.letter}) ${work.title}`,
    table,
    goalLines(goals).join("\n"),
    where,
  ]
    .filter((part) => part !== "")
    .join("\n\n");
  console.log(`\n${section}\n`);
  if (values.dry !== true && profile === null) writeSection(work.name, section);
}
