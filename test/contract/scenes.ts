/** What tests do with a checkpointer before they come to their point, and how they look at all that it keeps. */
import type {
  Checkpointer,
  Claim,
  Loaded,
  Page,
  PageRequest,
  RunRecord,
  StopMode,
  StopRequest,
  ThreadHead,
  ThreadRef,
  WorkerInfo,
  Write,
} from "../../src/checkpoint/checkpointer.js";
import { INTERRUPT_STATUSES, type FinalStatus, type Interrupt } from "../../src/engine/index.js";
import { newId } from "../../src/runs/ids.js";
import {
  commitStep,
  endRun,
  freshRef,
  pauseRun,
  startRun,
  tick,
  type InterruptOf,
  type Run,
  type StartOf,
  type StepOf,
} from "./writes.js";

/** Gives the checkpointer under test; call it inside a test. */
export type Subject = () => Checkpointer;

export const ALL: PageRequest = { limit: 200, cursor: null };

/** Sends a write that must be committed; gives its epoch. */
export async function commit(cp: Checkpointer, write: Write): Promise<number> {
  const written = await cp.write(write);
  if (written.outcome !== "committed")
    throw new Error(`a write that had to be committed was refused: ${written.outcome}`);
  return written.epoch;
}

/** Starts a run, on a fresh thread where none is named. */
export async function begin(cp: Checkpointer, of: StartOf & { ref?: ThreadRef } = {}): Promise<Run> {
  const { ref = freshRef(), ...start } = of;
  const loaded = await cp.load(ref);
  const from = loaded.head === null ? loaded.seq : loaded.head.seq;
  const write = startRun(ref, from, loaded.head, start);
  return runOf(write, await commit(cp, write));
}

/** The run that a start began. */
export function runOf(write: Write, epoch: number): Run {
  const { ref, seq, runId, head } = write;
  return { ref, runId: runId ?? "", graph: head.graph ?? "", epoch, seq, step: head.step };
}

/** Commits a step; gives the run as it stands then. */
export async function step(cp: Checkpointer, run: Run, of: StepOf = {}): Promise<Run> {
  return send(cp, run, commitStep(run, of));
}

/** Commits a write of a run; gives the run as it stands then. */
export async function send(cp: Checkpointer, run: Run, write: Write): Promise<Run> {
  await commit(cp, write);
  return { ...run, seq: write.seq, step: write.head.step };
}

export async function pause(
  cp: Checkpointer,
  run: Run,
  asked: readonly InterruptOf[] = [{}],
): Promise<readonly Interrupt[]> {
  const write = pauseRun(run, asked);
  await commit(cp, write);
  return write.open;
}

/** A thread that waits for one decision. */
export async function paused(
  cp: Checkpointer,
  of: StartOf & { ref?: ThreadRef } = {},
): Promise<{ readonly ref: ThreadRef; readonly run: Run; readonly interrupt: Interrupt }> {
  const run = await begin(cp, of);
  return { ref: run.ref, run, interrupt: first(await pause(cp, run)) };
}

export async function end(cp: Checkpointer, run: Run, status: FinalStatus = "completed"): Promise<void> {
  await commit(cp, endRun(run, status));
}

export async function loadThread(cp: Checkpointer, ref: ThreadRef): Promise<Loaded> {
  const loaded = await cp.load(ref);
  if (loaded.head === null) throw new Error("the thread is not there");
  return loaded;
}

export const headOf = async (cp: Checkpointer, ref: ThreadRef): Promise<ThreadHead> =>
  (await loadThread(cp, ref)).head;

export async function recordOf(cp: Checkpointer, run: Run): Promise<RunRecord> {
  const record = await cp.run(run.ref, run.runId);
  if (record === null) throw new Error("the run is not there");
  return record;
}

export async function interruptNow(
  cp: Checkpointer,
  ref: ThreadRef,
  { id }: Pick<Interrupt, "id">,
): Promise<Interrupt> {
  const interrupt = await cp.interrupt(ref.tenant, id);
  if (interrupt === null) throw new Error("the interrupt is not there");
  return interrupt;
}

export const stopOf = (mode: StopMode, of: Partial<StopRequest> = {}): StopRequest => ({
  mode,
  reason: null,
  by: "ann",
  at: tick(),
  ...of,
});

export const newWorker = (leaseMs: number): WorkerInfo => ({ id: `worker-${newId()}`, leaseMs });

/** Claims until `count` runs were given: a worker is not dead the moment that it falls silent. */
export async function claimUntil(
  cp: Checkpointer,
  worker: WorkerInfo,
  graphs: readonly string[],
  count = 1,
): Promise<Claim[]> {
  const until = Date.now() + 10_000;
  const claims: Claim[] = [];
  while (claims.length < count) {
    if (Date.now() > until)
      throw new Error(`only ${claims.length} of ${count} runs could be claimed in 10 s`);
    claims.push(...(await cp.claim(worker, graphs, count - claims.length)));
    await new Promise((resolve) => setImmediate(resolve));
  }
  return claims;
}

/** The run as its new owner finds it. */
export async function takenOver(cp: Checkpointer, run: Run, claim: Claim): Promise<Run> {
  const { seq, step: at } = await headOf(cp, run.ref);
  return { ...run, epoch: claim.epoch, seq, step: at };
}

/** Begins `count` things in the same turn. */
export const simultaneously = <T>(count: number, act: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => act(i)));

export function first<T>(list: readonly T[]): T {
  const [item] = list;
  if (item === undefined) throw new Error("the list is empty");
  return item;
}

/** All pages of a list, by its cursors. */
export async function pagesOf<T>(
  limit: number,
  read: (page: PageRequest) => Promise<Page<T>>,
): Promise<(readonly T[])[]> {
  const pages: (readonly T[])[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<T> = await read({ limit, cursor });
    pages.push(page.items);
    cursor = page.next;
    if (pages.length > 100) throw new Error("the list does not end");
  } while (cursor !== null);
  return pages;
}

/** All that can be read of a thread, as a copy: two of them are equal when nothing has changed in between. */
export async function everything(cp: Checkpointer, ref: ThreadRef): Promise<unknown> {
  const { tenant, threadId } = ref;
  const runs = await cp.runs(ref, ALL);
  const checkpoints = await cp.checkpoints(ref, ALL);
  const log = await cp.log(ref, 0, 1000);
  return structuredClone({
    loaded: await cp.load(ref),
    head: await cp.thread(ref),
    threads: await cp.threads(tenant, { statuses: null, graph: null }, ALL),
    runs,
    records: await Promise.all(runs.items.map(({ runId }) => cp.run(ref, runId))),
    runMessages: await Promise.all(runs.items.map(({ runId }) => cp.runMessages(ref, runId))),
    messages: await cp.messages(ref, ALL),
    interrupts: await Promise.all(
      INTERRUPT_STATUSES.map((status) => cp.interrupts(tenant, { status, graph: null, threadId }, ALL)),
    ),
    opened: await Promise.all(log.map(({ seq }) => cp.openedAt(ref, seq))),
    checkpoints,
    snapshots: await Promise.all(
      checkpoints.items.map(({ checkpointId }) => cp.loadAt(ref, { id: checkpointId })),
    ),
    log,
    decisions: await cp.decisionRecords(ref),
  });
}
