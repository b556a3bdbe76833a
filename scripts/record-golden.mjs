/**
 * Records runs for test/golden: `node scripts/record-golden.mjs` writes the recordings that are missing, those of new cases.
 * An older one is a promise to everybody whose threads wait in a database: it is written again only where it is named
 * (`node scripts/record-golden.mjs --replace nested`), and only for a change of behaviour that the changelog tells of. The
 * positions in it are what an older build stored: where their shape changes, keep the old recording under a case of its own
 * name beside the new one, so that both stay readable.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createJiti } from "jiti";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const jiti = createJiti(import.meta.url, { alias: { holdpoint: at("../src/index.ts") } });
const { CASES } = await jiti.import(at("../test/golden/cases.ts"));
const { normalised, play } = await jiti.import(at("../test/golden/record.ts"));

const [option, ...names] = process.argv.slice(2);
const unknown = names.find((name) => CASES[name] === undefined);
if ((option !== undefined && option !== "--replace") || unknown !== undefined) {
  console.error(
    unknown === undefined ? "usage: record-golden.mjs [--replace case…]" : `there is no case "${unknown}"`,
  );
  process.exit(2);
}
mkdirSync(at("../test/golden/recorded"), { recursive: true });
for (const [name, of] of Object.entries(CASES)) {
  const file = at(`../test/golden/recorded/${name}.json`);
  if (existsSync(file) && !names.includes(name)) continue;
  const recording = { about: of.about, turns: normalised(await play(of)) };
  writeFileSync(file, `${JSON.stringify(recording, null, 1)}\n`);
  console.log(`recorded ${name}`);
}
