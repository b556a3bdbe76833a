/** A small HTTP client with connections that are kept: what is measured is the server. */
import { Agent, request } from "node:http";

export const newAgent = () => new Agent({ keepAlive: true, maxSockets: Infinity });

function send(agent, url, body, headers) {
  return new Promise((resolve, reject) => {
    const data = body === undefined ? undefined : JSON.stringify(body);
    const sent = request(url, {
      agent,
      method: data === undefined ? "GET" : "POST",
      headers: {
        ...(data === undefined
          ? {}
          : { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(data) }),
        ...headers,
      },
    });
    sent.on("response", resolve);
    sent.on("error", reject);
    sent.end(data);
  });
}

/** The answer's JSON. Throws where it is no success. */
export async function json(agent, url, body) {
  const answer = await send(agent, url, body, {});
  let text = "";
  answer.setEncoding("utf8");
  for await (const chunk of answer) text += chunk;
  if (answer.statusCode >= 300) throw new Error(`${answer.statusCode} from ${url}: ${text.slice(0, 300)}`);
  return JSON.parse(text);
}

/** Reads a stream to its end: when its first data came and how many frames with data it had. */
export async function stream(agent, url, body) {
  const from = performance.now();
  const answer = await send(agent, url, body, { Accept: "text/event-stream" });
  if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} from ${url}`);
  let firstMs = null;
  let events = 0;
  let tail = "";
  answer.setEncoding("utf8");
  for await (const chunk of answer) {
    const text = tail + chunk;
    let at = text.indexOf("data: ");
    if (at >= 0) firstMs ??= performance.now() - from;
    for (; at >= 0; at = text.indexOf("data: ", at + 6)) events++;
    // A mark that was cut in two is counted with the rest of it.
    tail = /d?a?t?a?:? ?$/.exec(text)?.[0] ?? "";
    if (tail === "data: ") tail = "";
  }
  return { firstMs, events, ms: performance.now() - from };
}
