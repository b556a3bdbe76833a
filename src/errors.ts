/**
 * Every error that a caller can meet, by its stable code. The category decides what happens (the HTTP status is made of
 * it in http/, and nowhere else); the message is what the code always means, `detail` what it means this time.
 */
export type Category =
  | "malformed"
  | "forbidden"
  | "missing"
  | "conflict"
  | "gone"
  | "too-large"
  | "invalid"
  | "unavailable"
  | "internal"
  | "run";

/** Every code, with its category and what it always means; `docs/errors.md` adds what to do. */
export const ERRORS = {
  malformed_body: { category: "malformed", message: "The body is not JSON." },
  bad_cursor: { category: "malformed", message: "The cursor is not one that this server gave." },
  origin_not_allowed: { category: "forbidden", message: "Pages of this origin may not call this server." },
  host_not_allowed: { category: "forbidden", message: "This host name is not one of this server's." },
  not_found: { category: "missing", message: "There is no such thing here." },
  thread_exists: { category: "conflict", message: "A thread of this id exists already." },
  graph_mismatch: { category: "conflict", message: "The thread belongs to another graph." },
  thread_interrupted: { category: "conflict", message: "The thread waits for a decision." },
  thread_busy: { category: "conflict", message: "A run is active on the thread." },
  not_resumable: { category: "conflict", message: "There is nothing to resume." },
  already_decided: { category: "conflict", message: "The interrupt was answered already." },
  interrupt_cancelled: { category: "conflict", message: "The interrupt was cancelled." },
  ambiguous_interrupt: { category: "conflict", message: "Several interrupts are open and none was named." },
  graph_changed: {
    category: "conflict",
    message: "The loaded graph no longer has the node that the thread waits at.",
  },
  interrupt_expired: { category: "gone", message: "The interrupt was not answered in time." },
  cursor_ahead: { category: "conflict", message: "The cursor is ahead of everything the thread has sent." },
  payload_too_large: { category: "too-large", message: "The body is larger than this server takes." },
  validation_failed: { category: "invalid", message: "The request does not fit its schema." },
  invalid_thread_id: {
    category: "invalid",
    message: "The thread id is not 1 to 128 characters of A-Z a-z 0-9 . _ : -",
  },
  too_deep: { category: "invalid", message: "A value is nested too deeply." },
  not_serialisable: { category: "invalid", message: "A value cannot be stored as JSON without loss." },
  not_storable: { category: "invalid", message: "The database does not take what was to be stored." },
  graph_required: { category: "invalid", message: "The server serves several graphs: name one." },
  idempotency_key_reused: {
    category: "invalid",
    message: "The idempotency key was used for another request.",
  },
  message_exists: { category: "invalid", message: "Another message of this id is in the thread." },
  decision_required: { category: "invalid", message: "This interrupt demands a decision." },
  interrupt_id_required: { category: "invalid", message: "This interrupt must be answered by its id." },
  not_supported: { category: "invalid", message: "This release does not do that yet." },
  database_unavailable: { category: "unavailable", message: "The database does not answer." },
  shutting_down: { category: "unavailable", message: "The server is shutting down." },
  internal_error: { category: "internal", message: "The server failed." },
  node_failed: { category: "run", message: "A node threw." },
  node_timeout: { category: "run", message: "A node took longer than its timeout." },
  edge_failed: { category: "run", message: "An edge could not say where to go." },
  invalid_update: { category: "run", message: "A node returned what its graph's state does not take." },
  recursion_limit: { category: "run", message: "The run took more steps than its limit." },
  crash_loop: { category: "run", message: "The run lost three processes at one step." },
} as const satisfies Record<string, { category: Category; message: string }>;

/** One of the codes of `ERRORS`. */
export type ErrorCode = keyof typeof ERRORS;

/** An error that a caller can act on: recognise it by `code`, never by its message. */
export class HoldpointError extends Error {
  readonly code: ErrorCode;
  readonly category: Category;
  /** What helps to go on, by name: `errors`, `interrupts`, `graphs`, `run_id`, … */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    detail: string,
    details: Record<string, unknown> = {},
    options?: ErrorOptions,
  ) {
    super(detail, options);
    this.name = "HoldpointError";
    this.code = code;
    this.category = ERRORS[code].category;
    this.details = details;
  }
}

/** A storage that waiting does not bring back. */
export class StorageUnusable extends HoldpointError {
  constructor(message: string) {
    super("database_unavailable", message);
  }
}

/** The storage was closed by its owner: nothing brings it back. */
export class StorageClosed extends StorageUnusable {
  constructor(what: string) {
    super(`${what} is closed`);
  }
}

/** Whether the storage may be back in a moment: the same may be tried again. */
export function isAway(error: unknown): boolean {
  return (
    error instanceof HoldpointError &&
    error.code === "database_unavailable" &&
    !(error instanceof StorageUnusable)
  );
}

/** The refusal, where the storage will never take what was to be stored: sending it again would not help. */
export function refusalIn(error: unknown): HoldpointError | null {
  if (error instanceof HoldpointError) return error.code === "not_storable" ? error : null;
  // More JSON than one string of JavaScript holds.
  const isTooLong = error instanceof RangeError && /string length/i.test(error.message);
  return isTooLong
    ? new HoldpointError("not_storable", "it is too large for one write", {}, { cause: error })
    : null;
}

export interface ValidationFault {
  readonly path: string;
  readonly message: string;
}

/** 422 with each fault by its path. */
export function invalid(
  errors: readonly ValidationFault[],
  code: ErrorCode = "validation_failed",
): HoldpointError {
  const said = errors.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  return new HoldpointError(code, said.join("; "), { errors });
}

export function notFound(what: string, details: Record<string, unknown> = {}): HoldpointError {
  return new HoldpointError("not_found", what, details);
}

/** A graph that cannot be compiled or loaded. `faults` has every reason, not just the first. */
export class GraphError extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[], graph?: string) {
    const of = graph === undefined ? "The graph" : `Graph "${graph}"`;
    super(
      `${of} has ${faults.length === 1 ? "a fault" : `${faults.length} faults`}:\n${faults.map((fault) => `- ${fault}`).join("\n")}`,
    );
    this.name = "GraphError";
    this.faults = faults;
  }
}

/** What `invoke` throws when a run ends in `error`. */
export class RunError extends Error {
  readonly code: ErrorCode;
  readonly threadId: string;
  readonly runId: string;
  readonly node: string | null;
  readonly step: number;

  constructor(of: {
    code: ErrorCode;
    message: string;
    threadId: string;
    runId: string;
    node: string | null;
    step: number;
    cause?: unknown;
  }) {
    super(of.message, of.cause === undefined ? undefined : { cause: of.cause });
    this.name = "RunError";
    this.code = of.code;
    this.threadId = of.threadId;
    this.runId = of.runId;
    this.node = of.node;
    this.step = of.step;
  }
}
