import { gapOf } from "./frames.js";
import type { List } from "./list.js";
import { listAt, type StreamOptions } from "./threads.js";
import { RunStream } from "./thread-stream.js";
import { keyed, type CallOptions, type Transport, type WaitOptions } from "./transport.js";
import { EventStream, type Source } from "./reconnect.js";
import type {
  DecisionBody,
  InboxChange,
  InboxEvent,
  Interrupt,
  InterruptsQuery,
  RunResult,
} from "./types.js";

/** Where to begin, and whose. */
export interface InboxStreamOptions extends Omit<CallOptions, "timeoutMs"> {
  /** The `seq` of the last change that you have. Default: what is open now, then what happens. */
  readonly after?: number;
  /** Only interrupts of this graph. */
  readonly graph?: string;
}

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

  /** What opens and what is decided, over all threads, as it happens. It never ends by itself. */
  stream({ after, graph, signal, headers }: InboxStreamOptions = {}): EventStream<InboxChange> {
    let seq = after ?? null;
    const source: Source<InboxChange> = {
      request: () => ({
        method: "GET",
        path: "/interrupts/stream",
        query: { after: seq ?? undefined, graph },
        headers,
      }),
      event: (frame) => {
        const gap = gapOf(frame);
        if (gap !== null) {
          seq = Math.max(seq ?? 0, gap.data.to);
          return gap;
        }
        const change = JSON.parse(frame.data) as InboxEvent;
        // The end of what is open now has the number of the newest change.
        if (change.event_type !== "current" && seq !== null && change.seq <= seq) return null;
        seq = change.seq;
        return change;
      },
    };
    return new EventStream(this.#transport, source, signal);
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
