import type { ThreadRef } from "../checkpoint/checkpointer.js";

/** A thread's name as one string, for maps of this process. */
export const threadKey = (ref: ThreadRef): string => `${ref.tenant}\n${ref.threadId}`;
