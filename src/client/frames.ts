/** Frames of a text/event-stream, as they come. */
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { ConnectionError } from "./errors.js";
import type { Scope } from "./scope.js";
import type { GapEvent } from "./types.js";

/** One frame: its `id:`, where it has one, its `event:` and its `data:`. */
export type Frame = EventSourceMessage;

/** What a connection tells of itself, beside its frames. */
export interface FrameWatch {
  /** Bytes came, if only a comment. */
  readonly alive: () => void;
  /** How long the server wants a reconnect to wait. */
  readonly retry: (ms: number) => void;
}

/** Reads an answer to its end. Throws `ConnectionError` where nothing comes for `stallMs`. */
export async function* frames(
  response: Response,
  scope: Scope,
  { stallMs, alive, retry }: FrameWatch & { readonly stallMs: number },
): AsyncGenerator<Frame, void, undefined> {
  if (response.body === null) return;
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  const ready: Frame[] = [];
  const parser = createParser({ onEvent: (frame) => ready.push(frame), onRetry: retry });
  try {
    for (;;) {
      const moved = scope.endAfter(stallMs, () => stalled(stallMs));
      const { done, value } = await scope.bound(reader.read()).catch((error: unknown) => {
        if (scope.signal.aborted) throw scope.signal.reason;
        throw new ConnectionError(`the stream broke: ${String(error)}`, { cause: error });
      });
      moved();
      if (done) return;
      alive();
      parser.feed(decoder.decode(value, { stream: true }));
      yield* ready.splice(0);
    }
  } finally {
    // Also where whoever fetches does not listen to signals.
    reader.cancel().catch(() => undefined);
  }
}

/** Why a connection was cut that says nothing. */
export const stalled = (ms: number): ConnectionError =>
  new ConnectionError(`nothing came for ${ms} ms, not even a sign of life`);

/** The frame that says which events are gone; null of any other one. */
export const gapOf = ({ event, data }: Frame): GapEvent | null =>
  event === "gap" ? { event_type: "gap", data: JSON.parse(data) as GapEvent["data"] } : null;
