export { CompiledGraph } from "./compiled-graph.js";
export { GraphModuleError, loadGraphs } from "./load-graphs.js";
export { Message } from "./message.js";
export { StateGraph } from "./state-graph.js";
export type {
  CompileOptions,
  GraphInput,
  HoldPointOptions,
  NodeFunction,
  RunOptions,
  Sent,
  StateOf,
  UpdateOf,
} from "./types.js";
