/** SIGTERM and SIGINT: steps finish, runs are handed over, readers are let go. */
import { describe, expect, test } from "vitest";
import { until, within } from "../support/poll.js";
import type { Server } from "../support/server.js";
import { eventsOf, get, post, send, stateOf, threadWhen } from "./client.js";
import { DATABASES, line, newScene } from "./scene.js";

/** So long that only a hand-over explains that the process ends. */
const PATIENT = { HOLDPOINT_DRAIN_MS: "3600000" };

describe.each(DATABASES)("on the %s database", (database) => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s lets the running step finish and hands the run over, which then goes on without asking",
    async (signal) => {
      const scene = await newScene(database, line());
      const first = await scene.start(PATIENT);
      send(first, "/threads/t1/run", { input: {} });
      await scene.marked("SLOW begun");
      await shutDown(first, signal);
      expect(first.ended()).toBeNull();
      scene.open("slow");
      expect(await within("the server ends", first.exit)).toBe(0);
      expect(scene.ledger().map(({ mark }) => mark)).toEqual(["FIRST", "SLOW begun", "SLOW done"]);

      const second = await scene.start();
      await scene.marked("LAST", 1, second.pid);
      expect(await threadWhen(second, "t1", "completed")).toMatchObject({ interrupts: [] });
      expect(scene.count("SLOW begun")).toBe(1);
      expect((await stateOf(second, "t1")).log).toEqual(["FIRST", "SLOW", "LAST"]);
      const types = (await eventsOf(second, "t1")).map(({ type }) => type);
      expect(types).not.toContain("restart");
    },
  );

  test("an approved action that finishes during a shutdown is committed, and nobody is asked about it", async () => {
    const scene = await newScene(database, line({ hold: true }));
    const first = await scene.start(PATIENT);
    await post(first, "/threads/t1/run", { input: {} });
    send(first, "/threads/t1/resume", { decision: "approve" });
    await scene.marked("SLOW begun");
    await shutDown(first, "SIGTERM");
    scene.open("slow");
    expect(await within("the server ends", first.exit)).toBe(0);
    const second = await scene.start();
    expect(await threadWhen(second, "t1", "completed", "interrupted_before")).toMatchObject({
      status: "completed",
    });
    expect(scene.count("SLOW begun")).toBe(1);
    expect(scene.count("LAST", second.pid)).toBe(1);
  });

  test("a hand-over in front of a node that had not begun is no lost attempt of it", async () => {
    // LAST may not be repeated unasked, and had not begun.
    const scene = await newScene(
      database,
      line({ compile: `interruptBefore: [{ node: "LAST", when: () => false }],` }),
    );
    const first = await scene.start(PATIENT);
    send(first, "/threads/t1/run", { input: {} });
    await scene.marked("SLOW begun");
    await shutDown(first, "SIGTERM");
    scene.open("slow");
    expect(await within("the server ends", first.exit)).toBe(0);
    expect(scene.count("LAST")).toBe(0);
    const second = await scene.start();
    const thread = await threadWhen(second, "t1", "completed", "interrupted_before");
    expect(thread).toMatchObject({ status: "completed", interrupts: [] });
  });

  test("an action that does not finish in the time of a shutdown is asked about, for it may have acted", async () => {
    const scene = await newScene(database, line({ hold: true }));
    const first = await scene.start({ HOLDPOINT_DRAIN_MS: "100" });
    await post(first, "/threads/t1/run", { input: {} });
    send(first, "/threads/t1/resume", { decision: "approve" });
    await scene.marked("SLOW begun");
    await shutDown(first, "SIGTERM");
    expect(await within("the server ends", first.exit)).toBe(0);
    scene.open("slow");
    const second = await scene.start();
    const thread = await threadWhen(second, "t1", "interrupted_before", "completed");
    expect(thread).toMatchObject({ status: "interrupted_before", interrupts: [{ kind: "crash" }] });
    expect(scene.count("SLOW begun")).toBe(1);
  });
});

test("an idle server ends at once, and lets the readers of its streams go", async () => {
  const scene = await newScene("embedded", line({ hold: true }));
  const server = await scene.start(PATIENT);
  await post(server, "/threads/t1/run", { input: {} });
  const stream = await fetch(`${server.url}/threads/t1/stream?follow=true`);
  const read = stream.text().then(
    () => "ended",
    () => "broken off",
  );
  await shutDown(server, "SIGTERM");
  expect(await within("the server ends", server.exit, 15_000)).toBe(0);
  expect(["ended", "broken off"]).toContain(await within("the reader is let go", read));
});

test("a shutdown closes the streams of a run that it hands over, without a terminal event", async () => {
  const scene = await newScene("embedded", line());
  const server = await scene.start(PATIENT);
  const run = await fetch(`${server.url}/threads/t1/stream`, { method: "POST", body: `{"input":{}}` });
  await scene.marked("SLOW begun");
  let seen = "";
  const read = (async () => {
    for await (const chunk of run.body ?? []) seen += Buffer.from(chunk as Uint8Array).toString();
  })().catch(() => undefined);
  await shutDown(server, "SIGTERM");
  scene.open("slow");
  expect(await within("the server ends", server.exit)).toBe(0);
  await within("the stream ends", read);
  expect(seen).toContain("event: progress");
  expect(seen).not.toMatch(/^event: (end|stopped|failed)$/m);
});

test("a server that shuts down takes no more runs and says so, while the step that it waits for runs on", async () => {
  const scene = await newScene("embedded", line());
  const server = await scene.start(PATIENT);
  send(server, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun");
  await shutDown(server, "SIGTERM");
  const refused = await post(server, "/threads/t2/run", { input: {} });
  expect(refused).toMatchObject({ status: 503, body: { code: "shutting_down" } });
  expect((await get(server, "/readyz")).status).toBe(503);
  scene.open("slow");
  expect(await within("the server ends", server.exit)).toBe(0);
  const next = await scene.start();
  expect((await get(next, "/threads/t2")).status).toBe(404);
});

test("a second signal ends the process at once, and the run goes on in the next one", async () => {
  const scene = await newScene("embedded", line());
  const first = await scene.start(PATIENT);
  send(first, "/threads/t1/run", { input: {} });
  await scene.marked("SLOW begun");
  await shutDown(first, "SIGTERM");
  expect(first.ended()).toBeNull();
  first.kill("SIGTERM");
  expect(await within("the server ends", first.exit, 5000)).toBe(1);
  scene.open("slow");
  const second = await scene.start();
  await threadWhen(second, "t1", "completed");
  expect(scene.count("SLOW begun")).toBe(2);
});

async function shutDown(server: Server, signal: NodeJS.Signals): Promise<void> {
  server.kill(signal);
  await until("the server shuts down", () => server.logs().some((entry) => entry.signal === signal));
}
