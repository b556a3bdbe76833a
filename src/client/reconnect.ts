/** A stream of events over as many connections as it takes. */
import { ConnectionError } from "./errors.js";
import { frames, stalled, type Frame } from "./frames.js";
import { Patience, pause } from "./retry.js";
import { Scope } from "./scope.js";
import { isAway, retryAfterOf, type Asked, type Transport } from "./transport.js";

/** What is streamed: how to ask for it, and what its frames mean. */
export interface Source<Event> {
  /** The request for what is behind `cursor`, the last `id:` that came; null before the first. */
  readonly request: (cursor: string | null) => Asked;
  /** The event of a frame; null where it is not for the reader. */
  readonly event: (frame: Frame) => Event | null;
  /** Whether the stream ends with this event. By default it ends when the server says 204. */
  readonly isLast?: (event: Event) => boolean;
  /** Sees each answer that is a stream, before its frames. */
  readonly opened?: (response: Response) => void;
  /** Takes an answer in JSON, which comes in the place of the stream. */
  readonly instead?: (answer: unknown) => void;
}

/** A connection that lived so long was no failure, even if it said nothing but that it lives. */
const LIVED_MS = 5_000;

/** How a connection ended by itself: the stream is over, or it is to be taken up again. */
type Ended =
  { readonly over: true } | { readonly over: false; readonly error: unknown; readonly told: boolean };

/** The events of a source, to its end. Throws `ConnectionError` when the patience is over, and any refusal. */
async function* reconnecting<Event>(
  transport: Transport,
  source: Source<Event>,
  signal: AbortSignal,
): AsyncGenerator<Event, void, undefined> {
  const reading = new Reading(transport, source);
  for (;;) {
    const scope = new Scope([signal]);
    let ended: Ended;
    try {
      ended = yield* reading.connection(scope);
    } finally {
      scope.end();
    }
    if (signal.aborted) throw signal.reason;
    if (ended.over) return;
    await reading.rest(ended, signal);
  }
}

class Reading<Event> {
  readonly #transport: Transport;
  readonly #source: Source<Event>;
  readonly #patience: Patience;
  #cursor: string | null = null;
  #retryMs = 0;
  #began = 0;
  #lived = false;

  constructor(transport: Transport, source: Source<Event>) {
    this.#transport = transport;
    this.#source = source;
    this.#patience = new Patience(transport.retry);
  }

  /** One connection, to its end or to the last event. Throws what another connection would not mend. */
  async *connection(scope: Scope): AsyncGenerator<Event, Ended, undefined> {
    this.#began = Date.now();
    this.#lived = false;
    let told = false;
    try {
      const response = await this.#open(scope);
      if (response === null) return { over: true };
      for await (const frame of frames(response, scope, this.#watch())) {
        // What came in one piece is not given any more to whoever has gone.
        scope.signal.throwIfAborted();
        const event = this.#source.event(frame);
        if (frame.id !== undefined) this.#cursor = frame.id;
        if (event === null) continue;
        told = true;
        this.#renew();
        yield event;
        if (this.#source.isLast?.(event) === true) return { over: true };
      }
      return { over: false, error: new ConnectionError("the stream ended before its time"), told };
    } catch (error) {
      if (!isAway(error)) throw error;
      return { over: false, error, told: false };
    }
  }

  /** Waits before the next connection. Throws `ConnectionError` when the patience is over. */
  async rest({ error, told }: Ended & { over: false }, signal: AbortSignal): Promise<void> {
    // A server ends a stream where it has no more, or leaves: whoever asks at once hears which.
    if (told) return;
    const lostMs = this.#lived ? 0 : Date.now() - this.#began;
    const atLeastMs = Math.max(this.#retryMs, retryAfterOf(error) ?? 0);
    const ms = this.#patience.next({ lostMs, atLeastMs });
    if (ms !== null) return pause(ms, signal);
    const { forMs } = this.#transport.retry;
    throw new ConnectionError(`the stream broke and did not come back within ${forMs} ms: ${String(error)}`, {
      cause: error,
    });
  }

  /** Null where there is nothing to stream. */
  async #open(scope: Scope): Promise<Response | null> {
    const { stallMs } = this.#transport;
    const answered = scope.endAfter(stallMs, () => stalled(stallMs));
    const asked = this.#source.request(this.#cursor);
    const headers = { Accept: "text/event-stream", ...asked.headers };
    const response = await this.#transport.once({ ...asked, headers }, scope, async (answer) => answer);
    answered();
    if (response.status === 204) return null;
    const type = response.headers.get("content-type") ?? "";
    if (type.startsWith("text/event-stream")) {
      this.#source.opened?.(response);
      return response;
    }
    if (this.#source.instead !== undefined && type.startsWith("application/json")) {
      this.#source.instead(await scope.bound(response.json()));
      return null;
    }
    throw new ConnectionError(`${response.url} answered with ${type || "nothing"}, not with a stream`);
  }

  #watch() {
    return {
      stallMs: this.#transport.stallMs,
      alive: (): void => {
        if (Date.now() - this.#began >= LIVED_MS) this.#renew();
      },
      retry: (ms: number): void => {
        this.#retryMs = ms;
      },
    };
  }

  #renew(): void {
    this.#lived = true;
    this.#patience.renew();
  }
}

/**
 * Events, to be read by `for await`. Nothing is asked of the server before the first is read; whoever stops reading closes
 * the connection.
 */
export class EventStream<Event> implements AsyncIterableIterator<Event, void, undefined> {
  readonly #transport: Transport;
  readonly #source: Source<Event>;
  readonly #signals: readonly (AbortSignal | undefined)[];
  #reading: { readonly scope: Scope; readonly events: AsyncGenerator<Event, void, undefined> } | null = null;
  #closed = false;

  /** By `HoldpointClient`. */
  constructor(transport: Transport, source: Source<Event>, signal: AbortSignal | undefined) {
    this.#transport = transport;
    this.#source = source;
    this.#signals = [transport.signal, signal];
  }

  /** What `for await` calls: a stream is read once. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next event. Throws the signal's reason once it is aborted, a `HoldpointError` or a `ConnectionError`. */
  async next(): Promise<IteratorResult<Event, void>> {
    if (this.#closed) return OVER;
    try {
      const next = await this.#begun().events.next();
      // It may have been closed meanwhile.
      if (next.done !== true && !this.#isClosed()) return next;
      this.close();
      return OVER;
    } catch (error) {
      if (this.#isClosed()) return OVER;
      this.close();
      throw error;
    }
  }

  /** What `for await` calls when it is left. */
  async return(): Promise<IteratorResult<Event, void>> {
    this.close();
    return OVER;
  }

  /** Ends the stream and closes its connection, also while somebody waits for the next event. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reading?.scope.end();
    this.#reading?.events.return().catch(() => undefined);
  }

  #isClosed(): boolean {
    return this.#closed;
  }

  #begun() {
    if (this.#reading !== null) return this.#reading;
    const scope = new Scope(this.#signals);
    this.#reading = { scope, events: reconnecting(this.#transport, this.#source, scope.signal) };
    return this.#reading;
  }
}

const OVER = { done: true, value: undefined } as const;
