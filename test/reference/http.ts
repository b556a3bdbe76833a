/** The reference page's stories as somebody with curl lives them: a real server on a real socket. */
import { HoldpointClient } from "holdpoint/client";
import { describe, expect } from "vitest";
import {
  expectShape,
  served,
  STORAGES,
  type Body,
  type Reply,
  type TestServer,
} from "../support/http-server.js";
import { openStream, type Frame, type SseReader } from "../support/sse.js";

/** What a frontend asks of the server. What is not 200, or not in the contract's shape, fails the test. */
export interface Api {
  /** Serves one more graph, under the name that it returns. */
  add: TestServer["add"];
  /** Any request, with whatever it is answered. */
  get(path: string): Promise<Reply>;
  post(path: string, body?: unknown): Promise<Reply>;
  patch(path: string, body: unknown): Promise<Reply>;
  delete(path: string): Promise<Reply>;
  /** `POST /threads/:id/run` to its result. */
  run(thread: string, body?: object): Promise<Body>;
  resume(thread: string, body?: object): Promise<Body>;
  stop(thread: string, body?: object): Promise<Body>;
  thread(thread: string): Promise<Body>;
  state(thread: string, checkpoint?: string): Promise<Body>;
  /** The open interrupts of a graph, over all threads. */
  inbox(graph: string): Promise<Body[]>;
  /** What was said on a thread so far. */
  said(thread: string): Promise<unknown[]>;
  /** A stream below `/threads/`; with a body it is a POST. */
  stream(path: string, body?: object, headers?: Record<string, string>): Promise<SseReader>;
}

export const contents = (messages: readonly Body[]): unknown[] => messages.map(({ content }) => content);

/** The nodes that began to work, in the order of the stream. */
export const worked = (frames: readonly Frame[]): string[] =>
  frames.filter(({ name }) => name === "progress").map(({ chunk }) => chunk.node_name as string);

/** A frontend's client, which tries once: what is not 200 and JSON fails the test. */
const clientOf = (server: TestServer): HoldpointClient =>
  new HoldpointClient({
    baseUrl: server.url,
    retry: false,
    fetch: async (url, init) => {
      const answer = await fetch(url, init);
      expect({ status: answer.status, type: answer.headers.get("content-type") }).toEqual({
        status: 200,
        type: "application/json; charset=utf-8",
      });
      return answer;
    },
  });

export function apiOf(server: TestServer): Api {
  const thread = (id: string) => clientOf(server).thread(id);
  return {
    add: (graph) => server.add(graph),
    get: (path) => server.get(path),
    post: (path, body) => server.post(path, body),
    patch: (path, body) => server.call("PATCH", path, body),
    delete: (path) => server.call("DELETE", path),
    run: async (id, body = {}) => expectShape("result", await thread(id).run(body)),
    resume: async (id, body = {}) => expectShape("result", await thread(id).resume(body)),
    stop: async (id, body = {}) => expectShape("receipt", await thread(id).stop(body)),
    thread: async (id) => expectShape("thread", await thread(id).get()),
    state: async (id, checkpoint) =>
      expectShape("state", await thread(id).state(checkpoint === undefined ? {} : { checkpoint })),
    inbox: async (graph) =>
      (await clientOf(server).interrupts.list({ graph })).items.map((item) => expectShape("interrupt", item)),
    said: async (id) =>
      contents((await thread(id).messages()).items.map((item) => expectShape("message", item))),
    stream: (path, body, headers) =>
      openStream(`${server.url}/threads/${path}`, {
        ...(body === undefined ? {} : { body }),
        ...(headers === undefined ? {} : { headers }),
      }),
  };
}

/**
 * Tells a story on a server of its own, once in memory and once on PostgreSQL. What each storage must do in detail,
 * the embedded one too, is proven in test/http and test/contract.
 */
export function onServers(graphs: Parameters<typeof served>[0], story: (api: Api) => void): void {
  const storages = STORAGES.filter(([name]) => name !== "embedded");
  describe.each(storages)("on %s", (_name, make) => {
    story(apiOf(served(graphs, async () => ({ checkpointer: await make() }))));
  });
}
