/** What goes wrong, as classes: one for each code that an answer can have. */
import type { Decision, Interrupt, Problem } from "./types.js";

/** A request that the server refused. Recognise it by its class or its `code`, never by its message. */
export class HoldpointError<Code extends string = string, Details = unknown> extends Error {
  /** The HTTP status. */
  readonly status: number;
  /** The stable code; docs/errors.md says of each what to do. */
  readonly code: Code;
  /** What the code means this time. */
  readonly detail: string;
  /** The whole answer: problem details (RFC 9457), with what helps to go on beside them. */
  readonly problem: Problem & Details;
  /** Milliseconds after which the server wants to be asked again; null where it did not say. */
  readonly retryAfterMs: number | null;

  constructor(problem: Problem, retryAfterMs: number | null = null) {
    super(`${problem.code}: ${problem.detail}`);
    this.name = new.target.name;
    this.status = problem.status;
    this.code = problem.code as Code;
    this.detail = problem.detail;
    this.problem = problem as Problem & Details;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The server was not reached, or its answer was cut, as often as the client tried. What was asked may have been done. */
export class ConnectionError extends Error {
  override readonly name: string = "ConnectionError";
}

/** No answer within `timeoutMs`. What was asked may have been done. */
export class TimeoutError extends ConnectionError {
  override readonly name: string = "TimeoutError";
}

/** Where to ask for a run that was accepted although its request was refused. */
interface OfRun {
  readonly thread_id?: string;
  readonly run_id?: string;
  readonly location?: string;
}
interface WithInterrupts {
  readonly interrupts: Interrupt[];
}

/** 400: the body is not JSON. */
export class MalformedBodyError extends HoldpointError<"malformed_body"> {}
/** 400: the cursor is not one that this server gave. */
export class BadCursorError extends HoldpointError<"bad_cursor"> {}
/** 403: pages of this origin may not call the server. */
export class OriginNotAllowedError extends HoldpointError<"origin_not_allowed"> {}
/** 403: the host name is not one of the server's. */
export class HostNotAllowedError extends HoldpointError<"host_not_allowed"> {}
/** 404: there is no such thing. */
export class NotFoundError extends HoldpointError<"not_found"> {}
/** 409: there is a thread of this id. */
export class ThreadExistsError extends HoldpointError<"thread_exists", { readonly thread_id: string }> {}
/** 409: the thread belongs to another graph, which `problem.graph` names. */
export class GraphMismatchError extends HoldpointError<"graph_mismatch", { readonly graph: string }> {}
/** 409: the thread waits for a decision. */
export class ThreadInterruptedError extends HoldpointError<"thread_interrupted", WithInterrupts> {
  /** What it waits for. */
  get interrupts(): Interrupt[] {
    return this.problem.interrupts;
  }
}
/** 409: a run is active on the thread. */
export class ThreadBusyError extends HoldpointError<"thread_busy", { readonly run_id: string | null }> {
  /** The active run. */
  get runId(): string | null {
    return this.problem.run_id;
  }
}
/** 409: there is nothing to resume. */
export class NotResumableError extends HoldpointError<"not_resumable", { readonly thread_status?: string }> {}
/** 409: the interrupt was answered already. */
export class AlreadyDecidedError extends HoldpointError<"already_decided", { readonly decision?: Decision }> {
  /** The answer that won; null where the server does not say. */
  get decision(): Decision | null {
    return this.problem.decision ?? null;
  }
}
/** 409: the interrupt was withdrawn. */
export class InterruptCancelledError extends HoldpointError<"interrupt_cancelled"> {}
/** 409: several interrupts are open, and none was named. */
export class AmbiguousInterruptError extends HoldpointError<"ambiguous_interrupt", WithInterrupts> {
  /** Those that are open. */
  get interrupts(): Interrupt[] {
    return this.problem.interrupts;
  }
}
/** 409: the graph no longer has the node that the thread waits at, which `problem.node` names. */
export class GraphChangedError extends HoldpointError<"graph_changed", { readonly node?: string }> {}
/** 410: the interrupt was not answered in time. */
export class InterruptExpiredError extends HoldpointError<
  "interrupt_expired",
  { readonly interrupt_id?: string; readonly decision?: Decision }
> {}
/** 409: the cursor is ahead of everything that the thread has sent. */
export class CursorAheadError extends HoldpointError<"cursor_ahead", { readonly seq: number }> {}
/** 413: the body is larger than the server takes. */
export class PayloadTooLargeError extends HoldpointError<"payload_too_large"> {}
/** 422: the request does not fit its schema; `problem.errors` says where. */
export class ValidationFailedError extends HoldpointError<"validation_failed"> {}
/** 422: the thread id is none. */
export class InvalidThreadIdError extends HoldpointError<"invalid_thread_id"> {}
/** 422: a value is nested too deeply. */
export class TooDeepError extends HoldpointError<"too_deep"> {}
/** 422: a value cannot be stored as JSON without loss. */
export class NotSerialisableError extends HoldpointError<"not_serialisable"> {}
/** 422: the database does not take a value of this size or kind. */
export class NotStorableError extends HoldpointError<"not_storable"> {}
/** 422: the server serves several graphs, which `problem.graphs` names. */
export class GraphRequiredError extends HoldpointError<"graph_required", { readonly graphs: string[] }> {}
/** 422: the idempotency key was used for another request. */
export class IdempotencyKeyReusedError extends HoldpointError<"idempotency_key_reused"> {}
/** 422: another message of this id is in the thread. */
export class MessageExistsError extends HoldpointError<"message_exists"> {}
/** 422: the interrupt demands a decision. */
export class DecisionRequiredError extends HoldpointError<"decision_required", WithInterrupts> {
  /** What has to be decided. */
  get interrupts(): Interrupt[] {
    return this.problem.interrupts;
  }
}
/** 422: the interrupt must be answered by its id. */
export class InterruptIdRequiredError extends HoldpointError<
  "interrupt_id_required",
  Partial<WithInterrupts>
> {}
/** 422: this release of the server does not do that. */
export class NotSupportedError extends HoldpointError<"not_supported"> {}
/** 503: the server's database does not answer. */
export class DatabaseUnavailableError extends HoldpointError<"database_unavailable", OfRun> {}
/** 503: the server is shutting down. */
export class ShuttingDownError extends HoldpointError<"shutting_down", OfRun> {}
/** 500: the server failed; its log says why. */
export class InternalError extends HoldpointError<"internal_error"> {}

/** The class of each code. A code that is not here, of a newer server, is a plain `HoldpointError`. */
export const ERROR_CLASSES = {
  malformed_body: MalformedBodyError,
  bad_cursor: BadCursorError,
  origin_not_allowed: OriginNotAllowedError,
  host_not_allowed: HostNotAllowedError,
  not_found: NotFoundError,
  thread_exists: ThreadExistsError,
  graph_mismatch: GraphMismatchError,
  thread_interrupted: ThreadInterruptedError,
  thread_busy: ThreadBusyError,
  not_resumable: NotResumableError,
  already_decided: AlreadyDecidedError,
  interrupt_cancelled: InterruptCancelledError,
  ambiguous_interrupt: AmbiguousInterruptError,
  graph_changed: GraphChangedError,
  interrupt_expired: InterruptExpiredError,
  cursor_ahead: CursorAheadError,
  payload_too_large: PayloadTooLargeError,
  validation_failed: ValidationFailedError,
  invalid_thread_id: InvalidThreadIdError,
  too_deep: TooDeepError,
  not_serialisable: NotSerialisableError,
  not_storable: NotStorableError,
  graph_required: GraphRequiredError,
  idempotency_key_reused: IdempotencyKeyReusedError,
  message_exists: MessageExistsError,
  decision_required: DecisionRequiredError,
  interrupt_id_required: InterruptIdRequiredError,
  not_supported: NotSupportedError,
  database_unavailable: DatabaseUnavailableError,
  shutting_down: ShuttingDownError,
  internal_error: InternalError,
} as const;
