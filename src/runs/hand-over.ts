import type { Checkpointer } from "../checkpoint/checkpointer.js";
import { isAway } from "../errors.js";
import { patiently } from "./patiently.js";
import type { RunControl } from "./run-control.js";
import type { RunJob } from "./run-job.js";

/**
 * Gives a run up for another process, however long the database is away; where it is another's already, that is as good.
 * `inFlight` says whether a node may have been in the middle of something.
 */
export async function handOver(
  checkpointer: Checkpointer,
  { ref, epoch }: Pick<RunJob, "ref" | "epoch">,
  control: RunControl,
  of: { readonly inFlight: boolean },
): Promise<void> {
  try {
    await patiently(() => checkpointer.release(ref, epoch, of), { signal: control.gone });
  } catch (error) {
    if (!isAway(error)) throw error;
  }
  control.lose();
}
