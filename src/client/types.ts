/** The wire's shapes by their names, from openapi.yaml: nothing is renamed on its way. */
import type { components, operations } from "./api.gen.js";

type Schemas = components["schemas"];
type Json<Operation> = Operation extends { requestBody?: { content: { "application/json": infer Body } } }
  ? Body
  : never;
type Query<Operation> = Operation extends { parameters: { query?: infer Asked } }
  ? Exclude<Asked, undefined>
  : never;

/** A message of a thread. */
export type Message = Schemas["Message"];
/** What somebody decided about an interrupt. */
export type Decision = Schemas["Decision"];
/** What a thread waits for. */
export type Interrupt = Schemas["Interrupt"];
/** What a run came to, or how it stands. */
export type RunResult = Schemas["RunResult"];
/** Why a run failed. */
export type RunError = Schemas["RunError"];
/** A run, with its times. */
export type Run = Schemas["Run"];
/** A thread, with its open interrupts. */
export type Thread = Schemas["Thread"];
/** A thread's state, now or at a checkpoint. */
export type State = Schemas["State"];
/** One entry of a thread's history. */
export type Checkpoint = Schemas["Checkpoint"];
/** What a stop met and did. */
export type StopReceipt = Schemas["StopReceipt"];
/** A graph, as the server runs it. */
export type Graph = Schemas["Graph"];
/** Problem details (RFC 9457) with a `code`. */
export type Problem = Schemas["Problem"];
/** One event of a thread; `event_type` tells which. */
export type RunEvent = Schemas["Event"];
/** One of the events by its type. */
export type EventOf<Type extends RunEvent["event_type"]> = Extract<RunEvent, { event_type: Type }>;

/** Events that the server deleted when they got old, by their numbers. */
export interface GapEvent {
  readonly event_type: "gap";
  readonly data: { readonly from: number; readonly to: number };
}
/** What happened to an interrupt; `current` ends what is open when the stream begins. */
export type InboxEvent = Schemas["InboxEvent"];
/** What the stream of the inbox gives. */
export type InboxChange = InboxEvent | GapEvent;

/** What a thread's stream gives. */
export type ThreadEvent = RunEvent | GapEvent;

/** One page of a list. */
export interface Page<Item> {
  readonly items: Item[];
  /** The cursor of the next page; null at the end. */
  readonly next_cursor: string | null;
}

/** What starts a run. */
export type RunBody = Json<operations["startRun"]>;
/** What answers a thread's interrupts, or continues it. */
export type ResumeBody = Json<operations["resumeThread"]>;
/** What answers one interrupt. */
export type DecisionBody = Json<operations["decideInterrupt"]>;
/** How to stop. */
export type StopBody = Json<operations["stopThread"]>;
/** What makes a thread. */
export type ThreadBody = Json<operations["createThread"]>;
/** What makes a thread of a checkpoint. */
export type ForkBody = Json<operations["forkThread"]>;
/** What changes a thread's state. */
export type StatePatch = Json<operations["patchState"]>;

/** How much of a list. */
export type PageQuery = Query<operations["listRuns"]>;
/** Which threads. */
export type ThreadsQuery = Query<operations["listThreads"]>;
/** Which interrupts. */
export type InterruptsQuery = Query<operations["listInterrupts"]>;

/** Where to go from the server's root. */
export type Links = operations["getLinks"]["responses"]["200"]["content"]["application/json"];
/** That the server lives. */
export type Liveness = operations["getLiveness"]["responses"]["200"]["content"]["application/json"];
/** That the server can work, and on what. */
export type Readiness = operations["getReadiness"]["responses"]["200"]["content"]["application/json"];
