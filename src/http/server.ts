import Fastify, { type FastifyInstance } from "fastify";

/** Builds the HTTP face. It does not listen: that is the caller's. */
export function buildServer(): FastifyInstance {
  const app = Fastify({ forceCloseConnections: true });
  app.get("/healthz", () => ({ status: "ok" }));
  return app;
}
