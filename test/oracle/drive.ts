/**
 * Carries a case through all its pauses, stops, failures and crashes, forks it from anywhere, and holds what came of it
 * against the oracle.
 */
import { expect } from "vitest";
import { RunError, type Checkpointer, type RunResult } from "holdpoint";
import { settled } from "../support/latch.js";
import { foretell, type Foretold } from "./oracle.js";
import { decide, noteBy, noteOf, pick, type Case } from "./shape.js";
import { nodeOf, World } from "./world.js";

type Interrupt = RunResult["interrupts"][number];
type Standing = Pick<RunResult, "status" | "runId" | "interrupts">;

/** Runs, resumes and stops after which a case is endless. */
const MOST_TURNS = 120;
let count = 0;

/** What happened in the cases, so that a generator that makes only dull ones is noticed. */
export type Tally = Record<
  "pauses" | "stops" | "errors" | "crashes" | "denials" | "nested" | "together",
  number
>;
export const newTally = (): Tally => ({
  pauses: 0,
  stops: 0,
  errors: 0,
  crashes: 0,
  denials: 0,
  nested: 0,
  together: 0,
});

/** Plays one case to its end. Throws where it comes to anything else than the oracle says. */
export async function play(given: Case, checkpointer: Checkpointer, tally: Tally): Promise<void> {
  const foretold = foretell(given);
  if (foretold === null) throw new Error("this case is too big");
  const world = new World(given, checkpointer, `oracle-${process.pid}-${count++}`);
  const driver = new Driver(world, tally);
  await driver.toTheEnd();
  await driver.fork();
  await driver.check(foretold);
  await world.process.runtime.drain(0);
  tally.crashes += world.crashes;
}

class Driver {
  readonly #world: World;
  readonly #tally: Tally;
  readonly #said: string[] = [];
  readonly #cancelled = new Set<string>();
  #rolls = 0;

  constructor(world: World, tally: Tally) {
    this.#world = world;
    this.#tally = tally;
  }

  /** The driver's own dice: they decide when and how, never what. */
  #roll(n: number): number {
    return pick(n, this.#world.of.drive, "driver", this.#rolls++);
  }

  get #thread(): { threadId: string } {
    return { threadId: this.#world.ref.threadId };
  }

  async toTheEnd(): Promise<void> {
    const config = { ...this.#thread, recursionLimit: 1000 };
    let at = await this.#run(() => this.#world.process.graph.invoke({}, config));
    for (let turn = 0; at.status !== "completed"; turn++) {
      if (turn > MOST_TURNS) throw new Error(`it does not end: ${at.status}`);
      const head = await this.#world.checkpointer.thread(this.#world.ref);
      expect(head?.status, "a run is over, and its thread").toBe(at.status);
      at = await this.#next(at);
    }
  }

  async #next(at: Standing): Promise<Standing> {
    const { process } = this.#world;
    switch (at.status) {
      case "interrupted_before":
      case "interrupted_after":
        expect(at.interrupts.length, `${at.status} waits for somebody`).toBeGreaterThan(0);
        for (const { id } of at.interrupts)
          if (this.#cancelled.has(id)) throw new Error("a cancelled question is open");
        this.#tally.pauses++;
        if (this.#world.of.trouble.length > 0 && this.#roll(9) === 0) return this.#cancel(at);
        return this.#answer(at.interrupts);
      case "error":
        this.#tally.errors++;
        this.#world.edgesBroken = false;
        return this.#run(() => process.graph.resume({}, this.#thread));
      case "stopped":
        this.#tally.stops++;
        return this.#run(() => process.graph.resume({}, this.#thread));
      default:
        throw new Error(`a run ended ${at.status}`);
    }
  }

  /** A stop at rest: what was open is asked again under other ids. */
  async #cancel(at: Standing): Promise<Standing> {
    const receipt = await this.#world.process.graph.stop(this.#thread);
    expect([...receipt.cancelledInterrupts].sort()).toEqual(at.interrupts.map(({ id }) => id).sort());
    for (const { id } of at.interrupts) this.#cancelled.add(id);
    return { status: "stopped", runId: at.runId, interrupts: [] };
  }

  /** Answers one, some or all of what is open, in any order. */
  async #answer(open: readonly Interrupt[]): Promise<Standing> {
    const { process } = this.#world;
    const [only] = open;
    if (open.length === 1 && only !== undefined && this.#roll(2) === 0) {
      const { interruptId: _bare, ...answer } = this.#answerTo(only);
      const goesOn = only.plain && answer.decision === "approve" && answer.messages === undefined;
      if (goesOn && this.#roll(2) === 0) return this.#run(() => process.graph.invoke({}, this.#thread));
      return this.#run(() => process.graph.resume(answer, this.#thread));
    }
    const all = this.#roll(3) > 0;
    const chosen = this.#shuffled(open).slice(0, all ? open.length : 1 + this.#roll(open.length));
    if (chosen.length > 1) this.#tally.together++;
    const [first, ...others] = chosen.map((interrupt) => this.#answerTo(interrupt));
    if (first !== undefined && others.length === 0 && this.#roll(2) === 0)
      return this.#run(() => process.graph.resume(first, this.#thread));
    return this.#run(() =>
      process.graph.resume({ answers: first === undefined ? [] : [first, ...others] }, this.#thread),
    );
  }

  #shuffled<T>(list: readonly T[]): T[] {
    const left = [...list];
    return list.flatMap(() => left.splice(this.#roll(left.length), 1));
  }

  #answerTo({ id, taskId, node, path, kind, key, message }: Interrupt) {
    const { answers, of } = this.#world;
    const shape = nodeOf(of.graph, node);
    const about = path.join(".");
    // What a crash or a patch made doubtful is let pass: it is not of the graph.
    const again = kind === "crash" || key.startsWith("before:");
    const plain =
      (kind === "before" && shape.before === "plain") || (kind === "after" && shape.after === "plain");
    const words = plain || kind === "manual" ? "" : message;
    const decision = again ? "approve" : decide(of.salt, { path: about, kind, key, words });
    if (!again) answers.set(`${taskId} ${key}`, { taskId, key, path: about, kind, decision });
    const visit = this.#world.visits.get(taskId);
    if (kind === "crash" && visit !== undefined) visit.lost = false;
    if (decision === "deny") this.#tally.denials++;
    if (path.length > 1) this.#tally.nested++;
    const said = this.#roll(4) === 0 ? `said ${this.#said.length}` : null;
    if (said !== null) this.#said.push(said);
    return {
      interruptId: id,
      decision,
      ...(decision === "edit" ? { state: { [noteOf(node)]: noteBy(kind, key) } } : {}),
      ...(decision === "respond" ? { data: 0 } : {}),
      ...(said === null ? {} : { messages: [said] }),
    };
  }

  /** A run to its end, in whatever process: a crash is one run's affair that another process goes on with. */
  async #run(begin: () => Promise<Standing>): Promise<Standing> {
    const { died } = this.#world.process;
    const over = begin().catch((error: unknown): Standing => {
      if (!(error instanceof RunError)) throw error;
      return { status: "error", runId: error.runId, interrupts: [] };
    });
    const first = await Promise.race([over, died]);
    let at = first ?? (await this.#takeOver());
    while (at === undefined) at = await this.#takeOver();
    for (const stop of this.#world.stops.splice(0)) {
      const cancelled = (await stop)?.cancelledInterrupts ?? [];
      // It came when the run was over, and had paused.
      for (const id of cancelled) this.#cancelled.add(id);
      if (cancelled.length > 0) at = { ...at, status: "stopped", interrupts: [] };
    }
    if (this.#world.stoppedRuns.has(at.runId))
      expect(at.status, "a stop that was accepted wins").toBe("stopped");
    return at;
  }

  /** Another process takes the thread over; undefined where it dies too. */
  async #takeOver(): Promise<Standing | undefined> {
    const world = this.#world;
    const { checkpointer, ref } = world;
    // An effect that was made is recorded: a death in between is the one doubt that the design leaves.
    await settled();
    await Promise.all(world.storing);
    world.storing.clear();
    const head = await checkpointer.thread(ref);
    if (head?.runId == null) throw new Error("a process died before there was a run");
    if (head.status === "running") await checkpointer.release(ref, head.epoch, { inFlight: true });
    // Its heartbeat ends; a dead process may hang in one for ever.
    void world.process.runtime.drain(0);
    world.revive();
    const { runtime, died } = world.process;
    const over = runtime.start().then(() => runtime.runs.reader.outcome(ref, head.runId ?? ""));
    return (await Promise.race([over, died])) ?? undefined;
  }

  /** A fork of any checkpoint is what the source was then, and neither it nor what becomes of it changes the source. */
  async fork(): Promise<void> {
    if (this.#roll(4) > 0) return;
    const { graph } = this.#world.process;
    const source = async (): Promise<string> =>
      JSON.stringify([
        await graph.getState(this.#thread),
        await graph.history({ ...this.#thread, limit: 200 }),
      ]);
    const before = await source();
    const { items } = await graph.history({ ...this.#thread, limit: 200 });
    const chosen = items[this.#roll(items.length)];
    if (chosen === undefined) throw new Error("a thread that ran has checkpoints");
    const { checkpointId } = chosen;
    const then = await graph.getState({ ...this.#thread, checkpointId });
    const fork = await graph.fork({ ...this.#thread, checkpointId });
    expect(fork).toMatchObject({ state: then.state, messages: then.messages, interrupts: [] });
    expect(["stopped", "completed"]).toContain(fork.status);
    await graph.updateState({ messages: ["in the fork only"] }, { threadId: fork.threadId });
    expect(await source(), "a fork never changes its source").toBe(before);
  }

  async check(foretold: Foretold): Promise<void> {
    const world = this.#world;
    expect(world.violations).toEqual([]);
    const head = await world.checkpointer.thread(world.ref);
    expect(head?.status, "the thread is where its run is").toBe("completed");
    const { state, messages } = await world.process.graph.getState(this.#thread);
    const { contextSummary: _summary, ...fields } = state;
    const visits = [...world.visits.values()];
    const effects = visits.flatMap(({ path, effects: made }) =>
      [...made].flatMap(([key, times]) => Array<string>(times).fill(`${path} ${key}`)),
    );
    const contents = (role: string): unknown[] =>
      messages.flatMap((message) => (message.role === role ? [message.content] : []));
    expect({
      state: fields,
      steps: head?.step,
      messages: contents("assistant"),
      ran: visits.map(({ path }) => path).sort(),
      effects: effects.sort(),
      asked: [...world.answers.values()]
        .map(({ path, kind, key, decision }) => `${path} ${kind} ${key} ${decision}`)
        .sort(),
    }).toEqual(foretold);
    for (const { path, effects: made } of visits)
      for (const [key, times] of made) expect(times, `${path} ${key}`).toBe(1);
    // What people said, once each: when it is said depends on when they are asked.
    expect(contents("user").sort()).toEqual([...this.#said].sort());
  }
}
