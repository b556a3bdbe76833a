import type { ErrorCode } from "../errors.js";
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
);
