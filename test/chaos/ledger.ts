/**
 * What really happened, kept outside the database: a file to which nodes append one line a fact, in one write each, and the
 * test what it does to their processes. The order of its lines is the order of the facts.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";

/**
 * - `begun`, `ended`: an attempt of a task; what a process leaves out by dying is missing
 * - `effect`: the function of a `once` was called, and has acted; `recorded`: the `once` came back with this value
 * - `gated`: an action was done that somebody had to approve
 * - `killed`, `frozen`, `continued`: what the test did to the process
 */
export type FactName =
  "begun" | "ended" | "effect" | "recorded" | "gated" | "killed" | "frozen" | "continued";

export interface Fact {
  readonly fact: FactName;
  readonly pid: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Of facts of nodes. */
  readonly thread?: string;
  readonly run?: string;
  readonly task?: string;
  readonly node?: string;
  readonly step?: number;
  readonly attempt?: number;
  /** Of `effect` and `recorded`. */
  readonly key?: string;
  readonly value?: string;
}

export function appendFact(file: string, fact: Omit<Fact, "at">): void {
  appendFileSync(file, `${JSON.stringify({ ...fact, at: Date.now() })}\n`);
}

export function readLedger(file: string): Fact[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Fact);
}
