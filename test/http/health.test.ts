import request from "supertest";
import { expect, test } from "vitest";
import { buildServer } from "../../src/http/index.js";

test("a server says that it is alive", async () => {
  const app = buildServer();
  await app.ready();
  const answer = await request(app.server).get("/healthz");
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({ status: "ok" });
  await app.close();
});
