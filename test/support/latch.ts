/** Hand-driven promises and small readers, so that tests schedule races instead of sleeping for them. */
import { setImmediate as macrotask } from "node:timers/promises";
import type { RunEvent } from "holdpoint";

export interface Latch {
  /** Resolves once the latch was opened. */
  readonly opened: Promise<void>;
  open(): void;
}

export function latch(): Latch {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** What a promise was rejected with, of any shape, for assertions. Fails the test where it was not. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export async function failure(work: Promise<unknown>): Promise<any> {
  let value: unknown;
  try {
    value = await work;
  } catch (error) {
    return error;
  }
  throw new Error(`this was to be rejected, and gave ${JSON.stringify(value)}`);
}

/** All that a stream gives, and what it threw at its end. */
export async function drained(
  stream: AsyncIterable<RunEvent>,
): Promise<{ events: RunEvent[]; error: unknown }> {
  const events: RunEvent[] = [];
  try {
    for await (const event of stream) events.push(event);
  } catch (error) {
    return { events, error };
  }
  return { events, error: null };
}

/** Lets everything that is ready to run do so: promises, and the macrotasks that they ask for. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await macrotask();
}
