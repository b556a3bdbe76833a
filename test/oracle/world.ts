/**
 * A case made real: its graph on a checkpointer, in a process that may die and be taken over, beside a ledger that counts
 * from outside what nodes did.
 */
import { setImmediate as macrotask } from "node:timers/promises";
import { z } from "zod";
import {
  Command,
  END,
  InterruptDenied,
  Send,
  START,
  StateGraph,
  type Checkpointer,
  type CompiledGraph,
  type NodeContext,
} from "holdpoint";
import type { Write } from "../../src/checkpoint/checkpointer.js";
import { Runtime } from "../../src/runs/index.js";
import { createLogger } from "../../src/telemetry/index.js";
import { latch } from "../support/latch.js";
import { entryOf } from "./oracle.js";
import {
  holds,
  noteOf,
  pick,
  seenOf,
  waysOf,
  wordsOf,
  type Case,
  type GraphShape,
  type HoldKind,
  type NodeShape,
  type Seen,
  type Trouble,
  type Way,
} from "./shape.js";

const log = createLogger("silent", false);
const never = <T>(): Promise<T> => new Promise<T>(() => undefined);

/** What the ledger knows of one task. */
interface Visit {
  readonly path: string;
  readonly node: NodeShape;
  /** The task of the nested graph that it runs in, "" at the root. */
  readonly within: string;
  readonly step: number;
  attempts: number;
  failures: number;
  /** The last attempt is in the middle of something. */
  running: boolean;
  /** Nobody knows whether an attempt acted, and nobody was asked about it yet. */
  lost: boolean;
  /** The last attempt came to its end. */
  returned: boolean;
  /** The engine has had that result in its hands: only a crash may repeat it. */
  finished: boolean;
  /** Storage has it: not even a crash may repeat it. */
  stored: boolean;
  readonly effects: Map<string, number>;
}

type Receipt = Awaited<ReturnType<CompiledGraph["stop"]>>;

export interface Answered {
  readonly taskId: string;
  readonly key: string;
  readonly path: string;
  readonly kind: string;
  readonly decision: string;
}

/** One process: alive, or dead and silent. What it had begun to store of effects arrives. */
export class Process {
  readonly runtime: Runtime;
  readonly graph: CompiledGraph;
  readonly #died = latch();
  alive = true;

  constructor(readonly world: World) {
    const checkpointer = this.#dying(world.checkpointer);
    this.runtime = new Runtime({
      checkpointer,
      log,
      options: {
        // One that takes over looks again: its claim passes by a row that the dead one is still writing.
        heartbeatMs: world.crashes === 0 ? 2 ** 31 - 1 : 50,
        pollMs: 1,
        slowPollMs: 1,
        stopWaitMs: 2000,
        hooks: { beforeCommit: () => this.#commits("die before commit") },
      },
    });
    this.graph = compile(world.of.graph, this);
    this.graph.bind(this.runtime, world.name);
  }

  get died(): Promise<void> {
    return this.#died.opened;
  }

  die(): void {
    this.alive = false;
    this.#died.open();
  }

  /** Waits a few turns of the event loop: in them others go on, and this process may die. */
  async pause(turns: number): Promise<void> {
    for (let i = 0; i < turns && this.alive; i++) await macrotask();
    if (!this.alive) return never();
  }

  #commits(how: Trouble["what"]): Promise<void> | undefined {
    // A stop is let arrive before the write that is about to go.
    if (this.world.trouble(this, how)) return this.pause(3);
    return this.alive ? undefined : never();
  }

  #dying(inner: Checkpointer): Checkpointer {
    return new Proxy(inner, {
      get: (target, name: keyof Checkpointer) => {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== "function") return method;
        return async (...args: unknown[]): Promise<unknown> => {
          const record =
            name === "record" ? (args[2] as { key: string; taskId: string; value: unknown }) : null;
          const effect = record !== null && ONCE.includes(record.key);
          if (!this.alive && !effect) return never();
          const work = (method as (...args: unknown[]) => Promise<unknown>).apply(target, args);
          if (effect) this.world.storing.add(work);
          const result = await work;
          if (record !== null && !effect && result === true) this.world.outcomeStored(record);
          if (name === "write") await this.#written(args[0] as Write, result as { outcome: string });
          if (name === "requestStop") this.world.stopAccepted(result as { was: string; runId?: string });
          return this.alive ? result : never();
        };
      },
    });
  }

  #written(write: Write, { outcome }: { outcome: string }): Promise<void> | undefined {
    if (outcome !== "committed") return undefined;
    this.world.committed(write);
    return write.guard.by === "run" ? this.#commits("die after commit") : undefined;
  }
}

const INSIDE: readonly string[] = ["manual", "request"];
const ONCE: readonly string[] = ["first", "last"];

export class World {
  readonly visits = new Map<string, Visit>();
  readonly violations: string[] = [];
  readonly answers = new Map<string, Answered>();
  /** Records of effects that were made, on their way. */
  readonly storing = new Set<Promise<unknown>>();
  readonly stops: Promise<Receipt | null>[] = [];
  readonly stoppedRuns = new Set<string>();
  edgesBroken: boolean;
  process: Process;
  crashes = 0;
  #ticks = { node: 0, before: 0, after: 0 };
  /** Runs of which a stop was asked. */
  readonly #stopping = new Set<string>();
  /** The run that goes on now. */
  #run: string | null = null;

  constructor(
    readonly of: Case,
    readonly checkpointer: Checkpointer,
    readonly name: string,
  ) {
    this.edgesBroken = of.brokenEdges;
    this.process = new Process(this);
  }

  get ref(): { tenant: string; threadId: string } {
    return { tenant: "default", threadId: this.name };
  }

  /** A process in the place of the dead one. */
  revive(): void {
    this.crashes++;
    for (const visit of this.visits.values()) {
      // Beside others each result is stored as its task settles; in memory that takes no time.
      if (this.checkpointer.describe === "memory" && visit.finished && this.#isBesideOthers(visit))
        visit.stored = true;
      if (!visit.stored && (visit.running || visit.returned)) visit.lost = true;
      visit.running = visit.returned = false;
      visit.finished = visit.stored;
    }
    this.process = new Process(this);
  }

  #isBesideOthers({ within, step }: Visit): boolean {
    return (
      [...this.visits.values()].filter((each) => each.within === within && each.step === step).length > 1
    );
  }

  violated(what: string): void {
    this.violations.push(what);
  }

  // What nodes do.

  begin(node: NodeShape, state: Seen, ctx: NodeContext, process: Process): Visit {
    const id = ctx.idempotencyKey;
    const visit = this.visits.get(id) ?? newVisit(id, node, ctx);
    this.visits.set(id, visit);
    visit.attempts++;
    visit.returned = false;
    visit.running = true;
    if (visit.lost && this.#isGated(id)) this.violated(`${visit.path} acts again, and nobody was asked`);
    visit.lost = false;
    if (visit.finished || visit.stored) this.violated(`${visit.path} has finished and runs again (${id})`);
    this.#mayBegin(id, visit, state);
    this.tick(process, ctx);
    return visit;
  }

  /** Nobody but a person lets a node, or one behind it, pass. */
  #mayBegin(id: string, { node, path, within, step }: Visit, state: Seen): void {
    const { salt } = this.of;
    if (holds(node.before, node.name, "before", seenOf(state), salt)) this.#mustBePassed(id, "before", path);
    for (let at: string | null = id; at !== null; at = aroundOf(at)) {
      if (this.answers.get(`${at} before`)?.decision === "deny") this.violated(`${path} ran behind a denial`);
      const name = at.slice(at.lastIndexOf("/") + 1);
      if (at !== id && nodeOf(this.of.graph, name).before === "plain") this.#mustBePassed(at, "before", path);
    }
    for (const [other, earlier] of this.visits) {
      if (earlier.within !== within || earlier.step >= step || !earlier.returned) continue;
      if (earlier.node.manualAfter) this.#mustBePassed(other, `#${earlier.node.asks.length}`, path);
      else if (earlier.node.after === "plain" && !this.#isDenied(other))
        this.#mustBePassed(other, "after", path);
    }
  }

  /** A gated action is never silently repeated. */
  #isGated(id: string): boolean {
    const around: NodeShape[] = [];
    for (let at: string | null = id; at !== null; at = aroundOf(at))
      around.push(nodeOf(this.of.graph, at.slice(at.lastIndexOf("/") + 1)));
    const chosen = around.find(({ onCrash }) => onCrash !== null)?.onCrash;
    if (chosen != null) return chosen === "hold";
    const inside = [...this.answers.values()].some(
      ({ taskId, kind }) => taskId === id && INSIDE.includes(kind),
    );
    return inside || around.some(({ before, after }) => before !== "none" || after !== "none");
  }

  /** The attempt waits, has failed or is through; one that a stop cut off leaves its outcome open. */
  settles(visit: Visit, attempt: number, lost = false): void {
    if (visit.attempts !== attempt || !visit.running) return;
    visit.running = false;
    visit.lost ||= lost;
  }

  #isDenied(id: string): boolean {
    return [...this.answers.values()].some(({ taskId, decision }) => taskId === id && decision === "deny");
  }

  #mustBePassed(id: string, key: string, path: string): void {
    if (!this.answers.has(`${id} ${key}`)) this.violated(`${path} ran, and ${id} ${key} had no answer`);
  }

  async effect(visit: Visit, key: string, process: Process, turns: number): Promise<string> {
    if (turns > 0) await process.pause(turns);
    if (!process.alive) return never();
    visit.effects.set(key, (visit.effects.get(key) ?? 0) + 1);
    return `${visit.path} ${key}`;
  }

  /** Whether the attempt throws here. */
  fails(visit: Visit): boolean {
    return visit.failures++ < visit.node.fails;
  }

  /** The attempt is through, unless it was given up in between or has a question open. */
  returns(visit: Visit, attempt: number, ctx: NodeContext, process: Process): void {
    // A later attempt is under way: this one was given up with its run.
    if (visit.attempts !== attempt) return;
    const id = ctx.idempotencyKey;
    const { node } = visit;
    const open = node.asks.some((kind, k) => kind === "manual" && !this.answers.has(`${id} #${k}`));
    visit.running = false;
    visit.returned = !open && ctx.runId === this.#run;
    this.tick(process, ctx);
    setImmediate(() => {
      // The result may have come too late for a stop that is on its way.
      const cut = this.#stopping.has(ctx.runId) && node.onStop !== "finish";
      if (visit.returned && !cut && process.alive && visit.attempts === attempt) visit.finished = true;
    });
  }

  tick(process: Process, ctx: NodeContext): void {
    // An attempt that was given up is none of the run's.
    if (!process.alive || ctx.runId !== this.#run) return;
    this.#ticks.node++;
    for (const { what, at } of this.of.trouble) {
      if (at !== this.#ticks.node) continue;
      if (what === "stop" || what === "stop after step") this.stop(process, what);
      if (what === "die" && this.crashes < 2) process.die();
    }
  }

  stop(process: Process, what: "stop" | "stop after step"): void {
    if (this.#run !== null) this.#stopping.add(this.#run);
    const { threadId } = this.ref;
    const stopped = process.graph.stop({ threadId, mode: what === "stop" ? "now" : "after_step" });
    this.stops.push(Promise.race([stopped, process.died.then(() => null)]));
  }

  /** At a commit; true where a stop is on its way. */
  trouble(process: Process, how: Trouble["what"]): boolean {
    if (!process.alive) return false;
    const before = how === "die before commit";
    const count = before ? ++this.#ticks.before : ++this.#ticks.after;
    const due = (kind: Trouble["what"]): boolean =>
      this.of.trouble.some(({ what, at }) => what === kind && at === count);
    const stops = before && due("stop before commit");
    if (stops) this.stop(process, "stop");
    if (due(how) && this.crashes < 2) process.die();
    return stops;
  }

  // What storage took.

  outcomeStored({ taskId, value }: { taskId: string; value: unknown }): void {
    const visit = this.visits.get(taskId);
    if (visit?.returned === true && (value as { kind?: unknown }).kind === "done") visit.stored = true;
  }

  committed({ guard, runId, end, position }: Write): void {
    this.#run = guard.by === "seq" ? (runId ?? this.#run) : this.#run;
    if (end !== undefined) this.#run = null;
    if (end?.status === "stopped") {
      // Lost with this run, once: it may go on for long, and later stops and crashes are no news of it.
      for (const visit of this.visits.values()) {
        visit.lost ||= visit.running;
        visit.running = false;
      }
    }
    if (position === undefined) return;
    const missing = new Set<string>();
    const look = (tasks: typeof position.tasks): void => {
      for (const { id, stage, inner } of tasks) {
        if (stage === "due" || stage === "cleared") missing.add(id);
        if (inner !== undefined) look(inner.tasks);
      }
    };
    look(position.tasks);
    for (const [id, visit] of this.visits) if (visit.returned && !missing.has(id)) visit.stored = true;
  }

  stopAccepted({ was, runId }: { was: string; runId?: string }): void {
    if (was === "running" && runId !== undefined) this.stoppedRuns.add(runId);
  }
}

/** `run/step/index/node`, and so on inside: what a task's id says of where it stands. */
function newVisit(id: string, node: NodeShape, ctx: NodeContext): Visit {
  const step = Number(id.split("/").at(-3));
  const rest = {
    attempts: 0,
    failures: 0,
    running: false,
    lost: false,
    returned: false,
    finished: false,
    stored: false,
  };
  return { path: ctx.path.join("."), node, within: aroundOf(id) ?? "", step, ...rest, effects: new Map() };
}

function aroundOf(id: string): string | null {
  const parts = id.split("/");
  return parts.length <= 4 ? null : parts.slice(0, -3).join("/");
}

export function nodeOf(shape: GraphShape, name: string): NodeShape {
  for (const node of shape.nodes) {
    if (node.name === name) return node;
    if (node.sub !== null && name.startsWith(node.name)) return nodeOf(node.sub, name);
  }
  throw new Error(`no node ${name}`);
}

// The graph, as a user would write it.

/** Names and fields are only known at run time. */
interface Untyped {
  addNode(name: string, run: unknown, options: object): unknown;
  addEdge(from: string, to: string): unknown;
  addConditionalEdges(from: string, route: (state: Seen) => unknown): unknown;
  compile(options: object): CompiledGraph;
}

const text = z.string().default("");
const append = (current: readonly string[], update: readonly string[]): string[] => [...current, ...update];

function compile(shape: GraphShape, process: Process): CompiledGraph {
  const { of, name } = process.world;
  const notes = [...shape.nodes.map((node) => node.name), ...(shape.inside === null ? [] : [shape.inside])];
  const state = z.object({
    log: z.array(z.string()).default([]),
    last: text,
    item: text,
    ...Object.fromEntries(notes.map((note) => [noteOf(note), text])),
  });
  const graph = new StateGraph({ state, reducers: { log: append } }) as unknown as Untyped;
  for (const node of shape.nodes) {
    const options = {
      ...(node.onDeny === null ? {} : { onDeny: node.onDeny }),
      ...(node.onCrash === null ? {} : { onCrash: node.onCrash }),
    };
    if (node.sub !== null) graph.addNode(node.name, compile(node.sub, process), options);
    else {
      const retry = node.retries ? { retry: { attempts: 2 } } : {};
      graph.addNode(node.name, nodeFunction(node, process), { ...options, ...retry });
    }
    addEdges(graph, node, process);
  }
  if (shape.routed) graph.addConditionalEdges(START, () => [...shape.entry]);
  else for (const to of shape.entry) graph.addEdge(START, to);
  const points = (where: "before" | "after") =>
    shape.nodes.flatMap((node) => holdPoint(node[where], where, node.name, of.salt));
  return graph.compile({
    name: shape.inside === null ? name : `${name}.${shape.inside}`,
    interruptBefore: points("before"),
    interruptAfter: points("after"),
  });
}

function holdPoint(kind: HoldKind, where: string, node: string, salt: number): unknown[] {
  if (kind === "none") return [];
  if (kind === "plain") return [node];
  const message = (state: Seen): string => wordsOf(node, seenOf(state));
  const when = (state: Seen): boolean => holds(kind, node, where, seenOf(state), salt);
  return [{ node, message, ...(kind === "when" ? { when } : {}) }];
}

const asTargets = (ways: readonly Way[]): (string | Send)[] =>
  ways.length === 0
    ? [END]
    : ways.map((way) => (typeof way === "string" ? way : new Send(way.node, { item: way.item })));

function addEdges(graph: Untyped, node: NodeShape, { world }: Process): void {
  if (node.mode === "command") return;
  const route = (shape: NodeShape) => (state: Seen) => {
    if (world.edgesBroken) throw new Error("the edge is broken");
    const ways = asTargets(waysOf(shape, state, world.of.salt));
    return ways.length === 1 ? ways[0] : ways;
  };
  if (node.mode !== "static") {
    graph.addConditionalEdges(node.name, route(node));
    return;
  }
  for (const to of node.to) graph.addEdge(node.name, to);
  if (node.back !== null) graph.addConditionalEdges(node.name, route({ ...node, to: [] }));
  else if (node.to.length === 0) graph.addEdge(node.name, END);
}

function nodeFunction(node: NodeShape, process: Process) {
  const { world } = process;
  const { salt, drive } = world.of;
  return async (state: Seen & Record<string, unknown> & Manual, ctx: NodeContext): Promise<unknown> => {
    if (!process.alive) return never();
    const visit = world.begin(node, state, ctx, process);
    const attempt = visit.attempts;
    await process.pause(0);
    if (node.onStop !== "ignore") ctx.signal.throwIfAborted();
    const turns = (at: string): number => pick(5, drive, visit.path, visit.attempts, at);
    const once = (key: "first" | "last"): Promise<unknown> | undefined =>
      node.once.includes(key)
        ? ctx.once(key, () => world.effect(visit, key, process, turns(key) - 2))
        : undefined;
    await process.pause(turns("begin"));
    await once("first");
    const waits = (k: number): void => {
      if (!world.answers.has(`${ctx.idempotencyKey} #${k}`)) world.settles(visit, attempt);
    };
    const tokens = await questions(node, state, ctx, waits);
    await process.pause(turns("end"));
    await once("last");
    if (node.onStop === "throw" && ctx.signal.aborted) {
      world.settles(visit, attempt, true);
      throw new Error("cut off");
    }
    await process.pause(0);
    if (world.fails(visit)) {
      world.settles(visit, attempt);
      throw new Error(`${visit.path} fails`);
    }
    world.returns(visit, attempt, ctx, process);
    await process.pause(0);
    const entry = entryOf(node, state, tokens);
    const update = { log: [entry], last: entry, ...(node.says ? { messages: [entry] } : {}) };
    return node.mode === "command"
      ? new Command({ update, goto: asTargets(waysOf(node, state, salt)) })
      : update;
  };
}

interface Manual {
  setInterrupt(of: { reason: string; status: "interrupted_before" | "interrupted_after" }): void;
}

/** Asks what the node asks; what it was told. */
async function questions(
  node: NodeShape,
  state: Seen & Manual,
  ctx: NodeContext,
  waits: (k: number) => void,
): Promise<string[]> {
  const words = wordsOf(node.name, seenOf(state));
  const ask = async (k: number): Promise<string> => {
    waits(k);
    try {
      const { decision } = await ctx.interrupt({ message: words });
      return decision ?? "none";
    } catch (error) {
      if (error instanceof InterruptDenied && node.catches) return "deny";
      throw error;
    }
  };
  const tokens: string[] = [];
  if (node.together) tokens.push(...(await Promise.all(node.asks.map((_, k) => ask(k)))));
  else {
    for (const [k, kind] of node.asks.entries()) {
      if (kind === "request") tokens.push(await ask(k));
      else state.setInterrupt({ reason: "manual", status: "interrupted_before" });
    }
  }
  if (node.manualAfter) state.setInterrupt({ reason: "manual", status: "interrupted_after" });
  return tokens;
}
