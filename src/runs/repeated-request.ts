/** What a request gets that is sent again with its idempotency key: what its first coming got, or waits for. */
import { setTimeout as sleep } from "node:timers/promises";
import type { RequestKey, ThreadRef, UsedKey } from "../checkpoint/checkpointer.js";
import type { Json } from "../lib/json.js";
import { refuseWhenDraining } from "./refusals.js";
import { acceptedBefore } from "./request-key.js";
import type {
  ResumeRequest,
  RunHandle,
  RunServiceDeps,
  StartRequest,
  Waiting,
  WaitingThen,
} from "./requests.js";
import type { RunReader } from "./run-reader.js";

/** The run that this request began, or null. Throws `idempotency_key_reused`, and `not_found` where the run is gone. */
export async function repeatedStart(
  { checkpointer, worker }: RunServiceDeps,
  reader: RunReader,
  { ref, key }: StartRequest,
): Promise<RunHandle | null> {
  if (key === undefined) return null;
  refuseWhenDraining(worker);
  const used = await acceptedBefore(checkpointer, ref.tenant, key);
  return used === null ? null : reader.again(ref, used.runId);
}

/** The same for a resume, which may have begun no run yet. */
export async function repeatedResume(
  deps: RunServiceDeps,
  reader: RunReader,
  request: ResumeRequest,
): Promise<RunHandle | Waiting | null> {
  const { ref, key } = request;
  if (key === undefined) return null;
  refuseWhenDraining(deps.worker);
  const used = await acceptedBefore(deps.checkpointer, ref.tenant, key);
  if (used === null) return null;
  if (used.runId !== null) return reader.again(ref, used.runId);
  const kept = await keptAnswer(deps, ref, key, used);
  if (kept !== null) return reader.waitedFor(ref, kept as unknown as WaitingThen);
  // Its process ended before it kept what it answered: the thread as it stands, in the pause that the request answered.
  const [id] = (request.answers ?? [request]).flatMap(({ interruptId }) => interruptId ?? []);
  const interrupt = id === undefined ? null : await deps.checkpointer.interrupt(ref.tenant, id);
  const waiting = await reader.waiting(ref, interrupt?.runId ?? null);
  await keepWaiting(deps, ref, key, waiting);
  return waiting;
}

/** Keeps what an answer that was not the last one got. */
export async function keepWaiting(
  { checkpointer }: RunServiceDeps,
  ref: ThreadRef,
  key: RequestKey | undefined,
  { result }: Waiting,
): Promise<void> {
  if (key === undefined) return;
  const { runId, interrupts, seq } = result;
  const then: WaitingThen = { runId, interrupts: interrupts.map(({ id }) => id), seq };
  await checkpointer.answerKey(ref.tenant, key.key, then as unknown as Json);
}

/** What the first coming was answered; null where nobody kept it. */
export async function keptAnswer(
  { checkpointer, options }: RunServiceDeps,
  { tenant }: ThreadRef,
  { key }: RequestKey,
  used: UsedKey,
): Promise<Json> {
  if (used.answer !== null) return used.answer;
  // It may be about to be kept.
  await sleep(options.pollMs);
  return (await checkpointer.usedKey(tenant, key))?.answer ?? null;
}
