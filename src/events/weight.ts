import type { RunEvent } from "../engine/index.js";

/** Bytes of an event beside its texts, about. */
const BARE = 300;
/** Bytes of a value that is no text, about. */
const VALUE = 8;

/** How many bytes an event takes while it waits, about: those of its texts, and something for the rest. */
export const weightOf = (event: RunEvent): number => BARE + event.content.length + valueWeight(event.data);

function valueWeight(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return VALUE;
  let weight = VALUE;
  for (const [key, member] of Object.entries(value)) weight += key.length + valueWeight(member);
  return weight;
}
