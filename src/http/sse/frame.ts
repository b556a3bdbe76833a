import type { RunEvent } from "../../engine/index.js";
import { memo } from "../../lib/memo.js";
import type { Gap, InboxEvent } from "../../runs/index.js";
import { wireEvent, wireInboxEvent } from "../wire.js";

/** How many of the last small frames are kept, and up to how many characters a frame is small. */
const KEPT = 256;
const SMALL = 2048;

/**
 * Readers of a thread are given the same events in the same turn: each is put into words once. A small one stays until another
 * takes its place; a map that is weak in each event costs more than the words (3.4 µs an event, beside 2.0).
 */
const events = new Array<RunEvent | null>(KEPT).fill(null);
const texts = new Array<string>(KEPT).fill("");
const large = new WeakMap<RunEvent, string>();

/** One event as a frame of a text/event-stream. */
export function frame(event: RunEvent): string {
  const place = event.seq % KEPT;
  const known = events[place] === event ? texts[place] : large.get(event);
  if (known !== undefined) return known;
  const text = frameOf(event);
  if (text.length > SMALL) large.set(event, text);
  else {
    events[place] = event;
    texts[place] = text;
  }
  return text;
}

function frameOf(event: RunEvent): string {
  // EventSource gives the name `error` to broken connections.
  const name = event.eventType === "error" ? "failed" : event.eventType;
  // What no cursor can point at has no id.
  const id = event.seq === 0 ? "" : `id: ${event.seq}\n`;
  // JSON has no raw line breaks, so `data` is one line.
  return `${id}event: ${name}\ndata: ${JSON.stringify(wireEvent(event))}\n\n`;
}

/** What happened to an interrupt, as a frame. Readers of the inbox share their events, and so their frames. */
export const inboxFrame = memo(function inboxFrame(event: InboxEvent): string {
  return `id: ${event.seq}\nevent: ${event.what}\ndata: ${JSON.stringify(wireInboxEvent(event))}\n\n`;
});

/** Events that are gone. It has no id: whoever comes back has what came before or behind it. */
export const gapFrame = ({ from, to }: Gap): string =>
  `event: gap\ndata: ${JSON.stringify({ from, to })}\n\n`;

/** The opening of a stream: how long to wait before a reconnect, and a comment that makes proxies pass the headers on. */
export const opening = (retryMs: number): string => `retry: ${retryMs}\n\n: stream\n\n`;

export const HEARTBEAT = ": heartbeat\n\n";
