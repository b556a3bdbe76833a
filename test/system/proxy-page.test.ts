/** The nginx block of docs/deployment.md, as it stands there: only its paths, its port and the server's are the test's. */
import { execFileSync } from "node:child_process";
import { chmodSync, readFileSync } from "node:fs";
import { get } from "node:https";
import { join } from "node:path";
import { expect, test } from "vitest";
import { eventsOf, get as ask } from "../process/client.js";
import { line, newFolder, newScene, put } from "../process/scene.js";
import { freePort } from "../support/free-port.js";
import { useChromium } from "./browser.js";
import { startNginx } from "./nginx.js";
import { program } from "./program.js";

const page = readFileSync(new URL("../../docs/deployment.md", import.meta.url), "utf8");
const block = /^```nginx\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? "";

/** Every place must be there: a page that was changed is read again. */
function placed(text: string, places: Readonly<Record<string, string>>): string {
  return Object.entries(places).reduce((all, [from, to]) => {
    expect(all).toContain(from);
    return all.replaceAll(from, to);
  }, text);
}

function certificate(folder: string): { certificate: string; key: string } {
  const [certificate, key] = [join(folder, "holdpoint.pem"), join(folder, "holdpoint.key")];
  const how = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const what = ["-subj", "/CN=127.0.0.1", "-keyout", key, "-out", certificate];
  execFileSync(program("openssl"), [...how, ...what], { stdio: "pipe" });
  return { certificate, key };
}

/** The status of a request without a password. */
const unknown = (url: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    get(url, { rejectUnauthorized: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    }).once("error", reject);
  });

const browser = useChromium();

test("it lets in who has a password, and a browser streams through it by HTTP/2", async () => {
  const scene = await newScene("embedded", line());
  const [port, front] = [await freePort(), await freePort()];
  const url = `https://127.0.0.1:${front}`;
  const server = await scene.start({ PORT: String(port), HOLDPOINT_CORS_ORIGINS: url });
  const folder = newFolder();
  chmodSync(folder, 0o755);
  const made = certificate(folder);
  const text = placed(block, {
    "listen 443": `listen 127.0.0.1:${front}`,
    "/etc/ssl/holdpoint.pem": made.certificate,
    "/etc/ssl/holdpoint.key": made.key,
    "/etc/nginx/holdpoint.htpasswd": put(join(folder, "htpasswd"), "ada:{PLAIN}secret\n"),
    "http://127.0.0.1:3000": server.url,
  });
  await startNginx(text, async () => (await unknown(`${url}/healthz`)) === 401);

  const known = { ignoreHTTPSErrors: true, httpCredentials: { username: "ada", password: "secret" } };
  const tab = await browser.open(`${url}/healthz`, known);
  await tab.runs();
  expect(await tab.does("performance.getEntriesByType('navigation')[0].nextHopProtocol")).toBe("h2");
  const stream = `${url}/threads/t1/stream`;
  await tab.does(`void (globalThis.ending = post("${stream}", { graph: "line", input: {} }, {}))`);
  await tab.sees(`text.includes("event: update")`);
  await tab.does(`listen("${stream}")`);
  await tab.sees(`heard.some(({ name }) => name === "update")`);
  expect((await ask(server, "/threads/t1")).body.status).toBe("running");
  scene.open("slow");
  expect(await tab.does("ending")).toBe("ended");
  await tab.sees("source.readyState === EventSource.CLOSED");
  const log = (await eventsOf(server, "t1")).map(({ id }) => id);
  expect((await tab.heard()).map(({ id }) => id)).toEqual(log);
  expect(tab.asked.map(({ status }) => status)).toEqual([200, 200, 204]);
});
