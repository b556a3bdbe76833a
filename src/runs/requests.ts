/** What the run manager is asked, and what it answers. */
import type { Checkpointer, RequestKey, StopMode, ThreadRef } from "../checkpoint/checkpointer.js";
import type { AnswerRequest, GraphDefinition, RunEvent, RunResult } from "../engine/index.js";
import type { Live } from "../events/index.js";
import type { GraphRegistry } from "./graph-registry.js";
import type { RuntimeOptions } from "./runtime-options.js";
import type { InputRequest, RunConfig } from "./request-input.js";
import type { Readers } from "./readers.js";
import type { RunWorker } from "./run-worker.js";

export interface StartRequest {
  readonly ref: ThreadRef;
  /** By name, or itself: the library runs the very graph that was called. */
  readonly graph?: string | GraphDefinition | undefined;
  readonly input?: InputRequest | undefined;
  readonly config?: RunConfig | undefined;
  /** What to do where a run is active on the thread: refuse (the default), wait for it, or stop it first. */
  readonly onBusy?: OnBusy | undefined;
  /** What becomes of the run when nobody reads it: it goes on (the default), or stops after a grace. */
  readonly onDisconnect?: "continue" | "stop" | undefined;
  /** Who asks, for the record of a stop. Default `anonymous`. */
  readonly by?: string | undefined;
  /** Sent again with the same key, it begins nothing anew. */
  readonly key?: RequestKey | undefined;
}

/** A run's input, or a "go on" where the thread waits. */
export interface EnterRequest {
  readonly ref: ThreadRef;
  readonly graph: GraphDefinition;
  readonly input: InputRequest;
  readonly config: RunConfig;
}

export type OnBusy = "reject" | "enqueue" | "stop";

export interface ResumeRequest extends AnswerRequest {
  readonly ref: ThreadRef;
  /** The library's own; over HTTP the thread's. */
  readonly graph?: GraphDefinition | undefined;
  readonly answers?: readonly AnswerRequest[] | undefined;
  readonly config?: RunConfig | undefined;
  /** The library's "go on": merged in as a run's input is, and taken only at one plain pause. */
  readonly goOn?: InputRequest | undefined;
  /** The thread's seq that the caller looked at before it said "go on". */
  readonly seen?: number | undefined;
  readonly by: string;
  readonly key?: RequestKey | undefined;
}

export interface StopOf {
  readonly mode?: StopMode;
  readonly reason?: string | undefined;
  readonly by: string;
  readonly key?: RequestKey | undefined;
}

/** What a stop did. */
export interface StopReceipt {
  readonly threadId: string;
  readonly runId: string | null;
  readonly ok: true;
  readonly running: boolean;
  readonly status?: "stopped" | "stopping";
  readonly reason?: "not-running";
  readonly node: string | null;
  readonly step: number;
  readonly abandoned: readonly (readonly string[])[];
  readonly cancelledInterrupts: readonly string[];
  readonly dropped: readonly string[];
  readonly seq: number;
}

/** A run that was accepted. */
export interface RunHandle {
  readonly kind: "run";
  readonly threadId: string;
  readonly runId: string;
  /** Its events are those above this, its answers' among them. */
  readonly after: number;
  readonly outcome: () => Promise<RunResult>;
  /** Null where it has not ended after `ms`. */
  readonly outcomeWithin: (ms: number) => Promise<RunResult | null>;
  /** The run as it stands now. */
  readonly current: () => Promise<RunResult>;
  /** To its terminal event. */
  readonly events: (signal?: AbortSignal) => AsyncGenerator<RunEvent, void, undefined>;
  /** The same: those together that are there together. */
  readonly batches: (signal?: AbortSignal) => AsyncGenerator<readonly RunEvent[], void, undefined>;
  /** Somebody waits for its result, until the function that this gives is called. */
  readonly attend: () => () => void;
  /** What made it fail, where that was thrown in this process. */
  readonly cause: () => unknown;
}

/** An answer that was taken while others are missing: the thread as it stands. */
export interface Waiting {
  readonly kind: "waiting";
  readonly result: RunResult;
}

/** The same as it is kept: nothing of it outlives the thread. */
export interface WaitingThen {
  readonly runId: string;
  readonly interrupts: readonly string[];
  readonly seq: number;
}

export interface RunServiceDeps {
  readonly checkpointer: Checkpointer;
  readonly graphs: GraphRegistry;
  readonly live: Live;
  readonly readers: Readers;
  readonly worker: RunWorker;
  readonly options: RuntimeOptions;
}
