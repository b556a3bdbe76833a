import type { EventPublisher, Logger, RunEvent } from "../engine/index.js";

/** Prints one line an event, for development. Extend it to react to some events and call `super.publish` for the rest. */
export class ConsolePublisher implements EventPublisher {
  /** Prints thread, number, type, node and text of the event. */
  publish(event: RunEvent): unknown {
    const node = event.nodeName === null ? "" : ` ${event.nodeName}`;
    console.log(
      `[${event.threadId}] #${event.seq} ${event.eventType}${node}${event.content === "" ? "" : `: ${event.content}`}`,
    );
    return undefined;
  }
}

/** Events that may wait for a publisher that does not keep up; beyond it the oldest are dropped, and that is logged. */
const BOUND = 10_000;

/** Feeds a publisher one event at a time, in order, and keeps its troubles from the runs. */
export function feedPublisher(publisher: EventPublisher, log: Logger): (event: RunEvent) => void {
  const waiting: RunEvent[] = [];
  let busy = false;
  let dropped = 0;

  const drain = async (): Promise<void> => {
    busy = true;
    // After the turn in which the event happened: a slow publisher never runs inside a commit.
    await Promise.resolve();
    for (let event = waiting.shift(); event !== undefined; event = waiting.shift()) {
      try {
        await publisher.publish(event);
      } catch (error) {
        log.warn(
          { err: error, event_type: event.eventType, thread_id: event.threadId },
          "a publisher threw; the run goes on",
        );
      }
    }
    busy = false;
  };

  return (event) => {
    if (waiting.length >= BOUND) {
      waiting.shift();
      if (dropped++ % BOUND === 0)
        log.warn({ dropped, bound: BOUND }, "a publisher does not keep up: its oldest events are dropped");
    }
    waiting.push(event);
    if (!busy) void drain();
  };
}
