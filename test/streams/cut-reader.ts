/** A reader as a browser's EventSource is one: it comes back with the id of the last whole event until it is told 204. */
import { request } from "node:http";
import { createParser } from "eventsource-parser";

/** One event, as it came. */
export interface Heard {
  readonly id: number;
  readonly name: string;
  readonly data: string;
}

export class CutReader {
  readonly heard: Heard[] = [];
  /** What no stream may say, whatever happens to it on its way. */
  readonly faults: unknown[] = [];
  #last: string | undefined;
  #news: (() => void)[] = [];

  constructor(readonly url: string) {}

  /** Until there is nothing newer and nothing runs. */
  async readOn(): Promise<void> {
    while ((await this.readOnce()) !== 204) if (this.faults.length > 0) throw this.#fault();
  }

  /** Resolves once it has heard such an event. */
  async hears(such: (event: Heard) => boolean): Promise<void> {
    for (let from = 0; ;) {
      for (; from < this.heard.length; from++) if (such(this.heard[from] as Heard)) return;
      if (this.faults.length > 0) throw this.#fault();
      await new Promise<void>((resolve) => this.#news.push(resolve));
    }
  }

  /** One connection, to its end, however it ends: its status, or null where it broke before. With a body it is a POST. */
  readOnce(body?: unknown): Promise<number | null> {
    // Both belong to a connection: what was half there when it broke is gone.
    const decoder = new TextDecoder("utf-8", { fatal: true });
    const parser = createParser({
      onEvent: ({ id, event, data }) => {
        this.#last = id ?? this.#last;
        this.heard.push({ id: Number(id), name: event ?? "", data });
        this.#tell();
      },
      onError: (error) => this.#broke(error),
    });
    const headers = {
      Accept: "text/event-stream",
      ...(this.#last === undefined ? {} : { "Last-Event-ID": this.#last }),
    };
    const method = body === undefined ? "GET" : "POST";
    return new Promise((resolve) => {
      const asked = request(this.url, { agent: false, method, headers }, (answer) => {
        const { statusCode = 0 } = answer;
        if (statusCode !== 200 && statusCode !== 204) this.#broke(new Error(`status ${statusCode}`));
        answer.on("data", (bytes: Buffer) => {
          try {
            parser.feed(decoder.decode(bytes, { stream: true }));
          } catch (error) {
            this.#broke(error);
          }
        });
        // It was cut.
        answer.on("error", () => undefined);
        answer.on("close", () => resolve(statusCode));
      });
      asked.on("error", () => resolve(null));
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  #broke(fault: unknown): void {
    this.faults.push(fault);
    this.#tell();
  }

  #tell(): void {
    for (const each of this.#news.splice(0)) each();
  }

  #fault(): Error {
    return new Error(`after ${this.heard.length} events: ${String(this.faults[0])}`, {
      cause: this.faults[0],
    });
  }
}

/** All events of a thread, straight from the server. */
export async function logOf(url: string): Promise<Heard[]> {
  const reader = new CutReader(`${url}?after=0`);
  await reader.readOnce();
  if (reader.faults.length > 0) throw new Error(`the log cannot be read: ${String(reader.faults[0])}`);
  return reader.heard;
}
