/** docs/architecture.md as its test reads it. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";

/** A row of the way of a request: a file, and functions of it that run. */
export interface WayRow {
  readonly file: string;
  readonly functions: readonly string[];
}

const PAGE = readFileSync(new URL("../../docs/architecture.md", import.meta.url), "utf8");

const quoted = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);

/** What stands under a heading, to the next one of its level or above. Throws where there is none. */
function section(heading: string): string {
  const level = heading.indexOf(" ");
  const [, after] = PAGE.split(new RegExp(`^${heading.replace(/[^\w# ]/g, "\\$&")}.*\n`, "m"));
  if (after === undefined) throw new Error(`docs/architecture.md has no heading "${heading}"`);
  return after.split(new RegExp(`^#{1,${level}} `, "m"))[0] ?? "";
}

/** The rows of the tables in a text, their cells trimmed; those under the heads, not the heads. */
function rows(text: string): string[][] {
  const lines = text.split("\n").filter((line) => line.startsWith("| "));
  return lines.map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const STREAM = "### As a stream";

function wayRows(text: string): WayRow[] {
  return rows(text).flatMap(([file = "", functions = ""]) =>
    file.startsWith("`src/") ? [{ file: quoted(file)[0] ?? "", functions: quoted(functions) }] : [],
  );
}

/** The way of a resume; what is different when it is answered as a stream; and what is left out of both: leaves, and what runs
 * aside, whenever it is woken. */
export function way(): { request: WayRow[]; stream: WayRow[]; leaves: string[]; aside: string[] } {
  const all = section("## The way of one request: `POST /threads/:id/resume`");
  const leaves = /^Leaves.*$/m.exec(all)?.[0] ?? "";
  const aside = /^By themselves.*$/m.exec(all)?.[0] ?? "";
  return {
    request: wayRows(all.split(STREAM)[0] ?? ""),
    stream: wayRows(section(STREAM)),
    leaves: quoted(leaves),
    aside: quoted(aside),
  };
}

/** The import rules: name, and what to do instead. */
export function rules(): { name: string; instead: string }[] {
  return rows(section("## Who may import whom"))
    .filter((cells) => cells.length === 4 && cells[0] !== "rule")
    .map(([name = "", , , instead = ""]) => ({ name: quoted(name)[0] ?? name, instead }));
}

/** What each part imports, as `part -> other`. */
export function imports(): string[] {
  return rows(section("## Who may import whom"))
    .filter((cells) => cells.length === 2 && cells[0]?.startsWith("`src/"))
    .flatMap(([part = "", others = ""]) =>
      quoted(others).map((other) => `${quoted(part)[0] ?? ""} -> ${other}`),
    );
}

/** The paragraphs of the folders: which, and what it says. */
export function folders(): { folder: string; text: string }[] {
  return [...section("## The folders").matchAll(/^\*\*`(src\/[^`]*)`\*\*(.*)$/gm)].map(
    ([, folder = "", text = ""]) => ({ folder: folder.replace(/\/$/, ""), text }),
  );
}

/** Every path that the page mentions, from the root of the repository; a bare name means a file of its paragraph's folder. */
export function paths(): string[] {
  const mentioned = PAGE.match(/(?<![\w/.-])(?:src|test|docs|migrations|scripts|examples)\/[\w./*-]*/g) ?? [];
  const linked = [...PAGE.matchAll(/\]\((?!http)([^)#]+)\)/g)].map(([, link = ""]) => `docs/${link}`);
  const described = folders().flatMap(({ folder, text }) =>
    quoted(text)
      .filter((name) => !name.includes("/") && /\.\w+$/.test(name))
      .map((name) => `${folder}/${basename(name)}`),
  );
  const bare = quoted(PAGE.split("## The folders")[0] ?? "").filter((name) => /^\.[\w.-]+\.cjs$/.test(name));
  const all = [...mentioned, ...linked, ...described, ...bare];
  return [...new Set(all.map((path) => path.replace(/[.*/]+$/, "")))].sort();
}

/** Every "`name` in `file`". */
export function places(): { name: string; file: string }[] {
  return [...PAGE.matchAll(/((?:`[^`\n]+`(?:,| and) )*`[^`\n]+`) in `([^`\n]+\.\w+)`/g)].flatMap(
    ([, names = "", file = ""]) =>
      quoted(names)
        .filter((name) => /^[#\w]+$/.test(name))
        .map((name) => ({ name, file })),
  );
}

/** Every npm script that the page names. */
export const scripts = (): string[] => [
  ...new Set([...PAGE.matchAll(/npm run ([\w:-]+)/g)].map(([, name = ""]) => name)),
];
