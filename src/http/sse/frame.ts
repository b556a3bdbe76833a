import type { RunEvent } from "../../engine/index.js";
import { wireEvent } from "../wire.js";

/** One event as a frame of a text/event-stream. JSON has no raw line breaks, so `data` is one line. */
export function frame(event: RunEvent): string {
  // EventSource gives the name `error` to broken connections.
  const name = event.eventType === "error" ? "failed" : event.eventType;
  // What no cursor can point at has no id.
  const id = event.seq === 0 ? "" : `id: ${event.seq}\n`;
  return `${id}event: ${name}\ndata: ${JSON.stringify(wireEvent(event))}\n\n`;
}

/** The opening of a stream: how long to wait before a reconnect, and a comment that makes proxies pass the headers on. */
export const opening = (retryMs: number): string => `retry: ${retryMs}\n\n: stream\n\n`;

export const HEARTBEAT = ": heartbeat\n\n";
