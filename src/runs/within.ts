import { setTimeout as sleep } from "node:timers/promises";

/** Waits for `work`, at most so many milliseconds. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const timeout = new AbortController();
  const late = sleep(ms, undefined, { signal: timeout.signal }).catch(() => undefined);
  await Promise.race([work, late]);
  timeout.abort();
}
