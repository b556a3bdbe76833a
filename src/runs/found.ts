import type { Checkpointer, ThreadRef } from "../checkpoint/checkpointer.js";

/** A thread as it was read, or where its numbers begin. */
export type Found = Awaited<ReturnType<Checkpointer["load"]>>;

/** Gives what was read already, where it was, and reads the thread each time after that: it has moved since. */
export function lookOnce(checkpointer: Checkpointer, ref: ThreadRef, found?: Found): () => Promise<Found> {
  let known = found;
  return async () => {
    const first = known ?? (await checkpointer.load(ref));
    known = undefined;
    return first;
  };
}
