import type { TaskRecord, ThreadRef } from "../checkpoint/checkpointer.js";
import type { RunLease } from "./lease.js";
import { jsonCopy, jsonFault, type Json } from "../lib/json.js";
import { onceKeys, storedKey, storeRecord, type RecordDeps } from "./task-records.js";

interface Effect {
  readonly value: Json;
  /** Its result is stored; else the epoch that began it is over. */
  readonly recorded: boolean;
}

/**
 * Effects of `once` that are under way in this process, by thread, task and key. They outlive their attempt: a stop may abandon
 * the node in the middle of one, and the next attempt awaits it instead of beginning another.
 */
export type EffectsUnderWay = Map<string, Promise<Effect>>;

const nameOf = (taskId: string, key: string): string => JSON.stringify([taskId, key]);

/** A fork has tasks of the same ids, and results of its own. */
const nameIn = ({ tenant, threadId }: ThreadRef, taskId: string, key: string): string =>
  JSON.stringify([tenant, threadId, taskId, key]);

/** The `once` results of one run's tasks: those that were stored, and those that are stored now. */
export class OnceStore {
  readonly #known: Map<string, TaskRecord>;

  constructor(
    readonly of: RecordDeps & {
      readonly effects: EffectsUnderWay;
      readonly lease: RunLease;
      readonly onLost: () => void;
    },
    records: readonly TaskRecord[],
  ) {
    this.#known = new Map(records.map((record) => [nameOf(record.taskId, record.key), record]));
  }

  /** Whether the result is there or on its way, so that nothing is begun for it. */
  has(taskId: string, given: string): boolean {
    const key = storedKey(given);
    return this.#known.has(nameOf(taskId, key)) || this.of.effects.has(nameIn(this.of.ref, taskId, key));
  }

  /** The keys of a task's stored results. */
  keys(taskId: string): readonly string[] {
    return onceKeys(this.#known.values(), taskId);
  }

  /** The result, durable before it returns; null when the lease is lost. `effect` runs only if nothing is there yet. */
  async run(taskId: string, given: string, effect: () => unknown): Promise<{ readonly value: Json } | null> {
    const key = storedKey(given);
    const name = nameOf(taskId, key);
    const stored = this.#known.get(name);
    if (stored !== undefined) return { value: jsonCopy(stored.value) };

    const { effects, ref } = this.of;
    const here = nameIn(ref, taskId, key);
    let underWay = effects.get(here);
    if (underWay === undefined) {
      const { lease } = this.of;
      // A process that slept may wake after the effect was made elsewhere. What is known is looked at again behind the wait.
      if (lease.isOver()) {
        if (await lease.renewed()) return this.run(taskId, given, effect);
        this.of.onLost();
        return null;
      }
      underWay = this.#begin(taskId, key, effect);
      effects.set(here, underWay);
      const over = (): unknown => effects.delete(here);
      // One that could not be stored stays for the attempt that will store it: the effect has been made.
      underWay.then(({ recorded }) => {
        if (recorded) over();
      }, over);
    }
    const { value, recorded } = await underWay;
    // One that an earlier epoch began is stored by the one that waited for it.
    if (!recorded && !(await storeRecord(this.of, { taskId, key, value }))) {
      this.of.onLost();
      return null;
    }
    effects.delete(here);
    this.#known.set(name, { taskId, key, value });
    return { value: jsonCopy(value) };
  }

  async #begin(taskId: string, key: string, effect: () => unknown): Promise<Effect> {
    const given = (await effect()) ?? null;
    const fault = jsonFault(given, "result");
    if (fault !== null) throw new TypeError(`once("${key}"): ${fault.path} is not JSON: ${fault.problem}`);
    const value = jsonCopy(given as Json);
    return { value, recorded: await storeRecord(this.of, { taskId, key, value }) };
  }
}
