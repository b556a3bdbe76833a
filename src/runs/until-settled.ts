import { HoldpointError } from "../errors.js";

/** How often a request tries again when the thread moved under it; each time somebody else got further. */
const TRIES = 200;

/**
 * Tries until nobody came between reading and writing; undefined means that somebody did. `repeated` gives what the same
 * request got before, if it was accepted before: asked first, and again before a refusal, which may be one by that.
 */
export async function untilSettled<T>(
  attempt: () => Promise<T | undefined>,
  repeated: () => Promise<T | null> = () => Promise.resolve(null),
): Promise<T> {
  for (let i = 0; i < TRIES; i++) {
    const before = await repeated();
    if (before !== null) return before;
    try {
      const settled = await attempt();
      if (settled !== undefined) return settled;
    } catch (error) {
      const since = await repeated();
      if (since !== null) return since;
      throw error;
    }
  }
  throw new HoldpointError(
    "thread_busy",
    "the thread changes faster than this request can be applied; try again",
  );
}
