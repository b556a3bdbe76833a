/** An EventSource of Node's, which comes back by itself as browsers do. */
import { EventSource } from "eventsource";
import { onTestFinished } from "vitest";
import { until } from "../support/poll.js";

export const EVENTS =
  "start progress delta message custom update decision restart interrupted stopped failed end".split(" ");

export interface Reader {
  /** Ids of the events that it heard. */
  readonly ids: number[];
  readonly names: string[];
  /** How often it was connected. */
  opened(): number;
  /** The status for which it gave up, once it did. */
  closed(): Promise<number | undefined>;
  hears(name: string): Promise<void>;
}

export function read(url: string): Reader {
  const source = new EventSource(url);
  onTestFinished(() => source.close());
  const ids: number[] = [];
  const names: string[] = [];
  let opened = 0;
  let status: number | undefined;
  source.onopen = () => opened++;
  source.onerror = (error) => (status = error.code);
  for (const name of EVENTS)
    source.addEventListener(name, (event) => {
      ids.push(Number(event.lastEventId));
      names.push(name);
    });
  return {
    ids,
    names,
    opened: () => opened,
    async closed() {
      await until("the EventSource gives up", () => source.readyState === EventSource.CLOSED);
      return status;
    },
    async hears(name) {
      await until(`the EventSource hears "${name}"`, () => names.includes(name));
    },
  };
}
