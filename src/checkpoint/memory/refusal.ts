import type { Write, Written } from "../checkpointer.js";
import type { StoredThread } from "./stored-thread.js";

const COMMITTED = { outcome: "committed" as const, queued: false, dropped: [] };

/** Why a write is refused, or null. The guards of the port, in their order. */
export function refusal(thread: StoredThread, write: Write): Written | null {
  const { head } = thread;
  const { guard } = write;
  if (guard.by === "seq") {
    if (head.seq !== guard.from || head.status === "running" || head.status === "queued") {
      const mine = thread.entries.find(
        (entry) => write.start !== undefined && entry.seq === write.seq && entry.runId === write.start.runId,
      );
      return mine === undefined ? { outcome: "moved" } : { ...COMMITTED, epoch: mine.epoch };
    }
  } else {
    if (head.epoch !== guard.epoch || head.status !== "running" || head.seq !== guard.from) {
      const mine = thread.entries.some(
        (entry) => entry.seq === write.seq && entry.epoch === guard.epoch && entry.runId === guard.runId,
      );
      return mine
        ? { ...COMMITTED, epoch: guard.epoch, queued: head.status === "queued" }
        : { outcome: "fenced" };
    }
    const stop = thread.runs.get(guard.runId)?.stop ?? null;
    if (stop !== null && guard.seesStop !== "now" && guard.seesStop !== stop.mode)
      return { outcome: "stopping", stop };
  }
  if (write.decide.length === 0) return null;
  const open = new Set(thread.interrupts.filter(({ status }) => status === "open").map(({ id }) => id));
  return write.decide.every(({ id }) => open.has(id)) ? null : { outcome: "moved" };
}
