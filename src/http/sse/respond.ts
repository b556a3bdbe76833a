import type { FastifyReply } from "fastify";
import type { Gap } from "../../runs/index.js";
import { gapFrame, opening } from "./frame.js";
import { Writer, type WriterOptions } from "./writer.js";

export interface SseOptions extends WriterOptions {
  readonly retryMs: number;
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
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) response.setHeader(name, value);
  const writer = new Writer(response, options);
  response.writeHead(200, {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    ...(of.contentLocation === null ? {} : { "Content-Location": of.contentLocation }),
  });

  try {
    await writer.write(opening(options.retryMs));
    if (of.gap != null) await writer.write(gapFrame(of.gap));
    for await (const event of of.events(writer.gone)) {
      if (!(await writer.write(of.frame(event)))) break;
    }
  } catch (error) {
    reply.log.warn({ err: error }, "a stream broke off; its reader comes back with its cursor");
    response.destroy();
  } finally {
    writer.end();
  }
}
