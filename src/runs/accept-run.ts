import type { Loaded, ThreadRef, Written } from "../checkpoint/checkpointer.js";
import { UpdateFault } from "../engine/index.js";
import { invalid } from "../errors.js";
import { beginning, type Beginning, type NoThread } from "./beginning.js";
import type { RunHandle, RunServiceDeps } from "./requests.js";
import type { RunControl } from "./run-control.js";
import type { RunReader } from "./run-reader.js";
import { threadKey } from "./thread-key.js";

/** The one write that accepts a run and claims it; undefined when the thread moved meanwhile. */
export async function acceptRun(
  deps: RunServiceDeps,
  reader: RunReader,
  ref: ThreadRef,
  loaded: Loaded | NoThread,
  of: Beginning,
): Promise<RunHandle | undefined> {
  const { checkpointer, live, worker } = deps;
  const { def, runId } = of;
  // Without room here, it is whoever has room that goes on with it.
  if (!worker.hasRoom) return acceptForAnybody(deps, reader, ref, loaded, of);
  const { write, events, job } = beginning(ref, loaded, of, worker.info.id);
  const control = worker.open(ref, runId);
  const written = await writeFor(worker, control, () => checkpointer.write(write));
  if (written === null) return undefined;
  live.publish({ key: threadKey(ref), graph: def }, events, write.seq);
  worker.execute(job(written.epoch), def, control, loaded.head === null ? [] : loaded.records);
  return reader.handle(ref, runId, write.guard.from, control);
}

async function acceptForAnybody(
  { checkpointer, live, worker }: RunServiceDeps,
  reader: RunReader,
  ref: ThreadRef,
  loaded: Loaded | NoThread,
  of: Beginning,
): Promise<RunHandle | undefined> {
  const { write, events } = beginning(ref, loaded, of, null);
  if ((await checkpointer.write(write)).outcome !== "committed") return undefined;
  live.publish({ key: threadKey(ref), graph: of.def }, events, write.seq);
  worker.workWaits();
  return reader.handle(ref, of.runId, write.guard.from);
}

/** Its control ends where the write does not go through; null when the thread moved. */
async function writeFor(
  worker: RunServiceDeps["worker"],
  control: RunControl,
  write: () => Promise<Written>,
): Promise<(Written & { outcome: "committed" }) | null> {
  let written: Written | null = null;
  try {
    written = await write();
    return written.outcome === "committed" ? written : null;
  } finally {
    if (written?.outcome !== "committed") {
      worker.registry.close(control);
      control.end(null);
    }
  }
}

/** What a reducer refuses of a request is the request's fault. */
export function asRequest<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof UpdateFault) throw invalid([{ path: "input", message: error.message }]);
    throw error;
  }
}
