/** Runs that wait for their thread, or for a process that has room: how they are kept, and how they begin. */
import type { Claim, Loaded, Written } from "../checkpoint/checkpointer.js";
import {
  begin,
  draft,
  type GraphDefinition,
  type Message,
  type RunFault,
  type RunInput,
  type Snapshot,
} from "../engine/index.js";
import { refusalIn, type ErrorCode } from "../errors.js";
import { errorText } from "../lib/show.js";
import type { Live } from "../events/index.js";
import { beginning, type Beginning } from "./beginning.js";
import { sameMessage } from "./message-input.js";
import { toldAtStart } from "./on-disconnect.js";
import { readRequest } from "./queued-request.js";
import type { CheckedConfig } from "./request-input.js";
import { messageEvent } from "./run-draft.js";
import type { RunControl } from "./run-control.js";
import { seenStop } from "./run-control.js";
import type { ExecuteDeps, RunJob } from "./run-job.js";
import { RunWriter } from "./run-writer.js";
import { threadKey } from "./thread-key.js";

/** How a fresh run begins, on the thread as it is now. Throws UpdateFault where a reducer refuses the input. */
export function freshRun(
  def: GraphDefinition,
  loaded: { readonly head: Loaded["head"] | null; readonly snapshot?: Snapshot },
  of: { runId: string; input: RunInput; config: CheckedConfig },
): Beginning {
  const { runId, input, config } = of;
  const snapshot = loaded.head === null || loaded.head.checkpointId === null ? null : loaded.snapshot;
  const change = begin(def, snapshot ?? null, input, runId, config.holds);
  const started = draft(
    "start",
    {
      input: { ...input.fields, ...(input.messages.length === 0 ? {} : { messages: input.messages }) },
      resumes: false,
    },
    { content: "The run begins.", metadata: toldAtStart(config) },
  );
  return {
    def,
    runId,
    change,
    source: "input",
    before: [],
    events: [started, ...input.messages.map((message) => messageEvent(message))],
    decide: [],
    decision: null,
    resumes: false,
    config,
  };
}

export interface QueuedDeps {
  readonly checkpointer: ExecuteDeps["checkpointer"];
  readonly live: Live;
  readonly worker: string;
}

/**
 * Begins a queued run that this process has claimed: the write is one of its run, fenced and refused by a stop it has not
 * seen. Null where another process has it by now; a fault where its thread has moved on so that its input no longer fits,
 * or where the database does not take it.
 */
export async function beginQueued(
  { checkpointer, live, worker }: QueuedDeps,
  def: GraphDefinition,
  claim: Claim,
  loaded: Loaded,
  control: RunControl,
): Promise<RunJob | { readonly fault: RunFault; readonly job: RunJob } | null> {
  const { ref, runId, epoch } = claim;
  const { run } = loaded;
  if (run === null) return null;
  const queued = run;
  const { input, holds } = readRequest(run.request);
  const { recursionLimit, metadata } = run;
  let of: Beginning;
  try {
    const messages = newMessages(input.messages, loaded.snapshot.messages);
    const config = { recursionLimit, metadata: { ...metadata }, holds };
    of = freshRun(def, loaded, { runId, input: { ...input, messages }, config });
  } catch (error) {
    return unbegun("invalid_update", `the input no longer fits the thread: ${errorText(error)}`);
  }
  const { write, events, job } = beginning(ref, loaded, of, worker);
  let written: Written;
  do {
    const guard = {
      by: "run",
      from: loaded.head.seq,
      epoch,
      runId,
      seesStop: seenStop(control.stop),
    } as const;
    try {
      written = await checkpointer.write({ ...write, guard });
    } catch (error) {
      if (refusalIn(error) === null) throw error;
      return unbegun("not_storable", `the input cannot be stored: ${errorText(error)}; send less`);
    }
    if (written.outcome === "stopping") control.requestStop(written.stop);
  } while (written.outcome === "stopping");
  if (written.outcome !== "committed") return null;
  live.publish({ key: threadKey(ref), graph: def, base: loaded.head.seq }, events, write.seq);
  const begun = job(epoch);
  return { ...begun, run: { ...begun.run, createdAt: run.createdAt } };

  function unbegun(code: ErrorCode, message: string): { fault: RunFault; job: RunJob } {
    const { head, snapshot, interrupts, sinceValues } = loaded;
    const at = { snapshot, interrupts, sinceValues, seq: head.seq, limit: head.limit };
    return {
      fault: { code, message, node: null, path: [], step: head.step, attempt: 1 },
      job: { ref, run: queued, epoch, loaded: at, messages: [], crashedAt: null },
    };
  }
}

/** Those that the thread does not have by now. */
function newMessages(messages: readonly Message[], context: readonly Message[]): Message[] {
  return messages.filter((message) => {
    const known = context.find(({ id }) => id === message.id);
    if (known === undefined) return true;
    if (sameMessage(known, message, false)) return false;
    throw new Error(`another message of the id "${message.id}" is in the thread`);
  });
}

/** Ends a run that could not begin. */
export async function endUnbegun(
  job: RunJob,
  control: RunControl,
  deps: ExecuteDeps,
  fault: RunFault,
): Promise<void> {
  const writer = new RunWriter(job, control, deps);
  const { snapshot } = job.loaded;
  const outcome = {
    interrupted: false,
    interruptReason: null,
    decision: null,
    currentNode: null,
    nextNodes: [],
    step: snapshot.step,
  };
  const ended = await writer.end(snapshot, { ...outcome, status: "error", error: fault }, []);
  if (ended === "stopping") await writer.end(snapshot, { ...outcome, status: "stopped", error: null }, []);
}
