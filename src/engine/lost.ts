/** Attempts whose outcome nobody knows. */
import type { Ask } from "./interrupt.js";
import { heldByRun, withTask, type Place, type Scope } from "./scope.js";
import type { LostAttempt, RunHolds, Snapshot, Task } from "./snapshot.js";
import { extended } from "../lib/extended.js";

/** An attempt whose outcome nobody knows: where the node may not be repeated unasked, a person is asked first. */
export function loseAttempt(snapshot: Snapshot, place: Place, lost: LostAttempt): Snapshot {
  const { task } = place;
  const counted: Task = { ...task, attempts: Math.max(task.attempts, lost.attempt) };
  if (mayRepeat(place, snapshot.position.holds)) return withTask(snapshot, counted);
  const how = {
    crash: "its process died",
    timeout: "it timed out",
    stop: "a stop gave it up",
    refused: "the database refused what it gave",
  }[lost.cause];
  const ask: Ask = {
    key: `crash:${lost.attempt}`,
    kind: "crash",
    pauses: "before",
    reason: `crash: ${task.node}`,
    message: `Attempt ${lost.attempt} of ${task.node} may have acted before ${how}. Approve to run it again, edit to say what it did, deny to leave it.`,
    data: {
      node: task.node,
      attempt: lost.attempt,
      began_at: lost.beganAt,
      cause: lost.cause,
      once: lost.once,
    },
    responseSchema: null,
    decisions: ["approve", "edit", "deny"],
    named: false,
    plain: false,
  };
  return withTask(snapshot, extended(counted, { asks: [...(task.asks ?? []), ask] }));
}

/** A gated action is never silently repeated: a node that a person has a say in is held, unless it says otherwise. */
export function mayRepeat({ scope, task }: Place, holds: RunHolds): boolean {
  const chosen = onCrashOf(scope, task);
  if (chosen !== undefined) return chosen === "rerun";
  if (task.answered === true) return false;
  for (let at: Place | null = { scope, task }; at !== null; at = at.scope.owner) {
    if (isHeld(at, holds)) return false;
  }
  return true;
}

/** What its node says, else the nearest graph around it that says something as a node. */
function onCrashOf(scope: Scope, task: Task): "hold" | "rerun" | undefined {
  const own = scope.def.nodes.get(task.node)?.options.onCrash;
  return own ?? (scope.owner === null ? undefined : onCrashOf(scope.owner.scope, scope.owner.task));
}

function isHeld({ scope, task }: Place, holds: RunHolds): boolean {
  if (scope.def.before.has(task.node) || scope.def.after.has(task.node)) return true;
  return heldByRun(scope, holds.before, task.node) || heldByRun(scope, holds.after, task.node);
}
