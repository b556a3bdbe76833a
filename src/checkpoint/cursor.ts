import { HoldpointError } from "../errors.js";

/** Cursors of lists are the sort key of the last row, as JSON in base64url: opaque to clients, stable under inserts. */
export function encodeCursor(key: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(key)).toString("base64url");
}

/** Throws `bad_cursor` for what `encodeCursor` did not make. */
export function decodeCursor(
  cursor: string | null,
  shape: readonly ("string" | "number")[],
): (string | number)[] | null {
  if (cursor === null) return null;
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    if (
      Array.isArray(key) &&
      key.length === shape.length &&
      key.every((part, i) => typeof part === shape[i])
    ) {
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
