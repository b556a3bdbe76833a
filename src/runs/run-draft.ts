import type { CheckpointWrite, SinceValues } from "../checkpoint/checkpointer.js";
import {
  draft,
  type Change,
  type Draft,
  type Message,
  type PlacedMessage,
  type StateOp,
  type Task,
  type Values,
} from "../engine/index.js";
import { newId } from "./ids.js";

/** Below this the whole state costs no more than a list of changes does. */
const SMALL = 2048;

/** What a run has done since its last commit: collected here, written at once. */
export class RunDraft {
  #ops: StateOp[] = [];
  #messages: { placed: PlacedMessage; node: string; path: readonly string[] }[] = [];
  #nodes: Pick<Task, "node" | "path">[] = [];
  #closed = false;
  #moved = false;

  /** Something would be lost without a commit. */
  get dirty(): boolean {
    return this.#moved || this.#closed;
  }

  get messages(): readonly PlacedMessage[] {
    return this.#messages.map(({ placed }) => placed);
  }

  /** A node's output was applied: a step has closed. */
  step(change: Change, { node, path }: Task): void {
    this.#ops.push(...change.ops);
    this.#messages.push(...change.messages.map((placed) => ({ placed, node, path })));
    this.#nodes.push({ node, path });
    this.#closed = true;
  }

  /** The position changed without output: a denial, a route, a question. */
  move(closesStep = false): void {
    this.#moved = true;
    this.#closed ||= closesStep;
  }

  /** The checkpoint of what was collected, or undefined where no step has closed and nothing moved. */
  checkpoint(values: Values, since: SinceValues): CheckpointWrite | undefined {
    return this.dirty ? checkpointOf("step", this.#ops, values, since) : undefined;
  }

  /** The events of what was collected; `update` only where a step has closed. */
  events(of: { step: number; checkpointId: string; nextNodes: readonly string[] }): Draft[] {
    const messages = this.#messages.map(({ placed, node, path }) => messageEvent(placed.message, node, path));
    if (!this.#closed) return messages;
    const changed = [...new Set(this.#ops.map(([, field]) => field))];
    const only = this.#nodes.length === 1 ? this.#nodes[0] : undefined;
    const place = {
      nodeName: only?.node ?? null,
      path: only?.path ?? [],
      content: `Step ${of.step} is committed.`,
    };
    return [...messages, draft("update", { ...of, changed }, place)];
  }

  clear(): void {
    this.#ops = [];
    this.#messages = [];
    this.#nodes = [];
    this.#closed = false;
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
): CheckpointWrite {
  const bytes = since.bytes + (ops.length === 0 ? 0 : JSON.stringify(ops).length);
  const id = newId();
  if (bytes <= Math.max(SMALL, since.size)) {
    return { id, source, path: [], ops, values: null, sinceValues: { bytes, size: since.size } };
  }
  return {
    id,
    source,
    path: [],
    ops,
    values,
    sinceValues: { bytes: 0, size: JSON.stringify(values).length },
  };
}
