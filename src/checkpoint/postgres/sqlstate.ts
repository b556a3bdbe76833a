import { HoldpointError } from "../../errors.js";

/** What a database says when it is not there, by SQLSTATE class or code, and by Node's code. */
const CLASSES = [
  "08", // the connection
  "53", // no more connections, memory or disk
  "58", // its own disk or files
];
const CODES = new Set([
  "25006", // read only: a standby that nobody has promoted yet
  "25P03", // idle_in_transaction_session_timeout
  "40003", // statement_completion_unknown
  "55P03", // lock_not_available: a lock_timeout
  "57014", // query_canceled: a statement_timeout, or a person
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P03", // cannot_connect_now: starting up
  "57P04", // database_dropped
  "57P05", // idle_session_timeout
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENOENT",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETUNREACH",
]);
const WORDS =
  /Connection terminated|timeout exceeded when trying to connect|Query read timeout|timeout expired|Client has encountered a connection error|Client was closed|connection is closed/i;

/** Transactions that met: this one was rolled back whole, so that nothing of it was done. */
const MET = new Set([
  "40001", // serialization_failure
  "40P01", // deadlock_detected
]);

/** Refusals of a name, password or database: a mistake at the start, and a moment of a failover where they were taken before. */
const ADMISSION = /^(28...|3D000)$/;

/** The same error, or `database_unavailable` where the database did not answer: that one may be tried again. */
export function fromDatabase(error: unknown, describe: string, wasThere = false): unknown {
  if (!(error instanceof Error) || error instanceof HoldpointError) return error;
  const code = codeOf(error);
  const away =
    CODES.has(code) ||
    MET.has(code) ||
    CLASSES.some((group) => code.length === 5 && code.startsWith(group)) ||
    WORDS.test(error.message) ||
    (wasThere && ADMISSION.test(code));
  return away
    ? new HoldpointError(
        "database_unavailable",
        `${describe} does not answer: ${reasonOf(error)}`,
        {},
        { cause: error },
      )
    : error;
}

/** What a database says of values that it will never take, by SQLSTATE class. */
const REFUSALS = [
  "22", // a value that its type cannot hold
  "54", // beyond its limits: 256 MB of jsonb, 1 GB of text
];

/** The same error, or `not_storable` where the database refuses what was to be stored, however often it is sent. */
export function fromWrite(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof HoldpointError) return error;
  const code = codeOf(error);
  const refused =
    (code.length === 5 && REFUSALS.includes(code.slice(0, 2))) ||
    (code === "XX000" && error.message.startsWith("invalid memory alloc request size"));
  return refused
    ? new HoldpointError(
        "not_storable",
        `the database does not take it: ${error.message}`,
        {},
        { cause: error },
      )
    : error;
}

/** Whether nothing was done because another transaction was in the way: to be tried again at once. */
export function hasMetAnother(error: unknown): boolean {
  return error instanceof Error && MET.has(codeOf(error));
}

/** What a connection says that is not the one on which the statement was prepared; or whose tables have changed since. */
const NAMELESS = new Set([
  "26000", // invalid_sql_statement_name
  "42P05", // duplicate_prepared_statement
  "0A000", // feature_not_supported: "cached plan must not change result type"
]);

/** Whether a statement was not begun because of its name; unnamed it may be. */
export function knowsNoName(error: unknown): boolean {
  return error instanceof Error && NAMELESS.has(codeOf(error));
}

/** A value that the encoding cannot hold (a NUL): it equals nothing that is stored. */
export function isUnstorable(error: unknown): boolean {
  return error instanceof Error && codeOf(error) === "22021";
}

function codeOf(error: Error): string {
  if ("code" in error && typeof error.code === "string") return error.code;
  // Several addresses tried, none answered.
  return error instanceof AggregateError && error.errors[0] instanceof Error ? codeOf(error.errors[0]) : "";
}

function reasonOf(error: Error): string {
  if (error.message !== "") return error.message;
  return error instanceof AggregateError
    ? error.errors.map((each) => (each instanceof Error ? each.message : String(each))).join(", ")
    : error.name;
}
