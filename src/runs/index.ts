export { currentRun } from "./execute-run.js";
export { newMessageSchema } from "./message-input.js";
export type { ThreadRef } from "../checkpoint/checkpointer.js";
export type { RuntimeOptions } from "./runtime-options.js";
export { MAX_RECURSION_LIMIT, type InputRequest, type RunConfig } from "./request-input.js";
export { asJsonSchema } from "./response-schema.js";
export type { ResumeRequest, RunHandle, StopReceipt, Waiting } from "./requests.js";
export { Runtime } from "./runtime.js";
export type { RunView, StateView, ThreadView } from "./thread-service.js";
