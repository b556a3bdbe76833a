import { draft, type Draft, type FinalStatus, type RunResult } from "../engine/index.js";

const TERMINAL = {
  interrupted_before: "interrupted",
  interrupted_after: "interrupted",
  completed: "end",
  error: "error",
  stopped: "stopped",
} as const satisfies Record<FinalStatus, string>;

/** The last event of a run: what it came to. */
export function terminalEvent(result: RunResult): Draft {
  const type = TERMINAL[result.status as FinalStatus];
  const first = result.interrupts[0];
  const place = {
    nodeName: result.currentNode,
    path: first?.path ?? result.error?.path ?? [],
    metadata: { status: result.status },
  };
  switch (type) {
    case "interrupted":
      return draft(
        type,
        { result, interrupted: result.status === "interrupted_after" ? "after" : "before" },
        { content: first?.message ?? "", ...place },
      );
    case "error":
      return draft(type, { result }, { content: result.error?.message ?? "", ...place });
    case "stopped":
      return draft(type, { result }, { content: "The run was stopped.", ...place });
    case "end":
      return draft(type, { result }, { content: "The run is complete.", ...place });
  }
}
