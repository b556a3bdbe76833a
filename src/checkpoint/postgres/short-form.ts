/**
 * The short form of what every step logs. A step says that its node began, what messages it added and that it is committed,
 * nearly all of which stands in its row already: of 905 bytes of events 60 are left, of a position's 160 about 50. Written
 * are only the parts that are in no column; what does not follow the pattern in every part is written as it is, so that
 * nothing is lost by a new kind of event or another wording.
 *
 * Events: a list, in which an array is short and an object is the event itself. A position: a list of task ids where all its
 * tasks are only next, else the position itself. Both are read in either form, whoever wrote them.
 */
import type { Message, PlacedMessage, Position, Task } from "../../engine/index.js";
import { jsonEqual, type Json, type JsonObject } from "../../lib/json.js";
import type { StoredEvent } from "../checkpointer.js";

/** The version of this form that a process reads, told to the others (migrations/0013_short_form.sql). */
export const FORM = 2;

/** The row that events are logged in: what they need not repeat. */
export interface LogPlace {
  readonly seq: number;
  /** When it was written, ISO 8601 with milliseconds. */
  readonly at: string;
  readonly checkpointId: string | null;
  readonly step: number | null;
  readonly nextNodes: readonly string[];
  /** In the order of the row's places; undefined for one that is gone. */
  readonly messages: readonly (PlacedMessage | undefined)[];
}

/**
 * What an event was, then what it has not in common with the event before it, or with most: milliseconds before the row,
 * where (a node, or a path of any other length), seqs before the row's, and what it tells. Null is what goes without saying,
 * and is left out at the end.
 */
type Short = readonly ["p" | "m" | "u", ...Json[]];

/** What goes without saying. */
interface Before {
  readonly ago: number;
  readonly where: Json;
  readonly back: number;
  readonly index: number;
}
const nothingBefore = (): Before => ({ ago: 0, where: [], back: 0, index: 0 });

/** The events as the log keeps them, as JSON. */
export function eventsText(events: readonly StoredEvent[], place: LogPlace): string {
  const at = Date.parse(place.at);
  let before = nothingBefore();
  const all = events.map((event) => {
    const made = short(event, before, place, at);
    before = made?.next ?? { ...before, back: place.seq - event.seq - 1 };
    return made?.short ?? event;
  });
  return JSON.stringify(all);
}

/** The way back from `eventsText`, and from events that were written as they are. */
export function eventsOf(text: string, place: LogPlace): StoredEvent[] {
  const all = JSON.parse(text) as (Short | StoredEvent)[];
  const at = Date.parse(place.at);
  let before = nothingBefore();
  return all.map((one) => {
    if (!isShort(one)) {
      before = { ...before, back: place.seq - one.seq - 1 };
      return one;
    }
    const read = whole(one, before, place, at);
    before = read.next;
    return read.event;
  });
}

const isShort = (one: Short | StoredEvent): one is Short => Array.isArray(one);

/** The event without what its row says, or null where it is another one than the row makes of it. */
function short(
  event: StoredEvent,
  before: Before,
  place: LogPlace,
  at: number,
): { readonly short: Short; readonly next: Before } | null {
  const { path, timestamp } = event;
  const ago = timestamp === place.at ? 0 : at - Date.parse(timestamp);
  const where: Json = path.length === 1 ? (path[0] as string) : path;
  const own = ownOf(event, before, place);
  if (own === null || !Number.isSafeInteger(ago)) return null;
  const parts: Json[] = [
    ago === before.ago ? null : ago,
    jsonEqual(where, before.where) ? null : where,
    place.seq - event.seq === before.back ? null : place.seq - event.seq,
    ...own.parts,
  ];
  while (parts.at(-1) === null) parts.pop();
  const made: Short = [own.kind, ...parts];
  // The proof: nothing is left out that the way back does not say.
  const { event: back, next } = whole(made, before, place, at);
  return jsonEqual(back, event) ? { short: made, next } : null;
}

/** What an event of a kind tells, null for what goes without saying. */
function ownOf(
  { eventType, data }: StoredEvent,
  before: Before,
  { messages, step }: LogPlace,
): { readonly kind: Short[0]; readonly parts: readonly Json[] } | null {
  switch (eventType) {
    case "progress":
      return {
        kind: "p",
        parts: [
          data.step === stepBefore(step) ? null : (data.step ?? null),
          data.attempt === 1 ? null : (data.attempt ?? null),
        ],
      };
    case "message": {
      const index = messages.findIndex((placed) => placed?.message.id === data.id);
      return index === -1 ? null : { kind: "m", parts: [index === before.index ? null : index] };
    }
    case "update": {
      const changed = data.changed ?? null;
      return { kind: "u", parts: [jsonEqual(changed, []) ? null : changed] };
    }
    default:
      return null;
  }
}

const stepBefore = (step: number | null): number | null => (step === null ? null : step - 1);

function whole(
  [kind, ...parts]: Short,
  before: Before,
  place: LogPlace,
  at: number,
): { readonly event: StoredEvent; readonly next: Before } {
  const ago = (parts[0] ?? before.ago) as number;
  const where = parts[1] ?? before.where;
  const back = (parts[2] ?? before.back) as number;
  const index = (kind === "m" ? (parts[3] ?? before.index) : before.index) as number;
  const path = typeof where === "string" ? [where] : [...(where as string[])];
  const nodeName = path.at(-1) ?? null;
  const event: StoredEvent = {
    seq: place.seq - back,
    event: kind === "p" ? "node_execution" : "graph_execution",
    eventType: kind === "p" ? "progress" : kind === "m" ? "message" : "update",
    nodeName,
    path,
    ...said(kind, nodeName, kind === "m" ? [index] : parts.slice(3), place),
    metadata: {},
    timestamp: ago === 0 ? place.at : new Date(at - ago).toISOString(),
  };
  return { event, next: { ago, where, back: back - 1, index: kind === "m" ? index + 1 : index } };
}

/** In words and data. */
function said(
  kind: Short[0],
  nodeName: string | null,
  [one, two]: readonly Json[],
  { step, checkpointId, nextNodes, messages }: LogPlace,
): { readonly content: string; readonly data: JsonObject } {
  if (kind === "p") {
    const data = { step: one ?? stepBefore(step), attempt: two ?? 1 };
    return { content: `${String(nodeName)} begins`, data };
  }
  if (kind === "m") {
    const message = messages[one as number]?.message;
    return { content: textOf(message), data: { id: message?.id ?? "" } };
  }
  return {
    content: `Step ${String(step)} is committed.`,
    data: { step, checkpointId, nextNodes: [...nextNodes], changed: one ?? [] },
  };
}

const textOf = (message: Message | undefined): string =>
  typeof message?.content === "string" ? message.content : "";

/** A position as JSON. */
export function positionText({ tasks, holds }: Position): string {
  const isPlain = holds.before.length + holds.after.length === 0 && tasks.every(isNext);
  return JSON.stringify(isPlain ? tasks.map(({ id }) => id) : { tasks, holds });
}

/** The way back from `positionText`, and from a position that was written as it is. */
export function positionOf(text: string): Position {
  const read = JSON.parse(text) as Position | readonly string[];
  if (!isIds(read)) return read;
  return { tasks: read.map(nextTask), holds: { before: [], after: [] } };
}

const isIds = (read: Position | readonly string[]): read is readonly string[] => Array.isArray(read);

/** A task at the root that is next and nothing else: all of it is in its id, which is `run/step/index/node`. */
const nextTask = (id: string): Task => {
  const node = nodeOf(id);
  return { id, node, path: [node], stage: "cleared", attempts: 0 };
};

function nodeOf(id: string): string {
  let at = -1;
  for (let i = 0; i < 3; i++) at = id.indexOf("/", at + 1);
  return id.slice(at + 1);
}

const NEXT: ReadonlySet<string> = new Set(["id", "node", "path", "stage", "attempts"]);

function isNext(task: Task): boolean {
  const { id, node, path, stage, attempts } = task;
  if (stage !== "cleared" || attempts !== 0 || path.length !== 1 || path[0] !== node) return false;
  if (nodeOf(id) !== node) return false;
  for (const key in task) if (!NEXT.has(key) && task[key as keyof Task] !== undefined) return false;
  return true;
}
