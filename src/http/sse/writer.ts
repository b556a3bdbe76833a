import type { ServerResponse } from "node:http";
import { deferred, type Deferred } from "../../lib/deferred.js";
import { HEARTBEAT } from "./frame.js";

/** Bytes that are given to the socket at once: what it takes of them shows that its reader lives. */
export const SLICE = 64 * 1024;

/** Milliseconds without a byte after which the kernel asks, several times, whether the reader's machine is still there. */
const KEEP_ALIVE_MS = 4000;

/** Looks at a socket that takes nothing before it is given up: a server that was busy itself cannot see what a reader took. */
const LOOKS = 8;

export interface WriterOptions {
  readonly heartbeatMs: number;
  /** A socket that takes nothing for this long is closed; its reader comes back with its cursor. */
  readonly stallMs: number;
}

/**
 * Writes to one reader with backpressure: no more than a slice waits in the socket, and a heartbeat only where nothing else
 * does. One listener for `drain`, whatever happens: `once` in a loop would leak.
 */
export class Writer {
  readonly #response: ServerResponse;
  readonly #gone = new AbortController();
  readonly #stallMs: number;
  readonly #beat: NodeJS.Timeout;
  #drained: Deferred<void> | null = null;
  /** What goes out in front of what is written next. */
  #opening = "";

  constructor(response: ServerResponse, { heartbeatMs, stallMs }: WriterOptions) {
    this.#response = response;
    this.#stallMs = stallMs;
    response.socket?.setKeepAlive(true, KEEP_ALIVE_MS);
    this.#beat = setInterval(() => this.#heartbeat(), heartbeatMs);
    response.on("drain", () => this.#wake());
    response.on("close", () => this.#leave());
    response.on("error", () => this.#leave());
    // One that left while its request was answered has no further event.
    if (response.destroyed || response.closed) this.#leave();
  }

  /** Aborts when the reader is gone. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Begins the answer with what is there already, in one packet; by itself where nothing is. */
  open(text: string): void {
    this.#opening = text;
    setImmediate(() => {
      if (this.#opening === "" || this.gone.aborted) return;
      // Not by `write`, of which there is one at a time: whoever writes next waits for the socket.
      this.#response.write(this.#opening);
      this.#opening = "";
    });
  }

  /** Whether the reader is still there, once the socket takes more. One at a time. */
  async write(text: string): Promise<boolean> {
    const bytes = Buffer.from(this.#opening + text);
    this.#opening = "";
    for (let at = 0; at < bytes.length; at += SLICE) {
      if (this.gone.aborted) return false;
      if (!this.#response.write(bytes.subarray(at, at + SLICE))) await this.#drain();
    }
    this.#beat.refresh();
    return !this.gone.aborted;
  }

  /** Nothing more is written. */
  end(): void {
    clearInterval(this.#beat);
    if (!this.#response.destroyed) this.#response.end(this.#opening);
    this.#opening = "";
  }

  /** Until the socket takes more, or its reader is gone: it left, its socket failed, or took nothing for too long. */
  async #drain(): Promise<void> {
    const drained = deferred();
    this.#drained = drained;
    let left = LOOKS;
    // Of several that are late only one counts, and between two of them the socket is heard.
    const stalled = setInterval(() => {
      left--;
      if (left > 0) return;
      this.#response.destroy();
      this.#leave();
    }, this.#stallMs / LOOKS);
    if (this.gone.aborted) this.#wake();
    await drained.promise;
    clearInterval(stalled);
  }

  #heartbeat(): void {
    if (this.#drained === null && !this.gone.aborted) this.#response.write(HEARTBEAT);
  }

  #wake(): void {
    this.#drained?.resolve();
    this.#drained = null;
  }

  #leave(): void {
    this.#gone.abort();
    clearInterval(this.#beat);
    this.#wake();
  }
}
