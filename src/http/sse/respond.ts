import type { FastifyReply } from "fastify";
import type { Gap } from "../../runs/index.js";
import { gapFrame, opening } from "./frame.js";
import { SLICE, Writer, type WriterOptions } from "./writer.js";

export interface SseOptions extends WriterOptions {
  readonly retryMs: number;
}

/** Sends events as they come, as fast as the socket takes them, until they end or the reader goes. */
export async function respondWithEvents<Event>(
  reply: FastifyReply,
  of: {
    /** Those that are there together. */
    batches: (signal: AbortSignal) => AsyncIterable<readonly Event[]>;
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
    writer.open(opening(options.retryMs) + (of.gap == null ? "" : gapFrame(of.gap)));
    for await (const batch of of.batches(writer.gone)) {
      if (!(await writeAll(writer, batch, of.frame))) break;
    }
  } catch (error) {
    reply.log.warn({ err: error }, "a stream broke off; its reader comes back with its cursor");
    response.destroy();
  } finally {
    writer.end();
  }
}

/** Many small frames in one go; large ones do not wait for each other in memory. */
async function writeAll<Event>(
  writer: Writer,
  events: readonly Event[],
  frame: (event: Event) => string,
): Promise<boolean> {
  let text = "";
  for (const event of events) {
    text += frame(event);
    if (text.length < SLICE) continue;
    if (!(await writer.write(text))) return false;
    text = "";
  }
  return text === "" || writer.write(text);
}
