/** Nodes and edges that do the worst: always an answered request, a named fault, and a thread that can be used again. */
import { END, START, StateGraph } from "holdpoint";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { expectJson, onEveryStorageWith, serve, unique, type Body } from "../support/http-server.js";
import { openState, single } from "./graphs.js";

function cyclic(): object {
  const value: { self?: object } = {};
  value.self = value;
  return value;
}
/** Every look at it throws. */
const hostile = (): object =>
  new Proxy(
    {},
    Object.fromEntries(
      Reflect.ownKeys(Reflect).flatMap((trap) =>
        typeof trap === "string"
          ? [
              [
                trap,
                () => {
                  throw new Error(`nobody may ${trap}`);
                },
              ],
            ]
          : [],
      ),
    ),
  );
class Money {
  constructor(readonly cents: number) {}
}
const deep = (levels: number): unknown => {
  let value: unknown = 1;
  for (let i = 0; i < levels; i++) value = [value];
  return value;
};

const THROWN: [string, () => unknown][] = [
  ["an Error", () => new Error("the bank is closed")],
  ["an Error without words", () => new TypeError()],
  ["an Error with a NUL and a lone surrogate in its words", () => new Error("\u0000 and \ud800")],
  [
    "an Error whose message throws",
    () =>
      Object.defineProperty(new Error("x"), "message", {
        get() {
          throw new Error("no");
        },
      }),
  ],
  ["an Error whose message is an object", () => Object.assign(new Error(), { message: cyclic() })],
  ["undefined", () => undefined],
  ["null", () => null],
  ["a string", () => "just words"],
  ["an empty string", () => ""],
  ["a number", () => 42],
  ["a bigint", () => 1n],
  ["a symbol", () => Symbol("s")],
  ["a function", () => () => "f"],
  ["an object", () => ({ status: 200, code: "not_found" })],
  ["an object with a cycle", cyclic],
  ["an object without a prototype", () => Object.create(null) as unknown],
  [
    "an object whose toJSON throws",
    () => ({
      toJSON() {
        throw new Error("no");
      },
    }),
  ],
  ["a Proxy that throws", hostile],
];

const RETURNED: [string, unknown][] = [
  ["a number", 7],
  ["true", true],
  ["a bigint", 7n],
  ["a symbol", Symbol("s")],
  ["a function", () => "f"],
  ["a Date", new Date(0)],
  ["a Map", new Map([["a", 1]])],
  ["an instance of a class", new Money(5)],
  ["an undeclared field", { valeu: 1 }],
  ["a field with a Date", { value: new Date(0) }],
  ["a field with a bigint", { value: 7n }],
  ["a field with NaN", { value: Number.NaN }],
  ["a field with a cycle", { value: cyclic() }],
  ["a field with a function", { value: () => 1 }],
  ["a field with a value too deep", { value: deep(150) }],
  ["a field with an object without a constructor", { value: Object.create(Object.create(null) as object) }],
  ["a field that the schema refuses", { text: 5 }],
  ["a message of an unknown role", { messages: [{ role: "boss", content: "x" }] }],
  ["a message without content", { messages: [{ role: "user" }] }],
  ["messages that are numbers", [1, 2]],
  ["the read-only meta", { executionMeta: { status: "completed" } }],
  ["the context", { context: [] }],
];

onEveryStorageWith({ options: { heartbeatMs: 50 } }, "faults of graph code", (server) => {
  /** Runs it failing, then checks that the thread goes on: by a resume, and by a new run. */
  async function failsOnce(work: () => unknown, code: string): Promise<Body> {
    let fail = true;
    const graph = server.add(single(() => (fail ? work() : "fine") as string, openState));
    const thread = unique("t");
    const url = `/threads/${thread}`;
    const failed = expectJson(
      await server.post(`${url}/run`, { graph, input: { messages: ["hello"] } }),
      200,
      "result",
    );
    expect(failed).toMatchObject({
      status: "error",
      interrupted: false,
      next_nodes: ["WORK"],
      error: { code, node: "WORK", path: ["WORK"], step: 0, attempt: 1 },
    });
    expect(failed.error.message).toContain("WORK");
    expect(failed.messages).toHaveLength(1);
    expect(expectJson(await server.get(url), 200, "thread")).toMatchObject({ status: "error" });
    const run = expectJson(await server.get(`${url}/runs/${failed.run_id}`), 200, "run");
    expect(run.error).toEqual(failed.error);
    fail = false;
    expect((await server.post(`${url}/resume`)).body).toMatchObject({ status: "completed", error: null });
    const again = expectJson(await server.post(`${url}/run`, { graph }), 200, "result");
    expect(again.status).toBe("completed");
    return failed;
  }

  it.each(THROWN)("a node that throws %s fails its run, and no more", async (_what, thrown) => {
    await failsOnce(() => {
      throw thrown();
    }, "node_failed");
  });

  it("a node that throws an Error is quoted", async () => {
    const failed = await failsOnce(() => {
      throw new Error("the bank is closed");
    }, "node_failed");
    expect(failed.error.message).toContain("the bank is closed");
  });

  it("a node whose promise is rejected with a Proxy that throws fails its run, and no more", async () => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
    await failsOnce(() => Promise.reject(hostile()), "node_failed");
  });

  it.each(RETURNED)(
    "a node that returns %s fails its run, and nothing of it is kept",
    async (_what, value) => {
      const failed = await failsOnce(() => value, "invalid_update");
      expect(failed.state).toEqual({ value: null, text: "", context_summary: null });
    },
  );

  it("a node that returns a Proxy that throws fails its run, and no more", async () => {
    let fail = true;
    const graph = server.add(single(() => (fail ? hostile() : "fine") as string));
    const thread = unique("t");
    const failed = expectJson(await server.post(`/threads/${thread}/run`, { graph }), 200, "result");
    expect(failed).toMatchObject({ status: "error", error: { node: "WORK" } });
    expect(["node_failed", "invalid_update"]).toContain(failed.error.code);
    fail = false;
    expect((await server.post(`/threads/${thread}/resume`)).body.status).toBe("completed");
  });

  it("an update of an undeclared key is told with the nearest one", async () => {
    const failed = await failsOnce(() => ({ valeu: 1 }), "invalid_update");
    expect(failed.error.message).toContain('"valeu"');
    expect(failed.error.message).toContain('"value"');
  });
});

const ROUTES: [string, () => unknown][] = [
  [
    "throws an Error",
    () => {
      throw new Error("no way");
    },
  ],
  [
    "throws undefined",
    () => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error
      throw undefined;
    },
  ],
  [
    "throws an object without a prototype",
    () => {
      throw Object.create(null);
    },
  ],
  [
    "throws a Proxy that throws",
    () => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error
      throw hostile();
    },
  ],
  ["returns an unknown name", () => "LSAT"],
  ["returns nothing", () => undefined],
  ["returns a symbol", () => Symbol("s")],
  ["returns a bigint", () => 1n],
  ["returns a cycle", cyclic],
  ["returns an object without a prototype", () => Object.create(null) as unknown],
  ["returns a Proxy that throws", hostile],
];

describe("an edge", () => {
  it.each(ROUTES)("that %s fails the run by name, and keeps what the node did", async (_what, route) => {
    let fail = true;
    let visits = 0;
    const server = await serve({
      routed: new StateGraph({ state: z.object({ amount: z.number().default(0) }) })
        .addNode("FIRST", () => {
          visits++;
          return { amount: 1 };
        })
        .addNode("LAST", () => "done")
        .addEdge(START, "FIRST")
        .addConditionalEdges("FIRST", () => (fail ? route() : "LAST"))
        .addEdge("LAST", END)
        .compile(),
    });
    const failed = expectJson(await server.post("/threads/t1/run"), 200, "result");
    expect(failed).toMatchObject({
      status: "error",
      error: { code: "edge_failed" },
      state: { amount: 1 },
    });
    expect(failed.error.message).toContain("FIRST");
    fail = false;
    const result = expectJson(await server.post("/threads/t1/resume"), 200, "result");
    expect(result).toMatchObject({ status: "completed", state: { amount: 1 } });
    expect(visits).toBe(1);
    await server.close();
  });

  it("that is missing fails the run, naming the node", async () => {
    const server = await serve({
      stuck: new StateGraph()
        .addNode("STUCK", () => undefined)
        .addEdge(START, "STUCK")
        .compile(),
    });
    const failed = expectJson(await server.post("/threads/t1/run"), 200, "result");
    expect(failed).toMatchObject({ status: "error", error: { code: "edge_failed" } });
    expect(failed.error.message).toContain("STUCK");
    await server.close();
  });
});

describe("a node that takes too long", () => {
  it("fails the run with node_timeout", async () => {
    const server = await serve({
      slow: new StateGraph()
        .addNode("SLOW", () => new Promise<never>(() => undefined), { timeoutMs: 5 })
        .addEdge(START, "SLOW")
        .addEdge("SLOW", END)
        .compile(),
    });
    const failed = expectJson(await server.post("/threads/t1/run"), 200, "result");
    expect(failed).toMatchObject({ status: "error", error: { code: "node_timeout", node: "SLOW" } });
    await server.close();
  });
});
