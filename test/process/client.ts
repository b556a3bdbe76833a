/** A plain HTTP client of a spawned server. */
import { createParser } from "eventsource-parser";
import { HoldpointClient, HoldpointError } from "holdpoint/client";
import { until } from "../support/poll.js";
import type { Server } from "../support/server.js";

/** What came back; bodies are read by tests, which know what they asked for. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly body: any;
}

export interface StreamEvent {
  readonly id: number;
  readonly type: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly data: any;
}

export async function get(server: Server, path: string): Promise<Reply> {
  return reply(await fetch(server.url + path));
}

export async function post(
  server: Server,
  path: string,
  body: unknown = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<Reply> {
  return reply(await fetch(server.url + path, { method: "POST", headers, body: JSON.stringify(body) }));
}

async function reply(response: Response): Promise<Reply> {
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? null : JSON.parse(text) };
}

/** A request whose client does not stay for the answer: its server may die before it. */
export function send(server: Server, path: string, body: unknown = {}): void {
  post(server, path, body).catch(() => undefined);
}

/** The thread once it is in one of these states; waits by asking. */
export async function threadWhen(
  server: Server,
  thread: string,
  ...statuses: string[]
): Promise<Reply["body"]> {
  return until(`the thread ${thread} is ${statuses.join(" or ")}`, async () => {
    const found = await clientOf(server).thread(thread).get().catch(refused);
    return found !== null && statuses.includes(found.status) ? found : null;
  });
}

/** Not there yet, or its database is away: it is asked again. */
function refused(error: unknown): null {
  if (error instanceof HoldpointError) return null;
  throw error;
}

export async function stateOf(server: Server, thread: string): Promise<Reply["body"]> {
  return (await clientOf(server).thread(thread).state()).state;
}

/** All that the thread's stream has; ends with it. Read as it is sent: the client would drop what came twice. */
export async function eventsOf(server: Server, thread: string, after = 0): Promise<StreamEvent[]> {
  const response = await fetch(`${server.url}/threads/${thread}/stream?after=${after}`);
  const events: StreamEvent[] = [];
  const parser = createParser({
    onEvent: ({ id, event, data }) =>
      events.push({ id: Number(id), type: event ?? "", data: JSON.parse(data) as unknown }),
  });
  parser.feed(await response.text());
  return events;
}

/** It is not patient: a server that is away is news to the test. */
const clientOf = (server: Server): HoldpointClient =>
  new HoldpointClient({ baseUrl: server.url, retry: { forMs: 2000 } });

/** Whether every id is greater than the one before. */
export const grows = (events: readonly StreamEvent[]): boolean =>
  events.every(({ id }, i) => id > (events[i - 1]?.id ?? 0));
