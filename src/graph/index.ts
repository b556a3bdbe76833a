export { CompiledGraph, THREAD_ID } from "./compiled-graph.js";
export { Message } from "./message.js";
export { StateGraph } from "./state-graph.js";
export type {
  CompileOptions,
  GraphInput,
  HoldPointOptions,
  NodeFunction,
  RunOptions,
  StateOf,
  StateSchema,
  UpdateOf,
} from "./types.js";
