import { Interrupts } from "./interrupts.js";
import type { List } from "./list.js";
import { listAt, ThreadClient, Threads } from "./threads.js";
import { Transport, type CallOptions, type ClientOptions } from "./transport.js";
import type { Graph, Links, Liveness, Readiness } from "./types.js";

/** What the server runs. */
export class Graphs {
  readonly #transport: Transport;

  /** By `HoldpointClient`. */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** All graphs. */
  list(options?: CallOptions): List<Graph> {
    return listAt(this.#transport, "/graphs", {}, options);
  }

  /** One graph. */
  get(name: string, options?: CallOptions): Promise<Graph> {
    return this.#transport.get(`/graphs/${encodeURIComponent(name)}`, options);
  }
}

/** A Holdpoint server, for browsers and Node. Bodies and answers are the wire's, unchanged. */
export class HoldpointClient {
  /** All threads: create, list. */
  readonly threads: Threads;
  /** The inbox, over all threads. */
  readonly interrupts: Interrupts;
  /** What the server runs. */
  readonly graphs: Graphs;
  readonly #transport: Transport;

  /** Throws a `TypeError` where `baseUrl` is none. Asks nothing of the server. */
  constructor(options: ClientOptions) {
    this.#transport = new Transport(options);
    this.threads = new Threads(this.#transport);
    this.interrupts = new Interrupts(this.#transport);
    this.graphs = new Graphs(this.#transport);
  }

  /** One thread, by its id: runs, answers, stops, state, history. Asks nothing of the server. */
  thread(id: string): ThreadClient {
    return new ThreadClient(this.#transport, id);
  }

  /** What the server is called, and where to go from its root. */
  links(options?: CallOptions): Promise<Links> {
    return this.#transport.get("/", options);
  }

  /** That the server lives: asked once, not again. */
  health(options?: CallOptions): Promise<Liveness> {
    return this.#transport.send("GET", "/healthz", undefined, options);
  }

  /** That the server can work: asked once, not again. Throws `DatabaseUnavailableError` where it cannot. */
  ready(options?: CallOptions): Promise<Readiness> {
    return this.#transport.send("GET", "/readyz", undefined, options);
  }

  /** The server's description of itself: OpenAPI, as YAML. */
  description(options: CallOptions = {}): Promise<string> {
    const asked = { method: "GET", path: "/openapi.yaml", headers: { Accept: "application/yaml" } } as const;
    return this.#transport.call(asked, { ...options, repeatable: true }, (response) => response.text());
  }
}
