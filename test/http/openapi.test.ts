import { beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { served, type Body, type Reply } from "../support/http-server.js";
import { latch } from "../support/latch.js";
import { refund, single } from "./graphs.js";

const server = served({ refunds: refund(), other: single(() => "x") }, () => ({ http: { bodyLimit: 5000 } }));
let answer: Reply;
let api: Body;
beforeAll(async () => {
  answer = await server.get("/openapi.yaml");
  api = parse(answer.text, { strict: true, uniqueKeys: true });
});

it("is YAML of OpenAPI 3.1, with every reference resolved", () => {
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toMatch(/^application\/yaml/);
  expect(api.openapi).toMatch(/^3\.1\./);
  expect(api.info).toMatchObject({ title: "Holdpoint", version: "0.0.0-test" });
  const references = [...answer.text.matchAll(/\$ref: "?(#[^\s"]+)"?/g)].map((match) => match[1] ?? "");
  expect(references.length).toBeGreaterThan(10);
  for (const reference of references) {
    const parts = reference.slice(2).split("/");
    expect(
      parts.reduce<Body>((at, part) => at?.[part], api),
      reference,
    ).toBeDefined();
  }
});

it("describes every route of this release", () => {
  const described = Object.entries(api.paths as Record<string, object>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const routes = [
    "POST /threads/{id}/run",
    "POST /threads/{id}/stream",
    "GET /threads/{id}/stream",
    "POST /threads/{id}/resume",
    "POST /threads/{id}/stop",
    "POST /threads",
    "GET /threads",
    "GET /threads/{id}",
    "DELETE /threads/{id}",
    "GET /threads/{id}/state",
    "PATCH /threads/{id}/state",
    "GET /threads/{id}/messages",
    "GET /threads/{id}/runs",
    "GET /threads/{id}/runs/{run_id}",
    "GET /interrupts",
    "GET /interrupts/stream",
    "GET /interrupts/{id}",
    "POST /interrupts/{id}/decision",
    "GET /graphs",
    "GET /graphs/{name}",
    "GET /healthz",
    "GET /readyz",
    "GET /openapi.yaml",
  ];
  expect(described).toEqual(expect.arrayContaining(routes));
  for (const route of described) {
    const [method = "", path = ""] = route.split(" ");
    const operation = api.paths[path][method.toLowerCase()];
    expect(operation.summary, route).toBeTruthy();
    for (const [, name] of path.matchAll(/\{(\w+)\}/g))
      expect(operation.parameters, route).toContainEqual(
        expect.objectContaining({ name, in: "path", required: true }),
      );
  }
});

it("names the models that answers have", () => {
  expect(Object.keys(api.components.schemas as object)).toEqual(
    expect.arrayContaining([
      "Thread",
      "RunResult",
      "Run",
      "State",
      "Interrupt",
      "Decision",
      "StopReceipt",
      "Graph",
      "Event",
      "Message",
      "Problem",
    ]),
  );
  const of = (path: string, method: string, status: number): Body =>
    api.paths[path][method].responses[status].content;
  expect(of("/threads/{id}/run", "post", 200)["application/json"].schema.$ref).toMatch(/RunResult/);
  expect(Object.keys(of("/threads/{id}/resume", "post", 200) as object)).toEqual([
    "application/json",
    "text/event-stream",
  ]);
  expect(Object.keys(of("/threads/{id}/run", "post", 409) as object)).toEqual(["application/problem+json"]);
});

/** Where an answer's method and path stand in the description. */
function operationOf(method: string, path: string): Body {
  const bare = path.split("?")[0] ?? "";
  const found = Object.keys(api.paths as object)
    .sort((a, b) => a.split("{").length - b.split("{").length)
    .find((template) => new RegExp(`^${template.replace(/\{\w+\}/g, "[^/]+")}$`).test(bare));
  return api.paths[found ?? ""]?.[method.toLowerCase()];
}

it("describes every status that the routes answer with, and with which content", async () => {
  const [began, held] = [latch(), latch()];
  single(async () => {
    began.open();
    await held.opened;
  }).bind(server.runtime, "held");
  const run = await server.post("/threads/paused/run", { graph: "refunds" });
  const id: string = run.body.interrupts[0].id;
  const running = server.post("/threads/busy/run", { graph: "held" });
  await began.opened;
  await server.post("/threads/done/run", { graph: "other" });
  const large = { input: { messages: ["x".repeat(6000)] } };

  const asked: [string, string, unknown, number][] = [
    ["GET", "/", undefined, 200],
    ["GET", "/healthz", undefined, 200],
    ["GET", "/readyz", undefined, 200],
    ["GET", "/openapi.yaml", undefined, 200],
    ["GET", "/graphs", undefined, 200],
    ["GET", "/graphs/other", undefined, 200],
    ["GET", "/graphs/none", undefined, 404],
    ["POST", "/threads", {}, 201],
    ["POST", "/threads", "{", 400],
    ["POST", "/threads", { graph: "none" }, 404],
    ["POST", "/threads", { thread_id: "done" }, 409],
    ["POST", "/threads", large, 413],
    ["POST", "/threads", { nothing: 1 }, 422],
    ["GET", "/threads", undefined, 200],
    ["GET", "/threads?cursor=x", undefined, 400],
    ["GET", "/threads?limit=0", undefined, 422],
    ["GET", "/threads/done", undefined, 200],
    ["GET", "/threads/none", undefined, 404],
    ["GET", "/threads/a%20b", undefined, 422],
    ["DELETE", "/threads/none", undefined, 404],
    ["DELETE", "/threads/busy", undefined, 409],
    ["DELETE", "/threads/a%20b", undefined, 422],
    ["GET", "/threads/done/state", undefined, 200],
    ["GET", "/threads/none/state", undefined, 404],
    ["GET", "/threads/done/state?x=1", undefined, 422],
    ["PATCH", "/threads/done/state", {}, 200],
    ["PATCH", "/threads/done/state", "[", 400],
    ["PATCH", "/threads/none/state", {}, 404],
    ["PATCH", "/threads/busy/state", {}, 409],
    ["PATCH", "/threads/done/state", large, 413],
    ["PATCH", "/threads/done/state", { state: { x: 1 } }, 422],
    ...["messages", "runs"].flatMap((list): [string, string, unknown, number][] => [
      ["GET", `/threads/done/${list}`, undefined, 200],
      ["GET", `/threads/done/${list}?cursor=x`, undefined, 400],
      ["GET", `/threads/none/${list}`, undefined, 404],
      ["GET", `/threads/done/${list}?limit=x`, undefined, 422],
    ]),
    ["GET", `/threads/paused/runs/${run.body.run_id}`, undefined, 200],
    ["GET", "/threads/done/runs/none", undefined, 404],
    ["GET", "/threads/a%20b/runs/none", undefined, 422],
    ["GET", "/threads/done/stream?after=0", undefined, 200],
    ["GET", "/threads/done/stream?after=x", undefined, 400],
    ["GET", "/threads/none/stream", undefined, 404],
    ["GET", "/threads/done/stream?after=9999", undefined, 409],
    ["GET", "/threads/done/stream?x=1", undefined, 422],
    ...["run", "stream"].flatMap((verb): [string, string, unknown, number][] => [
      ["POST", `/threads/new-${verb}/${verb}`, { graph: "other" }, 200],
      ["POST", `/threads/new/${verb}`, "{", 400],
      ["POST", `/threads/new/${verb}`, { graph: "none" }, 404],
      ["POST", `/threads/busy/${verb}`, {}, 409],
      ["POST", `/threads/new/${verb}`, large, 413],
      ["POST", `/threads/new/${verb}`, { graph: 1 }, 422],
    ]),
    ["POST", "/threads/paused/resume", "{", 400],
    ["POST", "/threads/none/resume", {}, 404],
    ["POST", "/threads/busy/resume", {}, 409],
    ["POST", "/threads/paused/resume", large, 413],
    ["POST", "/threads/paused/resume", {}, 422],
    ["POST", `/interrupts/${id}/decision`, "{", 400],
    ["POST", "/interrupts/none/decision", {}, 404],
    ["POST", `/interrupts/${id}/decision`, large, 413],
    ["POST", `/interrupts/${id}/decision`, {}, 422],
    ["GET", "/interrupts", undefined, 200],
    ["GET", "/interrupts?cursor=x", undefined, 400],
    ["GET", "/interrupts/stream?after=x", undefined, 400],
    ["GET", "/interrupts/stream?after=9999", undefined, 409],
    ["GET", "/interrupts/stream?x=1", undefined, 422],
    ["GET", "/interrupts?status=x", undefined, 422],
    ["GET", `/interrupts/${id}`, undefined, 200],
    ["GET", "/interrupts/none", undefined, 404],
    ["POST", `/interrupts/${id}/decision`, { decision: "deny" }, 200],
    ["POST", `/interrupts/${id}/decision`, { decision: "approve" }, 409],
    ["POST", "/threads/done/stop", {}, 200],
    ["POST", "/threads/done/stop", "{", 400],
    ["POST", "/threads/none/stop", {}, 404],
    ["POST", "/threads/done/stop", { reason: "x".repeat(6000) }, 413],
    ["POST", "/threads/done/stop", { mode: "x" }, 422],
    ["DELETE", "/threads/paused", undefined, 204],
  ];
  const missing: string[] = [];
  for (const [method, path, body, status] of asked) {
    const reply = await server.call(method, path, body);
    expect(`${method} ${path} ${reply.status}`).toBe(`${method} ${path} ${status}`);
    const response = operationOf(method, path)?.responses?.[status];
    const type = (reply.headers.get("content-type") ?? "").split(";")[0] ?? "";
    if (response === undefined) missing.push(`${method} ${path}: ${status}`);
    else if (status !== 204 && response.content?.[type] === undefined)
      missing.push(`${method} ${path}: ${status} as ${type}`);
  }
  held.open();
  await running;
  const empty = await server.get(
    `/threads/done/stream?after=${(await server.get("/threads/done")).body.seq}`,
  );
  expect(empty.status).toBe(204);
  expect(operationOf("GET", "/threads/done/stream").responses[204]).toBeDefined();
  expect(missing).toEqual([]);
});

it("describes the 403 of a foreign origin, which any route may answer", async () => {
  const missing: string[] = [];
  for (const [path, methods] of Object.entries(api.paths as Record<string, Record<string, Body>>))
    for (const [method, operation] of Object.entries(methods)) {
      const url = path.replace(/\{\w+\}/g, "x");
      const reply = await server.call(method.toUpperCase(), url, undefined, {
        Origin: "https://evil.example",
      });
      expect(reply.status).toBe(403);
      if (operation.responses[403] === undefined) missing.push(`${method.toUpperCase()} ${path}`);
    }
  expect(missing).toEqual([]);
});
