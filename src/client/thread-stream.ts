/** The streams of a thread: all that happens on it, and one run to its end. */
import { ConnectionError } from "./errors.js";
import { gapOf, type Frame } from "./frames.js";
import { EventStream, type Source } from "./reconnect.js";
import type { Asked, CallOptions, QueryValues, Transport } from "./transport.js";
import type { EventOf, RunEvent, RunResult, ThreadEvent } from "./types.js";

/** Where to begin, and whether to stay. */
export interface AttachOptions extends Omit<CallOptions, "timeoutMs"> {
  /** The `seq` of the last event that you have; 0 is the whole thread. Default: the start of the current or last run. */
  readonly after?: number;
  /** Stay between runs: such a stream never ends by itself. */
  readonly follow?: boolean;
}

type Terminal = EventOf<"interrupted" | "stopped" | "error" | "end">;

const pathOf = (threadId: string): string => `/threads/${encodeURIComponent(threadId)}`;

const isTerminal = (event: ThreadEvent): event is Terminal =>
  event.event_type === "interrupted" ||
  event.event_type === "stopped" ||
  event.event_type === "error" ||
  event.event_type === "end";

/** Reads a thread's frames, over connections that may overlap: no event is given twice. */
class ThreadFrames {
  /** The number up to which everything was read, or is gone. */
  seq: number | null = null;

  read(frame: Frame): ThreadEvent | null {
    const gap = gapOf(frame);
    if (gap !== null) {
      this.seq = Math.max(this.seq ?? 0, gap.data.to);
      return gap;
    }
    const told = JSON.parse(frame.data) as RunEvent;
    // What is in no log has no number.
    if (told.seq === 0) return told;
    if (this.seq !== null && told.seq <= this.seq) return null;
    this.seq = told.seq;
    return told;
  }
}

/** Attaches to a thread. */
export function attach(
  transport: Transport,
  threadId: string,
  { after, follow, signal, headers }: AttachOptions,
): EventStream<ThreadEvent> {
  const read = new ThreadFrames();
  read.seq = after ?? null;
  const query = (): QueryValues => ({
    after: read.seq ?? undefined,
    follow: follow === true ? true : undefined,
  });
  const source: Source<ThreadEvent> = {
    request: () => ({ method: "GET", path: `${pathOf(threadId)}/stream`, query: query(), headers }),
    event: (frame) => read.read(frame),
  };
  return new EventStream(transport, source, signal);
}

/** The events of a run that this request starts, or goes on with: to its terminal event. */
export class RunStream extends EventStream<ThreadEvent> {
  readonly #transport: Transport;
  readonly #told: RunTold;

  constructor(transport: Transport, begin: Asked, options: CallOptions) {
    const told = new RunTold(begin, options);
    super(transport, told, options.signal);
    this.#transport = transport;
    this.#told = told;
  }

  /** The run, once the server has named it. */
  get runId(): string | null {
    return this.#told.runId;
  }

  /** Reads the stream to its end and gives what the run came to; of answers that were not the last, how the thread stands. */
  async result(): Promise<RunResult> {
    while ((await this.next()).done !== true);
    const { result, runId, threadId } = this.#told;
    if (result !== null) return result;
    if (runId === null || threadId === null)
      throw new ConnectionError("the stream was closed before its run was named");
    // Its end is in no log: it was taken from the queue before it began.
    return this.#transport.get(`${pathOf(threadId)}/runs/${runId}`);
  }
}

/** What the stream of one run has told so far. */
class RunTold implements Source<ThreadEvent> {
  runId: string | null = null;
  threadId: string | null = null;
  result: RunResult | null = null;
  readonly #begin: Asked;
  readonly #headers: CallOptions["headers"];
  readonly #read = new ThreadFrames();

  constructor(begin: Asked, { headers }: CallOptions) {
    this.#begin = { ...begin, headers: { ...headers, ...begin.headers } };
    this.#headers = headers;
  }

  /** What begins the run is sent again until an event has come: by its key it is done once. */
  readonly request = (): Asked => {
    const { seq } = this.#read;
    if (seq === null || this.threadId === null) return this.#begin;
    const path = `${pathOf(this.threadId)}/stream`;
    return { method: "GET", path, query: { after: seq }, headers: this.#headers };
  };

  readonly opened = (response: Response): void => {
    // Of what is attached to it is the thread's last run.
    if (this.runId !== null) return;
    const named = /\/threads\/([^/]+)\/runs\/([^/]+)$/.exec(response.headers.get("content-location") ?? "");
    this.threadId = named?.[1] ?? null;
    this.runId = named?.[2] ?? null;
  };

  readonly event = (frame: Frame): ThreadEvent | null => {
    const event = this.#read.read(frame);
    if (event === null || event.event_type === "gap") return event;
    this.threadId ??= event.thread_id;
    // A gateway may keep the header to itself.
    if (event.event_type === "start") this.runId ??= event.run_id;
    if (isTerminal(event) && event.run_id === this.runId) this.result = event.data.result;
    return event;
  };

  readonly isLast = (event: ThreadEvent): boolean => isTerminal(event) && event.run_id === this.runId;

  readonly instead = (answer: unknown): void => {
    this.result = answer as RunResult;
  };
}
