import { List } from "./list.js";
import { attach, RunStream, type AttachOptions } from "./thread-stream.js";
import type { EventStream } from "./reconnect.js";
import {
  keyed,
  type CallOptions,
  type OnceOptions,
  type QueryValues,
  type Transport,
  type WaitOptions,
} from "./transport.js";
import type * as wire from "./types.js";

/** Options of a stream: it takes as long as it takes. */
export type StreamOptions = Omit<OnceOptions, "timeoutMs">;

/** A list below a path. */
export function listAt<Item>(
  transport: Transport,
  path: string,
  query: QueryValues,
  options: CallOptions | undefined,
): List<Item> {
  return new List((cursor) =>
    transport.get<wire.Page<Item>>(path, options, cursor === undefined ? query : { ...query, cursor }),
  );
}

/** All threads. */
export class Threads {
  readonly #transport: Transport;

  /** By `HoldpointClient`. */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Creates a thread. A run does that by itself: this is for a thread that has its graph or metadata before. */
  create(body: wire.ThreadBody = {}, options: CallOptions = {}): Promise<wire.Thread> {
    return this.#transport.send("POST", "/threads", body, options);
  }

  /** The threads, newest first. */
  list(query: wire.ThreadsQuery = {}, options?: CallOptions): List<wire.Thread> {
    return listAt(this.#transport, "/threads", query, options);
  }
}

/** One thread, by its id; it need not exist yet. */
export class ThreadClient {
  /** The thread's id. */
  readonly id: string;
  readonly #transport: Transport;
  readonly #path: string;

  /** By `HoldpointClient.thread`. */
  constructor(transport: Transport, id: string) {
    this.#transport = transport;
    this.id = id;
    this.#path = `/threads/${encodeURIComponent(id)}`;
  }

  /** Starts a run and waits for it. Sent again where the answer is lost, and done once. */
  run(body: wire.RunBody = {}, options: WaitOptions = {}): Promise<wire.RunResult> {
    return this.#transport.post(`${this.#path}/run`, body, options);
  }

  /** Starts a run and gives its events. */
  stream(body: wire.RunBody = {}, options: StreamOptions = {}): RunStream {
    return new RunStream(this.#transport, keyed(`${this.#path}/stream`, body, options), options);
  }

  /** The events of a thread, as they happen and as they were. */
  attach(options: AttachOptions = {}): EventStream<wire.ThreadEvent> {
    return attach(this.#transport, this.id, options);
  }

  /** Answers interrupts, or continues a stopped or failed thread, and waits for the run that goes on. */
  resume(body: wire.ResumeBody = {}, options: WaitOptions = {}): Promise<wire.RunResult> {
    return this.#transport.post(`${this.#path}/resume`, body, options);
  }

  /** The same, as a stream. It has no events where other answers are still missing. */
  resumeStream(body: wire.ResumeBody = {}, options: StreamOptions = {}): RunStream {
    return new RunStream(this.#transport, keyed(`${this.#path}/resume`, body, options), options);
  }

  /** Ends the current run. */
  stop(body: wire.StopBody = {}, options: OnceOptions = {}): Promise<wire.StopReceipt> {
    return this.#transport.post(`${this.#path}/stop`, body, options);
  }

  /** The thread, with its open interrupts. */
  get(options?: CallOptions): Promise<wire.Thread> {
    return this.#transport.get(this.#path, options);
  }

  /** Deletes it; the record of its decisions stays. */
  delete(options: CallOptions = {}): Promise<void> {
    return this.#transport.send("DELETE", this.#path, undefined, options);
  }

  /** The state, now or at a checkpoint. */
  state(of: CallOptions & { readonly checkpoint?: string } = {}): Promise<wire.State> {
    const { checkpoint, ...options } = of;
    return this.#transport.get(`${this.#path}/state`, options, { checkpoint });
  }

  /** Changes the state while no run is active. */
  patchState(patch: wire.StatePatch, options: CallOptions = {}): Promise<wire.State> {
    return this.#transport.send("PATCH", `${this.#path}/state`, patch, options);
  }

  /** The messages, oldest first. */
  messages(query: wire.PageQuery = {}, options?: CallOptions): List<wire.Message> {
    return listAt(this.#transport, `${this.#path}/messages`, query, options);
  }

  /** The history, newest first. */
  checkpoints(query: wire.PageQuery = {}, options?: CallOptions): List<wire.Checkpoint> {
    return listAt(this.#transport, `${this.#path}/checkpoints`, query, options);
  }

  /** Makes a thread of a checkpoint; it runs nothing until it is resumed. */
  fork(body: wire.ForkBody, options: CallOptions = {}): Promise<wire.Thread> {
    return this.#transport.send("POST", `${this.#path}/fork`, body, options);
  }

  /** The runs, newest first. */
  runs(query: wire.PageQuery = {}, options?: CallOptions): List<wire.Run> {
    return listAt(this.#transport, `${this.#path}/runs`, query, options);
  }

  /** One run. */
  getRun(runId: string, options?: CallOptions): Promise<wire.Run> {
    return this.#transport.get(`${this.#path}/runs/${encodeURIComponent(runId)}`, options);
  }
}
