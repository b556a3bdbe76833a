import { setTimeout as sleep } from "node:timers/promises";
import type { Cut } from "../lib/cutoff.js";

/** What `orCut` gives where the work was cut short. */
export const CUT: unique symbol = Symbol("cut");

/** User code that decides the way has no signal; a stop does not wait for it, or for `graceMs` at the most. */
export async function orCut<T>(cut: Cut, work: Promise<T>, graceMs = 0): Promise<T | typeof CUT> {
  if (cut.aborted) {
    work.catch(() => undefined);
    return Promise.race([work, sleep(graceMs, CUT, { ref: false })]);
  }
  let onCut: (() => void) | undefined;
  const aborted = new Promise<typeof CUT>((resolve) => {
    onCut = () => resolve(CUT);
    cut.addEventListener("abort", onCut);
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (onCut !== undefined) cut.removeEventListener("abort", onCut);
    work.catch(() => undefined);
  }
}
