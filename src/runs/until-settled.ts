import { HoldpointError } from "../errors.js";

/** How often a request tries again when the thread moved under it; each time somebody else got further. */
const TRIES = 200;

/** Tries until nobody came between reading and writing; undefined means that somebody did. */
export async function untilSettled<T>(attempt: () => Promise<T | undefined>): Promise<T> {
  for (let i = 0; i < TRIES; i++) {
    const settled = await attempt();
    if (settled !== undefined) return settled;
  }
  throw new HoldpointError(
    "thread_busy",
    "the thread changes faster than this request can be applied; try again",
  );
}
