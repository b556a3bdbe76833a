/** From an answer that is a refusal to its error. */
import { ERROR_CLASSES, HoldpointError } from "./errors.js";
import type { Problem } from "./types.js";

const byCode: ReadonlyMap<string, new (problem: Problem, retryAfterMs: number | null) => HoldpointError> =
  new Map(Object.entries(ERROR_CLASSES));

/** The error that an answer tells of. */
export async function refusal(response: Response): Promise<HoldpointError> {
  const problem = problemIn(await response.text()) ?? {
    type: "about:blank",
    title: response.statusText,
    status: response.status,
    // A gateway before the server has words of its own.
    detail: `${response.url} answered ${response.status} without saying why`,
    code: "no_problem_details",
  };
  return new (byCode.get(problem.code) ?? HoldpointError)(problem, retryAfter(response));
}

function problemIn(text: string): Problem | null {
  try {
    const { status, code, detail, ...rest } = JSON.parse(text) as Problem;
    if (typeof status !== "number" || typeof code !== "string" || typeof detail !== "string") return null;
    return { ...rest, status, code, detail };
  } catch {
    return null;
  }
}

/** Seconds, or a date (RFC 9110). */
function retryAfter(response: Response): number | null {
  const said = response.headers.get("retry-after");
  if (said === null || said === "") return null;
  const seconds = Number(said);
  const ms = Number.isNaN(seconds) ? Date.parse(said) - Date.now() : seconds * 1000;
  return Number.isNaN(ms) ? null : Math.max(0, ms);
}
