import { taskIds, type Message } from "../../engine/index.js";
import { deepFreeze } from "../../lib/deep-freeze.js";
import type { Fork, ThreadRef } from "../checkpointer.js";
import { newThread } from "./apply-write.js";
import type { StoredThread, Tombstone } from "./stored-thread.js";

/** A thread's messages as they were at a commit. */
export function messagesAt(thread: StoredThread, seq: number): Message[] {
  const messages: Message[] = [];
  for (const row of thread.messages) if (row.seq <= seq) messages[row.pos] = row.message;
  return messages;
}

/** A thread made of what `source` was at a commit. */
export function forkedThread(
  source: StoredThread,
  from: number,
  given: Fork,
  to: ThreadRef,
  buried: Tombstone | undefined,
): StoredThread {
  // Callers get what is stored here: what they do to it must change nothing.
  const { at, head, position, checkpoint, checkpointId: parentId } = deepFreeze(given);
  const epoch = buried?.epoch ?? 0;
  const seq = (buried?.seq ?? 0) + 1;
  const thread = newThread(to, { at }, seq, epoch);
  const messages = messagesAt(source, from);
  const tasks = new Set(taskIds(position));
  thread.head = { ...thread.head, ...head, checkpointId: checkpoint.id };
  thread.position = position;
  thread.values = checkpoint.values;
  thread.sinceValues = checkpoint.sinceValues;
  thread.context = Object.freeze(messages);
  thread.messages.push(...messages.map((message, pos) => ({ pos, message, seq, runId: null })));
  for (const [key, record] of source.records)
    if (tasks.has(record.taskId) && !record.key.startsWith("\u0000")) thread.records.set(key, record);
  const { id, path, ops, values, source: kind } = checkpoint;
  const place = { step: head.step, status: head.status, nextNodes: head.nextNodes, createdAt: at };
  thread.entries.push({
    seq,
    runId: null,
    epoch,
    checkpointId: id,
    events: [],
    messages: [],
    checkpoint: {
      checkpointId: id,
      parentId,
      runId: null,
      seq,
      path,
      source: kind,
      ops,
      values,
      position,
      ...place,
    },
  });
  return thread;
}
