/** The Dockerfile read as what it says, instruction by instruction. */
import { readFileSync } from "node:fs";

export interface Instruction {
  readonly keyword: string;
  /** `--from=build` is `from: "build"`. */
  readonly flags: Readonly<Record<string, string>>;
  /** What follows keyword and flags, on one line. */
  readonly rest: string;
}

export interface Stage {
  readonly name: string;
  readonly image: string;
  readonly instructions: readonly Instruction[];
}

/** Whether its syntax is right is for the lint; this reads a right one. */
export function readDockerfile(path: string): Stage[] {
  const text = readFileSync(path, "utf8")
    .replace(/^#.*\n/gm, "")
    .replace(/\\\n/g, " ");
  const instructions = text.split("\n").flatMap((line): Instruction[] => {
    const [, keyword, flags = "", rest = ""] = /^(\w+)((?:\s+--\S+)*)\s+(.*)$/.exec(line.trim()) ?? [];
    if (keyword === undefined) return [];
    const pairs = [...flags.matchAll(/--([\w-]+)=(\S+)/g)].map(([, name = "", value = ""]) => [name, value]);
    return [{ keyword, flags: Object.fromEntries(pairs) as Record<string, string>, rest }];
  });
  const stages: { name: string; image: string; instructions: Instruction[] }[] = [];
  for (const instruction of instructions) {
    if (instruction.keyword === "FROM") {
      const [image = "", , name = ""] = instruction.rest.split(/\s+/);
      stages.push({ name, image, instructions: [] });
    } else stages.at(-1)?.instructions.push(instruction);
  }
  return stages;
}

/** The last one of a kind in a stage: the one that counts. */
export function last({ instructions }: Stage, keyword: string): string {
  const found = instructions.findLast((each) => each.keyword === keyword);
  if (found === undefined) throw new Error(`the stage has no ${keyword}`);
  return found.rest;
}

/** What all ENV of a stage set. */
export function environmentOf({ instructions }: Stage): Record<string, string> {
  const set = instructions.filter(({ keyword }) => keyword === "ENV");
  return Object.fromEntries(
    set.flatMap(({ rest }) =>
      [...rest.matchAll(/(\w+)=(\S+)/g)].map(([, name = "", value = ""]) => [name, value]),
    ),
  );
}

/** The command of a CMD or HEALTHCHECK in exec form. */
export function execForm(rest: string): [string, ...string[]] {
  return JSON.parse(rest.slice(rest.indexOf("["))) as [string, ...string[]];
}
