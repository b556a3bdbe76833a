import { setTimeout as sleep } from "node:timers/promises";

/** What `work` comes to, or null where that takes longer than so many milliseconds. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T | null> {
  const timeout = new AbortController();
  const late = sleep(ms, null, { signal: timeout.signal }).catch(() => null);
  try {
    return await Promise.race([work, late]);
  } finally {
    timeout.abort();
  }
}
