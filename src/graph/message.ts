import { messageText, type Message as EngineMessage, type NewMessage, type Role } from "../engine/index.js";

/** A message of a thread. */
export type Message = EngineMessage;

/** Makes messages; ids and times are given at the commit where they are missing. */
export const Message = {
  /** A message of plain text, of the user unless said otherwise. */
  text(text: string, role: Role = "user"): NewMessage {
    return { role, content: text };
  },
  /** A message of all its parts. */
  of(message: NewMessage): NewMessage {
    return { ...message };
  },
  /** The text of a message: its string, or its text parts put together. */
  textOf(message: Pick<EngineMessage, "content">): string {
    return messageText(message);
  },
};
