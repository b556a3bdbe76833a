/**
 * The user's code beside the nodes: hold points, edges, and what nested graphs begin with and leave. Where it throws, its
 * task has failed; a stop does not wait for it.
 */
import type { ErrorCode } from "../errors.js";
import {
  draft,
  enterNested,
  leaveNested,
  ownerId,
  START,
  takeRoutes,
  UpdateFault,
  verdictKey,
  type Answer,
  type Ask,
  type NestedGraph,
  type Place,
  type Plan,
  type Routes,
  type Scope,
  type Target,
  type Task,
  type Verdicts,
} from "../engine/index.js";
import { errorText, isInstance } from "../lib/show.js";
import { judgeHold } from "./judge-hold.js";
import { innerOutput, innerStart } from "./nested-run.js";
import { CUT, orCut } from "./or-cut.js";
import type { RunPosition } from "./run-position.js";
import type { RunWriter } from "./run-writer.js";
import { EdgeFault, plainSuccessors, successors } from "./successors.js";
import type { Cut } from "../lib/cutoff.js";

interface WayDeps {
  readonly runId: string;
  readonly writer: RunWriter;
  /** Aborts when the run is stopped now, or lost. */
  readonly cut: Cut;
}

export class RunWay {
  readonly #at: RunPosition;
  readonly #deps: WayDeps;
  readonly #verdicts = new Map<string, Ask | null>();
  #denial: Answer | null = null;

  constructor(at: RunPosition, deps: WayDeps) {
    this.#at = at;
    this.#deps = deps;
  }

  /** A declared hold point before its node let it pass in this process: no write knows of that yet. */
  hasJustPassed({ def }: Scope, task: Task): boolean {
    return def.before.has(task.node) && this.#verdicts.get(verdictKey({ ...task, stage: "due" })) === null;
  }

  /** What hold points have said in this run. */
  get verdicts(): Verdicts {
    return this.#verdicts;
  }

  /** The first denial whose way this run went. */
  get denial(): Answer | null {
    return this.#denial;
  }

  /** Looks at hold points. False where a stop cut the asking short: it will be asked when somebody resumes. */
  async judge(places: readonly Place[]): Promise<boolean> {
    for (const place of places) {
      const { scope, task } = place;
      try {
        const asked = await orCut(this.#deps.cut, judgeHold(place, this.#at.snapshot));
        if (asked === CUT) return false;
        this.#verdicts.set(verdictKey(task), asked);
        // A takeover must not ask `when` again of a node that has begun.
        if (asked === null && task.stage === "due" && scope.def.before.has(task.node))
          this.#deps.writer.draft.move();
      } catch (error) {
        this.#at.fail(task, "node_failed", `the hold point at ${task.node}: ${errorText(error)}`, error);
      }
    }
    return true;
  }

  /** Goes on along edges that need no user's code, if that is all that is to be done. */
  advanceAtOnce({ leave, route, enter }: Plan): boolean {
    if (leave.length + enter.length > 0) return false;
    const [first] = route;
    if (route.length === 1 && first !== undefined) {
      const routes = plainRoutes(first);
      if (routes !== null) this.#take(first, routes);
      return routes !== null;
    }
    const ways = route.map((scope) => ({ scope, routes: plainRoutes(scope) }));
    if (ways.some(({ routes }) => routes === null)) return false;
    for (const { scope, routes } of ways) if (routes !== null) this.#take(scope, routes);
    return true;
  }

  /** Goes on where no node is needed: out of nested graphs, along edges, into nested graphs. */
  async advance({ leave, route, enter }: Plan): Promise<void> {
    for (const place of leave) await this.#leave(place);
    for (const scope of route) await this.#route(scope);
    for (const place of enter) await this.#enter(place);
  }

  async #leave(place: Place): Promise<void> {
    const at = this.#at;
    const nested = nestedAt(place);
    const made = await this.#orFail(place.task, "invalid_update", () =>
      innerOutput(place, nested, at.snapshot.step),
    );
    if (made === CUT) return;
    const out = made === null ? null : { updates: [made.update], messages: made.messages };
    at.snapshot = leaveNested(at.snapshot, place, nested, out);
  }

  async #enter(place: Place): Promise<void> {
    const at = this.#at;
    const { stream, draft: collected } = this.#deps.writer;
    const { task } = place;
    const nested = nestedAt(place);
    const { step } = at.snapshot;
    const start = await this.#orFail(task, "invalid_update", () => innerStart(place, nested, step));
    if (start === CUT) return;
    const attempt = task.attempts + 1;
    at.snapshot = enterNested(at.snapshot, place, nested, { attempts: attempt, ...start });
    const about = { nodeName: task.node, path: task.path, event: "node_execution" as const };
    stream.emit(task.id, draft("progress", { step, attempt }, { content: `${task.node} begins`, ...about }));
    collected.move();
  }

  async #route(scope: Scope): Promise<void> {
    const { step } = this.#at.snapshot;
    const routes = new Map<string, readonly Target[]>();
    for (const task of scope.tasks) {
      const to = await this.#orFail(task, "edge_failed", () => successors(scope, task, step));
      if (to !== CUT) routes.set(task.id, to);
    }
    if (routes.size === scope.tasks.length) this.#take(scope, routes);
  }

  #take(scope: Scope, routes: Routes): void {
    const at = this.#at;
    this.#denial ??= scope.tasks.find(({ denied }) => denied !== undefined)?.denied ?? null;
    at.snapshot = takeRoutes(at.def, at.snapshot, ownerId(scope), routes, this.#deps.runId);
    this.#deps.writer.draft.move();
  }

  async #orFail<T>(task: Task, code: ErrorCode, work: () => Promise<T>): Promise<T | typeof CUT> {
    try {
      return await orCut(this.#deps.cut, work());
    } catch (error) {
      const edge = isInstance(error, EdgeFault);
      const about = edge || task.node === START ? "" : `${task.node}: `;
      const known = edge || isInstance(error, UpdateFault);
      const cause = edge ? (error.cause ?? error) : error;
      this.#at.fail(task, known ? code : "node_failed", `${about}${errorText(error)}`, cause);
      return CUT;
    }
  }
}

/** The successors of a closed step; null where user code must say them. */
function plainRoutes(scope: Scope): Routes | null {
  const routes = new Map<string, readonly Target[]>();
  for (const task of scope.tasks) {
    const to = plainSuccessors(scope, task);
    if (to === null) return null;
    routes.set(task.id, to);
  }
  return routes;
}

function nestedAt({ scope, task }: Place): NestedGraph {
  const spec = scope.def.nodes.get(task.node);
  if (spec?.kind !== "graph") throw new Error(`the node "${task.node}" is no graph`);
  return spec;
}
