/** `holdpoint/client` and servers that are killed: what it waits for goes on in the next one. */
import { HoldpointClient, type ThreadEvent } from "holdpoint/client";
import { expect, test } from "vitest";
import { freePort } from "../support/free-port.js";
import { within } from "../support/poll.js";
import { crash } from "../support/server.js";
import { DATABASES, line, newScene } from "../process/scene.js";

test.each(DATABASES)("a stream and a run outlive the server that is killed (%s)", async (database) => {
  const scene = await newScene(database, line());
  const PORT = String(await freePort());
  const first = await scene.start({ PORT });
  const holdpoint = new HoldpointClient({ baseUrl: first.url });
  const streamed = holdpoint.thread("streamed").stream({ input: {} });
  const events: ThreadEvent[] = [];
  const streaming = (async () => {
    for await (const event of streamed) events.push(event);
  })();
  const waiting = holdpoint.thread("waited").run({ input: {} });
  await scene.marked("SLOW begun", 2, first.pid);
  await crash(first);
  const second = await scene.start({ PORT });
  await scene.marked("SLOW begun", 2, second.pid);
  scene.open("slow");

  const result = await within("the run is answered", waiting);
  await within("the stream ends", streaming);
  expect(result.status).toBe("completed");
  expect(events.at(-1)).toMatchObject({ event_type: "end", run_id: streamed.runId });
  expect(events.filter((event) => event.event_type === "start")).toHaveLength(1);
  expect(events.map((event) => event.event_type)).toContain("restart");
  const ids = events.map((event) => (event.event_type === "gap" ? Number.NaN : event.seq));
  expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
  for (const thread of ["streamed", "waited"])
    expect((await holdpoint.thread(thread).runs()).items, thread).toHaveLength(1);
  expect(scene.count("SLOW done")).toBe(2);
});
