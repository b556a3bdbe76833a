import type { ErrorCode, HoldpointError } from "../errors.js";
import type { Answer, Ask, NodeOutput, Task } from "../engine/index.js";

/** What the attempts of a task came to. `streamed` says that a reader has seen deltas of one of them. */
export type TaskOutcome = { readonly task: Task; readonly attempts: number; readonly streamed: boolean } & (
  | { readonly kind: "done"; readonly output: NodeOutput; readonly asks: readonly Ask[] }
  | { readonly kind: "asked"; readonly asks: readonly Ask[] }
  | { readonly kind: "denied"; readonly answer: Answer }
  | {
      readonly kind: "failed";
      readonly code: ErrorCode;
      readonly message: string;
      readonly cause: unknown;
    }
  /** Nobody knows whether it acted; `retries` says that it would have been tried again. */
  | { readonly kind: "timeout"; readonly message: string; readonly retries: boolean }
  | { readonly kind: "abandoned" }
  /** The database does not take what it gave; `acted` says that it may not be repeated as if nothing had been. */
  | {
      readonly kind: "refused";
      readonly message: string;
      readonly cause: HoldpointError;
      readonly acted: boolean;
    }
);

/** What is left of an outcome that the database does not take. */
export function refused(outcome: TaskOutcome, cause: HoldpointError): TaskOutcome {
  const { task, attempts, streamed, kind } = outcome;
  const acted = kind === "done" || kind === "timeout" || kind === "abandoned";
  return { task, attempts, streamed, kind: "refused", message: refusalText(task, cause), cause, acted };
}

export function refusalText({ node }: Task, refusal: HoldpointError): string {
  return `what ${node} gave cannot be stored: ${refusal.message}; return less, or keep it elsewhere and return where it is, then resume`;
}

/** The one that takes most place. */
export function largestOf(outcomes: readonly TaskOutcome[]): TaskOutcome | undefined {
  const sized = outcomes.map((outcome) => ({ outcome, size: sizeOf(outcome) }));
  return sized.sort((a, b) => b.size - a.size)[0]?.outcome;
}

function sizeOf({ task: _task, ...given }: TaskOutcome): number {
  try {
    return JSON.stringify("cause" in given ? { ...given, cause: null } : given).length;
  } catch {
    // More than one string holds.
    return Number.MAX_VALUE;
  }
}
