import type { Answer, Interrupt } from "./interrupt.js";
import type { Message } from "./message.js";
import type { RunResult } from "./result.js";

/** Where an event comes from. */
export const EVENT_SOURCES = [
  "graph_execution",
  "node_execution",
  "llm_call",
  "tool_execution",
  "streaming",
] as const;
export type EventSourceName = (typeof EVENT_SOURCES)[number];

/** What an event tells (design: engine, section 9). */
export const EventType = {
  START: "start",
  PROGRESS: "progress",
  DELTA: "delta",
  MESSAGE: "message",
  CUSTOM: "custom",
  UPDATE: "update",
  DECISION: "decision",
  RESTART: "restart",
  INTERRUPTED: "interrupted",
  STOPPED: "stopped",
  ERROR: "error",
  END: "end",
} as const;
/** One of the values of `EventType`. */
export type EventType = (typeof EventType)[keyof typeof EventType];

export type TerminalEventType = "interrupted" | "stopped" | "error" | "end";
const TERMINAL: ReadonlySet<string> = new Set<TerminalEventType>(["interrupted", "stopped", "error", "end"]);
export const isTerminal = (eventType: EventType): eventType is TerminalEventType => TERMINAL.has(eventType);

/** What each event carries in `data` (design: engine, section 9). */
export interface EventData {
  start: { readonly input: Readonly<Record<string, unknown>>; readonly resumes: boolean };
  progress: { readonly step: number; readonly attempt: number };
  delta: { readonly messageId: string; readonly part: "text" };
  message: { readonly message: Message };
  custom: { readonly name: string; readonly value: unknown };
  update: {
    readonly step: number;
    readonly checkpointId: string;
    readonly changed: readonly string[];
    readonly nextNodes: readonly string[];
  };
  decision: { readonly interrupt: Interrupt; readonly decision: Answer | null };
  restart: {
    readonly step: number;
    readonly node: string;
    readonly path: readonly string[];
    readonly attempt: number;
  };
  interrupted: { readonly result: RunResult; readonly interrupted: "before" | "after" };
  stopped: { readonly result: RunResult };
  error: { readonly result: RunResult };
  end: { readonly result: RunResult };
}

/** An event without its place: who it is about and what it says. */
export interface Draft<T extends EventType = EventType> {
  readonly event: EventSourceName;
  readonly eventType: T;
  readonly nodeName: string | null;
  readonly path: readonly string[];
  /** For people. */
  readonly content: string;
  readonly data: EventData[T];
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** An event in its place: the thread's `seq`, its run and its time. */
export interface Placed<T extends EventType = EventType> extends Draft<T> {
  readonly threadId: string;
  readonly runId: string | null;
  readonly seq: number;
  readonly timestamp: string;
}

/** One event of a thread, by its type. */
export type RunEvent = { [T in EventType]: Placed<T> }[EventType];

/** Makes a draft; what is left out is empty. */
export function draft<T extends EventType>(
  eventType: T,
  data: EventData[T],
  of: Partial<Omit<Draft<T>, "eventType" | "data">> = {},
): Draft<T> {
  return {
    event: of.event ?? "graph_execution",
    eventType,
    nodeName: of.nodeName ?? null,
    path: of.path ?? NOWHERE,
    content: of.content ?? "",
    data,
    metadata: of.metadata ?? NOTHING,
  };
}

const NOWHERE: readonly string[] = Object.freeze([]);
const NOTHING: Readonly<Record<string, unknown>> = Object.freeze({});
