/** A node that takes its process down with it must not take down one after the other for ever. */
import { describe, expect, test } from "vitest";
import { within } from "../support/poll.js";
import { spawnHoldpoint } from "../support/server.js";
import { eventsOf, post, send, stateOf, threadWhen } from "./client.js";
import { DATABASES, line, newScene } from "./scene.js";

const SUICIDE = `if (!isOpen("calm")) process.kill(process.pid, "SIGKILL");`;

describe.each(DATABASES)("on the %s database", (database) => {
  test("a run that has lost three processes at one step ends with crash_loop, and a resume tries again", async () => {
    const scene = await newScene(database, line({ slow: SUICIDE }));
    scene.open("slow");
    const first = await scene.start();
    send(first, "/threads/t1/run", { input: {} });
    expect(await within("the first process dies", first.exit)).toBe("SIGKILL");
    // These may die before they listen.
    for (const which of ["second", "third"]) {
      const next = spawnHoldpoint(["serve"], { env: { PORT: "0", ...scene.env } });
      expect(await within(`the ${which} process dies`, next.exit)).toBe("SIGKILL");
    }
    expect(scene.count("SLOW begun")).toBe(3);

    const fourth = await scene.start();
    const thread = await threadWhen(fourth, "t1", "error", "completed");
    expect(thread.status).toBe("error");
    expect(scene.count("SLOW begun")).toBe(3);
    const events = await eventsOf(fourth, "t1");
    expect(events.at(-1)).toMatchObject({
      type: "failed",
      data: { data: { result: { status: "error", error: { code: "crash_loop", node: "SLOW", step: 1 } } } },
    });

    scene.open("calm");
    const resumed = await post(fourth, "/threads/t1/resume");
    expect(resumed.body).toMatchObject({ status: "completed", error: null });
    expect(scene.count("SLOW begun")).toBe(4);
    expect((await stateOf(fourth, "t1")).log).toEqual(["FIRST", "SLOW", "LAST"]);
  });

  test("processes lost at different steps are no crash loop", async () => {
    const nodes = [1, 2, 3, 4];
    const module = `
let graph = new StateGraph();
for (const i of ${JSON.stringify(nodes)}) {
  graph = graph.addNode("N" + i, () => {
    mark("N" + i);
    if (!isOpen("n" + i)) { appendFileSync(FOLDER + "/gate-n" + i, ""); process.kill(process.pid, "SIGKILL"); }
  }).addEdge(i === 1 ? START : "N" + (i - 1), "N" + i);
}
export const steps = graph.addEdge("N4", END).compile({ name: "steps" });
`;
    const scene = await newScene(database, module);
    const first = await scene.start();
    send(first, "/threads/t1/run", { input: {} });
    await within("the first process dies", first.exit);
    for (const which of ["second", "third", "fourth"]) {
      const next = spawnHoldpoint(["serve"], { env: { PORT: "0", ...scene.env } });
      expect(await within(`the ${which} process dies`, next.exit)).toBe("SIGKILL");
    }
    const fifth = await scene.start();
    expect(await threadWhen(fifth, "t1", "error", "completed")).toMatchObject({ status: "completed" });
    for (const i of nodes) expect(scene.count(`N${i}`)).toBe(2);
  });
});
