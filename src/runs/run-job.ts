import type { Checkpointer, Loaded, RunRecord, TaskRecord, ThreadRef } from "../checkpoint/checkpointer.js";
import type { GraphDefinition, Logger, Message } from "../engine/index.js";
import type { Live } from "../events/index.js";
import type { OnceStore } from "./once-store.js";
import type { Relay } from "./relay.js";
import type { RuntimeOptions } from "./runtime-options.js";

/** A claimed run and all that is needed to go on with it. */
export interface RunJob {
  readonly ref: ThreadRef;
  readonly run: RunRecord;
  readonly epoch: number;
  readonly loaded: Pick<Loaded, "snapshot" | "interrupts" | "sinceValues"> & {
    readonly seq: number;
    readonly limit: number;
  };
  /** What the run has added so far. */
  readonly messages: readonly Message[];
  /** Its former process died, maybe inside a node. */
  readonly crashedAt: string | null;
}

export interface ExecuteDeps {
  readonly def: GraphDefinition;
  readonly checkpointer: Checkpointer;
  readonly live: Live;
  readonly relay: Relay | null;
  readonly once: OnceStore;
  /** What was stored of its tasks before it was claimed. */
  readonly records: readonly TaskRecord[];
  readonly log: Logger;
  readonly options: RuntimeOptions;
  /** Asked between steps: whether this process is shutting down. */
  readonly draining: () => boolean;
  /** Told that another run of the thread may start now. */
  readonly workWaits: () => void;
}
