import { setTimeout as sleep } from "node:timers/promises";
import { END, START, type GraphDefinition, type Snapshot } from "../engine/index.js";
import { CUT, orCut } from "./or-cut.js";
import { successors } from "./successors.js";

/** How long the end of a run waits for its edges to say what would come next. */
const WAIT_MS = { stopped: 50, otherwise: 250 };

/** What comes next, for people: of a node whose output is there, what its edges give now. An edge that hangs or throws says nothing. */
export async function nextNodesOf(
  def: GraphDefinition,
  snapshot: Snapshot,
  cut: AbortSignal,
): Promise<string[]> {
  const names: string[] = [];
  for (const task of snapshot.position.tasks) {
    if (task.closed === undefined && task.denied === undefined) {
      if (task.node !== START) names.push(task.node);
      continue;
    }
    const way = successors(def, snapshot, task).catch(() => []);
    const to = await Promise.race([
      orCut(cut, way, WAIT_MS.stopped),
      sleep(WAIT_MS.otherwise, CUT, { ref: false }),
    ]);
    if (to !== CUT) names.push(...to.filter((name) => name !== END));
  }
  return names;
}
