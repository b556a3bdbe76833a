/** The inbox of one server, read on another one. Polls are an hour: what arrives, a hint has brought. */
import { expect, test } from "vitest";
import { within } from "../support/poll.js";
import { openStream } from "../support/sse.js";
import { get, post } from "./client.js";
import { newScene, SILENT } from "./scene.js";

/** Far more than a hint takes, on a busy machine too. */
const SOON = 5000;

const ASKING = `
export const asking = new StateGraph()
  .addNode("ACT", () => "done")
  .addEdge(START, "ACT").addEdge("ACT", END)
  .compile({ interruptBefore: ["ACT"] });
`;

test("what opens on one server, and is decided or deleted there, is told on the other at once", async () => {
  const scene = await newScene("postgres", ASKING);
  const [one, two] = [await scene.start(SILENT), await scene.start(SILENT)];
  const readers = await Promise.all(
    [two, two, one].map((server) => openStream(`${server.url}/interrupts/stream`)),
  );
  for (const reader of readers) expect((await reader.next())?.name).toBe("current");
  const next = async () => {
    const frames = await within("it is told", Promise.all(readers.map((reader) => reader.next())), SOON);
    const [first] = frames;
    for (const frame of frames) expect(frame).toEqual(first);
    return { name: first?.name, id: first?.chunk.interrupt_id as string };
  };

  await post(one, "/threads/t1/run", { graph: "asking", input: {} });
  const opened = await next();
  expect(opened.name).toBe("opened");
  expect((await get(two, `/interrupts/${opened.id}`)).body.status).toBe("open");
  await post(one, `/interrupts/${opened.id}/decision`, { decision: "approve" });
  expect(await next()).toEqual({ name: "decided", id: opened.id });

  await post(two, "/threads/t2/run", { graph: "asking", input: {} });
  const other = await next();
  expect(other.name).toBe("opened");
  await fetch(`${one.url}/threads/t2`, { method: "DELETE" });
  expect(await next()).toEqual({ name: "cancelled", id: other.id });
});

test("a reader that a server lets go when it shuts down goes on at the other where it was", async () => {
  const scene = await newScene("postgres", ASKING);
  const [one, two] = [await scene.start(SILENT), await scene.start(SILENT)];
  const reader = await openStream(`${one.url}/interrupts/stream`);
  await reader.until("current");
  await post(two, "/threads/t1/run", { graph: "asking", input: {} });
  const opened = await within("it is told", reader.next(), SOON);
  one.kill("SIGTERM");
  expect(await within("the stream ends", reader.rest(), 15_000)).toEqual([]);
  expect(await one.exit).toBe(0);
  await post(two, "/threads/t1/stop");
  const headers = { "Last-Event-ID": String(opened?.id) };
  const back = await openStream(`${two.url}/interrupts/stream`, { headers });
  const cancelled = await within("it goes on", back.next(), SOON);
  expect(cancelled).toMatchObject({
    name: "cancelled",
    chunk: { interrupt_id: opened?.chunk.interrupt_id as string },
  });
  back.leave();
});
