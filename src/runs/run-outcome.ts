/** What a run came to, as people see it. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  END,
  leavesOf,
  scopesOf,
  START,
  type Answer,
  type FinalStatus,
  type GraphDefinition,
  type Opening,
  type Outcome,
  type Place,
  type RunFault,
  type Snapshot,
} from "../engine/index.js";
import { CUT, orCut } from "./or-cut.js";
import { successors } from "./successors.js";
import type { Cut } from "../lib/cutoff.js";

/** How long the end of a run waits for its edges to say what would come next. */
const NEXT_NODES_MS = { stopped: 50, otherwise: 250 };

export interface Ending {
  readonly status: FinalStatus;
  readonly open: readonly Opening[];
  readonly error: RunFault | null;
  readonly decision: Answer | null;
}

export async function outcomeOf(
  def: GraphDefinition,
  snapshot: Snapshot,
  { status, open, error, decision }: Ending,
  cut: Cut,
): Promise<Outcome> {
  const through = status === "completed";
  // An edge that failed is not asked twice.
  const next = through || error?.code === "edge_failed" ? [] : await nextNodesOf(def, snapshot, cut);
  const [first] = leavesOf(snapshot.position.tasks);
  const current = open[0]?.task.node ?? error?.node ?? first?.node ?? null;
  return {
    status,
    interrupted: open.length > 0,
    interruptReason: open[0]?.ask.reason ?? null,
    decision,
    currentNode: through || current === START ? null : current,
    nextNodes: next,
    step: snapshot.step,
    error,
  };
}

/** The nodes whose result is missing; of a node whose output is there, what its edges give now. */
async function nextNodesOf(def: GraphDefinition, snapshot: Snapshot, cut: Cut): Promise<string[]> {
  const names: string[] = [];
  for (const scope of scopesOf(def, snapshot)) {
    for (const task of scope.tasks) {
      if (task.stage === "done" || task.inner !== undefined) continue;
      if (task.closed === undefined && task.denied === undefined) {
        if (task.node !== START) names.push(task.node);
      } else names.push(...(await waysFrom({ scope, task }, snapshot.step, cut)));
    }
  }
  return [...new Set(names)];
}

async function waysFrom({ scope, task }: Place, step: number, cut: Cut): Promise<string[]> {
  const ways = successors(scope, task, step).catch(() => []);
  const to = await Promise.race([
    orCut(cut, ways, NEXT_NODES_MS.stopped),
    sleep(NEXT_NODES_MS.otherwise, CUT, { ref: false }),
  ]);
  if (to === CUT) return [];
  return to
    .map((target) => (typeof target === "string" ? target : target.node))
    .filter((name) => name !== END);
}
