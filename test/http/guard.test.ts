/** Who may call at all. Spoken over raw sockets, since clients will not send a foreign Host or Origin. */
import { request, type IncomingHttpHeaders } from "node:http";
import Fastify from "fastify";
import { beforeEach, describe, expect, it } from "vitest";
import { registerGuard } from "../../src/http/guard.js";
import { served, unique, type Body } from "../support/http-server.js";
import { single } from "./graphs.js";

const CONSOLE = "https://console.example";
let worked = 0;
const server = served(
  {
    only: single(() => {
      worked++;
    }),
  },
  () => ({ http: { corsOrigins: [CONSOLE] } }),
);
beforeEach(() => {
  worked = 0;
});

interface Raw {
  status: number;
  headers: IncomingHttpHeaders;
  body: Body;
}
function raw(method: string, path: string, headers: Record<string, string>, body = ""): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(server.url);
    const length = body === "" ? {} : { "Content-Length": String(Buffer.byteLength(body)) };
    const sent = request(
      { host: hostname, port, method, path, headers: { ...length, ...headers } },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (piece: string) => (text += piece));
        answer.on("end", () => {
          const isJson = (answer.headers["content-type"] ?? "").includes("json");
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            body: isJson ? (JSON.parse(text) as unknown) : text,
          });
        });
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}
const own = (): string => new URL(server.url).host;

const ROUTES: [string, string][] = [
  ["POST", "/threads/:id/run"],
  ["POST", "/threads/:id/stream"],
  ["POST", "/threads"],
  ["GET", "/threads"],
  ["GET", "/graphs"],
  ["GET", "/healthz"],
  ["GET", "/openapi.yaml"],
  ["GET", "/nothing"],
  ["GET", "/threads/%E0%A4%A/state"],
  ["POST", "/threads/%/run"],
  ["GET", "/%ff"],
];

describe("a page of another origin", () => {
  it.each(ROUTES)("is refused by %s %s before anything is read", async (method, path) => {
    const thread = unique("t");
    for (const origin of ["https://evil.example", "null", `${CONSOLE}.evil.example`, "http://localhost:1"]) {
      const answer = await raw(
        method,
        path.replace(":id", thread),
        { Origin: origin, "Content-Type": "text/plain" },
        method === "POST" ? `{"thread_id":"${thread}` : "",
      );
      expect(answer).toMatchObject({ status: 403, body: { status: 403, code: "origin_not_allowed" } });
      expect(answer.headers["content-type"]).toMatch(/^application\/problem\+json/);
      expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
      if (!path.includes("%")) expect(answer.headers.vary).toContain("Origin");
    }
    expect((await server.get(`/threads/${thread}`)).status).toBe(404);
    expect(worked).toBe(0);
  });

  it("starts nothing even with a request that is otherwise in order", async () => {
    const thread = unique("t");
    const headers = { Origin: "https://evil.example", "Content-Type": "application/json" };
    const answer = await raw("POST", `/threads/${thread}/run`, headers, "{}");
    expect(answer.body.code).toBe("origin_not_allowed");
    expect((await server.get(`/threads/${thread}`)).status).toBe(404);
    expect(worked).toBe(0);
  });

  it("gets no leave from a preflight either", async () => {
    const answer = await raw("OPTIONS", "/threads/t1/run", {
      Origin: "https://evil.example",
      "Access-Control-Request-Method": "POST",
    });
    expect(answer.status).toBe(403);
    expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
  });
});

describe("a configured origin", () => {
  it.each(["POST", "PATCH", "DELETE", "GET"])("may %s, says the preflight", async (method) => {
    const answer = await raw("OPTIONS", "/threads/t1/run", {
      Origin: CONSOLE,
      "Access-Control-Request-Method": method,
      "Access-Control-Request-Headers": "content-type, last-event-id",
    });
    expect(answer.status).toBe(204);
    expect(answer.headers["access-control-allow-origin"]).toBe(CONSOLE);
    expect(answer.headers["access-control-allow-methods"]).toContain(method);
    expect(answer.headers["access-control-allow-headers"]).toMatch(/content-type/i);
    expect(answer.headers["access-control-allow-headers"]).toMatch(/last-event-id/i);
    expect(answer.headers.vary).toMatch(/origin/i);
  });

  it("gets its headers with answers, problems and streams", async () => {
    const thread = unique("t");
    const headers = { Origin: CONSOLE };
    const run = await raw("POST", `/threads/${thread}/run`, headers, "{}");
    const problem = await raw("GET", "/threads/none", headers);
    const stream = await raw("POST", `/threads/${thread}/stream`, headers, "{}");
    expect([run.status, problem.status, stream.status]).toEqual([200, 404, 200]);
    for (const answer of [run, problem, stream]) {
      expect(answer.headers["access-control-allow-origin"]).toBe(CONSOLE);
      expect(answer.headers["access-control-expose-headers"]).toMatch(/Content-Location/);
      expect(answer.headers.vary).toMatch(/origin/i);
    }
    expect(stream.headers["content-type"]).toBe("text/event-stream; charset=utf-8");
    expect(worked).toBe(2);
  });
});

describe("the server's own origin, and none", () => {
  it("are let in, without the headers that other origins need", async () => {
    const origins: Record<string, string>[] = [{}, { Origin: `http://${own()}` }];
    for (const headers of origins) {
      const answer = await raw("POST", `/threads/${unique("t")}/run`, headers, "{}");
      expect(answer.status).toBe(200);
      expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
    }
    expect(worked).toBe(2);
  });
});

describe("a Host", () => {
  it.each(["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil"])(
    "of %j is refused before anything is read",
    async (host) => {
      const thread = unique("t");
      for (const [method, path] of ROUTES) {
        const answer = await raw(method, path.replace(":id", thread), { Host: host }, "");
        expect(answer).toMatchObject({ status: 403, body: { code: "host_not_allowed" } });
      }
      // An attacker's page has its own name as origin too.
      const headers = { Host: host, Origin: `http://${host}` };
      const answer = await raw("POST", `/threads/${thread}/run`, headers, "{}");
      expect(answer).toMatchObject({ status: 403, body: { code: "host_not_allowed" } });
      expect((await server.get(`/threads/${thread}`)).status).toBe(404);
      expect(worked).toBe(0);
    },
  );

  it.each(["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.2:9", "[::1]:3000", "app.localhost:3000"])(
    "of %s is this machine, and let in",
    async (host) => {
      const answer = await raw("GET", "/healthz", { Host: host });
      expect(answer.status).toBe(200);
    },
  );
});

describe("a route that does not say what its caller must be allowed to do", () => {
  const guarded = () => {
    const app = Fastify();
    registerGuard(app, []);
    return app;
  };

  it("stops the boot, by name", () => {
    expect(() => guarded().get("/secrets", () => "all of them")).toThrow(
      "GET /secrets declares no permission",
    );
    expect(() => guarded().post("/secrets", { config: {} }, () => "")).toThrow(/POST \/secrets/);
  });

  it("is none where it says it, for everybody too", async () => {
    const app = guarded();
    app.get("/healthz", { config: { permission: "public" } }, () => "ok");
    app.get("/threads", { config: { permission: "read" } }, () => "mine");
    expect((await app.inject({ url: "/threads", headers: { host: "localhost" } })).body).toBe("mine");
    await app.close();
  });
});
