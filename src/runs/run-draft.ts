import type { CheckpointWrite, SinceValues } from "../checkpoint/checkpointer.js";
import {
  draft,
  type Draft,
  type EventData,
  type Message,
  type PlacedMessage,
  type StateOp,
  type StepChange,
  type Task,
  type Values,
} from "../engine/index.js";
import { newId } from "./ids.js";

/** Below this the whole state costs no more than a list of changes does. */
const SMALL = 2048;
/** What reading a checkpoint costs beside its changes, in bytes of them: one that changes nothing is read back too. */
const ROW = 32;

/** What a run has done since its last commit: collected here, written at once. */
export class RunDraft {
  #ops: readonly StateOp[] = [];
  #placed: readonly PlacedMessage[] = [];
  #said: Draft[] = [];
  #step: StepChange | null = null;
  #moved = false;

  /** Something would be lost without a commit. */
  get dirty(): boolean {
    return this.#moved || this.#step !== null;
  }

  /** A step was closed: a checkpoint is of one. */
  get closed(): boolean {
    return this.#step !== null;
  }

  /** The tasks of the step that was closed. */
  get tasks(): readonly Task[] {
    return this.#step?.tasks ?? [];
  }

  get messages(): readonly PlacedMessage[] {
    return this.#placed;
  }

  /** A step has closed. What a nested graph said before is not said again when it ends. */
  step(change: StepChange): void {
    this.#step = change;
    this.#ops = this.#ops.length === 0 ? change.ops : [...this.#ops, ...change.ops];
    this.#placed = this.#placed.length === 0 ? change.messages : [...this.#placed, ...change.messages];
    this.#said.push(...change.said.map(({ message, task }) => messageEvent(message, task.node, task.path)));
  }

  /** The position changed without output: a route, a nested graph that began, a node that was let pass. */
  move(): void {
    this.#moved = true;
  }

  /** The checkpoint of what was collected, or undefined where no step has closed and nothing moved. */
  checkpoint(values: Values, since: SinceValues): CheckpointWrite | undefined {
    return this.dirty ? checkpointOf("step", this.#ops, values, since, this.#step?.path) : undefined;
  }

  /** The events of what was collected; `update` only where a step has closed. */
  events({ step, checkpointId, nextNodes }: Omit<EventData["update"], "changed">): Draft[] {
    if (this.#step === null) return this.#said;
    const { changed } = this.#step;
    const only = this.#step.tasks.length === 1 ? this.#step.tasks[0] : undefined;
    const place = {
      nodeName: only?.node ?? null,
      path: only?.path ?? this.#step.path,
      content: `Step ${step} is committed.`,
    };
    const update = draft("update", { step, checkpointId, nextNodes, changed }, place);
    return this.#said.length === 0 ? [update] : [...this.#said, update];
  }

  clear(): void {
    this.#ops = [];
    this.#placed = [];
    this.#said = [];
    this.#step = null;
    this.#moved = false;
  }
}

export function messageEvent(
  message: Message,
  node: string | null = null,
  path: readonly string[] = [],
): Draft<"message"> {
  const content = typeof message.content === "string" ? message.content : "";
  return draft("message", { message }, { nodeName: node, path, content });
}

/**
 * A checkpoint that stores changes, and the whole of the values once the changes outweigh them: so a step costs what it
 * changed, and reading back costs at most about two states.
 */
export function checkpointOf(
  source: CheckpointWrite["source"],
  ops: readonly StateOp[],
  values: Values,
  since: SinceValues,
  path: readonly string[] = [],
): CheckpointWrite {
  const bytes = since.bytes + ROW + (ops.length === 0 ? 0 : JSON.stringify(ops).length);
  const id = newId();
  if (bytes <= Math.max(SMALL, since.size)) {
    return { id, source, path, ops, values: null, sinceValues: { bytes, size: since.size } };
  }
  return {
    id,
    source,
    path,
    ops,
    values,
    sinceValues: { bytes: 0, size: JSON.stringify(values).length },
  };
}
