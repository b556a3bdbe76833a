/** The statuses of a run. A thread has the status of its last run; one that never ran is `idle`. */
export const RUN_STATUSES = [
  "queued",
  "running",
  "interrupted_before",
  "interrupted_after",
  "completed",
  "error",
  "stopped",
] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];
export const THREAD_STATUSES = ["idle", ...RUN_STATUSES] as const;
export type ThreadStatus = (typeof THREAD_STATUSES)[number];

/** The statuses that end a run. */
export type FinalStatus = Exclude<RunStatus, "queued" | "running">;

/** The reference page's names for the statuses, for authors of graphs. */
export const ExecutionStatus = {
  IDLE: "idle",
  QUEUED: "queued",
  RUNNING: "running",
  INTERRUPTED_BEFORE: "interrupted_before",
  INTERRUPTED_AFTER: "interrupted_after",
  COMPLETED: "completed",
  ERROR: "error",
  STOPPED: "stopped",
} as const satisfies Record<string, ThreadStatus>;
/** One of the values of `ExecutionStatus`. */
export type ExecutionStatus = ThreadStatus;

export const isActive = (status: ThreadStatus): boolean => status === "queued" || status === "running";
export const isInterrupted = (status: ThreadStatus): boolean =>
  status === "interrupted_before" || status === "interrupted_after";

/** What may follow what: the one table of the thread's life (design: engine, section 6). */
export const MOVES: Record<
  ThreadStatus,
  { run: boolean; resume: "answer" | "continue" | false; edit: boolean }
> = {
  idle: { run: true, resume: false, edit: true },
  queued: { run: false, resume: false, edit: false },
  running: { run: false, resume: false, edit: false },
  interrupted_before: { run: false, resume: "answer", edit: true },
  interrupted_after: { run: false, resume: "answer", edit: true },
  completed: { run: true, resume: false, edit: true },
  error: { run: true, resume: "continue", edit: true },
  stopped: { run: true, resume: "continue", edit: true },
};

/** What a node sees of the execution it is part of, and what `getState` tells of a thread. Read-only. */
export interface ExecutionMeta {
  readonly status: ThreadStatus;
  readonly currentNode: string | null;
  readonly step: number;
  readonly interruptedNode: string | null;
  readonly interruptReason: string | null;
  readonly interruptData: unknown;
  isInterrupted(): boolean;
}

export function executionMeta(
  of: Partial<Omit<ExecutionMeta, "isInterrupted">> & { status: ThreadStatus },
): ExecutionMeta {
  return Object.freeze({
    status: of.status,
    currentNode: of.currentNode ?? null,
    step: of.step ?? 0,
    interruptedNode: of.interruptedNode ?? null,
    interruptReason: of.interruptReason ?? null,
    interruptData: of.interruptData ?? null,
    isInterrupted: () => isInterrupted(of.status),
  });
}
