/** RESULTS.md: one section a bench, each with the machine, versions and commit of its run. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";

const FILE = fileURLToPath(new URL("../RESULTS.md", import.meta.url));
const HEAD = `# Results

Made by \`npm run bench\`; a run replaces the sections of what it measured. Cells are medians of the rounds (lowest–highest). Ratios are
taken round by round. README.md says what is measured and how to read it.
`;

export function machine() {
  const [cpu] = cpus();
  return `${cpus().length} × ${cpu?.model.trim() ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
}

export function commit() {
  const git = (...args) => execFileSync("git", args, { encoding: "utf8" }).trim();
  try {
    const changed =
      git("status", "--porcelain", "--untracked-files=no", "--", ":/src", ":/migrations") !== "";
    return git("rev-parse", "--short", "HEAD") + (changed ? " with changes" : "");
  } catch {
    return "unknown";
  }
}

/** Versions of all that took part. */
export function versions() {
  const { dependencies } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  return Object.entries(dependencies)
    .filter(([name]) => /langgraph|langchain|mastra|dbos|fastify|^pg$/.test(name))
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");
}

export function writeSection(name, text) {
  const old = existsSync(FILE) ? readFileSync(FILE, "utf8") : HEAD;
  const sections = new Map(
    old
      .split(/^(?=## )/m)
      .slice(1)
      .map((section) => [/^## ([^\s:]+)/.exec(section)[1], section.trimEnd()]),
  );
  sections.set(name, text.trimEnd());
  const order = [...sections.keys()].sort((a, b) =>
    letter(sections.get(a)).localeCompare(letter(sections.get(b))),
  );
  writeFileSync(FILE, `${[HEAD.trimEnd(), ...order.map((key) => sections.get(key))].join("\n\n")}\n`);
}

const letter = (section) => section.split("\n")[0].replace(/^## (\S+): \((\w)\).*/, "$2$1");
