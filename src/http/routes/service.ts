import { z } from "zod";
import { json, problems, type App, type RouteContext } from "../route-context.js";

const status = z.object({ status: z.string() });
const ready = z.object({
  status: z.string(),
  database: z.string(),
  graphs: z.array(z.string()),
  waiting_graphs: z
    .array(z.string())
    .describe("Graphs that this process has not loaded and whose runs wait for a process that has"),
});
/** Whether the server lives, whether it can work, and what it offers. */
export function serviceRoutes(app: App, context: RouteContext, openapi: () => string): void {
  linksRoute(app, context);
  livenessRoute(app);
  readinessRoute(app, context);
  openapiRoute(app, openapi);
}

function linksRoute(app: App, { runtime }: RouteContext): void {
  app.get(
    "/",
    {
      config: { permission: "public" },
      schema: {
        operationId: "getLinks",
        summary: "Where to go from here",
        tags: ["service"],
        response: {
          200: json(
            "Links",
            z.object({
              name: z.string(),
              graphs: z.array(z.string()),
              links: z.record(z.string(), z.string()),
            }),
          ),
          ...problems(),
        },
      },
    },
    () => ({
      name: "holdpoint",
      graphs: runtime.graphs.names(),
      links: {
        graphs: "/graphs",
        threads: "/threads",
        inbox: "/interrupts",
        api: "/openapi.yaml",
        health: "/healthz",
        readiness: "/readyz",
      },
    }),
  );
}

function livenessRoute(app: App): void {
  app.get(
    "/healthz",
    {
      config: { permission: "public" },
      schema: {
        operationId: "getLiveness",
        summary: "Liveness",
        tags: ["service"],
        response: { 200: json("It lives", status), ...problems() },
      },
    },
    () => ({ status: "ok" }),
  );
}

function readinessRoute(app: App, { runtime }: RouteContext): void {
  app.get(
    "/readyz",
    {
      config: { permission: "public" },
      schema: {
        operationId: "getReadiness",
        summary: "Readiness",
        tags: ["service"],
        response: { 200: json("It can work", ready), ...problems(503) },
      },
    },
    async () => {
      const waiting = await runtime.ready();
      return {
        status: "ready",
        database: runtime.checkpointer.describe,
        graphs: runtime.graphs.names(),
        waiting_graphs: [...waiting],
      };
    },
  );
}

function openapiRoute(app: App, openapi: () => string): void {
  app.get(
    "/openapi.yaml",
    {
      config: { permission: "public" },
      schema: {
        operationId: "getDescription",
        summary: "This description",
        tags: ["service"],
        response: {
          200: { description: "OpenAPI 3.1", content: { "application/yaml": { schema: z.string() } } },
          ...problems(),
        },
      },
    },
    (_request, reply) => {
      void reply.type("application/yaml; charset=utf-8").serializer(String);
      return openapi();
    },
  );
}
