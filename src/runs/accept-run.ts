import type { Loaded, ThreadRef, Write } from "../checkpoint/checkpointer.js";
import { UpdateFault } from "../engine/index.js";
import { HoldpointError, invalid, isAway } from "../errors.js";
import { beginning, type Beginning, type NoThread } from "./beginning.js";
import { patiently } from "./patiently.js";
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
  const { live, worker } = deps;
  const { def, runId } = of;
  // Without room here, it is whoever has room that goes on with it.
  if (!worker.hasRoom) return acceptForAnybody(deps, reader, ref, loaded, of);
  const { write, events, job } = beginning(ref, loaded, of, worker.info.id);
  const { from } = write.guard;
  await worker.beFresh();
  const control = worker.open(ref, runId);
  const accepted = await accept(deps, control, write);
  if (accepted === "moved") return undefined;
  if (accepted === "elsewhere") return reader.handle(ref, runId, from);
  live.publish({ key: control.key, graph: def, base: from }, events, write.seq);
  live.begins(control.key, from, events);
  worker.execute(job(accepted.epoch), def, control, loaded.head === null ? [] : loaded.records);
  return reader.handle(ref, runId, from, control);
}

async function acceptForAnybody(
  { checkpointer, live, worker }: RunServiceDeps,
  reader: RunReader,
  ref: ThreadRef,
  loaded: Loaded | NoThread,
  of: Beginning,
): Promise<RunHandle | undefined> {
  const { write, events } = beginning(ref, loaded, of, null);
  const written = await patiently(() => checkpointer.write(write), { forMs: SEND_AGAIN_MS }).catch(
    (error: unknown) => {
      throw isAway(error) ? unsure(error as HoldpointError, write) : error;
    },
  );
  if (written.outcome !== "committed") return undefined;
  live.publish({ key: threadKey(ref), graph: of.def, base: write.guard.from }, events, write.seq);
  worker.workWaits();
  return reader.handle(ref, of.runId, write.guard.from);
}

/** How long the write is sent again, in milliseconds, before the client is told to try later. */
const SEND_AGAIN_MS = 4000;

/**
 * Sends the write, again where its answer was lost (a start sent twice is committed once and says so both times). Its control
 * is open meanwhile, so that no heartbeat gives away what may be ours, and ends where this process does not execute the run.
 */
async function accept(
  { checkpointer, worker }: RunServiceDeps,
  control: RunControl,
  write: Write,
): Promise<{ readonly epoch: number } | "moved" | "elsewhere"> {
  let isUnsure = false;
  let mine = false;
  const send = async (): Promise<{ readonly epoch: number } | "moved" | "elsewhere"> => {
    const written = await checkpointer.write(write);
    if (written.outcome !== "committed") return "moved";
    // Between two sendings a lease may have passed.
    return isUnsure ? ((await worker.owned(control)) ?? "elsewhere") : written;
  };
  try {
    const accepted = await patiently(send, { forMs: SEND_AGAIN_MS, onAway: () => (isUnsure = true) });
    mine = typeof accepted === "object";
    return accepted;
  } catch (error) {
    if (!isAway(error)) throw error;
    isUnsure = true;
    throw unsure(error as HoldpointError, write);
  } finally {
    if (!mine) worker.forgo(control, { isUnsure });
  }
}

function unsure(error: HoldpointError, { ref, runId }: Write): HoldpointError {
  return new HoldpointError(
    "database_unavailable",
    `${error.message}; whether the run ${runId ?? ""} was accepted is not known: look at the thread before you send the request again`,
    { thread_id: ref.threadId, run_id: runId },
    { cause: error },
  );
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
