import type { Checkpointer, Wake } from "../checkpoint/checkpointer.js";
import { HoldpointError } from "../errors.js";
import { feedPublisher, Live } from "../events/index.js";
import type { EventPublisher, GraphDefinition, Logger, RunEvent } from "../engine/index.js";
import { GraphRegistry } from "./graph-registry.js";
import { InboxReader } from "./inbox-reader.js";
import { Relay } from "./relay.js";
import { Readers } from "./readers.js";
import { runtimeOptions, type RuntimeOptions } from "./runtime-options.js";
import { RunService } from "./run-service.js";
import { RunWorker } from "./run-worker.js";
import { threadKey } from "./thread-key.js";
import { ThreadService } from "./thread-service.js";
import { Timers } from "./timers.js";
import { UnreadRuns } from "./unread-runs.js";
import { within } from "./within.js";

/** Milliseconds in which `ready` answers. */
const READY_MS = 1500;

/** One checkpointer's runs in this process: what both faces stand on. */
export class Runtime {
  readonly graphs = new GraphRegistry();
  readonly runs: RunService;
  readonly threads: ThreadService;
  readonly inbox: InboxReader;
  readonly checkpointer: Checkpointer;
  readonly #live: Live;
  readonly #relay: Relay | null;
  readonly #worker: RunWorker;
  readonly #timers: Timers;
  readonly #unread: UnreadRuns;
  readonly #log: Logger;
  readonly #leaseMs: number;
  readonly #feeds = new WeakMap<EventPublisher, (event: RunEvent) => void>();
  #started: Promise<void> | null = null;
  #asking: Promise<readonly string[]> | null = null;
  #deafen: () => void = () => undefined;

  constructor(of: { checkpointer: Checkpointer; log: Logger; options?: Partial<RuntimeOptions> }) {
    const { checkpointer, log } = of;
    const options = runtimeOptions(of.options);
    this.checkpointer = checkpointer;
    this.#leaseMs = options.leaseMs;
    this.#log = log;
    this.#live = new Live(options.readerBufferBytes);
    this.#relay = checkpointer.liveEdge === null ? null : new Relay(checkpointer.liveEdge, log);
    const readers = new Readers();
    const shared = { checkpointer, graphs: this.graphs, live: this.#live, log, options, readers };
    this.#worker = new RunWorker({ ...shared, relay: this.#relay });
    this.#unread = new UnreadRuns({ ...shared, worker: this.#worker });
    this.runs = new RunService({ ...shared, worker: this.#worker });
    this.threads = new ThreadService({ ...shared, reader: this.runs.reader });
    this.inbox = new InboxReader({ checkpointer, options, leaving: this.#worker.leaving });
    this.#timers = new Timers({ ...shared, expire: (ref, id) => this.runs.expire(ref, id) });
    this.#live.tap((event) => this.#timers.notice(event));
    this.#live.tap((event, graph) => {
      for (const feed of this.#feedsOf(graph)) feed(event);
    });
  }

  register(def: GraphDefinition): void {
    this.graphs.register(def);
  }

  /** One feed a publisher, however many graphs share it: its events stay in order. */
  #feedsOf(def: GraphDefinition): ((event: RunEvent) => void)[] {
    return def.publishers.map((publisher) => {
      const feed = this.#feeds.get(publisher) ?? feedPublisher(publisher, this.#log);
      this.#feeds.set(publisher, feed);
      return feed;
    });
  }

  /** Opens the storage, beats, and takes over what others left. Once; a failed start may be tried again. */
  start(): Promise<void> {
    this.#started ??= this.#start().catch((error: unknown) => {
      this.#started = null;
      throw error;
    });
    return this.#started;
  }

  async #start(): Promise<void> {
    this.#deafen = this.checkpointer.onWake((wake) => this.#heed(wake));
    try {
      const since = Date.now();
      await this.checkpointer.open();
      await this.#worker.start({ wasLate: Date.now() - since >= this.#leaseMs / 2 });
      this.#timers.start();
      this.#unread.start();
    } catch (error) {
      this.#deafen();
      throw error;
    }
  }

  /** Another process changed something: whoever waits for that looks now. */
  #heed(wake: Wake): void {
    if (wake.kind === "stop") this.#worker.hints.stop(wake.ref);
    else if (wake.kind === "work") this.#worker.hints.work();
    else if (wake.kind === "thread") this.#live.wake(threadKey(wake.ref));
    else if (wake.kind === "live") this.#live.stir(threadKey(wake.ref));
    else if (wake.kind === "rescan") {
      this.#live.wake();
      this.#worker.hints.rescan();
    }
  }

  /**
   * The graphs that this process has not loaded and whose runs wait for one that has, longer than a lease. Throws
   * `shutting_down`, `database_unavailable`; within a moment, also where the storage neither answers nor refuses.
   */
  async ready(): Promise<readonly string[]> {
    if (this.#worker.draining) throw new HoldpointError("shutting_down", "this process is shutting down");
    // Whoever asks while one is asked waits for its answer: those who ask do not add up.
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null;
    });
    const waiting = await within(READY_MS, this.#asking);
    if (waiting !== null) return waiting;
    throw new HoldpointError(
      "database_unavailable",
      `${this.checkpointer.describe} does not answer within ${READY_MS} ms`,
    );
  }

  async #ask(): Promise<readonly string[]> {
    await this.checkpointer.ping();
    return this.checkpointer.upkeep.unclaimed(this.graphs.names(), this.#leaseMs);
  }

  /** This process takes no more work. */
  get draining(): boolean {
    return this.#worker.draining;
  }

  /** How many readers wait in this process for what happens. */
  get readers(): number {
    return this.#live.readers;
  }

  /** Takes no more work, and lets runs come to a place where they can be left, at most for `ms`. */
  async drain(ms: number): Promise<void> {
    await Promise.all([this.#timers.end(), this.#worker.drain(ms)]);
  }

  /** Ends streams and lets those go who wait for runs; they find them again in another process. */
  leave(): void {
    this.#worker.leave();
  }

  /** After `drain`. */
  async close(): Promise<void> {
    this.#deafen();
    this.leave();
    await this.#unread.end();
    await this.#worker.retire();
    await this.#relay?.close();
    await this.checkpointer.close();
  }
}
