import type { ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import { deferred, type Deferred } from "../../lib/deferred.js";
import type { Gap } from "../../runs/index.js";
import { gapFrame, HEARTBEAT, opening } from "./frame.js";

export interface SseOptions {
  readonly heartbeatMs: number;
  readonly retryMs: number;
  /** A socket that takes nothing for this long is closed; its reader comes back with its cursor. */
  readonly stallMs: number;
}

/** Sends events as they come, as fast as the socket takes them, until they end or the reader goes. */
export async function respondWithEvents<Event>(
  reply: FastifyReply,
  of: {
    events: (signal: AbortSignal) => AsyncIterable<Event>;
    frame: (event: Event) => string;
    contentLocation: string | null;
    gap?: Gap | null;
  },
  options: SseOptions,
): Promise<void> {
  reply.hijack();
  const response = reply.raw;
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  response.on("error", () => gone.abort());
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) response.setHeader(name, value);
  response.writeHead(200, {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    ...(of.contentLocation === null ? {} : { "Content-Location": of.contentLocation }),
  });

  const writer = new Writer(response, gone, options.stallMs);
  const quiet = setInterval(() => void writer.write(HEARTBEAT), options.heartbeatMs);
  try {
    await writer.write(opening(options.retryMs));
    if (of.gap != null) await writer.write(gapFrame(of.gap));
    for await (const event of of.events(gone.signal)) {
      if (!(await writer.write(of.frame(event)))) break;
      quiet.refresh();
    }
  } catch (error) {
    reply.log.warn({ err: error }, "a stream broke off; its reader comes back with its cursor");
    response.destroy();
  } finally {
    clearInterval(quiet);
    if (!response.destroyed) response.end();
  }
}

/** Writes with backpressure. One listener for `drain`, whatever happens: `once` in a loop would leak. */
class Writer {
  #drained: Deferred<void> | null = null;

  constructor(
    readonly response: ServerResponse,
    readonly gone: AbortController,
    readonly stallMs: number,
  ) {
    const wake = (): void => {
      this.#drained?.resolve();
      this.#drained = null;
    };
    response.on("drain", wake);
    gone.signal.addEventListener("abort", wake);
  }

  /** Whether the reader is still there once the socket takes more. */
  async write(text: string): Promise<boolean> {
    if (this.gone.signal.aborted) return false;
    if (this.response.write(text)) return true;
    // An event and a heartbeat may wait for the same drain.
    this.#drained ??= deferred();
    const stalled = setTimeout(() => this.response.destroy(), this.stallMs);
    await this.#drained.promise;
    clearTimeout(stalled);
    return !this.gone.signal.aborted;
  }
}
