/** EventSource and fetch of a real browser, on pages of another origin than the server's. */
import { describe, expect, test } from "vitest";
import { eventsOf, get, post, send, type StreamEvent } from "../process/client.js";
import { DATABASES, line, newScene } from "../process/scene.js";
import { freePort } from "../support/free-port.js";
import { within } from "../support/poll.js";
import { newSite, useChromium, type Heard } from "./browser.js";

const RETRY_MS = 100;

/** Waits at the gate "slow", then fails. */
const BROKEN = `
export const broken = new StateGraph({ state: z.object({}) })
  .addNode("BREAK", async () => { mark("BREAK begun"); await gate("slow"); throw new Error("the disk is full"); })
  .addEdge(START, "BREAK")
  .addEdge("BREAK", END)
  .compile({ name: "broken" });
`;

const browser = useChromium();

/** A scene with both graphs, a port that outlives its servers, and a site that they allow. */
async function newStage(database: (typeof DATABASES)[number] = "embedded") {
  const scene = await newScene(database, line() + BROKEN);
  const site = await newSite();
  const env = {
    PORT: String(await freePort()),
    HOLDPOINT_CORS_ORIGINS: site,
    HOLDPOINT_SSE_RETRY_MS: String(RETRY_MS),
    HOLDPOINT_DRAIN_MS: "300",
  };
  return { scene, site, start: () => scene.start(env) };
}

const ids = (events: readonly { id: number }[]): number[] => events.map(({ id }) => id);

/** All that is in the log was heard, once and in its order. Gives what was heard beside it. */
function besides(heard: readonly Heard[], log: readonly StreamEvent[]): Heard[] {
  expect(ids(heard)).toEqual([...new Set(ids(heard))].sort((a, b) => a - b));
  const committed = new Set(ids(log));
  expect(heard.filter(({ id }) => committed.has(id)).map(({ data }) => data)).toEqual(
    log.map(({ data }) => data),
  );
  return heard.filter(({ id }) => !committed.has(id));
}

describe("EventSource in Chromium, on a page of another origin", () => {
  test("hears a run as it goes, and stops asking at its end", async () => {
    const { scene, site, start } = await newStage();
    const server = await start();
    send(server, "/threads/t1/run", { graph: "line", input: {} });
    await scene.marked("SLOW begun");
    const tab = await browser.open(site);
    await tab.does(`listen("${server.url}/threads/t1/stream")`);
    await tab.sees(`heard.some(({ name, data }) => name === "update" && data.data.step === 1)`);
    expect((await get(server, "/threads/t1")).body.status).toBe("running");
    scene.open("slow");
    await tab.sees("source.readyState === EventSource.CLOSED");
    expect(besides(await tab.heard(), await eventsOf(server, "t1"))).toEqual([]);
    expect(tab.asked.map(({ status }) => status)).toEqual([200, 204]);
    // Ten times as long as it would wait before it asked again.
    await tab.page.waitForTimeout(10 * RETRY_MS);
    expect(tab.asked).toHaveLength(2);
    expect(await tab.does("opened")).toBe(1);
  });

  describe.each(DATABASES)("of a server on %s", (database) => {
    test.each(["SIGKILL", "SIGTERM"] as const)(
      "goes on after a restart by %s, and has every event of the log once",
      async (signal) => {
        const { scene, site, start } = await newStage(database);
        const first = await start();
        send(first, "/threads/t1/run", { graph: "line", input: {} });
        await scene.marked("SLOW begun", 1, first.pid);
        const tab = await browser.open(site);
        await tab.does(`listen("${first.url}/threads/t1/stream")`);
        await tab.sees(`heard.some(({ name }) => name === "update")`);
        first.kill(signal);
        expect(await within("the server ends", first.exit)).toBe(signal === "SIGKILL" ? signal : 0);
        // It meets a port where nobody listens, and does not give up.
        await tab.sees("states.length >= 2");
        const second = await start();
        expect(second.url).toBe(first.url);
        await scene.marked("SLOW begun", 1, second.pid);
        await tab.sees("opened === 2");
        scene.open("slow");
        await tab.sees("source.readyState === EventSource.CLOSED");

        const heard = await tab.heard();
        expect(heard.at(-1)?.name).toBe("end");
        const log = await eventsOf(second, "t1");
        // Of the attempt that was cut off the log has nothing; the page may have seen it begin.
        for (const { name, data } of besides(heard, log))
          expect([name, data.node_name]).toEqual(["progress", "SLOW"]);
        expect(tab.asked.filter(({ status }) => status === 200)).toHaveLength(2);
        expect(tab.asked.filter(({ status }) => status !== null && status !== 200)).toEqual([
          tab.asked.at(-1),
        ]);
        expect(tab.asked.at(-1)?.status).toBe(204);
        const many = tab.asked.length;
        await tab.page.waitForTimeout(10 * RETRY_MS);
        expect(tab.asked).toHaveLength(many);
      },
    );
  });

  test("hears how a run failed as an event with its reason, not as a broken line", async () => {
    const { scene, site, start } = await newStage();
    const server = await start();
    send(server, "/threads/t1/run", { graph: "broken", input: {} });
    await scene.marked("BREAK begun");
    const tab = await browser.open(site);
    await tab.does(`listen("${server.url}/threads/t1/stream")`);
    await tab.sees(`heard.length > 0`);
    scene.open("slow");
    await tab.sees("source.readyState === EventSource.CLOSED");
    const heard = await tab.heard();
    expect(heard.at(-1)).toMatchObject({
      name: "failed",
      data: { event_type: "error", data: { result: { status: "error", error: { code: "node_failed" } } } },
    });
    expect(heard.at(-1)?.data.content).toContain("the disk is full");
    // One line that ended, and one 204: neither carried data.
    expect(await tab.does("states")).toEqual([
      { state: 0, data: null },
      { state: 2, data: null },
    ]);
    expect(tab.asked.map(({ status }) => status)).toEqual([200, 204]);
  });
});

const JSON_HEADERS = `{ "Content-Type": "application/json", "Accept": "text/event-stream", "Idempotency-Key": "k1" }`;

describe("fetch in Chromium", () => {
  test("starts a run from an allowed page, reads it as it goes, and where it is found again", async () => {
    const { scene, site, start } = await newStage();
    const server = await start();
    const tab = await browser.open(site);
    const url = `${server.url}/threads/t1/stream`;
    await tab.does(
      `void (globalThis.ending = post("${url}", { graph: "line", input: {} }, ${JSON_HEADERS}))`,
    );
    await tab.sees(`text.includes("event: update")`);
    await scene.marked("SLOW begun");
    const { body: thread } = await get(server, "/threads/t1");
    expect(thread.status).toBe("running");
    expect(await tab.does("answer")).toEqual({
      status: 200,
      contentLocation: `/threads/t1/runs/${thread.run_id}`,
    });
    scene.open("slow");
    expect(await tab.does("ending")).toBe("ended");
    const heard = [...String(await tab.does("text")).matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
    expect(heard).toEqual(ids(await eventsOf(server, "t1")));
  });

  test("is refused from any other page: it starts nothing, answers nothing and hears nothing", async () => {
    const { scene, start } = await newStage();
    const server = await start();
    const stranger = await newSite();
    await post(server, "/threads/t1/run", { graph: "broken", input: {} }, { Prefer: "respond-async" });
    const tab = await browser.open(stranger);
    const url = `${server.url}/threads/t2/stream`;
    const attempt = (headers: string): Promise<string> =>
      tab.does(`post("${url}", { graph: "line", input: {} }, ${headers}).catch((error) => String(error))`);
    expect(await attempt(JSON_HEADERS)).toBe("TypeError: Failed to fetch");
    // One for which a browser asks nobody first.
    expect(await attempt("{}")).toBe("TypeError: Failed to fetch");
    await tab.does(`fetch("${url}", { method: "POST", mode: "no-cors", body: '{"graph":"line"}' })`);
    expect(tab.asked.at(-1)?.status).toBe(403);
    expect((await get(server, "/threads/t2")).status).toBe(404);
    expect(scene.count("FIRST")).toBe(0);

    await tab.does(`listen("${server.url}/threads/t1/stream")`);
    await tab.sees("source.readyState === EventSource.CLOSED");
    expect(await tab.heard()).toEqual([]);
    expect(await tab.does("opened")).toBe(0);
  });
});
