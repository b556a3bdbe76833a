import type { Json, JsonObject } from "../lib/json.js";

export const ROLES = ["user", "assistant", "system", "tool"] as const;
export type Role = (typeof ROLES)[number];

/** One typed part of a message's content; `type` says what the rest means. */
export type ContentPart = { readonly type: string } & JsonObject;

/** A message of a thread. `id` and `created_at` are given at the commit where they are missing. */
export interface Message {
  readonly id: string;
  readonly role: Role;
  readonly content: string | readonly ContentPart[];
  readonly name?: string;
  readonly tool_calls?: readonly Json[];
  readonly tool_call_id?: string;
  readonly metadata?: JsonObject;
  readonly created_at: string;
}

/** A message before it is committed. */
export type NewMessage = Omit<Message, "id" | "created_at"> & {
  readonly id?: string;
  readonly created_at?: string;
};

/** The text of a message: its string, or its text parts put together. */
export function messageText(message: Pick<Message, "content">): string {
  if (typeof message.content === "string") return message.content;
  return message.content.map((part) => (typeof part.text === "string" ? part.text : "")).join("");
}
