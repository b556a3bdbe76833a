/**
 * Shell blocks of pages, line by line: each line is a command, `#=>` lines behind it say what its output has in it, other
 * comments are for people, but for one that begins with "# Pull the plug", which is the step that kills the server.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "vitest";

const run = promisify(execFile);

export interface ShellStep {
  readonly command: string;
  /** What the `#=>` lines promise of its output. */
  readonly promises: readonly string[];
  /** In the text that was given, from 1. */
  readonly line: number;
}

const PLUG = "# Pull the plug";
export const pullsThePlug = ({ command }: ShellStep): boolean => command.startsWith(PLUG);

/** The steps of a block's text. Throws where a promise stands behind no command. */
export function shellSteps(text: string, firstLine = 1): ShellStep[] {
  const steps: { command: string; promises: string[]; line: number }[] = [];
  let open: string[] | null = null;
  for (const [i, line] of text.split("\n").entries()) {
    if (line.startsWith("#=>")) {
      if (open === null) throw new Error(`line ${firstLine + i}: a promise without a command: ${line}`);
      open.push(line.slice(3).trim());
    } else if (line.trim() === "" || (line.startsWith("#") && !line.startsWith(PLUG))) {
      open = null;
    } else {
      open = [];
      steps.push({ command: line, promises: open, line: firstLine + i });
    }
  }
  return steps;
}

/** One shell after another, as one: what a command assigns, the next ones have. */
export class Shell {
  readonly #cwd: string;

  constructor(cwd: string) {
    this.#cwd = cwd;
  }

  /** Runs a step and holds its output against what it promises; `env` wins over what was assigned before. */
  async run({ command, promises, line }: ShellStep, env: Readonly<Record<string, string>>): Promise<void> {
    const assigned = join(this.#cwd, ".assigned");
    const script = [
      ...(existsSync(assigned) ? [`. ${assigned}`] : []),
      ...Object.keys(env).map((name, i) => `export ${name}="\${${i + 1}}"`),
      "set -a",
      command,
      "code=$?",
      `export -p > ${assigned}`,
      "exit $code",
    ].join("\n");
    let stdout: string;
    try {
      ({ stdout } = await run("bash", ["--norc", "-c", script, "bash", ...Object.values(env)], {
        cwd: this.#cwd,
        env: { PATH: process.env.PATH },
      }));
    } catch (error) {
      const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
      throw new Error(`line ${line}: ${command}: exit ${String(code)}\n${stdout}${stderr}`, { cause: error });
    }
    for (const promise of promises) expect(stdout, `line ${line}: ${command}`).toContain(promise);
  }
}
