import type { List } from "./list.js";
import { listAt, type StreamOptions } from "./threads.js";
import { RunStream } from "./thread-stream.js";
import { keyed, type CallOptions, type Transport, type WaitOptions } from "./transport.js";
import type { DecisionBody, Interrupt, InterruptsQuery, RunResult } from "./types.js";

const pathOf = (id: string): string => `/interrupts/${encodeURIComponent(id)}`;

/** The inbox: what waits for a person, over all threads. */
export class Interrupts {
  readonly #transport: Transport;

  /** By `HoldpointClient`. */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** The interrupts, newest first; open ones unless the query says others. */
  list(query: InterruptsQuery = {}, options?: CallOptions): List<Interrupt> {
    return listAt(this.#transport, "/interrupts", query, options);
  }

  /** One interrupt, with its decision. */
  get(id: string, options?: CallOptions): Promise<Interrupt> {
    return this.#transport.get(pathOf(id), options);
  }

  /** Answers one and waits for the run that goes on. */
  decide(id: string, body: DecisionBody = {}, options: WaitOptions = {}): Promise<RunResult> {
    return this.#transport.post(`${pathOf(id)}/decision`, body, options);
  }

  /** The same, as a stream. It has no events where other answers are still missing. */
  decideStream(id: string, body: DecisionBody = {}, options: StreamOptions = {}): RunStream {
    return new RunStream(this.#transport, keyed(`${pathOf(id)}/decision`, body, options), options);
  }
}
