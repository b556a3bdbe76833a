import type { Message, RunInput } from "../engine/index.js";
import type { Json } from "../lib/json.js";
import type { CheckedConfig } from "./request-input.js";

/** What a queued run begins with: its input as it was checked, and its own hold points. */
export interface QueuedRequest {
  readonly input: RunInput;
  readonly holds: CheckedConfig["holds"];
}

/** As it is stored. */
export const queuedRequest = (input: RunInput, { holds }: CheckedConfig): Json =>
  ({ input, holds }) satisfies QueuedRequest as unknown as Json;

export const readRequest = (stored: Json): QueuedRequest => stored as unknown as QueuedRequest;

/** The messages that a queued run will add. */
export const queuedMessages = (stored: Json): readonly Message[] => readRequest(stored).input.messages;
