import { HoldpointError } from "../errors.js";

export type CursorPart = "time" | "string" | "integer";

/** Cursors of lists are the sort key of the last row, as JSON in base64url: opaque to clients, stable under inserts. */
export function encodeCursor(key: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(key)).toString("base64url");
}

/** Throws `bad_cursor` for what `encodeCursor` cannot have made. */
export function decodeCursor(
  cursor: string | null,
  shape: readonly CursorPart[],
): (string | number)[] | null {
  if (cursor === null) return null;
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    if (Array.isArray(key) && key.length === shape.length && key.every((part, i) => fits(part, shape[i]))) {
      return key as (string | number)[];
    }
  } catch {
    // Not ours: refused below.
  }
  throw new HoldpointError(
    "bad_cursor",
    "The cursor is not one that a list here gave as next_cursor; start without one.",
  );
}

function fits(part: unknown, kind: CursorPart | undefined): boolean {
  if (kind === "integer") return Number.isSafeInteger(part);
  if (typeof part !== "string") return false;
  // What toISOString gives: nothing else sorts and parses the same everywhere.
  return (
    kind === "string" ||
    (/^\d{4}-/.test(part) && !Number.isNaN(Date.parse(part)) && new Date(part).toISOString() === part)
  );
}
