/** A real server on a real socket, on a chosen storage, and the few words in which tests talk to it. */
import { InMemoryCheckpointer, type Checkpointer } from "holdpoint";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { z } from "zod";
import { buildServer, type HttpOptions } from "../../src/http/index.js";
import { eventModel } from "../../src/http/schemas/events.js";
import * as models from "../../src/http/schemas/models.js";
import { Runtime, type RuntimeOptions } from "../../src/runs/index.js";
import { createLogger } from "../../src/telemetry/index.js";
import { embeddedCheckpointer, postgresCheckpointer } from "./databases.js";

/** Every storage, with how to make an empty one. */
export const STORAGES: readonly (readonly [string, () => Promise<Checkpointer>])[] = [
  ["memory", async () => new InMemoryCheckpointer()],
  ["embedded", embeddedCheckpointer],
  ["PostgreSQL", postgresCheckpointer],
];

// Bodies are whatever the server sent: the tests say what they expect.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Body = any;

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Parsed, where it is JSON. */
  readonly body: Body;
}

interface Bindable {
  bind(runtime: Runtime, name: string): unknown;
}

export interface ServeOptions {
  readonly checkpointer?: Checkpointer;
  readonly http?: Partial<HttpOptions>;
  readonly options?: Partial<RuntimeOptions>;
}

export interface TestServer {
  readonly url: string;
  readonly runtime: Runtime;
  /** Loads one more graph under a name of its own, which it returns. */
  add(graph: Bindable): string;
  /** Sends `body` as JSON, or as it is if it is a string. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  get(path: string, headers?: Record<string, string>): Promise<Reply>;
  /** Without a body given it sends `{}`; `call` sends none. */
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  /** Waits for nothing else than that the server and its storage are closed. */
  close(): Promise<void>;
}

let count = 0;

/** A name that no other test of this process uses. */
export const unique = (prefix: string): string => `${prefix}-${process.pid}-${count++}`;

/** Serves `graphs` by their names. */
export async function serve(
  graphs: Readonly<Record<string, Bindable>> = {},
  of: ServeOptions = {},
): Promise<TestServer> {
  const log = createLogger("silent", false);
  const checkpointer = of.checkpointer ?? new InMemoryCheckpointer();
  const runtime = new Runtime({ checkpointer, log, options: { answersFirst: true, ...of.options } });
  for (const [name, graph] of Object.entries(graphs)) graph.bind(runtime, name);
  const server = await buildServer(
    runtime,
    {
      corsOrigins: [],
      bodyLimit: 1_048_576,
      sseHeartbeatMs: 15_000,
      sseRetryMs: 1000,
      sseStallMs: 30_000,
      version: "0.0.0-test",
      ...of.http,
    },
    log,
  );
  await runtime.start();
  const url = await server.listen({ port: 0, host: "127.0.0.1" });

  const call: TestServer["call"] = async (method, path, body, headers = {}) => {
    const sent = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
    const answer = await fetch(`${url}${path}`, {
      method,
      headers: { ...(sent === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      ...(sent === undefined ? {} : { body: sent }),
    });
    const text = await answer.text();
    const isJson = /json/.test(answer.headers.get("content-type") ?? "");
    return {
      status: answer.status,
      headers: answer.headers,
      text,
      body: isJson ? (JSON.parse(text) as unknown) : undefined,
    };
  };
  return {
    url,
    runtime,
    add(graph) {
      const name = unique("graph");
      graph.bind(runtime, name);
      return name;
    },
    call,
    get: (path, headers) => call("GET", path, undefined, headers),
    post: (path, body = {}, headers) => call("POST", path, body, headers),
    async close() {
      await runtime.drain(2000);
      await server.close();
      await runtime.close();
    },
  };
}

/** A server for the tests of a block: started before the first of them, closed after the last. `of` is asked then. */
export function served(
  graphs: Readonly<Record<string, Bindable>> = {},
  of: () => ServeOptions | Promise<ServeOptions> = () => ({}),
): TestServer {
  let started: TestServer | undefined;
  const server = (): TestServer => {
    if (started === undefined) throw new Error("the server starts with the first test of its block");
    return started;
  };
  beforeAll(async () => {
    started = await serve(graphs, await of());
  });
  afterAll(() => started?.close());
  return {
    get url() {
      return server().url;
    },
    get runtime() {
      return server().runtime;
    },
    add: (graph) => server().add(graph),
    call: (...request) => server().call(...request),
    get: (...request) => server().get(...request),
    post: (...request) => server().post(...request),
    close: () => server().close(),
  };
}

/** The same tests on every storage, each with a server that they share. */
export function onEveryStorage(what: string, tests: (server: TestServer) => void): void {
  onEveryStorageWith({}, what, tests);
}

/** The same, with a server of other settings. */
export function onEveryStorageWith(
  of: Omit<ServeOptions, "checkpointer">,
  what: string,
  tests: (server: TestServer) => void,
): void {
  describe.each(STORAGES)(`${what} on %s`, (_name, make) => {
    tests(served({}, async () => ({ ...of, checkpointer: await make() })));
  });
}

/** The same schema, which takes no key that it does not name and misses none. */
export function strict(schema: z.core.$ZodType): z.ZodType {
  if (schema instanceof z.ZodObject) {
    const shape = Object.fromEntries(
      Object.entries(schema.shape as Record<string, z.core.$ZodType>).map(([key, each]) => [
        key,
        strict(each),
      ]),
    );
    return schema.def.catchall === undefined ? z.strictObject(shape) : z.looseObject(shape);
  }
  if (schema instanceof z.ZodArray) return z.array(strict(schema.element));
  if (schema instanceof z.ZodNullable) return strict(schema.unwrap()).nullable();
  if (schema instanceof z.ZodOptional) return strict(schema.unwrap()).optional();
  if (schema instanceof z.ZodUnion) return z.union(schema.options.map(strict));
  if (schema instanceof z.ZodUnknown) return z.custom((value) => value !== undefined, "the key is missing");
  return schema as z.ZodType;
}

const STRICT = {
  thread: strict(models.threadModel),
  result: strict(models.runResultModel),
  run: strict(models.runModel),
  state: strict(models.stateModel),
  interrupt: strict(models.interruptModel),
  receipt: strict(models.stopReceiptModel),
  graph: strict(models.graphModel),
  message: strict(models.messageModel),
  problem: strict(models.problemModel),
  decision: strict(models.decisionModel),
  checkpoint: strict(models.checkpointModel),
  event: strict(eventModel),
  inboxEvent: strict(models.inboxEventModel),
};
export type Shape = keyof typeof STRICT;

/** Fails unless `value` has exactly the keys of the model, with the model's types. */
export function expectShape(shape: Shape, value: unknown): Body {
  const parsed = STRICT[shape].safeParse(value);
  if (!parsed.success)
    throw new Error(
      `not exactly a ${shape}:\n${z.prettifyError(parsed.error)}\n${JSON.stringify(value, null, 1)}`,
    );
  return value;
}

/** A JSON answer of a status, in exactly the shape of its model. */
export function expectJson(reply: Reply, status: number, shape: Shape): Body {
  if (reply.status !== status) throw new Error(`${reply.status}, not ${status}: ${reply.text}`);
  expect(reply.headers.get("content-type")).toBe("application/json; charset=utf-8");
  return expectShape(shape, reply.body);
}

/** A list of one kind of items, with its next cursor. */
export function expectList(reply: Reply, shape: Shape): { items: Body[]; next_cursor: string | null } {
  if (reply.status !== 200) throw new Error(`${reply.status}, not 200: ${reply.text}`);
  expect(Object.keys(reply.body as object).sort()).toEqual(["items", "next_cursor"]);
  for (const item of reply.body.items) expectShape(shape, item);
  return reply.body;
}

/** Problem details (RFC 9457) of a status and a code. */
export function expectProblem(reply: Reply, status: number, code: string): Body {
  const said = { status: reply.status, code: reply.body?.code };
  if (said.status !== status || said.code !== code)
    throw new Error(`${said.status} ${said.code}, not ${status} ${code}: ${reply.text.slice(0, 1000)}`);
  expect(reply.headers.get("content-type")).toMatch(/^application\/problem\+json/);
  const problem = expectShape("problem", reply.body);
  expect(problem.status).toBe(status);
  expect(problem.type).toContain(code);
  return problem;
}
