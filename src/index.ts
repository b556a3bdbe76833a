/** Holdpoint as a library. Everything here is public; nothing else is. */
export { InMemoryCheckpointer } from "./checkpoint/memory/index.js";
export { PgCheckpointer, type PgCheckpointerOptions } from "./checkpoint/postgres/index.js";
export type { Checkpointer } from "./checkpoint/checkpointer.js";
export {
  Command,
  END,
  EventType,
  ExecutionStatus,
  InterruptDenied,
  Send,
  START,
  type Answer,
  type AnswerRequest,
  type DecisionKind,
  type EventPublisher,
  type Interrupt,
  type InterruptRequest,
  type Logger,
  type NewMessage,
  type NodeContext,
  type RunEvent,
  type RunFault,
  type RunResult,
} from "./engine/index.js";
export { ERRORS, GraphError, HoldpointError, RunError, type ErrorCode } from "./errors.js";
export { ConsolePublisher } from "./events/index.js";
export {
  CompiledGraph,
  Message,
  StateGraph,
  type CompileOptions,
  type GraphInput,
  type HoldPointOptions,
  type NodeFunction,
  type RunOptions,
  type Sent,
  type StateOf,
  type UpdateOf,
} from "./graph/index.js";
