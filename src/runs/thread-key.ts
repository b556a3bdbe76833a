import type { ThreadRef } from "../checkpoint/checkpointer.js";

/** What may name a thread, on every face. */
export const THREAD_ID = /^[A-Za-z0-9._:-]{1,128}$/;

/** A thread's name as one string, for maps of this process. */
export const threadKey = (ref: ThreadRef): string => `${ref.tenant}\n${ref.threadId}`;
