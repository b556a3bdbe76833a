import type { Message } from "../../../engine/index.js";
import type { LogEntry, ThreadRef } from "../../checkpointer.js";
import type { Database } from "../database.js";
import { messageOf, type LogRow, type MessageRow } from "../rows.js";
import { eventsOf } from "../short-form.js";

/** A thread's commits above a seq, oldest first, with the messages that they added. */
export async function log(
  database: Database,
  ref: ThreadRef,
  after: number,
  limit: number,
): Promise<readonly LogEntry[]> {
  const key = [ref.tenant, ref.threadId];
  const rows = await database.query<LogRow>(
    "SELECT seq, run_id, events, messages, checkpoint_id, step, next_nodes, created_at FROM holdpoint.log WHERE tenant = $1 AND thread_id = $2 AND seq > $3 ORDER BY seq LIMIT $4",
    [...key, after, limit],
  );
  const places = rows.flatMap((row) => row.messages);
  const bodies =
    places.length === 0
      ? []
      : await database.query<MessageRow>(
          "SELECT pos, seq, body FROM holdpoint.message WHERE tenant = $1 AND thread_id = $2 AND pos = ANY ($3) AND seq = ANY ($4)",
          [...key, places, rows.map((row) => row.seq)],
        );
  const messages = new Map(bodies.map((body) => [nameOf(body.seq, body.pos), messageOf(body)]));
  return rows.map((row) => entryOf(row, messages));
}

/** Of a message's version. */
const nameOf = (seq: number, pos: number): string => `${seq}/${pos}`;

function entryOf(row: LogRow, messages: ReadonlyMap<string, Message>): LogEntry {
  const placed = row.messages.map((pos) => {
    const message = messages.get(nameOf(row.seq, pos));
    return message === undefined ? undefined : { pos, message };
  });
  const { seq, run_id: runId, checkpoint_id: checkpointId, step } = row;
  const nextNodes = row.next_nodes === null ? [] : (JSON.parse(row.next_nodes) as string[]);
  const at = row.created_at.toISOString();
  return {
    seq,
    runId,
    checkpointId,
    events: eventsOf(row.events, { seq, at, checkpointId, step, nextNodes, messages: placed }),
    messages: placed.filter((one) => one !== undefined),
  };
}
