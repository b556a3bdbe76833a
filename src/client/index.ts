/** `holdpoint/client`: the server's routes as typed calls, for browsers and Node. */
export { Graphs, HoldpointClient } from "./client.js";
export * from "./errors.js";
export { Interrupts, type InboxStreamOptions } from "./interrupts.js";
export { List } from "./list.js";
export { EventStream } from "./reconnect.js";
export type { RetryOptions } from "./retry.js";
export { RunStream, type AttachOptions } from "./thread-stream.js";
export { ThreadClient, Threads, type StreamOptions } from "./threads.js";
export type { CallOptions, ClientOptions, HeaderFields, OnceOptions, WaitOptions } from "./transport.js";
export type * from "./types.js";
