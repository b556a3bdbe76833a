/** `Prefer` (RFC 7240): how long a caller waits for a run. */
import { z } from "zod";
import { invalid } from "../errors.js";

/** The header, as a route's description has it; `preferredWait` reads it. */
export const preferHeader = {
  prefer: z
    .string()
    .optional()
    .describe(
      "`respond-async`: answer 202 as soon as the run is durable; `wait=20`: wait at most so many seconds for its end",
    ),
};

/** The longest timer that Node keeps, in seconds. */
const MOST_SECONDS = 2_147_483;

/** Milliseconds that the caller waits for the end of a run: 0 is not at all, null as long as it takes. Others' preferences are ignored. */
export function preferredWait(header: string | string[] | undefined): number | null {
  const said = (Array.isArray(header) ? header.join(",") : (header ?? "")).split(/[,;]/);
  let ms: number | null = null;
  for (const each of said) {
    const [name = "", value = ""] = each.split("=").map((part) => part.trim().toLowerCase());
    if (name === "respond-async") ms ??= 0;
    if (name !== "wait") continue;
    const seconds = /^"?(\d{1,9})"?$/.exec(value)?.[1];
    if (seconds === undefined) {
      throw invalid([
        { path: "header.prefer", message: `wait is a whole number of seconds, not "${value}"` },
      ]);
    }
    // With both, `wait` says how long the answer may take before it is 202.
    ms = Math.min(Number(seconds), MOST_SECONDS) * 1000;
  }
  return ms;
}
