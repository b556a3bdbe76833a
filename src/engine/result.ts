import type { ErrorCode } from "../errors.js";
import type { JsonObject } from "../lib/json.js";
import type { Answer, Interrupt } from "./interrupt.js";
import type { Message } from "./message.js";
import type { RunStatus } from "./status.js";

/** Why a run ended in `error`. */
export interface RunFault {
  readonly code: ErrorCode;
  readonly message: string;
  readonly node: string | null;
  readonly path: readonly string[];
  readonly step: number;
  readonly attempt: number;
}

/** What a run came to, or where it stands. */
export interface RunResult {
  readonly threadId: string;
  readonly runId: string;
  readonly graph: string;
  readonly status: RunStatus;
  readonly interrupted: boolean;
  readonly interruptReason: string | null;
  readonly interrupts: readonly Interrupt[];
  readonly decision: Answer | null;
  readonly currentNode: string | null;
  readonly nextNodes: readonly string[];
  readonly step: number;
  /** Those that this run added, its input first. */
  readonly messages: readonly Message[];
  /** The graph's own fields and `contextSummary`. */
  readonly state: JsonObject;
  readonly error: RunFault | null;
  /** The thread's last event: a cursor for streams. */
  readonly seq: number;
}

/** A RunResult without what is kept elsewhere: messages, state and interrupts have rows of their own. */
export type Outcome = Omit<
  RunResult,
  "threadId" | "runId" | "graph" | "messages" | "state" | "interrupts" | "seq"
>;
