/** The reference page's stories as somebody with curl lives them: a real server on a real socket. */
import { describe } from "vitest";
import {
  expectJson,
  expectList,
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

export function apiOf(server: TestServer): Api {
  const result = async (path: string, body: object = {}): Promise<Body> =>
    expectJson(await server.post(path, body), 200, "result");
  return {
    add: (graph) => server.add(graph),
    get: (path) => server.get(path),
    post: (path, body) => server.post(path, body),
    patch: (path, body) => server.call("PATCH", path, body),
    delete: (path) => server.call("DELETE", path),
    run: (thread, body) => result(`/threads/${thread}/run`, body),
    resume: (thread, body) => result(`/threads/${thread}/resume`, body),
    stop: async (thread, body) =>
      expectJson(await server.post(`/threads/${thread}/stop`, body), 200, "receipt"),
    thread: async (thread) => expectJson(await server.get(`/threads/${thread}`), 200, "thread"),
    state: async (thread, checkpoint) => {
      const query = checkpoint === undefined ? "" : `?checkpoint=${checkpoint}`;
      return expectJson(await server.get(`/threads/${thread}/state${query}`), 200, "state");
    },
    inbox: async (graph) => expectList(await server.get(`/interrupts?graph=${graph}`), "interrupt").items,
    said: async (thread) =>
      contents(expectList(await server.get(`/threads/${thread}/messages`), "message").items),
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
