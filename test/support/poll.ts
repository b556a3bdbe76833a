/** Waiting for a condition, bounded: tests of whole processes have no latch to open. */
import { setTimeout as sleep } from "node:timers/promises";

/** What `look` gives once it is neither false nor null nor undefined. Throws naming `what` after `ms`. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  ms = 40_000,
): Promise<Exclude<T, false | null | undefined>> {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== false && found !== null && found !== undefined)
      return found as Exclude<T, false | null | undefined>;
    if (Date.now() > deadline) throw new Error(`this did not happen within ${ms} ms: ${what}`);
    await sleep(15);
  }
}

/** `work`, or a failure naming `what` after `ms`. */
export async function within<T>(what: string, work: Promise<T>, ms = 40_000): Promise<T> {
  const timeout = new AbortController();
  try {
    return await Promise.race([
      work,
      sleep(ms, undefined, { signal: timeout.signal }).then((): never => {
        throw new Error(`this did not happen within ${ms} ms: ${what}`);
      }),
    ]);
  } finally {
    timeout.abort();
  }
}
