import { deepFreeze } from "../lib/deep-freeze.js";
import type { Json, JsonObject } from "../lib/json.js";
import type { Message, NewMessage } from "./message.js";

export const DECISIONS = ["approve", "edit", "respond", "deny"] as const;
/** What a person can decide; which of them an interrupt offers is in its `decisions`. */
export type DecisionKind = (typeof DECISIONS)[number];
export const INTERRUPT_KINDS = ["before", "after", "manual", "request", "tool", "crash"] as const;
export type InterruptKind = (typeof INTERRUPT_KINDS)[number];
export const INTERRUPT_STATUSES = ["open", "resolved", "expired", "cancelled"] as const;
export type InterruptStatus = (typeof INTERRUPT_STATUSES)[number];
export const EXPIRIES = ["approve", "deny", "fail"] as const;
/** What happens when nobody answers in time: an answer by `expiry`, or the end of the run as an error. */
export type OnExpiry = (typeof EXPIRIES)[number];
/** Who answers where nobody did in time. */
export const EXPIRY = "expiry";

/** What each kind of interrupt offers (design: engine, section 5). */
export const OFFERED: Readonly<Record<InterruptKind, readonly DecisionKind[]>> = deepFreeze({
  before: ["approve", "edit", "deny"],
  after: ["approve", "edit", "deny"],
  manual: ["approve", "edit", "deny"],
  request: ["approve", "edit", "respond", "deny"],
  tool: ["approve", "edit", "respond", "deny"],
  crash: ["approve", "edit", "deny"],
} as const);

/** A person's answer as it is stored and as nodes see it. `decision` null means "go on". */
export interface Answer {
  readonly interruptId: string;
  readonly decision: DecisionKind | null;
  readonly reason: string | null;
  readonly data: Json;
  readonly state: JsonObject | null;
  readonly messages: readonly Message[];
  readonly by: string;
  readonly at: string;
}

/** An answer as it comes in. */
export interface AnswerRequest {
  readonly interruptId?: string | undefined;
  readonly decision?: DecisionKind | undefined;
  readonly reason?: string | undefined;
  readonly data?: unknown;
  readonly state?: Record<string, unknown> | undefined;
  readonly messages?: readonly (string | NewMessage)[] | undefined;
}

/**
 * What is asked of a person. It stays with its task until it is answered, so that a stop, a failure or a fork asks it
 * again. `key` names it within the task: "before", "after", "crash:N", "#k" for the k-th call, "=name" for a named one.
 */
export interface Ask {
  readonly key: string;
  readonly kind: InterruptKind;
  /** Which of the two interrupted statuses it gives the thread. */
  readonly pauses: "before" | "after";
  readonly reason: string;
  readonly message: string;
  readonly data: Json;
  readonly responseSchema: Json;
  readonly decisions: readonly DecisionKind[];
  /** Must be answered by its id. */
  readonly named: boolean;
  /** An answer without a decision means "go on". */
  readonly plain: boolean;
  /** Milliseconds that it waits for its answer each time it is asked; without it, as long as it takes. */
  readonly expiresIn?: number;
  readonly onExpiry?: OnExpiry;
}

/** One pause: a durable record with an id, waiting for an answer or having had it. */
export interface Interrupt extends Ask {
  readonly id: string;
  readonly taskId: string;
  readonly threadId: string;
  readonly runId: string;
  readonly graph: string;
  readonly node: string;
  readonly path: readonly string[];
  readonly status: InterruptStatus;
  /** The commit that opened it, as the thread's seq. */
  readonly seq: number;
  readonly createdAt: string;
  /** From then on it may expire; null where it waits as long as it takes. */
  readonly expiresAt: string | null;
  readonly decidedAt: string | null;
  readonly decision: Answer | null;
  /** The run that went on with this answer, or failed of its expiry; null while others were missing, or where it was cancelled. */
  readonly resumedBy: string | null;
}

/**
 * What `ctx.interrupt` rejects with when the answer is a denial. A node that lets it through counts as denied, not failed.
 */
export class InterruptDenied extends Error {
  readonly answer: Answer;

  constructor(answer: Answer) {
    super(answer.reason === null ? "The request was denied." : `The request was denied: ${answer.reason}`);
    this.name = "InterruptDenied";
    this.answer = answer;
  }
}
