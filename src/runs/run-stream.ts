/**
 * Numbers the events of one run and hands them out.
 *
 * S1. While a run is active its owner alone numbers the thread's events; the numbers only grow.
 * S2. A live event gets a number below the limit that a committed write has reserved, else it waits for the reservation.
 * S3. While a commit is under way live events wait, so that readers see numbers in order.
 * S4. Live events go into the log with the next commit, also one of a task beside theirs, so that the log is in the order of
 *     the numbers; those of an attempt that came to nothing before it do not.
 */
import type { StoredEvent } from "../checkpoint/checkpointer.js";
import type { Live, LivePlace } from "../events/index.js";
import { isTerminal, type Draft, type GraphDefinition, type RunEvent } from "../engine/index.js";
import { deepFreeze } from "../lib/deep-freeze.js";
import { grown } from "../lib/grown.js";
import type { JsonObject } from "../lib/json.js";
import { isoNow } from "./ids.js";
import type { ThreadRelay } from "./relay.js";

/** How many numbers a commit reserves for the live events behind it. */
export const BLOCK = 1024;

interface LiveDraft {
  readonly draft: Draft;
  readonly taskId: string;
}

/** A commit's events, numbered but not yet committed. */
export interface Batch {
  readonly seq: number;
  readonly stored: readonly StoredEvent[];
  readonly publish: readonly RunEvent[];
  /** The live events among them: such as waited for a number. */
  readonly waited: readonly LiveDraft[];
}

export interface StreamOptions {
  readonly key: string;
  readonly graph: GraphDefinition;
  readonly threadId: string;
  readonly runId: string;
  readonly seq: number;
  readonly limit: number;
  readonly live: Live;
  /** Tells other processes; absent where there can be none. */
  readonly relay?: ThreadRelay | undefined;
  readonly reserve: (limit: number) => Promise<boolean>;
}

export class RunStream {
  readonly #options: StreamOptions;
  /** The thread's seq as committed: what the next write builds on. */
  #base: number;
  #last: number;
  #limit: number;
  #waiting: LiveDraft[] = [];
  #logged: { stored: StoredEvent; taskId: string }[] = [];
  #held = false;
  #reserving = false;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#base = options.seq;
    this.#last = options.seq;
    this.#limit = options.limit;
  }

  get base(): number {
    return this.#base;
  }

  /** Sends a live event at once, or as soon as a number may be given. */
  emit(taskId: string, draft: Draft): void {
    if (this.#waiting.length === 0 && !this.#held && this.#last < this.#limit) this.#happen(draft, taskId);
    else {
      this.#waiting.push({ draft, taskId });
      this.#flush();
    }
  }

  /** The live events of an attempt that came to nothing will not be in the log. */
  forget(taskId: string): void {
    this.#logged = this.#logged.filter((entry) => entry.taskId !== taskId);
    this.#waiting = this.#waiting.filter((entry) => entry.taskId !== taskId);
  }

  /** Numbers what a commit writes: what still waits, then its own events (a
   * function gets its number). Until `committed` or `refused`, live events wait. */
  prepare(drafts: readonly (Draft | ((seq: number) => Draft))[]): Batch {
    this.#held = true;
    let seq = this.#last;
    let publish: RunEvent[] = [];
    for (const { draft } of this.#waiting) publish = grown(publish, this.#place(draft, ++seq));
    for (const draft of drafts) {
      seq++;
      publish = grown(publish, this.#place(typeof draft === "function" ? draft(seq) : draft, seq));
    }
    const logged = this.#logged.map((entry) => entry.stored);
    const stored = logged.concat(
      (publish.every(isLogged) ? publish : publish.filter(isLogged)).map(toStored),
    );
    // Even a write without events moves on: that is how its repetition is told from the next one.
    return { seq: Math.max(seq, this.#base + 1), stored, publish, waited: [...this.#waiting] };
  }

  committed(batch: Batch, limit: number): void {
    const goesOn = limit > batch.seq;
    // No live event is to come behind the last write; behind another one those come that have waited for it.
    if (!goesOn) this.#waiting = [];
    else if (this.#waiting.length > 0)
      this.#waiting = this.#waiting.filter((entry) => !batch.waited.includes(entry));
    this.#logged = [];
    const place = this.#livePlace();
    this.#base = this.#last = batch.seq;
    this.#limit = limit;
    this.#options.live.publish({ goesOn, ...place }, batch.publish, batch.seq);
    this.#options.relay?.done(batch.seq);
    this.#resume();
  }

  refused(): void {
    this.#resume();
  }

  /** Another process goes on: readers here are not to wait for what this one had begun. */
  abandon(): void {
    this.#held = true;
    this.#waiting = [];
    this.#options.live.publish(this.#livePlace(), [], Infinity);
    this.#options.relay?.done(this.#last);
  }

  #livePlace(): LivePlace {
    const { key, graph } = this.#options;
    return { key, graph, base: this.#base };
  }

  #resume(): void {
    this.#held = false;
    this.#flush();
  }

  #flush(): void {
    while (!this.#held && this.#waiting.length > 0) {
      if (this.#last >= this.#limit) {
        void this.#reserve();
        return;
      }
      const entry = this.#waiting.shift();
      if (entry === undefined) return;
      this.#happen(entry.draft, entry.taskId);
    }
  }

  #happen(draft: Draft, taskId: string): void {
    const event = this.#place(draft, ++this.#last);
    if (isLogged(event)) this.#logged = grown(this.#logged, { stored: toStored(event), taskId });
    this.#options.live.publish(this.#livePlace(), [event], null);
    this.#options.relay?.happened(event);
  }

  async #reserve(): Promise<void> {
    if (this.#reserving) return;
    this.#reserving = true;
    const limit = this.#limit + BLOCK;
    try {
      // Refused means that the lease is lost: the next commit finds out.
      if (await this.#options.reserve(limit)) this.#limit = Math.max(this.#limit, limit);
    } catch {
      // The storage failed: the next commit, or the next event, meets it again.
      return;
    } finally {
      this.#reserving = false;
    }
    if (this.#last < this.#limit) this.#flush();
  }

  #place(draft: Draft, seq: number): RunEvent {
    const { threadId, runId } = this.#options;
    return placed(draft, threadId, runId, seq);
  }
}

/** An event in its place. Written out: many are made, and a spread costs several times as much. */
function placed(draft: Draft, threadId: string, runId: string | null, seq: number): RunEvent {
  const { event, eventType, nodeName, path, content, data, metadata } = draft;
  return Object.freeze({
    event,
    eventType,
    nodeName,
    path: deepFreeze(path),
    content,
    data: deepFreeze(data),
    metadata: deepFreeze(metadata),
    threadId,
    runId,
    seq,
    timestamp: isoNow(),
  }) as RunEvent;
}

// A delta is superseded by its whole message.
const isLogged = (event: RunEvent): boolean => event.eventType !== "delta";

/** An event as the log keeps it: what has rows of its own is named, not repeated. `hydrate` is the way back. */
export function toStored(event: RunEvent): StoredEvent {
  const { seq, event: source, eventType, nodeName, path, content, metadata, timestamp } = event;
  return {
    seq,
    event: source,
    eventType,
    nodeName,
    path,
    content,
    data: slim(event),
    metadata: metadata as JsonObject,
    timestamp,
  };
}

function slim(event: RunEvent): JsonObject {
  // What a nested graph's node said has no row until its graph has ended.
  if (event.eventType === "message" && event.path.length <= 1) return { id: event.data.message.id };
  if (event.eventType === "decision") return { interruptId: event.data.interrupt.id };
  if (event.eventType === "start") {
    const { messages: _messages, ...input } = event.data.input;
    return { input: input as JsonObject, resumes: event.data.resumes };
  }
  if (isTerminal(event.eventType)) return {};
  return event.data as unknown as JsonObject;
}

/** An event that is in no log: its seq is 0, and no cursor points at it. */
export const unlogged = (draft: Draft, threadId: string, runId: string): RunEvent =>
  placed(draft, threadId, runId, 0);

/** Places events outside a run, or those that begin one. */
export function placeEvents(
  drafts: readonly Draft[],
  from: number,
  threadId: string,
  runId: string | null,
): RunEvent[] {
  return drafts.map((draft, i) => placed(draft, threadId, runId, from + i + 1));
}
