import type { Checkpointer, Loaded, ThreadHead } from "../checkpoint/checkpointer.js";
import { HoldpointError, isAway } from "../errors.js";
import { isInstance } from "../lib/show.js";

/** A thread as it was read, or where its numbers begin. */
export type Found = Awaited<ReturnType<Checkpointer["load"]>>;

/** What a request needs to know of a thread, read or kept. */
export interface ThreadNow extends Pick<Loaded, "snapshot" | "interrupts" | "records" | "sinceValues"> {
  readonly head: Pick<
    ThreadHead,
    | "tenant"
    | "threadId"
    | "graph"
    | "status"
    | "runId"
    | "seq"
    | "step"
    | "checkpointId"
    | "currentNode"
    | "nextNodes"
    | "interruptReason"
  >;
}

/** There is no thread; one of its name begins above `seq`. */
export interface NoThread {
  readonly head: null;
  readonly seq: number;
}

/** Gives what was read already, where it was, and reads the thread each time after that: it has moved since. */
export function lookOnce(load: () => Promise<Found>, found?: Found): () => Promise<Found> {
  let known = found;
  return async () => {
    const first = known ?? (await load());
    known = undefined;
    return first;
  };
}

/**
 * Tries a request on what the thread is supposed to be. Undefined where that is not so or the request does not fit: only the
 * thread as it is read may refuse a request. Throws what is no refusal: the request may have been taken.
 */
export async function supposing<Known, T>(
  known: Known | null,
  attempt: (known: Known) => Promise<T | undefined>,
): Promise<T | undefined> {
  if (known === null) return undefined;
  try {
    return await attempt(known);
  } catch (error) {
    if (!isInstance(error, HoldpointError) || isAway(error)) throw error;
    return undefined;
  }
}
