/** Who numbers the events of a run, and when they may go out. */
import { expect, test } from "vitest";
import { draft, type GraphDefinition } from "../../src/engine/index.js";
import { Live } from "../../src/events/index.js";
import { RunStream } from "../../src/runs/run-stream.js";

const delta = (text: string) =>
  draft("delta", { messageId: "m", part: "text" }, { event: "streaming", content: text });
const note = draft("custom", { name: "note", value: 1 }, { event: "node_execution" });

/** A stream whose events are listed as they go out, by seq and kind. */
function listed() {
  const out: string[] = [];
  const stream = new RunStream({
    key: "k",
    graph: {} as GraphDefinition,
    threadId: "t",
    runId: "r",
    seq: 0,
    limit: 100,
    live: new Live(1_000_000),
    relay: { happened: ({ seq, eventType }) => out.push(`${seq} ${eventType}`), done: () => undefined },
    reserve: async () => true,
  });
  return { stream, out };
}

test("a live event during a commit goes out behind it, with the next number (S3)", () => {
  const { stream, out } = listed();
  stream.emit("a", note);
  const batch = stream.prepare([draft("progress", { step: 1, attempt: 1 })]);
  stream.emit("a", note);
  expect(out).toEqual(["1 custom"]);
  stream.committed(batch, 100);
  expect(out).toEqual(["1 custom", "3 custom"]);
});

test("a delta that waited goes out with the commit that came first, and is not in the log (S4)", () => {
  const { stream } = listed();
  const batch = stream.prepare([]);
  stream.emit("a", delta("word"));
  stream.emit("a", note);
  stream.refused();
  const lost = stream.prepare([]);
  expect(batch.stored).toEqual([]);
  expect(lost.stored.map(({ eventType }) => eventType)).toEqual(["custom"]);

  stream.emit("a", delta("more"));
  stream.emit("a", note);
  const next = stream.prepare([draft("progress", { step: 1, attempt: 1 })]);
  expect(next.publish.map(({ eventType }) => eventType)).toEqual(["delta", "custom", "progress"]);
  expect(next.stored.map(({ eventType }) => eventType)).toEqual(["custom", "custom", "progress"]);
});
