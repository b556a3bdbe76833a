import { HoldpointError } from "../../errors.js";

/** What a database says when it is not there, by SQLSTATE class or code, and by Node's code. */
const CLASSES = ["08", "53"];
const CODES = new Set([
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P03", // cannot_connect_now: starting up
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENOENT",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
]);
const WORDS =
  /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|connection is closed/i;

/** The same error, or `database_unavailable` where the database did not answer: that one may be tried again. */
export function fromDatabase(error: unknown, describe: string): unknown {
  if (!(error instanceof Error) || error instanceof HoldpointError) return error;
  const code = codeOf(error);
  const away =
    CODES.has(code) ||
    CLASSES.some((group) => code.length === 5 && code.startsWith(group)) ||
    WORDS.test(error.message);
  return away
    ? new HoldpointError(
        "database_unavailable",
        `${describe} does not answer: ${reasonOf(error)}`,
        {},
        { cause: error },
      )
    : error;
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
