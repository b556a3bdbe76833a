import { HoldpointError, isAway } from "../errors.js";
import { pause, type Cut } from "../lib/cutoff.js";

/** Milliseconds between two tries: at first, and at the most. */
const FIRST_MS = 50;
const MOST_MS = 2000;
/** Milliseconds for a try that is under way, or begins, when nobody waits any more. */
const LAST_MS = 500;

export interface Patience {
  /** Nobody waits any more: a try that is under way has a moment left, then `database_unavailable` is thrown. */
  readonly signal?: Cut | undefined;
  /** How long to go on trying after the first failure, in milliseconds; then the last one is thrown. Default for ever. */
  readonly forMs?: number;
  /** Told of each failure, with the milliseconds to the next try. */
  readonly onAway?: (error: unknown, retryMs: number) => void;
}

/** Does `work` again while the storage is away, so `work` must be such that doing it twice is doing it once. */
export function patiently<T>(work: () => Promise<T>, of: Patience = {}): Promise<T> {
  return once(work, of.signal).catch((error: unknown) => again(error, work, of));
}

/** After the first failure. */
async function again<T>(first: unknown, work: () => Promise<T>, of: Patience): Promise<T> {
  const { signal, forMs = Infinity, onAway } = of;
  // It changes while this waits, which the type checker cannot know.
  const isOver = (): boolean => signal?.aborted === true;
  const until = Date.now() + forMs;
  let failed = first;
  for (let about = FIRST_MS; ; about = Math.min(about * 2, MOST_MS)) {
    // Not all at the same moment, when it is back.
    const waitMs = Math.round(about * (0.5 + Math.random() / 2));
    if (!isAway(failed) || isOver() || Date.now() + waitMs > until) throw failed;
    onAway?.(failed, waitMs);
    await pause(waitMs, signal);
    if (isOver()) throw failed;
    try {
      return await once(work, signal);
    } catch (error) {
      failed = error;
    }
  }
}

/** One try. A storage that does not answer does not fail either: nobody is kept waiting for that. */
function once<T>(work: () => Promise<T>, signal: Cut | undefined): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let late: NodeJS.Timeout | undefined;
    const leave = (): void =>
      reject(new HoldpointError("database_unavailable", "the database was not waited for"));
    // What a database that is there is about to answer is not thrown away.
    const onAbort = (): void => void (late = setTimeout(leave, LAST_MS).unref());
    const over = (): void => {
      signal?.removeEventListener("abort", onAbort);
      clearTimeout(late);
    };
    work().then(
      (value) => {
        over();
        resolve(value);
      },
      (error: unknown) => {
        over();
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as it was thrown
        reject(error);
      },
    );
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort);
  });
}
