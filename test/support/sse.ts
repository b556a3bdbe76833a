/** Reads a text/event-stream from a real socket, frame by frame, and checks each frame's shape. */
import { createParser } from "eventsource-parser";
import { expect } from "vitest";
import { z } from "zod";
import { expectShape, strict, type Body } from "./http-server.js";
import {
  decisionModel,
  interruptModel,
  messageModel,
  runResultModel,
} from "../../src/http/schemas/models.js";

export interface Frame {
  readonly id: number;
  /** The frame's `event:`. */
  readonly name: string;
  /** Its `data:`, parsed. */
  readonly chunk: Body;
}

export interface SseReader {
  readonly status: number;
  readonly headers: Headers;
  /** What came before and between the events. */
  readonly comments: string[];
  /** Milliseconds of `retry:`, once it came. */
  retry(): number | null;
  /** The next frame; null at the end of the stream. */
  next(): Promise<Frame | null>;
  /** Frames up to the first of this name, which is the last of them. Fails at the end of the stream. */
  until(name: string): Promise<Frame[]>;
  /** All frames to the end of the stream. */
  rest(): Promise<Frame[]>;
  /** Resolves once so many comments came. */
  commented(count: number): Promise<void>;
  /** Goes away in the middle. */
  leave(): void;
}

const number = z.number().int();
const terminal = z.strictObject({ result: strict(runResultModel) });
const DATA: Record<string, z.ZodType> = {
  start: z.strictObject({ input: z.record(z.string(), z.unknown()), resumes: z.boolean() }),
  progress: z.strictObject({ step: number, attempt: number }),
  delta: z.strictObject({ message_id: z.string(), part: z.string() }),
  message: z.strictObject({ message: strict(messageModel) }),
  custom: z.strictObject({ name: z.string(), value: z.unknown() }),
  update: z.strictObject({
    step: number,
    checkpoint_id: z.string(),
    changed: z.array(z.string()),
    next_nodes: z.array(z.string()),
  }),
  decision: z.strictObject({
    interrupt: strict(interruptModel),
    decision: strict(decisionModel).nullable(),
  }),
  restart: z.strictObject({ step: number, node: z.string(), path: z.array(z.string()), attempt: number }),
  interrupted: z.strictObject({ result: strict(runResultModel), interrupted: z.enum(["before", "after"]) }),
  stopped: terminal,
  error: terminal,
  end: terminal,
};

/** Opens a stream; with a body it is a POST. */
export async function openStream(
  url: string,
  of: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<SseReader> {
  const leaving = new AbortController();
  const answer = await fetch(url, {
    method: of.body === undefined ? "GET" : "POST",
    headers: { Accept: "text/event-stream", ...of.headers },
    ...(of.body === undefined ? {} : { body: JSON.stringify(of.body) }),
    signal: leaving.signal,
  });
  if (answer.status !== 200) throw new Error(`no stream but ${answer.status}: ${await answer.text()}`);

  const frames: Frame[] = [];
  const comments: string[] = [];
  let retry: number | null = null;
  let ended = false;
  let broken: unknown = null;
  let wake: (() => void)[] = [];
  const tell = (): void => {
    const waiting = wake;
    wake = [];
    for (const each of waiting) each();
  };
  const news = (): Promise<void> => new Promise((resolve) => wake.push(resolve));
  const parser = createParser({
    onEvent: ({ id, event, data }) => frames.push(checked(id, event, data)),
    onComment: (comment) => comments.push(comment),
    onRetry: (interval) => (retry = interval),
    onError: (error) => {
      throw error;
    },
  });
  void (async () => {
    try {
      const decoder = new TextDecoder("utf-8", { fatal: true });
      for await (const bytes of answer.body ?? []) {
        parser.feed(decoder.decode(bytes as Uint8Array, { stream: true }));
        tell();
      }
    } catch (error) {
      if (!leaving.signal.aborted) broken = error;
    }
    ended = true;
    tell();
  })();

  let taken = 0;
  const next = async (): Promise<Frame | null> => {
    while (frames.length <= taken && !ended) await news();
    if (broken !== null) throw broken as Error;
    return frames[taken++] ?? null;
  };
  return {
    status: answer.status,
    headers: answer.headers,
    comments,
    retry: () => retry,
    next,
    async until(name) {
      const got: Frame[] = [];
      for (;;) {
        const frame = await next();
        if (frame === null)
          throw new Error(`the stream ended before "${name}": ${got.map((each) => each.name).join(", ")}`);
        got.push(frame);
        if (frame.name === name) return got;
      }
    },
    async rest() {
      const got: Frame[] = [];
      for (let frame = await next(); frame !== null; frame = await next()) got.push(frame);
      return got;
    },
    async commented(many) {
      while (comments.length < many && !ended) await news();
      expect(comments.length).toBeGreaterThanOrEqual(many);
    },
    leave: () => leaving.abort(),
  };
}

function checked(id: string | undefined, name: string | undefined, data: string): Frame {
  const chunk: Body = JSON.parse(data);
  if (name === "gap") {
    expect(id).toBeUndefined();
    return { id: Number.NaN, name, chunk };
  }
  const isInbox = chunk.event === "inbox";
  expectShape(isInbox ? "inboxEvent" : "event", chunk);
  // What is in no log has no number.
  expect(chunk.seq === 0 && !isInbox ? undefined : String(chunk.seq)).toBe(id);
  expect(name).toBe(chunk.event_type === "error" ? "failed" : chunk.event_type);
  if (isInbox) return { id: Number(id), name: name ?? "", chunk };
  const parsed = DATA[chunk.event_type as string]?.safeParse(chunk.data);
  if (parsed?.success !== true)
    throw new Error(
      `data of ${String(name)}: ${parsed === undefined ? "unknown type" : z.prettifyError(parsed.error)}`,
    );
  return { id: Number(id), name: name ?? "", chunk };
}

export const names = (frames: readonly Frame[]): string[] => frames.map(({ name }) => name);
export const ids = (frames: readonly Frame[]): number[] => frames.map(({ id }) => id);
