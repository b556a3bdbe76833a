/** (f) What readers cost that only wait. */
import { Agent, request } from "node:http";
import { newId } from "../lib/loops.mjs";
import { startServer } from "../lib/server.mjs";
import { digits, table } from "../lib/stats.mjs";

const READERS = 2000;
const WATCH_MS = 10_000;

async function attach(agent, url) {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, headers: { Accept: "text/event-stream" } });
    sent.on("error", reject);
    sent.on("response", (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`a reader got ${answer.statusCode}`));
      answer.once("data", () => resolve(answer));
      answer.on("data", () => undefined);
      answer.on("error", () => undefined);
    });
    sent.end();
  });
}

async function run({ env, tell, profile }) {
  const server = await startServer("holdpoint", { ...env, profile });
  const agent = new Agent({ keepAlive: false, maxSockets: Infinity });
  const readers = [];
  try {
    const threads = Array.from({ length: 20 }, newId);
    for (const id of threads)
      await fetch(`${server.url}/threads`, {
        method: "POST",
        body: JSON.stringify({ thread_id: id, graph: "ten" }),
      });
    const watch = async () => {
      const cpu = server.cpuUs();
      await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
      return ((server.cpuUs() - cpu) / WATCH_MS) * 1000;
    };
    tell("idle: without readers");
    const before = { rss: server.rss(), cpu: await watch() };
    tell(`idle: ${READERS} readers come`);
    while (readers.length < READERS) {
      const some = Array.from({ length: 100 }, (_, i) => threads[(readers.length + i) % threads.length]);
      readers.push(
        ...(await Promise.all(
          some.map((id) => attach(agent, `${server.url}/threads/${id}/stream?follow=true`)),
        )),
      );
    }
    tell(`idle: ${READERS} readers wait`);
    const after = { rss: server.rss(), cpu: await watch() };
    return {
      table: table(
        ["readers that wait", "memory of the server, MiB", "CPU of the server, ms a second"],
        [
          ["0", digits(before.rss / 2 ** 20), digits(before.cpu / 1000)],
          [digits(READERS), digits(after.rss / 2 ** 20), digits(after.cpu / 1000)],
          [
            "each",
            `${digits((after.rss - before.rss) / READERS / 1024)} KiB`,
            `${digits((after.cpu - before.cpu) / READERS)} µs`,
          ],
        ],
      ),
      goals: [],
    };
  } finally {
    for (const reader of readers) reader.destroy();
    await server.stop();
  }
}

export default {
  name: "sse-idle",
  letter: "f",
  title: `${READERS} readers that only wait`,
  needs: "postgres",
  rounds: 1,
  run,
};
